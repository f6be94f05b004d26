"""The servers side by side: how each is started, on equal terms, and whether it answers right.

Every server gets one worker process, no access log, uvloop where it can run on it (the portable
Zonda excepted), its own defaults otherwise, and the same applications. bench/README.md tells why
each option stands here.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from answers import fetch
from apps import LOOP_MARK
from cases import GET, Case
from process import cpu_seconds, on_core, resident_bytes, tree

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT = 20.0
STOP_TIMEOUT = 15.0
IDLE_TIMEOUT = 300
"""Seconds that connections may idle where a case holds them open."""
MOST_CONNECTIONS = 16_384


class ServerError(RuntimeError):
    """A server is missing, does not start, or answers wrongly."""


@dataclass(frozen=True)
class Launch:
    """What a server's command line is made from."""

    python: str
    app: str
    port: int
    idle_connections: bool
    """Thousands of connections stay open: limits and time-outs must be raised to allow it."""


def zonda(loop: str) -> Callable[[Launch], list[str]]:
    """Zonda's command line, on the loop."""

    def command(launch: Launch) -> list[str]:
        line = [launch.python, "-m", "zonda", "run", f"bench.apps:{launch.app}"]
        line += ["--host", "127.0.0.1", "--port", str(launch.port)]
        line += ["--no-access-log", "--loop", loop]
        if launch.idle_connections:
            line += ["--timeout-keep-alive", str(IDLE_TIMEOUT)]
            line += ["--limit-connections", str(MOST_CONNECTIONS)]
        return line

    return command


def uvicorn(launch: Launch) -> list[str]:
    """The command line of uvicorn, with its compiled parser and loop."""
    line = [launch.python, "-m", "uvicorn", f"bench.apps:{launch.app}"]
    line += ["--host", "127.0.0.1", "--port", str(launch.port), "--workers", "1"]
    line += ["--http", "httptools", "--loop", "uvloop", "--no-access-log", "--no-proxy-headers"]
    if launch.idle_connections:
        line += ["--timeout-keep-alive", str(IDLE_TIMEOUT)]
    return line


def granian(launch: Launch) -> list[str]:
    """The command line of granian: its default runtime, one thread of it."""
    line = [launch.python, "-m", "granian", f"bench.apps:{launch.app}"]
    line += ["--host", "127.0.0.1", "--port", str(launch.port), "--workers", "1"]
    line += ["--interface", "asgi", "--loop", "uvloop", "--no-access-log"]
    if launch.idle_connections:
        # The time to read a head runs while a connection idles, and 60 s is the most it takes.
        line += ["--http1-header-read-timeout", "60000"]
        line += ["--backlog", str(MOST_CONNECTIONS), "--backpressure", str(MOST_CONNECTIONS)]
    return line


def peregrine(launch: Launch) -> list[str]:
    """The command line of peregrine-server, which takes uvloop where it is installed."""
    line = [launch.python, "-m", "peregrine"]
    line += ["--host", "127.0.0.1", "--port", str(launch.port), "--workers", "1"]
    line += ["--protocol", "asgi"]
    if launch.idle_connections:
        line += ["--keep-alive", str(IDLE_TIMEOUT * 1000)]
        line += ["--max-connections", str(MOST_CONNECTIONS)]
    return [*line, f"bench.apps:{launch.app}"]


@dataclass(frozen=True)
class Server:
    """One column of the table."""

    name: str
    version: str
    command: Callable[[Launch], list[str]]
    loop: str = "uvloop"
    """The module of the event loop that its applications must find themselves on."""
    is_peer: bool = False
    """A product to be compared with, as opposed to Zonda itself and the floor."""
    only_canned: bool = False
    """Answers 13 bytes to everything."""

    def can_serve(self, case: Case) -> bool:
        """Whether it can answer the case right at all."""
        return case.floor or not self.only_canned


PROBE = """
import importlib.metadata, json, platform, sys
found = {"python": platform.python_implementation() + " " + platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def environment() -> dict[str, str]:
    """For every server alike: bench.apps importable, nothing of the caller's choosing besides."""
    inherited = os.environ.get("PYTHONPATH")
    path = [str(ROOT), *([inherited] if inherited else [])]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path)}


def output_of(command: Sequence[str]) -> str:
    """What the command prints; raises ServerError with its last line if it fails."""
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        cwd=ROOT,
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise ServerError(f"{' '.join(command[:4])} failed: {lines[-1]}")
    return done.stdout.strip()


def versions(python: str) -> dict[str, str]:
    """Versions of the interpreter and of the packages that matter, of those it has."""
    names = ("zonda", "uvicorn", "httptools", "uvloop", "granian", "peregrine-server")
    try:
        found: dict[str, str] = json.loads(output_of([python, "-c", PROBE, *names]))
    except OSError as error:
        raise ServerError(f"cannot run {python}: {error.strerror}; see --python") from error
    return found


