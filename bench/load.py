"""Drives load at a server in a closed loop: wrk, and ws.c where it speaks WebSocket."""

import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cases import MEBIBYTE, Case
from certificate import Certificate, certificate
from process import core_busy_seconds
from servers import Running

HERE = Path(__file__).resolve().parent
SETTLE = 0.05
"""Seconds after the load in which a server ends what is in flight; they count to the round."""
REQUEST_TIMEOUT = 10
"""Seconds after which wrk counts an answer as an error."""


class LoadError(RuntimeError):
    """A round that does not count: the load met errors, or its tool failed."""


@dataclass(frozen=True)
class Tools:
    """What has to be there before the first round, in a directory that goes with the run."""

    directory: Path
    wrk: str
    floor: Path
    rate: Path
    ws: Path
    file: Path
    """1 MiB for the application that serves a file."""
    certificate: Certificate | None

    def request_file(self, request: bytes, pipelined: int = 1) -> Path:
        """What a load generator is to send at once."""
        path = self.directory / "request"
        path.write_bytes(request * pipelined)
        return path


def output_of(program: Path, *arguments: object, seconds: int, server: str) -> dict[str, Any]:
    """What a program of ours prints of a round; raises LoadError, with its words, if it fails."""
    if not program.exists():
        raise LoadError("no C compiler found (cc): apt-get install gcc")
    try:
        done = subprocess.run(
            [program, *map(str, arguments)],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds + 30,
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{server}: {program.name} did not end in time") from error
    if done.returncode != 0:
        raise LoadError(f"{server}: {done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def tools() -> Iterator[Tools]:
    """Finds wrk, compiles the C programs (left out where there is no cc), makes the certificate."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LoadError(
            "wrk is not on PATH: apt-get install wrk (Debian, Ubuntu), brew install wrk"
        )
    with tempfile.TemporaryDirectory(prefix="zonda-bench-") as name:
        directory = Path(name)
        file = directory / "one-mebibyte"
        file.write_bytes(MEBIBYTE)
        floor, rate, ws = (directory / name for name in ("floor", "rate", "ws"))
        made = Tools(directory, wrk, floor, rate, ws, file, certificate(directory))
        compiler = shutil.which("cc")
        if compiler is not None:
            for target in (floor, rate, ws):
                source = HERE / f"{target.name}.c"
                subprocess.run([compiler, "-O2", "-o", target, source], check=True)
        yield made


@dataclass(frozen=True)
class Sample:
    """One server in one round."""

    requests: int
    """Or messages, each with its echo."""
    seconds: float
    server_cpu: float
    """Seconds, all processes of the server."""
    load_cpu: float
    """Seconds of the load generator: near `seconds` means that it, not the server, set the pace."""
    other_cpu: float
    """Seconds that anything else took of the server's core: the round was disturbed."""
    idle_cpu: Mapping[str, float]
    """Seconds, by name, of the servers that had nothing to do in this round."""

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU time a request or message."""
        return self.server_cpu / self.requests * 1e6

    @property
    def rate(self) -> float:
        """Requests or messages a second."""
        return self.requests / self.seconds


def drive(running: Running, case: Case, tools: Tools, seconds: int) -> tuple[int, float]:
    """Requests answered and seconds taken; raises LoadError if anything at all went wrong."""
    generator = ws if case.over == "ws" else wrk
    return generator(running, case, tools, seconds)


def ws(running: Running, case: Case, tools: Tools, seconds: int) -> tuple[int, float]:
    """Messages echoed and seconds taken; ws.c takes no error for less than the end of the round."""
    kind = "text" if case.text else "binary"
    message = tools.request_file(case.request)
    arguments = (running.port, seconds, case.connections, kind, message)
    result = output_of(tools.ws, *arguments, seconds=seconds, server=running.server.name)
    return result["messages"], result["seconds"]


def wrk(running: Running, case: Case, tools: Tools, seconds: int) -> tuple[int, float]:
    """Requests answered and seconds taken, over HTTP or HTTPS."""
    request = tools.request_file(case.request, case.pipelined)
    command = [tools.wrk, "-t", "1", "-c", str(case.connections), "-d", f"{seconds}s"]
    command += ["--timeout", f"{REQUEST_TIMEOUT}s", "-s", str(HERE / "wrk.lua")]
    command += [f"{case.over}://127.0.0.1:{running.port}/", "--", str(request)]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=seconds + 30
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{running.server.name}: wrk did not end in time") from error
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode != 0 or not found:
        raise LoadError(f"wrk failed ({done.returncode}): {done.stdout}{done.stderr}")
    result = json.loads(found[0].removeprefix("RESULT "))
    errors = {kind: count for kind, count in result["errors"].items() if count}
    if errors:
        listed = ", ".join(f"{count} {kind}" for kind, count in errors.items())
        raise LoadError(f"{running.server.name}: errors in {case.name!r}: {listed}")
    if result["requests"] < case.connections:
        raise LoadError(
            f"{running.server.name}: only {result['requests']} answers; lengthen rounds"
        )
    if result["bytes"] < result["requests"] * len(case.answer):
        raise LoadError(f"{running.server.name}: answers in {case.name!r} were cut short")
    return result["requests"], result["microseconds"] / 1e6


def measure(
    running: Running,
    idle: Sequence[Running],
    case: Case,
    tools: Tools,
    seconds: int,
) -> Sample:
    """One round of one server, the others on its core started and idle."""
    core = running.place.core
    load_before = resource.getrusage(resource.RUSAGE_CHILDREN)
    idle_before = {other.server.name: other.cpu_seconds() for other in idle}
    busy_before = core_busy_seconds(core)
    cpu_before = running.cpu_seconds()
    requests, took = drive(running, case, tools, seconds)
    time.sleep(SETTLE)
    running.check_alive()
    server_cpu = running.cpu_seconds() - cpu_before
    busy = core_busy_seconds(core) - busy_before
    idle_cpu = {other.server.name: other.cpu_seconds() for other in idle}
    load_after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Sample(
        requests,
        took,
        server_cpu,
        load_after.ru_utime + load_after.ru_stime - load_before.ru_utime - load_before.ru_stime,
        max(0.0, busy - server_cpu),
        {name: after - idle_before[name] for name, after in idle_cpu.items()},
    )
