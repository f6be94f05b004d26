"""Results as a Markdown page and as JSON."""

import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cases import (
    ASYNCIO_ALLOWANCE,
    CASES,
    HELD,
    IDLE_CPU_BOUND,
    IDLE_CPU_CONNECTIONS,
    IDLE_MEMORY_CONNECTIONS,
    LORIS_BOUND,
    P99_BOUND,
)
from idle import Memory
from latency import Latency, LatencyResult, LorisResult, best_peer
from rounds import SUBJECT, Result, Spread
from servers import Server

DISTURBED = 0.05
"""Share of the server's core that others may take in a round before a note says so."""
STALLED = 1000.0
"""Microseconds for which the load generator may be kept from its core before a note says so."""
SATURATED = 0.97
"""Share of its core at which the load generator, not the server, sets the pace."""
FEW_REQUESTS = 20
"""Requests a connection below which those cut short by the end of a round weigh too much."""


@dataclass
class Report:
    """Everything a run found."""

    servers: Mapping[str, Server]
    missing: Mapping[str, str]
    python: str
    loop: str
    rounds: int
    seconds: int
    cores: tuple[int, int]
    quick: bool
    results: list[Result] = field(default_factory=list)
    latency: LatencyResult | None = None
    loris: LorisResult | None = None
    memory: dict[str, dict[str, Memory]] = field(default_factory=dict)
    """By what is held (cases.HELD), then by server."""
    idle_cpu: dict[str, float] = field(default_factory=dict)
    idle_cpu_connections: int = IDLE_CPU_CONNECTIONS
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    date: datetime = field(default_factory=lambda: datetime.now(UTC))

    def all_problems(self) -> list[str]:
        """Whatever could not be measured, and why."""
        found = list(self.problems)
        for result in self.results:
            found += result.problems
        for _, rounds in self.at_rate():
            found += rounds.problems
        return found

    def at_rate(self) -> list[tuple[str, LatencyResult]]:
        """What was measured at a fixed rate, with the name it has in the notes."""
        found = [] if self.latency is None else [("latency", self.latency)]
        if self.loris is not None:
            found += [("loris, without", self.loris.calm), ("loris, with", self.loris.attacked)]
        return found


