"""Latency at a fixed rate, which a closed loop would hide; and what a slow-loris attack adds to it.

rate.c sends each request when it is due, whether or not the server keeps up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cases import Case
from load import LoadError, Tools, drive, output_of
from process import core_busy_seconds
from rounds import Plan, Result, Spread, attempt, log, running
from servers import Running, Server


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
    reopened: int
    """Connections of the attack that the server ended, and that came again."""


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
        return ratio(self.samples.get(name, ()), self.samples.get(to, ()))


@dataclass
class LorisResult:
    """Rounds at a fixed rate, each without the attack and then with it."""

    tricklers: int
    calm: LatencyResult = field(default_factory=LatencyResult)
    attacked: LatencyResult = field(default_factory=LatencyResult)

    def ratio(self, name: str) -> Spread | None:
        """99th percentile with the attack as a share of that without, each round by itself."""
        return ratio(self.attacked.samples.get(name, ()), self.calm.samples.get(name, ()))


def ratio(these: Sequence[Latency | None], those: Sequence[Latency | None]) -> Spread | None:
    """Of the 99th percentiles, over the rounds that count for both; None if there are none."""
    pairs = zip(these, those, strict=False)
    values = [a.p99 / b.p99 for a, b in pairs if a is not None and b is not None]
    return Spread.of(values) if values else None


def at_rate(  # noqa: PLR0913 - a round's terms are a list, and flat
    running: Running, case: Case, tools: Tools, *, rate: int, seconds: int, tricklers: int = 0
) -> Latency:
    """Latencies at so many requests a second; raises LoadError if the server does not keep up."""
    request = tools.request_file(case.request)
    arguments = (running.port, rate, seconds, case.connections, request, tricklers)
    core = running.place.core
    busy, cpu = core_busy_seconds(core), running.cpu_seconds()
    result = output_of(tools.rate, *arguments, seconds=seconds, server=running.server.name)
    running.check_alive()
    return Latency(
        result["p50"],
        result["p99"],
        result["p999"],
        result["max"],
        result["stall"],
        result["seconds"],
        max(0.0, core_busy_seconds(core) - busy - (running.cpu_seconds() - cpu)),
        result["reopened"],
    )


def slowest(
    plan: Plan, started: Sequence[Running], case: Case, known: Result | None
) -> tuple[str, float]:
    """The server with the lowest maximum rate, and that rate: as measured before, or now."""
    rates: dict[str, float] = {}
    for one in started:
        spread = known.spread(one.server.name, lambda sample: sample.rate) if known else None
        if spread is None:
            requests, took = drive(one, case, plan.tools, plan.seconds)
            rates[one.server.name] = requests / took
        else:
            rates[one.server.name] = spread.median
    name = min(rates, key=lambda name: rates[name])
    return name, rates[name]


def run_latency(plan: Plan, case: Case, known: Result | None) -> LatencyResult:
    """Latency of all servers at half of the slowest peer's maximum rate."""
    result = LatencyResult()
    start_up = Result(case)
    with running(plan, case, start_up) as started:
        result.problems += start_up.problems
        peers = [one for one in started if one.server.is_peer]
        try:
            if not peers:
                raise LoadError(
                    "latency needs at least one peer to set the rate by: add --server uvicorn"
                )
            name, rate = slowest(plan, peers, case, known)
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


def run_loris(plan: Plan, case: Case, known: Result | None, tricklers: int) -> LorisResult:
    """Latency of good clients with and without the attack, at half of the slowest's highest rate.

    Limits on connections are raised, as for other cases with thousands; time-outs are not, since
    they are what a server has against it.
    """
    result = LorisResult(tricklers)
    start_up = Result(case)
    with running(plan, case, start_up, crowd=True) as started:
        result.calm.problems += start_up.problems
        try:
            products = [one for one in started if not one.server.only_canned]
            if not products:
                raise LoadError("loris: no server is there to be attacked")
            name, rate = slowest(plan, products, case, known)
        except LoadError as error:
            result.calm.problems.append(str(error))
            log.warning("REFUSED %s", error)
            return result
        for part in (result.calm, result.attacked):
            part.rate, part.rate_from = int(rate / 2), name
        for number in range(plan.rounds):
            log.info("loris: round %d of %d, %d/s", number + 1, plan.rounds, result.calm.rate)
            for one in products:
                for part, attackers in ((result.calm, 0), (result.attacked, tricklers)):

                    def round_of(one: Running = one, attackers: int = attackers) -> Latency:
                        return at_rate(
                            one,
                            case,
                            plan.tools,
                            rate=result.calm.rate,
                            seconds=plan.seconds,
                            tricklers=attackers,
                        )

                    sample = attempt(one, part.problems, round_of)
                    part.samples.setdefault(one.server.name, []).append(sample)
    return result


def best_peer(result: LatencyResult, peers: Mapping[str, Server]) -> str | None:
    """The peer with the lowest median of its 99th percentiles."""
    medians = {
        name: spread.median
        for name in peers
        if (spread := result.spread(name, lambda sample: sample.p99)) is not None
    }
    return min(medians, key=lambda name: medians[name]) if medians else None
