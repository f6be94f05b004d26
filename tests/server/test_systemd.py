"""What a service manager is told and gives, by sd_notify and sd_listen_fds, over real sockets."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.cli.command import PATIENCE
from tests.server.workers import APP, Supervised, ask
from zonda.server.process.systemd import Notifier, activated_sockets, with_activation
from zonda.server.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


class Manager:
    """The socket that a service notifies."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(PATIENCE)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.name = name

    def hears(self, words: str) -> dict[str, str]:
        """The next message with these words, those before it passed over."""
        while True:
            message = self._socket.recv(4096).decode()
            if words in message.splitlines():
                return dict(line.split("=", 1) for line in message.splitlines())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Manager]:
    path = str(tmp_path / "notify") if request.param == "path" else f"@zonda-test-{os.getpid()}"
    with contextlib.closing(Manager(path)) as opened:
        yield opened


def test_several_workers_say_ready_reloading_and_stopping(project: Path, manager: Manager) -> None:
    with Supervised(project, "--workers", "2", env={"NOTIFY_SOCKET": manager.name}) as command:
        said = manager.hears("READY=1")
        assert said["MAINPID"] == str(command.supervisor)
        assert said["STATUS"] == "2 workers serve shop:app"
        port = command.begin()
        assert ask(port, "/environment?NOTIFY_SOCKET") == "-"
        command.signal(signal.SIGHUP)
        assert int(manager.hears("RELOADING=1")["MONOTONIC_USEC"]) > 0
        manager.hears("READY=1")
        command.signal(signal.SIGTERM)
        manager.hears("STOPPING=1")
        assert command.wait() == 0


def test_a_single_server_says_ready_and_stopping(project: Path, manager: Manager) -> None:
    with Supervised(project, env={"NOTIFY_SOCKET": manager.name}) as command:
        assert manager.hears("READY=1")["MAINPID"] == str(command.supervisor)
        command.signal(signal.SIGTERM)
        manager.hears("STOPPING=1")
        assert command.wait() == 0


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
def test_signs_of_life_are_given_in_half_the_time(
    project: Path, manager: Manager, arguments: tuple[str, ...]
) -> None:
    environment = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "200000"}
    with Supervised(project, *arguments, env=environment) as command:
        for _ in range(3):
            manager.hears("WATCHDOG=1")
        command.end()


def test_the_watchdog_is_for_the_process_that_it_names() -> None:
    heard = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "2000000"}
    assert Notifier(heard).watchdog == 1.0
    assert Notifier({**heard, "WATCHDOG_PID": str(os.getpid())}).watchdog == 1.0
    assert Notifier({**heard, "WATCHDOG_PID": "1"}).watchdog is None
    assert Notifier({"WATCHDOG_USEC": "2000000"}).watchdog is None
    Notifier({"NOTIFY_SOCKET": "@nobody-listens-here"}).ready()
    Notifier({"NOTIFY_SOCKET": "vsock:1:2"}).ready()


ACTIVATE = """
import os, sys
first, name = int(sys.argv[1]), sys.argv[2]
os.dup2(first, 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=name)
os.execv(sys.argv[3], sys.argv[3:])
"""


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
def test_a_socket_that_was_opened_for_us_is_listened_at(
    project: Path, arguments: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = Supervised(project, *arguments, port=(), pass_fds=(listener.fileno(),))
        command.command = [
            *(sys.executable, "-c", ACTIVATE, str(listener.fileno()), "web"),
            *command.command,
        ]
        with command:
            command.read_until("Listening at what was handed over for activation: fd://3 (web)")
            assert command.begin() == listener.getsockname()[1]
            assert ask(command.port, "/environment?LISTEN_FDS") == "-" if arguments else True
            command.end()
        # It is the service manager's: what comes now waits for the next start.
        socket.create_connection(listener.getsockname(), PATIENCE).close()


def test_sockets_for_another_process_are_left_alone() -> None:
    ours = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a"}
    assert activated_sockets(ours) == [(3, "a"), (4, "")]
    assert activated_sockets({**ours, "LISTEN_PID": "1"}) == []
    assert activated_sockets({**ours, "LISTEN_FDS": "many"}) == []
    assert activated_sockets({}) == []
    assert with_activation(Settings(), ours).bind == ("fd://3", "fd://4")
    assert with_activation(Settings(), {}) == Settings()


def test_an_address_that_is_named_comes_before_sockets_that_were_handed_over(
    project: Path,
) -> None:
    ours = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}
    named = Settings(bind=("fd://4", "127.0.0.1:80"))
    assert with_activation(named, ours) == named
