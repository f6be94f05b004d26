"""Several workers: they share evenly, die alone, are replaced, and leave nothing behind."""

import asyncio
import contextlib
import http.client
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.cli.command import PATIENCE, ZondaCommand, finish
from tests.server.tls_client import make_certificates
from tests.server.workers import (
    APP,
    Client,
    Load,
    Supervised,
    ask,
    children,
    connections,
    descriptors,
    is_alive,
    served_by,
    until,
)
from zonda.server.process.board import BOARD_CELLS, Board
from zonda.server.process.share import Share
from zonda.server.server import Server, serve
from zonda.server.settings import Settings, SettingsError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")

MOST_OF_THE_MEAN = 1.3


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


@contextlib.contextmanager
def supervised(project: Path, *arguments: str, **more: object) -> Generator[Supervised]:
    with Supervised(project, *arguments, **more) as command:  # type: ignore[arg-type]
        command.begin()
        yield command
        assert "Traceback" not in command.output


# Serving


def test_workers_serve_and_the_supervisor_does_not(project: Path) -> None:
    with supervised(project, "--workers", "3") as command:
        workers = command.workers()
        assert len(workers) == 3
        answers = {ask(command.port) for _ in range(30)}
        assert answers <= {str(pid) for pid in workers}
        maps = Path(f"/proc/{command.supervisor}/maps").read_text()
        assert "uvloop" not in maps
        assert "_asyncio" not in maps
        assert "_ssl" not in maps
        output = command.end()
    assert f"[{command.supervisor}] INFO     Zonda " in output
    assert "supervising 3 workers of shop:app" in output
    for pid in workers:
        assert f"[{pid}] INFO     Worker ready" in output
        assert not is_alive(pid)
    assert f"[{next(iter(answers))}] 127.0.0.1:" in output


def test_zero_workers_are_one_a_core(project: Path) -> None:
    with supervised(project, "--workers", "0") as command:
        assert len(command.workers()) <= len(os.sched_getaffinity(0))


def test_one_worker_has_no_supervisor_unless_something_needs_one(project: Path) -> None:
    with Supervised(project) as command:
        command.begin()
        assert ask(command.port) == str(command.supervisor)
    with supervised(project, "--supervise") as command:
        assert [ask(command.port)] == [str(pid) for pid in command.workers()]


def test_the_application_sees_the_command_line_that_was_typed(project: Path) -> None:
    with supervised(project, "--workers", "2") as command:
        assert "'run', 'shop:app', '--port', '0', '--workers', '2'" in ask(command.port, "/argv")


@pytest.mark.parametrize("place", ["unix", "fd"])
def test_sockets_of_every_kind_are_shared(project: Path, place: str) -> None:
    with socket.socket() as inherited:
        inherited.bind(("127.0.0.1", 0))
        inherited.listen()
        number = inherited.fileno()
        address = ("--uds", "app.sock") if place == "unix" else ("--fd", str(number))
        arguments = (*address, "--workers", "2")
        with Supervised(project, *arguments, pass_fds=(number,), port=()) as command:
            command.read_until("Listening on")
            workers = {str(pid) for pid in command.workers()}
            if place == "unix":
                os.chdir(project)
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(PATIENCE)
                    client.connect("app.sock")
                    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    with client.makefile("rb") as answer:
                        assert answer.read().rpartition(b"\r\n")[2].decode() in workers
            else:
                assert ask(inherited.getsockname()[1]) in workers
            command.end()
    assert not (project / "app.sock").exists()


async def an_application(scope: object, receive: object, send: object) -> None:
    raise AssertionError("it is not asked")


def test_a_server_made_in_python_supervises_an_application_that_has_a_name() -> None:
    with pytest.raises(SettingsError, match="given by name"):
        Server(an_application, Settings(workers=2)).run()


