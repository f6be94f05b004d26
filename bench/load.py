"""Drives load at a server: wrk in a closed loop, rate.c at a fixed rate."""

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

from cases import MEBIBYTE, Case
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
    file: Path
    """1 MiB for the application that serves a file."""

    def request_file(self, request: bytes, pipelined: int) -> Path:
        """What a load generator is to send at once."""
        path = self.directory / "request"
        path.write_bytes(request * pipelined)
        return path


@contextmanager
def tools() -> Iterator[Tools]:
    """Finds wrk, compiles the C programs (floor and rate are left out where there is no cc)."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LoadError(
            "wrk is not on PATH: apt-get install wrk (Debian, Ubuntu), brew install wrk"
        )
    with tempfile.TemporaryDirectory(prefix="zonda-bench-") as name:
        directory = Path(name)
        file = directory / "one-mebibyte"
        file.write_bytes(MEBIBYTE)
        made = Tools(directory, wrk, directory / "floor", directory / "rate", file)
        compiler = shutil.which("cc")
        if compiler is not None:
            for target in (made.floor, made.rate):
                source = HERE / f"{target.name}.c"
                subprocess.run([compiler, "-O2", "-o", target, source], check=True)
        yield made


@dataclass(frozen=True)
class Sample:
    """One server in one round."""

    requests: int
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
        """Microseconds of CPU time a request."""
        return self.server_cpu / self.requests * 1e6

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def wrk(running: Running, case: Case, tools: Tools, seconds: int) -> tuple[int, float]:
    """Requests answered and seconds taken; raises LoadError if anything at all went wrong."""
    request = tools.request_file(case.request, case.pipelined)
    command = [tools.wrk, "-t", "1", "-c", str(case.connections), "-d", f"{seconds}s"]
    command += ["--timeout", f"{REQUEST_TIMEOUT}s", "-s", str(HERE / "wrk.lua")]
    command += [f"http://127.0.0.1:{running.port}/", "--", str(request)]
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
    requests, took = wrk(running, case, tools, seconds)
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


@dataclass(frozen=True)
class Latency:
    """Microseconds from the appointed time of a request to the end of its answer."""

    p50: float
    p99: float
    p999: float
    max: float
    stall: float
    """The longest time that the load generator was kept from its core."""
    seconds: float
    other_cpu: float
    """Seconds that anything but the server took of its core."""


def at_rate(running: Running, case: Case, tools: Tools, *, rate: int, seconds: int) -> Latency:
    """Latencies at so many requests a second; raises LoadError if the server does not keep up."""
    request = tools.request_file(case.request, 1)
    command = [tools.rate, running.port, rate, seconds, case.connections, request]
    core = running.place.core
    busy, cpu = core_busy_seconds(core), running.cpu_seconds()
    done = subprocess.run(
        list(map(str, command)),
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    )
    if done.returncode != 0:
        raise LoadError(f"{running.server.name}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    running.check_alive()
    return Latency(
        result["p50"],
        result["p99"],
        result["p999"],
        result["max"],
        result["stall"],
        result["seconds"],
        max(0.0, core_busy_seconds(core) - busy - (running.cpu_seconds() - cpu)),
    )
