"""Listening sockets: opened everywhere the settings say, or not at all with a line that helps."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from zonda.server import listeners as listeners_module
from zonda.server.addresses import TCPAddress
from zonda.server.listeners import ListenError, Listeners, describe, open_listeners
from zonda.server.settings import Settings


def refusal(**values: object) -> str:
    with pytest.raises(ListenError) as refused:
        open_listeners(Settings(**values)).close()  # type: ignore[arg-type]
    message = str(refused.value)
    assert "\n" not in message
    return message


def connect(listener: socket.socket) -> None:
    """Show that clients get in."""
    with socket.socket(listener.family) as client:
        client.settimeout(5)
        client.connect(listener.getsockname())


def test_a_listener_is_ready_non_blocking_and_not_inherited() -> None:
    with open_listeners(Settings(port=0)) as listeners:
        (listener,) = listeners.sockets
        assert listener.getblocking() is False
        assert listener.get_inheritable() is False
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        connect(listener)
    assert listener.fileno() == -1


def test_ipv4_and_ipv6_wildcards_can_be_listened_at_together() -> None:
    with open_listeners(Settings(bind=[":0"])) as listeners:  # type: ignore[arg-type]
        families = {listener.family for listener in listeners.sockets}
        ports = {listener.getsockname()[1] for listener in listeners.sockets}
        assert families == {socket.AF_INET, socket.AF_INET6}
        assert len(ports) == 1
        (port,) = ports
        urls = {describe(listener) for listener in listeners.sockets}
        assert urls == {f"http://0.0.0.0:{port}", f"http://[::]:{port}"}


def test_several_addresses_of_every_kind(tmp_path: Path) -> None:
    inherited = socket.create_server(("127.0.0.1", 0))
    here = inherited.getsockname()[1]
    path = tmp_path / "s"
    bind = ("127.0.0.1:0", "[::1]:0", f"unix:{path}", f"fd://{inherited.detach()}")
    with open_listeners(Settings(bind=bind)) as listeners:
        urls = [describe(listener) for listener in listeners.sockets]
        ports = [listener.getsockname()[1] for listener in listeners.sockets[:2]]
        assert urls == [
            f"http://127.0.0.1:{ports[0]}",
            f"http://[::1]:{ports[1]}",
            f"unix:{path}",
            f"http://127.0.0.1:{here}",
        ]
        for listener in listeners.sockets:
            assert listener.getblocking() is False
            connect(listener)


def test_a_host_name_is_listened_at_on_each_of_its_addresses() -> None:
    with open_listeners(Settings(host="localhost", port=0)) as listeners:
        for listener in listeners.sockets:
            assert listener.getsockname()[0] in {"127.0.0.1", "::1"}
            connect(listener)


def test_a_port_in_use_is_one_line_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = refusal(port=port)
    assert message.startswith(f"Cannot listen at 127.0.0.1:{port}: address already in use;")
    assert "--port" in message


def test_a_port_in_use_on_one_of_two_addresses_closes_the_other(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.create_server(("127.0.0.1", 0)) as other:
        refusal(bind=[f"unix:{path}", f"127.0.0.1:{other.getsockname()[1]}"])
    assert not path.exists()


def test_a_server_can_be_restarted_at_its_port_at_once() -> None:
    with open_listeners(Settings(port=0)) as listeners:
        port = listeners.sockets[0].getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            # The server's end is closed first, which leaves the port in TIME_WAIT.
            listeners.sockets[0].accept()[0].close()
    with open_listeners(Settings(port=port)) as listeners:
        connect(listeners.sockets[0])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"host": "192.0.2.1"}, "no interface of this machine has the address"),
        ({"host": "no-such-host.invalid"}, "the name has no address"),
        ({"fd": 987654}, "bad file descriptor; the parent process has to leave"),
        ({"uds": "/no/such/folder/s"}, "no such file or directory; make the directory first"),
        ({"uds": "/tmp/" + "a" * 200}, "choose a shorter path"),
    ],
)
def test_what_cannot_be_listened_at_is_one_line_with_a_hint(
    values: dict[str, object], words: str
) -> None:
    assert words in refusal(**values)


def test_a_privileged_port_is_explained() -> None:
    # Told the error, since the suite may run as root, who may have any port.
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    assert "CAP_NET_BIND_SERVICE" in listeners_module._explain(denied, TCPAddress("", 80))
    assert "--port" in listeners_module._explain(denied, TCPAddress("", 8080))


def test_an_inherited_descriptor_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        message = refusal(fd=file.fileno())
        file.write(b"still open")
    assert "fd://" in message


def test_an_inherited_socket_that_is_no_stream_is_left_alone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        assert "not a stream socket" in refusal(fd=datagrams.fileno())
        datagrams.getsockname()


def test_an_inherited_socket_that_is_only_bound_is_made_to_listen() -> None:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    with open_listeners(Settings(fd=bound.detach())) as listeners:
        connect(listeners.sockets[0])


def test_a_unix_socket_has_the_permissions_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with open_listeners(Settings(uds=path, uds_permissions=0o640)):  # type: ignore[arg-type]
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with open_listeners(Settings(uds=path)):  # type: ignore[arg-type]
        assert stat.S_IMODE(path.stat().st_mode) == 0o666


def test_the_file_of_a_unix_socket_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listeners = open_listeners(Settings(uds=str(path)))
    assert path.is_socket()
    listeners.close()
    assert not path.exists()
    listeners.close()


def test_the_file_of_a_successor_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    ours = open_listeners(Settings(uds=str(path)))
    path.unlink()
    with open_listeners(Settings(uds=str(path))) as theirs:
        ours.close()
        assert path.is_socket()
        connect(theirs.sockets[0])


def test_the_file_of_a_server_that_died_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.is_socket()
    with open_listeners(Settings(uds=str(path))) as listeners:
        connect(listeners.sockets[0])


def test_the_file_of_a_server_that_answers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with open_listeners(Settings(uds=str(path))) as first:
        assert "another process answers there" in refusal(uds=str(path))
        connect(first.sockets[0])


def test_a_server_whose_queue_is_full_counts_as_one_that_answers(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        assert "another process answers there" in refusal(uds=str(path))


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    assert "exists and is not a socket" in refusal(uds=str(path))
    assert path.read_text() == "data"


def test_sockets_are_described_as_clients_find_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert describe(listener, "https") == f"https://127.0.0.1:{port}"
    if os.uname().sysname == "Linux":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("\0zonda-test-listeners")
            assert describe(listener) == "unix:@zonda-test-listeners"


def test_listeners_that_were_never_opened_can_be_closed() -> None:
    Listeners().close()