def test_a_server_made_in_python_has_workers_like_the_command(project: Path) -> None:
    program = """
from zonda import Server, Settings
if __name__ == "__main__":
    Server("shop:app", Settings(workers=2, port=0, log_config={log_config})).run()
"""
    (project / "serve.py").write_text(program.replace("{log_config}", "None"))
    command = Supervised(project)
    command.command = [sys.executable, "serve.py"]
    with command:
        command.begin()
        assert ask(command.port) in {str(pid) for pid in command.workers()}
        assert f"[{command.supervisor}] INFO" in command.end()
    (project / "fails").touch()
    with command:
        assert command.wait() == 3
    (project / "serve.py").write_text(program.replace("{log_config}", '{"version": 1, "a": b""}'))
    with command:
        assert command.wait() == 1
        assert "log_config: it holds what cannot be handed to another process" in command.output


@pytest.mark.parametrize("given", [{"workers": 2}, {"limit_max_requests": 5}, {"pid_file": "p"}])
def test_a_server_in_somebodys_event_loop_refuses_what_needs_processes(
    given: dict[str, object],
) -> None:
    with pytest.raises(SettingsError, match=r"needs processes of its own.*zonda run") as refusal:
        asyncio.run(serve("shop:app", port=0, **given))
    assert refusal.value.name in given


# Evenness


def test_a_burst_of_connections_is_shared_evenly(project: Path) -> None:
    with supervised(project, "--workers", "4", "--no-access-log") as command:
        with connections(command.port, 256) as opened:
            counts = Counter(served_by(opened))
        command.end()
    assert len(counts) == 4, counts
    assert max(counts.values()) <= MOST_OF_THE_MEAN * 64, counts


def test_connections_that_come_and_go_stay_shared_evenly(project: Path) -> None:
    with supervised(project, "--workers", "4", "--no-access-log") as command:
        clients = [Client(command.port) for _ in range(256)]
        for turn in range(512):
            # Whoever has the first worker's connections leaves; the newcomers fill the gap.
            index = (turn * 97) % len(clients)
            clients[index].close()
            clients[index] = Client(command.port)
            assert clients[index].ask()
        counts = Counter(client.ask() for client in clients)
        for client in clients:
            client.close()
        command.end()
    assert max(counts.values()) <= MOST_OF_THE_MEAN * 64, counts


def test_a_worker_that_is_stuck_keeps_no_connection_waiting(project: Path) -> None:
    with supervised(project, "--workers", "2", "--no-access-log") as command:
        stuck = Client(command.port)
        stuck.send("/block")
        until((project / "blocked").exists, "a stuck worker")
        pid = (project / "blocked").read_text().strip()
        # The other one takes them all, although it soon has far more than its share.
        clients = [Client(command.port) for _ in range(100)]
        assert pid not in {client.ask() for client in clients}
        (project / "go").touch()
        assert stuck.receive() == pid
        for client in (stuck, *clients):
            client.close()
        command.end()


def test_a_share_is_what_the_fewest_have_and_a_little_more() -> None:
    board = Board.make()
    shares = [Share(board, board.take()) for _ in range(3)]
    mine, other, third = shares
    assert mine.allowed() == 64
    assert mine.is_last()
    other.begin()
    assert not mine.is_last()
    assert mine.allowed() == 1
    mine.accepted(1)
    assert mine.allowed() == 0
    other.accepted(80)
    assert mine.allowed() == 64
    third.begin()
    assert mine.allowed() == 0
    third.end()
    assert mine.allowed() == 64
    board.close()


def test_what_others_leave_is_taken_more_and_more_unless_they_are_at_it() -> None:
    board = Board.make()
    mine, other, third = (Share(board, board.take()) for _ in range(3))
    for each in (mine, other, third):
        each.begin()
    mine.accepted(200)
    third.accepted(300)
    assert mine.allowed() < 0
    for most in (*range(1, 65), 64):
        assert mine.overdue() == most
        mine.took_overdue(most)
        third.accepted(301)  # one that has more is nobody to wait for
        other.lost(0)
    other.accepted(1)
    assert mine.overdue() == 0
    mine.took_overdue(0)
    assert mine.allowed() < 0  # another one comes
    assert mine.overdue() == 1
    board.close()


