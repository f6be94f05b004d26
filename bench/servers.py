"""The servers side by side: which of them are here, and how they are started and stopped."""

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from answers import fetch
from cases import GET, Case, Over
from certificate import Certificate
from commands import Launch, granian, peregrine, uvicorn, zonda
from process import cpu_seconds, on_core, resident_bytes, tree

ROOT = Path(__file__).resolve().parent.parent
EVERYTHING: frozenset[Over] = frozenset({"http", "https", "ws"})
START_TIMEOUT = 20.0
STOP_TIMEOUT = 15.0


class ServerError(RuntimeError):
    """A server is missing, does not start, or answers wrongly."""


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
    over: frozenset[Over] = EVERYTHING
    """What it is measured over."""
    start_timeout: float = START_TIMEOUT

    def can_serve(self, case: Case) -> bool:
        """Whether it can answer the case right at all, and is to be measured in it."""
        return case.over in self.over and (case.floor or not self.only_canned)


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
    names = ("zonda", "uvicorn", "httptools", "uvloop", "granian", "peregrine-server", "websockets")
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
        ["uvicorn", "httptools", "uvloop", "websockets"],
        lambda: Server(
            "uvicorn",
            f"{with_uvloop('uvicorn')}, httptools {found['httptools']}, "
            f"websockets {found['websockets']}",
            uvicorn("websockets"),
            is_peer=True,
        ),
    )
    offer(
        "uvicorn-sansio",
        ["uvicorn", "uvloop", "websockets"],
        lambda: Server(
            "uvicorn-sansio",
            f"{with_uvloop('uvicorn')}, the same but for --ws websockets-sansio, its default",
            uvicorn("websockets-sansio"),
            is_peer=True,
            over=frozenset({"ws"}),
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
            over=frozenset({"http"}),
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
    certificate: Certificate | None
    """What servers present where TLS is measured; None: there was no `openssl` to make it."""


@dataclass(frozen=True)
class Running:
    """A server that runs and accepts connections."""

    server: Server
    place: Place
    port: int
    tls: ssl.SSLContext | None
    """For a client of it; None: it speaks no TLS."""
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


def wait_until_accepting(
    server: Server, process: subprocess.Popen[bytes], port: int, log: Path
) -> None:
    """Returns when a connection can be made; raises ServerError with the log's end if none can."""
    deadline = time.monotonic() + server.start_timeout
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    state = "silent" if process.poll() is None else f"exited with {process.returncode}"
    raise ServerError(f"{server.name} did not start on port {port} ({state}):\n{tail(log)}")


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
def start(  # noqa: PLR0913 - what may be asked of a server is a list, and flat
    server: Server,
    app: str,
    place: Place,
    *,
    over: Over = "http",
    crowd: bool = False,
    idle: bool = False,
    deflate: bool = False,
) -> Iterator[Running]:
    """Runs the server with that callable of bench/apps.py until the block ends.

    What the rest asks of its command line, commands.Launch tells.
    """
    if over == "https" and place.certificate is None:
        raise ServerError("no certificate for TLS: apt-get install openssl")
    certificate = place.certificate if over == "https" else None
    tls = certificate.client() if certificate is not None else None
    port = free_port()
    websocket = over == "ws"
    command = server.command(
        Launch(place.python, app, port, certificate, crowd, idle, websocket, deflate)
    )
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
        wait_until_accepting(server, process, port, log)
        # Workers may be forked after the listener opens: an answer proves that they are there.
        try:
            fetch(port, GET, tls=tls)
        except (OSError, ValueError) as error:
            raise ServerError(f"{server.name} does not answer: {error}\n{tail(log)}") from error
        yield Running(server, place, port, tls, process, log, tree(process.pid))
