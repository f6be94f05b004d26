"""Runs the benchmark and prints a Markdown page: `python bench/run.py --help`."""

import argparse
import json
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from cases import (
    CASES,
    HELD,
    IDLE_CPU_CONNECTIONS,
    IDLE_MEMORY_CONNECTIONS,
    OTHERS,
    TRICKLERS,
    Held,
    Over,
)
from idle import NotOfferedError, idle_cpu, memory
from instructions import instructions
from latency import run_latency, run_loris
from load import LoadError, Tools, tools
from perf_record import profile
from process import ProcessesChangedError
from report import Report, as_json, markdown
from rounds import SUBJECT, Plan, log, refuse, run_case
from servers import Place, Server, ServerError, available

NAMES = (SUBJECT, "zonda-asyncio", "uvicorn", "uvicorn-sansio", "granian", "peregrine", "floor")
IDLE_CPU_SECONDS = 12
QUICK_CONNECTIONS = 500
QUICK_SECONDS = 2


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Zonda and its peers side by side.")
    parser.add_argument(
        "--case", action="append", choices=[*(case.name for case in CASES), *OTHERS], dest="cases",
        help="only this case (may be repeated)",
    )  # fmt: skip
    parser.add_argument(
        "--server", action="append", choices=NAMES, dest="servers",
        help="only this server (may be repeated)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--duration", type=int, default=3, help="seconds of each round (3)")
    parser.add_argument(
        "--loop", choices=("uvloop", "asyncio"), default="uvloop",
        help="the loop Zonda runs on (uvloop); on asyncio its bounds widen by 15 %%",
    )  # fmt: skip
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter that has the servers (this one)"
    )
    parser.add_argument(
        "--quick", action="store_true",
        help="one round of one second and few connections, to see that everything works",
    )  # fmt: skip
    parser.add_argument("--markdown", action="store_true", help="print the page only, no progress")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument(
        "--profile", action="store_true",
        help="profile one case of Zonda with perf instead of measuring",
    )  # fmt: skip
    parser.add_argument(
        "--instructions", action="store_true",
        help="count the instructions of one case of Zonda with callgrind instead of measuring",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.duration = 1, 1
    if options.rounds < 1 or options.duration < 1:
        parser.error("--rounds and --duration must be at least 1")
    return options


def raise_descriptor_limit() -> None:
    """As many descriptors as are allowed; servers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    need = IDLE_MEMORY_CONNECTIONS + 500
    if hard != resource.RLIM_INFINITY and hard < need:
        log.warning("only %d open files allowed: `memory` needs %d (ulimit -Hn)", hard, need)


def two_cores() -> tuple[int, int]:
    """The core of the servers and that of the load."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise LoadError("two cores are needed, one for the servers and one for the load")
    return allowed[0], allowed[1]


def run(options: argparse.Namespace, made: Tools) -> Report | None:
    """What the options ask for; no report where a profile was asked for, which is printed."""
    server_core, load_core = two_cores()
    # This process and the load generators it starts; servers are put on theirs (servers.start).
    os.sched_setaffinity(0, {load_core})
    raise_descriptor_limit()
    servers, missing, found = available(options.python, options.loop, made.floor)
    wanted = set(options.cases or [*(case.name for case in CASES), *OTHERS])
    asked = options.servers or [
        name
        for name in NAMES
        if name in missing or (name in servers and servers[name].over & spoken(wanted))
    ]
    for name in asked:
        if name in missing:
            log.warning("skipped: %s: %s", name, missing[name])
    chosen = {name: servers[name] for name in asked if name in servers}
    place = Place(options.python, server_core, made.directory, made.file, made.certificate)
    plan = Plan(list(chosen.values()), made, place, options.rounds, options.duration)
    cases = [case for case in CASES if case.name in wanted]
    if options.profile or options.instructions:
        if SUBJECT not in chosen:
            raise ServerError(f"nothing to profile: {missing.get(SUBJECT, 'zonda left out')}")
        if len(cases) != 1:
            raise LoadError("--profile and --instructions take one --case")
        look = instructions if options.instructions else profile
        print(look(plan, chosen[SUBJECT], cases[0]))
        return None
    report = Report(
        chosen,
        {name: missing[name] for name in asked if name in missing},
        found["python"],
        options.loop,
        options.rounds,
        options.duration,
        (server_core, load_core),
        options.quick,
    )
    if options.servers:
        report.problems += [f"{name}: {why}" for name, why in report.missing.items()]
    report.results = [run_case(plan, case) for case in cases]
    known = next((one for one in report.results if one.case.name == "get"), None)
    if "latency" in wanted and not (options.cases is None and not has_peer(plan)):
        report.latency = run_latency(plan, CASES[0], known)
    if "loris" in wanted:
        report.loris = run_loris(plan, CASES[0], known, TRICKLERS)
    run_idle(report, plan, wanted, quick=options.quick)
    return report


def spoken(wanted: set[str]) -> set[Over]:
    """What those cases are measured over."""
    over: dict[str, Over] = {one.name: one.over for one in (*CASES, *HELD)}
    return {over.get(name, "http") for name in wanted}


def has_peer(plan: Plan) -> bool:
    """Whether a product is among the servers, to set the rate by and to compare with."""
    return any(server.is_peer and CASES[0].over in server.over for server in plan.servers)


def run_idle(report: Report, plan: Plan, wanted: set[str], *, quick: bool) -> None:
    """Memory and CPU time with idle connections, one server after the other."""
    count = QUICK_CONNECTIONS if quick else IDLE_MEMORY_CONNECTIONS
    seconds = QUICK_SECONDS if quick else IDLE_CPU_SECONDS
    report.idle_cpu_connections = QUICK_CONNECTIONS if quick else IDLE_CPU_CONNECTIONS

    def attempt(server: Server, of: Callable[[], None]) -> None:
        try:
            of()
        except NotOfferedError as error:
            report.notes.append(f"{server.name}: {error}")
        except (ServerError, ProcessesChangedError, OSError) as error:
            refuse(report.problems, server, str(error))

    def measure_memory(server: Server, held: Held) -> None:
        report.memory.setdefault(held.name, {})[server.name] = memory(plan, server, held, count)

    def measure_cpu(server: Server) -> None:
        report.idle_cpu[server.name] = idle_cpu(plan, server, report.idle_cpu_connections, seconds)

    tasks = [
        (server, partial(measure_memory, server, held))
        for held in HELD
        for server in plan.servers
        if held.name in wanted and held.over in server.over
    ]
    if "idle" in wanted:
        tasks += [
            (server, partial(measure_cpu, server))
            for server in plan.servers
            if HELD[0].over in server.over
        ]
    for server, task in tasks:
        attempt(server, task)


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all asked for was measured, whatever the bounds say; 1: something was not."""
    options = parse(arguments)
    logging.basicConfig(
        format="%(message)s", level=logging.WARNING if options.markdown else logging.INFO
    )
    # Ends through the context managers, which stop the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tools() as made:
            report = run(options, made)
    except (LoadError, ServerError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if report is None:
        return 0
    print(markdown(report), end="")
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(report), indent=1) + "\n")
    return 1 if report.all_problems() else 0


if __name__ == "__main__":
    sys.exit(main())