def test_cells_of_a_board_are_used_again() -> None:
    board = Board.make()
    taken = [board.take() for _ in range(BOARD_CELLS)]
    assert sorted(taken) == list(range(1, BOARD_CELLS + 1))
    board.cell(7).accepting = True
    board.cell(7).beat()
    assert board.cell(7).seconds_since_beat() is not None
    for number in taken:
        board.give_back(number)
    assert board.words[0] == 0
    assert board.take() == 1
    assert not board.cell(7).accepting
    assert board.cell(7).seconds_since_beat() is None
    board.close()


# Ends that nobody asked for


def test_a_killed_worker_loses_only_its_own_requests_and_is_replaced(project: Path) -> None:
    with supervised(project, "--workers", "2", "--no-access-log") as command:
        waiting = [Client(command.port) for _ in range(8)]
        for client in waiting:
            client.send("/wait")
        until(lambda: len(_lines(project / "waiting")) == 8, "8 requests in progress")
        victim = command.workers()[0]
        lost = _lines(project / "waiting").count(str(victim))
        assert 0 < lost < 8
        with Load(command.port) as load:
            load.reaches(50)
            os.kill(victim, signal.SIGKILL)
            command.read_until(f"Worker {victim} ended by SIGKILL")
            command.read_until("Worker ready")
            load.reaches(50)
        (project / "go").touch()
        answers: list[str] = []
        for client in waiting:
            with contextlib.suppress(ConnectionError):
                answers.append(client.receive())
            client.close()
        assert len(answers) == 8 - lost
        assert str(victim) not in answers
        # Of the load, at most the one request of each client that the victim had.
        assert len(load.failed) <= 4, load.failed
        assert set(_lines(project / "served")) >= set(load.answered)
        assert victim not in command.settled(2)
        command.end()


def connect_for_ever(port: int) -> None:
    while True:
        with contextlib.suppress(ConnectionResetError):
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_what_waits_when_a_worker_dies_is_served_by_its_siblings(project: Path) -> None:
    with supervised(project, "--workers", "2", env={"START_UP": "5"}) as command:
        first, second = command.workers()
        os.kill(first, signal.SIGSTOP)  # it takes no more, and is not dead yet
        with connections(command.port, 40) as opened:
            os.kill(first, signal.SIGKILL)
            assert set(served_by(opened)) == {str(second)}
        assert "START_UP" not in command.output
        command.end()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"/kill?{signal.SIGSEGV.value}", "by SIGSEGV"),
        (f"/kill?{signal.SIGKILL.value}", "by SIGKILL (if nobody sent it"),
        ("/exit?7", "with code 7"),
    ],
)
def test_the_end_of_a_worker_is_logged_with_its_reason(
    project: Path, path: str, words: str
) -> None:
    with supervised(project, "--workers", "2") as command:
        with pytest.raises(ConnectionError):
            ask(command.port, path)
        assert "another takes its place" in command.read_until(f"ended {words}")
        command.read_until("Worker ready")
        assert len(command.settled(2)) == 2
        assert int(ask(command.port)) in command.workers()
        command.end()


def test_a_worker_that_is_told_to_stop_is_replaced_and_drains(project: Path) -> None:
    with supervised(project, "--workers", "2") as command:
        client = Client(command.port)
        client.send("/wait")
        until(lambda: _lines(project / "waiting"), "a request in progress")
        pid = int(_lines(project / "waiting")[0])
        os.kill(pid, signal.SIGTERM)
        command.read_until(f"Worker {pid} was told to stop; another takes its place")
        command.read_until("Worker ready")
        (project / "go").touch()
        assert client.receive() == str(pid)
        client.close()
        until(lambda: not is_alive(pid), "its end")
        assert len(command.settled(2)) == 2
        command.end()