def available(
    python: str, loop: str, floor: Path
) -> tuple[dict[str, Server], dict[str, str], dict[str, str]]:
    """The servers that can run here by name, why the others can not, and the versions found."""
    found = versions(python)
    servers: dict[str, Server] = {}
    missing: dict[str, str] = {}

    def offer(name: str, needs: Sequence[str], make: Callable[[], Server]) -> None:
        lacking = [package for package in needs if package not in found]
        if lacking:
            missing[name] = f"{python} has no {', '.join(lacking)}: pip install {' '.join(lacking)}"
            return
        try:
            servers[name] = make()
        except (ServerError, OSError, subprocess.SubprocessError) as error:
            missing[name] = str(error)

    def make_zonda(name: str, on: str) -> Callable[[], Server]:
        # `--version` says which build it is, and fails where the package is there but broken.
        return lambda: Server(
            name,
            output_of([python, "-m", "zonda", "--version"]).splitlines()[0] + f", on {on}",
            zonda(on),
            loop=on,
        )

    def with_uvloop(name: str) -> str:
        return f"{found[name]} on uvloop {found['uvloop']}"

    offer("zonda", ["uvloop"] if loop == "uvloop" else [], make_zonda("zonda", loop))
    if loop == "uvloop":
        offer("zonda-asyncio", [], make_zonda("zonda-asyncio", "asyncio"))
    offer(
        "uvicorn",
        ["uvicorn", "httptools", "uvloop"],
        lambda: Server(
            "uvicorn",
            f"{with_uvloop('uvicorn')}, httptools {found['httptools']}",
            uvicorn,
            is_peer=True,
        ),
    )
    offer(
        "granian",
        ["granian", "uvloop"],
        lambda: Server("granian", with_uvloop("granian"), granian, is_peer=True),
    )
    offer(
        "peregrine",
        ["peregrine-server", "uvloop"],
        lambda: Server("peregrine", with_uvloop("peregrine-server"), peregrine, is_peer=True),
    )
    if floor.exists():
        command = [str(floor)]
        servers["floor"] = Server(
            "floor",
            "bench/floor.c",
            lambda launch: [*command, str(launch.port)],
            only_canned=True,
        )
    else:
        missing["floor"] = "no C compiler found (cc): apt-get install gcc"
    return servers, missing, found


@dataclass(frozen=True)
class Place:
    """Where servers run: the same for all of them."""

    python: str
    core: int
    directory: Path
    """For their logs."""
    file: Path
    """What the application `file` sends."""


@dataclass(frozen=True)
class Running:
    """A server that runs and accepts connections."""

    server: Server
    place: Place
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    pids: frozenset[int]

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far."""
        return cpu_seconds(self.pids)

    def resident_bytes(self) -> int:
        """Resident memory of all its processes."""
        return resident_bytes(self.pids)

    def check_alive(self) -> None:
        """Raises ServerError if it has died or has exchanged its worker for another."""
        if self.process.poll() is not None or tree(self.process.pid) != self.pids:
            raise ServerError(f"{self.server.name} lost or replaced a process\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines it printed, for an error message."""
        return tail(self.log)


def tail(log: Path) -> str:
    """The last lines of a log, indented."""
    lines = log.read_text(errors="replace").splitlines()[-15:]
    return "\n".join(f"  | {line}" for line in lines)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_accepting(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Returns when a connection can be made; raises ServerError with the log's end if none can."""
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    state = "silent" if process.poll() is None else f"exited with {process.returncode}"
    raise ServerError(f"{name} did not start on port {port} ({state}):\n{tail(log)}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a server, by force if it does not end when asked."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        # Its own session (see start), so its workers and nothing else.
        os.killpg(process.pid, 9)
        process.wait()


@contextmanager
def start(
    server: Server,
    app: str,
    place: Place,
    *,
    idle_connections: bool = False,
) -> Iterator[Running]:
    """Runs the server with that callable of bench/apps.py until the block ends."""
    port = free_port()
    command = server.command(Launch(place.python, app, port, idle_connections))
    log = place.directory / f"{server.name}-{port}.log"
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        with on_core(place.core):
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**environment(), "BENCH_FILE": str(place.file)},
                start_new_session=True,
            )
        stack.callback(stop, process)
        wait_until_accepting(server.name, process, port, log)
        # Workers may be forked after the listener opens: an answer proves that they are there.
        try:
            fetch(port, GET)
        except (OSError, ValueError) as error:
            raise ServerError(f"{server.name} does not answer: {error}\n{tail(log)}") from error
        yield Running(server, place, port, process, log, tree(process.pid))


def verify(running: Running, case: Case) -> Mapping[str, str]:
    """Raises ServerError unless the server answers the case right, on the loop it should run on.

    Asks twice, so that a connection is also used again. Returns the header of an answer.
    """
    name = running.server.name
    try:
        answers = fetch(running.port, case.request, pipelined=case.pipelined, times=2)
    except (OSError, ValueError) as error:
        raise ServerError(f"{name}: {error}\n{running.log_tail()}") from error
    for answer in answers:
        if answer.status != 200 or answer.body != case.answer:
            raise ServerError(
                f"{name} answers {case.name!r} wrongly: status {answer.status}, "
                f"{len(answer.body)} bytes of body instead of {len(case.answer)}, "
                f"{answer.body[:60]!r}\n{running.log_tail()}"
            )
        for field in ("date", "server"):
            if field not in answer.headers:
                raise ServerError(f"{name} sends no {field}: not on equal terms")
    if not running.server.only_canned:
        mark = LOOP_MARK + running.server.loop
        if mark not in running.log.read_text(errors="replace"):
            raise ServerError(
                f"{name} does not run on {running.server.loop}:\n{running.log_tail()}"
            )
    return answers[0].headers