def cpu_model() -> str:
    """As the kernel names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def verdict(value: float, bound: float) -> str:
    """Whether the value is within the bound."""
    return "met" if value <= bound else "**missed**"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, padded so that it reads on a terminal too."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return [
        "| " + " | ".join(cell.ljust(n) for cell, n in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]


def header(report: Report) -> list[str]:
    """Where, when and what was measured."""
    server_core, load_core = report.cores
    lines = [
        (
            f"Measured {report.date:%Y-%m-%d %H:%M} UTC: {cpu_model()}, {os.cpu_count()} cores, "
            f"Linux {platform.release()}, {report.python}."
        ),
        (
            f"Servers on core {server_core}, load on core {load_core}; "
            f"{report.rounds} interleaved rounds of {report.seconds} s a server."
        ),
        "",
        *(f"- {server.name}: {server.version}" for server in report.servers.values()),
        *(f"- {name}: skipped: {why}" for name, why in report.missing.items()),
    ]
    if report.quick:
        lines += ["", "**A quick run, to see that everything works: its figures mean nothing.**"]
    elif report.rounds < 5:
        lines += ["", "**Fewer than 5 rounds: not to be published.**"]
    return lines


def bound_of(report: Report, result: Result, name: str) -> float | None:
    """The most that Zonda's CPU time may be of that server's, on the loop it runs on."""
    bound = result.case.bounds.get(name)
    if bound is None:
        return None
    return round(bound * ASYNCIO_ALLOWANCE, 4) if report.loop == "asyncio" else bound


def ratio_cell(spread: Spread | None, bound: float | None) -> str:
    """A ratio with its spread, its bound and the verdict."""
    if spread is None:
        return "-" if bound is None else f"not measured (≤ {bound:g})"
    text = f"{spread.median:.3f} ({spread.low:.3f}-{spread.high:.3f})"
    return text if bound is None else f"{text}, ≤ {bound:g} {verdict(spread.median, bound)}"


def ratios(report: Report) -> list[str]:
    """The table that the bounds are about."""
    others = [name for name in report.servers if name not in (SUBJECT, "zonda-asyncio")]
    on_asyncio = "zonda-asyncio" in report.servers
    head = ["case", *others, *(["zonda on asyncio ÷ on uvloop"] if on_asyncio else [])]
    rows = []
    for result in report.results:
        row = [result.case.title]
        row += [
            ratio_cell(result.ratio(SUBJECT, name), bound_of(report, result, name))
            for name in others
        ]
        if on_asyncio:
            row.append(ratio_cell(result.ratio("zonda-asyncio", SUBJECT), ASYNCIO_ALLOWANCE))
        rows.append(row)
    return [
        f"## CPU time of the server a request or message: {SUBJECT} ÷ the other",
        "",
        "Median of the rounds (lowest-highest), each round a ratio by itself; then the bound.",
        "",
        *table(head, rows),
    ]


def absolutes(report: Report) -> list[str]:
    """The figures that the ratios come from."""
    rows = []
    for result in report.results:
        row = [result.case.title, str(result.case.connections)]
        for name in report.servers:
            cpu = result.spread(name, lambda sample: sample.cpu_us)
            rate = result.spread(name, lambda sample: sample.rate)
            if cpu is None or rate is None:
                row.append("-")
                continue
            text = f"{cpu.median:,.1f} µs, {rate.median:,.0f}/s"
            load = result.spread(name, lambda sample: sample.load_cpu / sample.seconds)
            row.append(f"{text} *" if load is not None and load.median > SATURATED else text)
        rows.append(row)
    lines = [
        "## CPU time, and requests or messages a second",
        "",
        "Medians of the rounds.",
        "",
        *table(["case", "connections", *report.servers], rows),
    ]
    if any("*" in cell for row in rows for cell in row):
        lines += [
            "",
            (
                "\\* The load generator was as busy as its core allows: the server could do more "
                "a second."
            ),
        ]
    return lines


def time_cell(spread: Spread | None) -> str:
    """Microseconds with their spread."""
    if spread is None:
        return "-"
    return f"{spread.median:,.0f} ({spread.low:,.0f}-{spread.high:,.0f})"


def latencies(report: Report, latency: LatencyResult) -> list[str]:
    """Percentiles at a fixed rate."""
    best = best_peer(latency, {n: s for n, s in report.servers.items() if s.is_peer})
    rows = []
    for name in latency.samples:
        cells = [
            time_cell(latency.spread(name, of))
            for of in (lambda s: s.p50, lambda s: s.p99, lambda s: s.p999)
        ]
        ratio = latency.ratio(name, best) if best is not None and name != best else None
        bound = P99_BOUND if name == SUBJECT else None
        rows.append([name, *cells, ratio_cell(ratio, bound)])
    return [
        "## Latency at a fixed rate",
        "",
        (
            f"GET, 13 bytes, {latency.rate:,} requests a second, half of {latency.rate_from}'s "
            "most. µs from the time a request was due."
        ),
        "",
        *table(["server", "p50", "p99", "p99.9", f"p99 ÷ {best or 'best peer'}'s"], rows),
    ]


def under_attack(loris: LorisResult) -> list[str]:
    """What good clients notice of a slow-loris attack."""
    rows = []
    for name, samples in loris.attacked.samples.items():
        found = [sample for sample in samples if sample is not None]
        bound = LORIS_BOUND if name == SUBJECT else None
        rows.append(
            [
                name,
                *(time_cell(part.spread(name, p99)) for part in (loris.calm, loris.attacked)),
                ratio_cell(loris.ratio(name), bound),
                f"{sum(sample.reopened for sample in found):,}",
            ]
        )
    return [
        "## Latency under slow loris",
        "",
        (
            f"99th percentile, µs, of GET, 13 bytes, {loris.calm.rate:,} requests a second, half "
            f"of {loris.calm.rate_from}'s most; with {loris.tricklers:,} connections more, on "
            "each of which an octet of a head comes a second."
        ),
        "",
        *table(["server", "without", "with", "with ÷ without", "attackers shut out"], rows),
    ]


def p99(sample: Latency) -> float:
    """Its 99th percentile."""
    return sample.p99


def idle(report: Report) -> list[str]:
    """What connections cost on which nothing happens."""
    rows = []
    for held in HELD:
        found = report.memory.get(held.name, {})
        if found:
            row = [f"{held.title}: bytes a connection"]
            row += [memory_cell(name, found.get(name), held.bound) for name in report.servers]
            rows.append(row)
    if report.idle_cpu:
        row = [f"{report.idle_cpu_connections:,} HTTP connections: share of the core"]
        row += [idle_cpu_cell(name, report.idle_cpu.get(name)) for name in report.servers]
        rows.append(row)
    connections = next(
        (one.connections for found in report.memory.values() for one in found.values()),
        IDLE_MEMORY_CONNECTIONS,
    )
    return [
        "## Idle connections",
        "",
        (
            f"Resident memory a connection, of {connections:,}; in parentheses with what is paid "
            "once. Kernel memory is not counted."
        ),
        "",
        *table(["connections", *report.servers], rows),
    ]


def memory_cell(name: str, found: Memory | None, bound: int | None) -> str:
    """Bytes a connection; for Zonda with the bound, if there is one, and the verdict."""
    if found is None:
        return "-"
    text = f"{found.each:,.0f} ({found.each_from_start:,.0f})"
    if name != SUBJECT or bound is None:
        return text
    return f"{text}, ≤ {bound:,} {verdict(found.each, bound)}"


def idle_cpu_cell(name: str, cpu: float | None) -> str:
    """Per cent of the core; for Zonda with the bound and the verdict."""
    if cpu is None:
        return "-"
    text = f"{cpu:.3f} %"
    return (
        f"{text}, < {IDLE_CPU_BOUND} % {verdict(cpu, IDLE_CPU_BOUND)}" if name == SUBJECT else text
    )


def notes(report: Report) -> list[str]:
    """What a reader must know before believing the figures."""
    lines = []
    for result in report.results:
        lines += [f"- {result.case.name}: {note}" for note in result.notes]
        for name, samples in result.samples.items():
            kept = [sample for sample in samples if sample is not None]
            disturbed = sum(sample.other_cpu > DISTURBED * sample.seconds for sample in kept)
            if disturbed:
                lines.append(
                    f"- {result.case.name}: in {disturbed} of {len(kept)} rounds of {name} others "
                    f"took more than {DISTURBED:.0%} of the server's core"
                )
            few = FEW_REQUESTS * result.case.connections
            if any(sample.requests < few for sample in kept):
                lines.append(
                    f"- {result.case.name}: {name} answered fewer than {few} requests in a round: "
                    "lengthen it (--duration)"
                )
    lines += disturbances(report)
    lines += [f"- {note}" for note in report.notes]
    lines += [f"- REFUSED: {problem}" for problem in report.all_problems()]
    return ["## Notes", "", *lines] if lines else []


def disturbances(report: Report) -> list[str]:
    """Which latencies are not the server's alone."""
    lines = []
    for case, result in report.at_rate():
        for name, rounds in result.samples.items():
            heard = [sample for sample in rounds if sample is not None]
            disturbed = sum(
                sample.other_cpu > DISTURBED * sample.seconds or sample.stall > STALLED
                for sample in heard
            )
            if disturbed:
                lines.append(
                    f"- {case}: in {disturbed} of {len(heard)} rounds of {name} others took more "
                    f"than {DISTURBED:.0%} of the server's core, or held the load up for over "
                    f"{STALLED / 1000:.0f} ms: its p99 is not the server's"
                )
    return lines