def test_workers_that_keep_dying_are_started_less_and_less_often(project: Path) -> None:
    with supervised(project, "--workers", "2") as command:
        (project / "broken").touch()
        victim, other = command.workers()
        os.kill(victim, signal.SIGKILL)
        assert "another takes its place" in command.read_until(f"Worker {victim} ended")
        for seconds, ends in (("0.5", 2), ("1", 3), ("2", 4)):
            line = command.read_until("another is started in")
            assert "with code 1: Cannot import 'shop'" in line or "the new code is broken" in line
            assert f"another is started in {seconds} s ({ends} ends in a row)" in line
        assert ask(command.port) == str(other)
        (project / "broken").unlink()
        command.read_until("Worker ready")
        assert "the new code is broken" in command.output  # with the traceback, from the worker
        assert other in command.settled(2)
        command.signal(signal.SIGTERM)
        assert command.wait() == 0
        command.output = ""


@pytest.mark.parametrize(
    ("file", "code", "words"),
    [("broken", 1, "the new code is broken"), ("fails", 3, "no database")],
)
def test_when_no_worker_can_start_the_reason_and_the_code_are_those_of_a_single_server(
    project: Path, file: str, code: int, words: str
) -> None:
    (project / file).touch()
    ended, output = finish("run", "shop:app", "--port", "0", "--workers", "2", cwd=project)
    assert ended == code
    assert words in output
    assert "Listening" not in output


def test_a_worker_that_never_becomes_ready_is_killed(project: Path) -> None:
    arguments = ("--workers", "1", "--supervise", "--timeout-worker-start", "1")
    with Supervised(project, *arguments, env={"START_UP": "60"}) as command:
        command.read_until("ended killed: not ready within 1 s (--timeout-worker-start)")


def test_when_the_supervisor_is_killed_the_workers_drain(project: Path) -> None:
    with supervised(project, "--workers", "2") as command:
        workers = command.workers()
        client = Client(command.port)
        client.send("/wait")
        until(lambda: _lines(project / "waiting"), "a request in progress")
        command.process.kill()
        command.read_until("Stopping: 1 requests in progress")
        (project / "go").touch()
        assert client.receive() in {str(pid) for pid in workers}
        client.close()
        until(lambda: not any(is_alive(pid) for pid in workers), "the end of all workers")


def test_what_a_worker_babbles_does_not_disturb_the_supervisor(project: Path) -> None:
    with supervised(project, "--workers", "2", "--loop", "asyncio") as command:
        workers = command.workers()
        for _ in range(20):
            assert int(ask(command.port, "/babble")) in workers
        command.signal(signal.SIGHUP)
        command.read_until("All workers are replaced")
        assert "The supervisor has failed" not in command.end()


def test_a_system_without_room_for_a_worker_is_asked_again(project: Path) -> None:
    with supervised(project, "--workers", "2") as command:
        first, second = command.workers()
        most = resource.prlimit(command.supervisor, resource.RLIMIT_NOFILE)
        resource.prlimit(command.supervisor, resource.RLIMIT_NOFILE, (3, most[1]))
        os.kill(first, signal.SIGKILL)
        command.read_until("A worker cannot be started: Too many open files; trying again")
        assert ask(command.port) == str(second)
        resource.prlimit(command.supervisor, resource.RLIMIT_NOFILE, most)
        command.read_until("Worker ready")
        assert second in command.settled(2)
        command.end()


def test_nothing_is_left_of_workers_that_are_gone(project: Path) -> None:
    with supervised(project, "--workers", "2") as command:
        before = descriptors(command.supervisor)
        for _ in range(3):
            os.kill(command.settled(2)[0], signal.SIGKILL)
            command.read_until("ended by SIGKILL")
            command.read_until("Worker ready")
        command.signal(signal.SIGHUP)
        command.read_until("All workers are replaced")
        workers = command.settled(2)
        assert all(is_alive(pid) for pid in workers)
        until(lambda: descriptors(command.supervisor) == before, "as many descriptors as before")
        command.end()


