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
    IDLE_CPU_BOUND,
    IDLE_CPU_CONNECTIONS,
    IDLE_MEMORY_BOUND,
    IDLE_MEMORY_CONNECTIONS,
    P99_BOUND,
)
from idle import Memory
from rounds import SUBJECT, LatencyResult, Result, Spread, best_peer
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
    memory: dict[str, Memory] = field(default_factory=dict)
    idle_cpu: dict[str, float] = field(default_factory=dict)
    idle_cpu_connections: int = IDLE_CPU_CONNECTIONS
    problems: list[str] = field(default_factory=list)
    date: datetime = field(default_factory=lambda: datetime.now(UTC))

    def all_problems(self) -> list[str]:
        """Whatever could not be measured, and why."""
        found = list(self.problems)
        for result in self.results:
            found += result.problems
        if self.latency is not None:
            found += self.latency.problems
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
        f"## CPU time of the server a request: {SUBJECT} ÷ the other",
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
        "## CPU time and requests a second",
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
                "requests a second."
            ),
        ]
    return lines


def latencies(report: Report, latency: LatencyResult) -> list[str]:
    """Percentiles at a fixed rate."""
    best = best_peer(latency, {n: s for n, s in report.servers.items() if s.is_peer})
    rows = []
    for name in latency.samples:
        found = [
            latency.spread(name, of) for of in (lambda s: s.p50, lambda s: s.p99, lambda s: s.p999)
        ]
        cells = [
            "-" if one is None else f"{one.median:,.0f} ({one.low:,.0f}-{one.high:,.0f})"
            for one in found
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


def idle(report: Report) -> list[str]:
    """What connections cost on which nothing happens."""
    lines = ["## Idle connections", ""]
    rows = []
    for name in report.servers:
        found = report.memory.get(name)
        cpu = report.idle_cpu.get(name)
        memory_cell = start_cell = cpu_cell = "-"
        if found is not None:
            memory_cell, start_cell = f"{found.each:,.0f}", f"{found.each_from_start:,.0f}"
        if cpu is not None:
            cpu_cell = f"{cpu:.3f} %"
        if name == SUBJECT:
            if found is not None:
                memory_cell += f", ≤ {IDLE_MEMORY_BOUND:,} {verdict(found.each, IDLE_MEMORY_BOUND)}"
            if cpu is not None:
                cpu_cell += f", < {IDLE_CPU_BOUND} % {verdict(cpu, IDLE_CPU_BOUND)}"
        if (memory_cell, cpu_cell) != ("-", "-"):
            rows.append([name, memory_cell, start_cell, cpu_cell])
    connections = next(
        (found.connections for found in report.memory.values()), IDLE_MEMORY_CONNECTIONS
    )
    head = [
        "server",
        f"bytes a connection, of {connections:,}",
        "the same, what is paid once included",
        f"core with {report.idle_cpu_connections:,} connections",
    ]
    return [*lines, *table(head, rows), "", "Resident memory; kernel memory is not counted."]


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
    for name, rounds in report.latency.samples.items() if report.latency is not None else ():
        heard = [sample for sample in rounds if sample is not None]
        disturbed = sum(
            sample.other_cpu > DISTURBED * sample.seconds or sample.stall > STALLED
            for sample in heard
        )
        if disturbed:
            lines.append(
                f"- latency: in {disturbed} of {len(heard)} rounds of {name} others took more than "
                f"{DISTURBED:.0%} of the server's core, or held the load up for over "
                f"{STALLED / 1000:.0f} ms: its p99 is not the server's"
            )
    lines += [f"- REFUSED: {problem}" for problem in report.all_problems()]
    return ["## Notes", "", *lines] if lines else []


def markdown(report: Report) -> str:
    """The whole page."""
    sections = [header(report)]
    if report.results:
        if SUBJECT in report.servers:
            sections.append(ratios(report))
        sections.append(absolutes(report))
    if report.latency is not None and report.latency.samples:
        sections.append(latencies(report, report.latency))
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
        "memory": {name: dataclasses.asdict(found) for name, found in report.memory.items()},
        "idle_cpu_percent": report.idle_cpu,
        "problems": report.all_problems(),
    }