def markdown(report: Report) -> str:
    """The whole page."""
    sections = [header(report)]
    if report.results:
        if SUBJECT in report.servers:
            sections.append(ratios(report))
        sections.append(absolutes(report))
    if report.latency is not None and report.latency.samples:
        sections.append(latencies(report, report.latency))
    if report.loris is not None and report.loris.attacked.samples:
        sections.append(under_attack(report.loris))
    if report.memory or report.idle_cpu:
        sections.append(idle(report))
    sections.append(notes(report))
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def as_json(report: Report) -> dict[str, Any]:
    """All samples, with what is needed to know where they come from. CPU in seconds."""
    bounds = {case.name: dict(case.bounds) for case in CASES}
    return {
        "date": report.date.isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "kernel": platform.release(),
        "python": report.python,
        "loop": report.loop,
        "rounds": report.rounds,
        "round_seconds": report.seconds,
        "quick": report.quick,
        "servers": {name: server.version for name, server in report.servers.items()},
        "skipped": dict(report.missing),
        "cases": {
            result.case.name: {
                "connections": result.case.connections,
                "over": result.case.over,
                "pipelined": result.case.pipelined,
                "bounds": bounds[result.case.name],
                "ratios": {
                    name: spread and dataclasses.asdict(spread)
                    for name in report.servers
                    if name != SUBJECT
                    for spread in [result.ratio(SUBJECT, name)]
                },
                "samples": {
                    name: [sample and dataclasses.asdict(sample) for sample in samples]
                    for name, samples in result.samples.items()
                },
                "notes": result.notes,
            }
            for result in report.results
        },
        "latency": report.latency and dataclasses.asdict(report.latency),
        "loris": report.loris and dataclasses.asdict(report.loris),
        "memory": {
            held: {name: dataclasses.asdict(one) for name, one in found.items()}
            for held, found in report.memory.items()
        },
        "idle_cpu_percent": report.idle_cpu,
        "problems": report.all_problems(),
    }