def test_children_that_are_not_its_own_are_reaped_too(project: Path) -> None:
    # As process 1 of a container it is given orphans; a child of the shell that it replaces is one.
    with ZondaCommand(cwd=project) as made:
        made.process.kill()
    script = 'sleep 0.2 & exec "$0" "$@"'
    command = Supervised(project, "--workers", "2")
    command.command = ["/bin/sh", "-c", script, *command.command]
    with command:
        command.begin()
        workers = command.workers()
        until(lambda: len(command.workers()) == 2, "the end of the stranger")
        assert all(is_alive(pid) for pid in workers if pid in command.workers())
        command.end()


def test_as_process_1_it_reaps_orphans_and_ends_when_told(project: Path) -> None:
    prefix = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no process namespaces here")
    command = Supervised(project, "--workers", "2")
    command.command = [*prefix, *command.command]
    with command:
        command.begin()
        assert "[1] INFO     Listening" in command.output
        (first,) = command.workers()  # of unshare: the process that is number 1 in there
        assert len(children(first)) == 2
        ask(command.port, "/orphan")
        until(lambda: len(children(first)) == 3, "the orphan")
        (project / "go").touch()
        until(lambda: len(children(first)) == 2, "its end")
        os.kill(first, signal.SIGTERM)
        assert command.wait() == 0


# Replacing


# LONG_TESTS=1 pytest -o faulthandler_timeout=600 -k rolling
RESTARTS, START_UP = (20, "5") if os.environ.get("LONG_TESTS") else (4, "0")


def test_a_rolling_restart_under_load_fails_no_request(project: Path) -> None:
    arguments = ("--workers", "2", "--no-access-log")
    with (
        supervised(project, *arguments, env={"START_UP": START_UP}) as command,
        Load(command.port) as load,
    ):
        for _ in range(RESTARTS):
            before = command.settled(2)
            stream = Client(command.port)
            stream.send("/stream")
            command.signal(signal.SIGHUP)
            command.read_until("All workers are replaced")
            assert stream.receive().startswith("..........")
            stream.close()
            load.reaches(20)
            assert not set(before) & set(command.settled(2))
        load.stop()
        assert load.failed == []
        assert set(_lines(project / "served")) >= set(load.answered)
        (project / "answered").write_text(str(len(load.answered)))
        command.end()


def test_a_rolling_restart_closes_web_sockets_as_the_protocol_has_it(project: Path) -> None:
    with supervised(project, "--workers", "2") as command:
        address = f"ws://127.0.0.1:{command.port}/"
        with connect(address) as session:
            session.send("who?")
            first = session.recv(timeout=PATIENCE)
            command.signal(signal.SIGHUP)
            with pytest.raises(ConnectionClosed) as closed:
                session.recv(timeout=PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012  # service restart: come again
        command.read_until("All workers are replaced")
        with connect(address) as session:
            session.send("who?")
            assert session.recv(timeout=PATIENCE) != first
        command.end()


def test_workers_share_addresses_with_tls(project: Path) -> None:
    files = make_certificates(project)
    arguments = ("--ssl-certfile", files.certfile, "--ssl-keyfile", files.keyfile)
    with Supervised(project, "--workers", "2", *arguments) as command:
        found = re.search(r"https://127.0.0.1:(\d+)", command.read_until("Listening on https://"))
        assert found is not None
        context = ssl.create_default_context(cafile=files.authorities)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", int(found[1]), context=context, timeout=PATIENCE
        )
        connection.request("GET", "/")
        assert int(connection.getresponse().read()) in command.workers()
        command.signal(signal.SIGHUP)
        command.read_until("All workers are replaced")
        connection.close()
        command.end()


