"""Interleaved rounds, A B C A B C …, so that what drifts on the machine drifts for all."""

import logging
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from cases import Case
from load import Latency, LoadError, Sample, Tools, at_rate, measure, wrk
from process import ProcessesChangedError
from servers import Place, Running, Server, ServerError, start, verify

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


@dataclass
class LatencyResult:
    """All rounds at a fixed rate."""

    rate: int = 0
    rate_from: str = ""
    samples: dict[str, list[Latency | None]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def spread(self, name: str, of: Callable[[Latency], float]) -> Spread | None:
        """Of one figure over the rounds that count; None if there are none."""
        values = [of(sample) for sample in self.samples.get(name, ()) if sample is not None]
        return Spread.of(values) if values else None

    def ratio(self, name: str, to: str) -> Spread | None:
        """99th percentile as a share of the other's, each round by itself."""
        pairs = zip(self.samples.get(name, ()), self.samples.get(to, ()), strict=False)
        values = [a.p99 / b.p99 for a, b in pairs if a is not None and b is not None]
        return Spread.of(values) if values else None


@contextmanager
def running(plan: Plan, case: Case, result: Result) -> Iterator[list[Running]]:
    """Starts every server that can serve the case; those that answer right, warmed up."""
    with ExitStack() as stack:
        started = []
        for server in plan.servers:
            if not server.can_serve(case):
                continue
            try:
                up = stack.enter_context(start(server, case.app, plan.place))
                headers = verify(up, case)
                wrk(up, case, plan.tools, WARM_UP)
            except (ServerError, LoadError, OSError) as error:
                refuse(result.problems, server, str(error))
                continue
            if "x-sent-by" in headers:
                result.notes.append(f"{server.name} sends the file by {headers['x-sent-by']}")
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


def slowest_peer(
    plan: Plan, started: Sequence[Running], case: Case, known: Result | None
) -> tuple[str, float]:
    """The peer with the lowest maximum rate, and that rate: as measured before, or measured now."""
    rates: dict[str, float] = {}
    for one in started:
        if one.server.is_peer:
            spread = known.spread(one.server.name, lambda sample: sample.rate) if known else None
            if spread is None:
                requests, took = wrk(one, case, plan.tools, plan.seconds)
                rates[one.server.name] = requests / took
            else:
                rates[one.server.name] = spread.median
    if not rates:
        raise LoadError("latency needs at least one peer to set the rate by: add --server uvicorn")
    name = min(rates, key=lambda name: rates[name])
    return name, rates[name]


def run_latency(plan: Plan, case: Case, known: Result | None) -> LatencyResult:
    """Latency of all servers at half of the slowest peer's maximum rate."""
    result = LatencyResult()
    start_up = Result(case)
    with running(plan, case, start_up) as started:
        result.problems += start_up.problems
        try:
            name, rate = slowest_peer(plan, started, case, known)
        except LoadError as error:
            result.problems.append(str(error))
            log.warning("REFUSED %s", error)
            return result
        result.rate, result.rate_from = int(rate / 2), name
        for number in range(plan.rounds):
            log.info("latency: round %d of %d, %d/s", number + 1, plan.rounds, result.rate)
            for one in started:

                def round_of(one: Running = one) -> Latency:
                    return at_rate(one, case, plan.tools, rate=result.rate, seconds=plan.seconds)

                sample = attempt(one, result.problems, round_of)
                result.samples.setdefault(one.server.name, []).append(sample)
    return result


def best_peer(result: LatencyResult, peers: Mapping[str, Server]) -> str | None:
    """The peer with the lowest median of its 99th percentiles."""
    medians = {
        name: spread.median
        for name in peers
        if (spread := result.spread(name, lambda sample: sample.p99)) is not None
    }
    return min(medians, key=lambda name: medians[name]) if medians else None
