"""Interleaved rounds, A B C A B C …, so that what drifts on the machine drifts for all."""

import logging
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from cases import Case
from load import LoadError, Sample, Tools, drive, measure
from process import ProcessesChangedError
from servers import Place, Running, Server, ServerError, start
from verify import verify

log = logging.getLogger("bench")

SUBJECT = "zonda"
SPINS = 0.01
"""Share of a core above which a server with nothing to do is said to spin."""
WARM_UP = 1
"""Seconds of load before the first round, in which caches and the interpreter settle."""

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, and their extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Plan:
    """How a run is to go: the same for all cases."""

    servers: Sequence[Server]
    tools: Tools
    place: Place
    rounds: int
    seconds: int


@dataclass
class Result:
    """All rounds of a case; a server that fails leaves a None in the round, and a problem."""

    case: Case
    samples: dict[str, list[Sample | None]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def spread(self, name: str, of: Callable[[Sample], float]) -> Spread | None:
        """Of one figure over the rounds that count; None if there are none."""
        values = [of(sample) for sample in self.samples.get(name, ()) if sample is not None]
        return Spread.of(values) if values else None

    def ratio(self, name: str, to: str) -> Spread | None:
        """CPU time a request as a share of the other's, each round by itself."""
        pairs = zip(self.samples.get(name, ()), self.samples.get(to, ()), strict=False)
        values = [a.cpu_us / b.cpu_us for a, b in pairs if a is not None and b is not None]
        return Spread.of(values) if values else None


@contextmanager
def running(
    plan: Plan, case: Case, result: Result, *, crowd: bool = False
) -> Iterator[list[Running]]:
    """Starts every server that can serve the case; those that answer right, warmed up.

    `crowd`: where thousands of connections will come (commands.Launch).
    """
    with ExitStack() as stack:
        started = []
        for server in plan.servers:
            if not server.can_serve(case):
                continue
            try:
                up = stack.enter_context(
                    start(server, case.app, plan.place, over=case.over, crowd=crowd)
                )
                result.notes += verify(up, case)
                drive(up, case, plan.tools, WARM_UP)
            except (ServerError, LoadError, OSError) as error:
                refuse(result.problems, server, str(error))
                continue
            started.append(up)
        yield started


def refuse(problems: list[str], server: Server, why: str) -> None:
    """Puts a round or a server that does not count where the report and the user see it."""
    problem = why if why.startswith(server.name) else f"{server.name}: {why}"
    problems.append(problem)
    log.warning("REFUSED %s", problem)


def attempt(one: Running, problems: list[str], round_of: Callable[[], Measured]) -> Measured | None:
    """The round, or None and a problem if it does not count."""
    try:
        return round_of()
    except (LoadError, ServerError, ProcessesChangedError) as error:
        refuse(problems, one.server, str(error))
        return None


def run_case(plan: Plan, case: Case) -> Result:
    """CPU time a request of all servers, in a closed loop."""
    result = Result(case)
    with running(plan, case, result) as started:
        for number in range(plan.rounds):
            log.info("%s: round %d of %d", case.name, number + 1, plan.rounds)
            for one in started:
                idle = [other for other in started if other is not one]

                def round_of(one: Running = one, idle: list[Running] = idle) -> Sample:
                    return measure(one, idle, case, plan.tools, plan.seconds)

                sample = attempt(one, result.problems, round_of)
                result.samples.setdefault(one.server.name, []).append(sample)
    result.notes += spinning(result)
    return result


def spinning(result: Result) -> list[str]:
    """Which servers use the core while they have nothing to do."""
    shares: dict[str, list[float]] = {}
    for samples in result.samples.values():
        for sample in filter(None, samples):
            for name, cpu in sample.idle_cpu.items():
                shares.setdefault(name, []).append(cpu / sample.seconds)
    return [
        f"{name} spins: it used {statistics.median(found):.1%} of the core while idle"
        for name, found in shares.items()
        if statistics.median(found) > SPINS
    ]