def test_the_old_worker_serves_until_the_new_one_has_started_up(project: Path) -> None:
    with supervised(project, "--supervise", env={"START_UP": "1"}) as command:
        (old,) = command.workers()
        command.signal(signal.SIGHUP)
        until(lambda: len(command.workers()) == 2, "a replacement")
        assert ask(command.port) == str(old)
        command.read_until("All workers are replaced")
        assert ask(command.port) != str(old)
        command.end()


def test_new_code_is_served_after_a_restart(project: Path) -> None:
    with supervised(project, "--workers", "2") as command:
        (project / "shop.py").write_text(APP.replace("body = str(os.getpid())", 'body = "new"'))
        command.signal(signal.SIGHUP)
        command.read_until("All workers are replaced")
        assert ask(command.port) == "new"
        command.end()


@pytest.mark.parametrize("file", ["broken", "fails"])
def test_a_replacement_that_does_not_start_leaves_the_old_worker(project: Path, file: str) -> None:
    with supervised(project, "--workers", "2") as command:
        workers = command.workers()
        (project / file).touch()
        command.signal(signal.SIGHUP)
        line = command.read_until("The replacement ended with code")
        assert "the old worker stays" in line
        assert "no database" in line or "the new code is broken" in line
        assert command.settled(2) == workers
        (project / file).unlink()
        command.signal(signal.SIGHUP)
        command.read_until("All workers are replaced")
        assert not set(workers) & set(command.settled(2))
        command.signal(signal.SIGTERM)
        assert command.wait() == 0
        command.output = ""


def test_workers_are_added_and_taken_by_signals(project: Path) -> None:
    with supervised(project, "--workers", "1", "--supervise") as command:
        (first,) = command.workers()
        command.signal(signal.SIGTTIN)
        command.read_until("One worker more: 2")
        command.read_until("Worker ready")
        assert len(command.settled(2)) == 2
        command.signal(signal.SIGTTOU)
        command.read_until("One worker less: 1")
        assert command.settled(1) == [first]
        command.signal(signal.SIGTTOU)
        command.read_until("The last worker stays")
        assert ask(command.port) == str(first)
        assert "ended" not in command.end()


@pytest.mark.parametrize(
    ("arguments", "path", "words"),
    [
        (("--limit-max-requests", "5"), "/", "(--limit-max-requests)"),
        (("--limit-max-age", "1"), "/", "it is 1 s old (--limit-max-age)"),
        (("--limit-max-rss", "200MiB"), "/eat?300000000", "(--limit-max-rss)"),
    ],
)
def test_a_worker_that_reaches_a_limit_of_its_own_is_replaced(
    project: Path, arguments: tuple[str, ...], path: str, words: str
) -> None:
    with supervised(project, *arguments) as command:
        (old,) = command.workers()
        for _ in range(6):
            ask(command.port, path)
            if "requests" not in words:
                break
        assert words in command.read_until(f"Worker {old} is being replaced")
        command.read_until(f"has taken the place of worker {old}")
        until(lambda: not is_alive(old), "its end")
        assert ask(command.port) != str(old)
        command.end()


def test_a_worker_that_stands_still_is_shown_and_replaced_if_asked(project: Path) -> None:
    arguments = ("--workers", "2", "--timeout-worker-stall", "0.5", "--stall-restart")
    with supervised(project, *arguments) as command:
        client = Client(command.port)
        client.send("/block")
        line = command.read_until("stands still for")
        pid = (project / "blocked").read_text().strip()
        assert f"worker {pid}" in line
        assert "shop.py" in command.read_until(", line ")
        command.read_until(f"Worker {pid} is being replaced: its event loop stands still")
        command.read_until(f"has taken the place of worker {pid}")
        (project / "go").touch()
        assert client.receive() == pid
        client.close()
        until(lambda: not is_alive(int(pid)), "its end")
        command.end()


