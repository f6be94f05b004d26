"""`--reload`: the sockets stay, the server behind them is replaced."""

import http.client
import os
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cli.command import PATIENCE, ZondaCommand, finish, get
from tests.server.tls_client import encrypted, make_certificates
from zonda.server.reload import ReloadError, WatchedFiles, supervise
from zonda.server.settings import Settings

APP = """
import asyncio, os
VERSION = "one"

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", VERSION, flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/kill":
        os.kill(os.getpid(), 9)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        if VERSION == "stubborn":
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass
        await asyncio.Event().wait()
    pid = str(os.getpid())
    body = pid if scope["path"] == "/pid" else VERSION
    await send({"type": "http.response.body", "body": body.encode()})
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def become(project: Path, version: str) -> None:
    (project / "shop.py").write_text(APP.replace('"one"', repr(version)))


def reloading(project: Path, *arguments: str) -> ZondaCommand:
    return ZondaCommand("run", "shop:app", "--port", "0", "--reload", *arguments, cwd=project)


def test_a_change_is_served_at_the_same_port(project: Path) -> None:
    with reloading(project) as command:
        port = command.wait_for_port()
        assert get(port) == "one"
        become(project, "two")
        command.read_until("shop.py changed: reloading")
        assert command.wait_for_port() == port
        assert get(port) == "two"
        command.signal(signal.SIGINT)
        assert command.wait() == 0
    assert "shut down one\n" in command.output
    assert "shut down two\n" in command.output
    assert "Traceback" not in command.output
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_no_request_is_lost_while_servers_are_replaced(project: Path) -> None:
    answers: list[str] = []
    enough = threading.Event()

    def ask(port: int) -> None:
        while not enough.is_set():
            answers.append(get(port))

    with reloading(project) as command, ThreadPoolExecutor() as pool:
        port = command.wait_for_port()
        asking = [pool.submit(ask, port) for _ in range(3)]
        for version in ("two", "three"):
            become(project, version)
            command.wait_for_port()
        enough.set()
        for each in asking:
            each.result(PATIENCE)
    assert set(answers) <= {"one", "two", "three"}
    assert {"one", "two"} <= set(answers)


def test_ctrl_c_in_a_terminal_ends_parent_and_child_cleanly(project: Path) -> None:
    with reloading(project) as command:
        command.wait_for_port()
        command.ctrl_c()
        assert command.wait() == 0
    assert "shut down one\n" in command.output
    assert "Traceback" not in command.output
    assert "KeyboardInterrupt" not in command.output


def test_a_connection_made_while_nobody_serves_is_answered_by_the_next_server(
    project: Path,
) -> None:
    with reloading(project) as command:
        port = command.wait_for_port()
        (project / "shop.py").write_text("def (:\n")
        command.read_until("SyntaxError")
        command.read_until("The server ended with code 1; it is started again at the next change")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", "/")
        become(project, "three")
        assert connection.getresponse().read() == b"three"
        connection.close()


@pytest.mark.parametrize("version", ["one", "stubborn"])
def test_an_open_stream_does_not_hold_a_reload_up(project: Path, version: str) -> None:
    become(project, version)
    with reloading(project, "--timeout-reload", "0.4") as command:
        port = command.wait_for_port()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", "/stream")
        response = connection.getresponse()
        assert response.read1() == b"begun"
        become(project, "two")
        command.read_until("reloading")
        if version == "stubborn":
            command.read_until("The server did not stop within 0.4 s and is killed")
        command.wait_for_port()
        assert get(port) == "two"
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()
        connection.close()


def test_a_server_that_dies_is_started_again_at_the_next_change(project: Path) -> None:
    with reloading(project) as command:
        port = command.wait_for_port()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            get(port, "/kill")
        command.read_until("The server ended by SIGKILL; it is started again at the next change")
        become(project, "two")
        command.wait_for_port()
        assert get(port) == "two"


def test_the_server_ends_when_its_parent_is_killed(project: Path) -> None:
    with reloading(project) as command:
        port = command.wait_for_port()
        child = int(get(port, "/pid"))
        assert child != command.process.pid
        command.signal(signal.SIGKILL)
        command.read_until("shut down one")
        # The pipe of its output ends with the last process that has it.
        command.wait()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_files_that_do_not_matter_change_nothing(project: Path) -> None:
    (project / "notes").mkdir()
    arguments = ("--reload-include", "*.toml", "--reload-exclude", "notes")
    with reloading(project, *arguments) as command:
        port = command.wait_for_port()
        before = get(port, "/pid")
        (project / "notes" / "a.py").touch()
        (project / "readme.txt").touch()
        # Changes are told in order: had those mattered, they would have been named.
        (project / "shop.toml").touch()
        assert " shop.toml changed" in command.read_until("changed: reloading")
        command.wait_for_port()
        assert get(port, "/pid") != before


def test_the_file_of_a_unix_socket_outlives_the_server_and_goes_with_the_parent(
    project: Path,
) -> None:
    path = project / "here.sock"
    with ZondaCommand("run", "shop:app", "--uds", "here.sock", "--reload", cwd=project) as command:
        command.read_until("Listening on unix:here.sock")
        inode = path.stat().st_ino
        become(project, "two")
        command.read_until("shut down one")
        command.read_until("Listening on unix:here.sock")
        assert path.stat().st_ino == inode
        command.signal(signal.SIGTERM)
        assert command.wait() == 0
    assert not path.exists()


def test_the_settings_reach_the_server(project: Path) -> None:
    with reloading(project, "--header", "X-Test: a b", "--no-access-log") as command:
        connection = http.client.HTTPConnection("127.0.0.1", command.wait_for_port())
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        connection.close()
        assert response.headers["x-test"] == "a b"
        command.signal(signal.SIGTERM)
        command.wait()
    assert "GET" not in command.output


def test_the_server_speaks_tls_and_its_command_line_keeps_the_secret(project: Path) -> None:
    certificates = make_certificates(project)
    keyfile = encrypted(certificates.keyfile, project / "encrypted.key")
    files = ("--ssl-certfile", certificates.certfile, "--ssl-keyfile", keyfile)
    with reloading(project, *files, "--ssl-keyfile-password", "open sesame") as command:
        pid = get(command.wait_for_port(), "/pid", tls=certificates.client())
        child = Path(f"/proc/{pid}/cmdline")
        if child.exists():
            assert b"sesame" not in child.read_bytes()
        command.signal(signal.SIGTERM)
        command.wait()
    assert "holding https://" in command.output


def test_what_cannot_start_is_said_before_any_server_is(project: Path) -> None:
    code, output = finish("run", "shop:app", "--reload", "--ssl-certfile", "none", cwd=project)
    assert code == 1
    assert "ssl_certfile='none': it cannot be read" in output
    code, output = finish("run", "shop:app", "--reload", "--reload-dir", "none", cwd=project)
    assert code == 1
    assert f"--reload-dir {project / 'none'} is no directory" in output
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code, output = finish("run", "shop:app", "--reload", "--port", port, cwd=project)
    assert code == 1
    assert "address already in use" in output
    assert "serving" not in output


def test_without_watchfiles_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ReloadError, match="pip install watchfiles"):
        supervise("shop:app", Settings(port=0, reload=True))


# Which files matter


@pytest.mark.parametrize(
    ("path", "matters"),
    [
        ("main.py", True),
        ("deep/er/main.py", True),
        ("main.pyc", False),
        ("main.txt", False),
        ("page.html", True),
        (".git/hook.py", False),
        (".hidden.py", False),
        ("~main.py", False),
        ("tests/test_main.py", False),
        ("src/tests/test_main.py", False),
        ("build/lib/main.py", False),
        ("src/build/main.py", True),
        ("tests_of_ours/main.py", True),
        ("../elsewhere/main.py", False),
    ],
)
def test_patterns_choose_files(tmp_path: Path, path: str, matters: bool) -> None:
    files = WatchedFiles(
        Settings(
            reload_dir=(str(tmp_path),),
            reload_include=("*.html",),
            reload_exclude=("tests/", "build/*"),
        )
    )
    assert files.matter(os.path.normpath(tmp_path / path)) is matters


def test_a_default_pattern_can_be_turned_round(tmp_path: Path) -> None:
    files = WatchedFiles(
        Settings(reload_dir=(str(tmp_path),), reload_include=(".*",), reload_exclude=("*.py",))
    )
    assert not files.matter(str(tmp_path / "main.py"))
    assert files.matter(str(tmp_path / ".env"))


def test_directories_are_the_current_one_or_those_given_without_their_own_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    assert WatchedFiles(Settings()).folders == [tmp_path.resolve()]
    assert WatchedFiles(Settings(reload_dir=("c", "a/b", "a", "c"))).folders == [
        (tmp_path / "c").resolve(),
        (tmp_path / "a").resolve(),
    ]
