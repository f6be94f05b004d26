"""SIGUSR2: another program goes on in the supervisor's process, with its sockets and workers."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.server.workers import APP, Client, Load, Supervised, ask, descriptors, is_alive, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


@contextlib.contextmanager
def supervised(project: Path, *arguments: str) -> Generator[Supervised]:
    with Supervised(project, "--workers", "2", *arguments) as command:
        command.begin()
        yield command


def test_another_program_goes_on_under_load_and_fails_no_request(project: Path) -> None:
    with supervised(project, "--no-access-log", "--pid-file", "pid") as command:
        before = command.workers()
        opened, after = descriptors(command.supervisor), before
        with Load(command.port) as load:
            for _ in range(2):
                stream = Client(command.port)
                stream.send("/stream")
                command.signal(signal.SIGUSR2)
                command.read_until("Going on with the program on disk")
                command.read_until("supervising 2 workers")
                command.read_until("All workers are replaced")
                assert stream.receive().startswith("..........")
                stream.close()
                load.reaches(20)
                after = command.settled(2)
                assert not set(before) & set(after)
                before = after
        assert load.failed == []
        assert (project / "pid").read_text() == f"{command.supervisor}\n"
        assert descriptors(command.supervisor) <= opened
        assert b"ZONDA_HANDOVER" not in Path(f"/proc/{after[0]}/environ").read_bytes()
        command.end()
    assert not (project / "pid").exists()


def test_the_settings_are_read_anew(project: Path) -> None:
    (project / "zonda.toml").write_text("workers = 3\nbind = ['127.0.0.1:0', 'unix:a.sock']\n")
    with Supervised(project, port=()) as command:
        command.begin()
        command.read_until("Listening on unix:a.sock")
        (project / "zonda.toml").write_text("workers = 2\nbind = ['127.0.0.1:0', 'unix:b.sock']\n")
        command.signal(signal.SIGUSR2)
        command.read_until("supervising 2 workers")
        command.read_until("All workers are replaced")
        assert len(command.settled(2)) == 2
        assert ask(command.port) in {str(pid) for pid in command.workers()}
        assert not (project / "a.sock").exists()
        assert (project / "b.sock").exists()
        command.end()
    assert not (project / "b.sock").exists()


def test_a_program_that_cannot_serve_changes_nothing(project: Path) -> None:
    with supervised(project) as command:
        workers = command.workers()
        (project / "broken").touch()
        command.signal(signal.SIGUSR2)
        command.read_until("the new code is broken")
        command.read_until("The program on disk cannot serve (code 1, see above): no change")
        assert command.settled(2) == workers
        assert ask(command.port) in {str(pid) for pid in workers}
        command.end()


def test_a_release_that_a_link_is_pointed_at_is_the_next_program(project: Path) -> None:
    for name in ("one", "two"):
        (project / name).mkdir()
        code = APP.replace("body = str(os.getpid())", f"body = {name!r}")
        (project / name / "shop.py").write_text(code)
    (project / "current").symlink_to("one")
    command = Supervised(project / "current", "--workers", "2", env={"PWD": f"{project}/current"})
    with command:
        command.begin()
        assert ask(command.port) == "one"
        (project / "current").unlink()
        (project / "current").symlink_to("two")
        command.signal(signal.SIGHUP)
        command.read_until("All workers are replaced")
        assert ask(command.port) == "two"
        (project / "current").unlink()
        (project / "current").symlink_to("one")
        command.signal(signal.SIGUSR2)
        command.read_until("All workers are replaced")
        assert ask(command.port) == "one"
        command.end()


def test_a_stop_right_after_it_ends_all(project: Path) -> None:
    with supervised(project) as command:
        workers = command.workers()
        command.signal(signal.SIGUSR2)
        command.read_until("Going on with the program on disk")
        command.signal(signal.SIGTERM)  # whichever of the two programs gets it
        assert command.wait() == 0
        until(lambda: not any(is_alive(pid) for pid in workers), "the end of all workers")
        assert not os.path.exists(f"/proc/{command.supervisor}")  # noqa: PTH110


def test_a_trial_that_hangs_is_ended(project: Path) -> None:
    with supervised(project, "--timeout-worker-start", "3") as command:
        workers = command.workers()
        code = APP.replace('if Path("broken").exists():', "time.sleep(60)\nif False:")
        (project / "shop.py").write_text(code)
        command.signal(signal.SIGUSR2)
        command.read_until("Trying the program on disk")
        command.signal(signal.SIGUSR2)
        command.read_until("Another program is being tried already")
        command.read_until("The program on disk cannot serve (code -9")
        assert command.settled(2) == workers
        command.end()


def test_what_the_new_settings_cannot_have_ends_nothing(project: Path) -> None:
    (project / "zonda.toml").write_text('port = 0\nworkers = 2\npid-file = "pid"\n')
    with Supervised(project, port=()) as command, socket.create_server(("", 0)) as taken:
        command.begin()
        other = taken.getsockname()[1]
        (project / "zonda.toml").write_text(
            f'bind = [":{other}"]\nworkers = 2\npid-file = "none/pid"\n'
        )
        command.signal(signal.SIGUSR2)
        command.read_until("--pid-file none/pid: No such file or directory; going on without")
        command.read_until("going on at the addresses that there were")
        command.read_until("All workers are replaced")
        assert ask(command.port) in {str(pid) for pid in command.workers()}
        command.end()