def test_a_worker_that_stands_still_for_a_while_goes_on(project: Path) -> None:
    with supervised(project, "--supervise", "--timeout-worker-stall", "0.5") as command:
        client = Client(command.port)
        client.send("/block")
        command.read_until("stands still for")
        (project / "go").touch()
        command.read_until("goes on")
        assert client.receive() == str(command.workers()[0])
        client.close()
        command.end()


def test_a_machine_that_was_suspended_is_no_worker_that_stands_still(project: Path) -> None:
    with supervised(project, "--supervise", "--timeout-worker-stall", "1") as command:
        processes = (command.supervisor, *command.workers())
        ask(command.port)
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        until_later = time.monotonic() + 1.5
        until(lambda: time.monotonic() > until_later, "a while")
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
        ask(command.port)
        assert "stands still" not in command.end()


# The end


def test_a_stop_lets_requests_finish_and_a_second_one_ends_them(project: Path) -> None:
    with supervised(project, "--workers", "2") as command:
        client = Client(command.port)
        client.send("/wait")
        until(lambda: _lines(project / "waiting"), "a request in progress")
        command.signal(signal.SIGTERM)
        command.read_until("Stopping: 1 requests in progress")
        with pytest.raises(ConnectionRefusedError):
            connect_for_ever(command.port)
        command.signal(signal.SIGINT)
        assert command.wait() == 0
        client.close()
    assert "Ending what still runs" in command.output


def test_ctrl_c_in_a_terminal_ends_all_cleanly(project: Path) -> None:
    with supervised(project, "--workers", "2") as command:
        workers = command.workers()
        command.ctrl_c()
        assert command.wait() == 0
        assert not any(is_alive(pid) for pid in workers)
    assert "KeyboardInterrupt" not in command.output


def test_a_stop_while_workers_start_ends_them(project: Path) -> None:
    (project / "shop.py").write_text(
        "import time\nopen('importing', 'a').write('x ')\ntime.sleep(60)"
    )
    with Supervised(project, "--workers", "2") as command:
        until(lambda: len(_lines(project / "importing")) == 2, "two that import")
        command.signal(signal.SIGTERM)
        assert command.wait() == 0
    assert "Traceback" not in command.output


# `zonda reload` and the file that it reads


def test_reload_replaces_the_workers_of_the_supervisor_of_the_file(project: Path) -> None:
    (project / "zonda.toml").write_text('pid-file = "zonda.pid"\n')
    with supervised(project, "--workers", "2") as command:
        assert (project / "zonda.pid").read_text() == f"{command.supervisor}\n"
        before = command.workers()
        code, output = finish("reload", cwd=project)
        assert (code, output) == (0, f"Process {command.supervisor} replaces its workers.\n")
        command.read_until("All workers are replaced")
        assert not set(before) & set(command.settled(2))
        code, output = finish("run", "shop:app", "--port", "0", cwd=project)
        assert code == 1
        assert "another supervisor that runs has it" in output
        command.end()
    assert not (project / "zonda.pid").exists()


def test_reload_says_what_is_missing(project: Path) -> None:
    code, output = finish("reload", cwd=project)
    assert (code, "--pid-file" in output) == (2, True)
    code, output = finish("reload", "--pid-file", "none.pid", cwd=project)
    assert (code, "is it running?" in output) == (1, True)
    (project / "old.pid").write_text(f"{os.getpid()}\n")
    code, output = finish("reload", "--pid-file", "old.pid", cwd=project)
    assert (code, "left behind" in output) == (1, True)


def test_a_supervisor_needs_no_event_loop() -> None:
    program = """
import sys
import zonda.server.process.supervisor
heavy = {"asyncio", "uvloop", "ssl", "zonda.server.worker"} & set(sys.modules)
assert not heavy, heavy
"""
    environment = ZondaCommand(cwd=Path()).env
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
