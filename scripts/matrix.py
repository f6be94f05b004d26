"""Run the tests on every Python, build, reactor and task mode that the project supports.

    python3 scripts/matrix.py [--python 3.13] [--build pure] [--jobs 2] [PYTEST ARGUMENT...]

Runs each row of the matrix whose Python is found, says which it skipped, and ends with the total.
The reports of each row stay in .venv/reports.
What it does not know goes to pytest: ``scripts/matrix.py --python 3.11 tests/wire -k chunked``.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO
from xml.etree import ElementTree as ET

from environment import ROOT, VENVS, UnavailableError, find_python, prepare, table

PYTHONS = ("3.11", "3.13")
HEAVY = (
    "tests/apps",
    "tests/hostile",
    "tests/server/test_upgrade.py",
    "tests/server/test_workers.py",
)
TIME_LIMIT = 15 * 60  # seconds for one row, after which it has failed

# Each is the leader of a process group with its test servers in it, which thus end with it; and
# which a terminal's Ctrl-C does not reach.
RUNNING: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Row:
    """One way to run the suite."""

    python: str
    build: str
    reactor: str
    eager: bool
    loop: str = "asyncio"
    """The event loop of the tests that serve in their own process."""
    heavy: bool = False
    """Whether it runs what takes longer than all the rest: HEAVY."""

    @property
    def name(self) -> str:
        """What the row is called in the output, and as a file name."""
        name = f"{self.python}-{self.build}-{self.reactor}-{'eager' if self.eager else 'lazy'}"
        return name if self.loop == "asyncio" else f"{name}-{self.loop}"


@dataclass(frozen=True)
class Outcome:
    """What came of one row."""

    passed: int
    failed: int
    skipped: int
    seconds: float
    remark: str = ""


def rows_for(python: str) -> list[Row]:
    """The rows of one Python, each once."""
    rows = [
        Row(python, "compiled", "epoll", eager=True, heavy=True),
        Row(python, "compiled", "epoll", eager=False, loop="uvloop"),
        Row(python, "compiled", "asyncio", eager=True),
        Row(python, "pure", "asyncio", eager=True, heavy=python == "3.11"),
    ]
    if sys.platform != "linux":
        rows = [row for row in rows if row.reactor != "epoll"]
    if python == "3.11":  # has no eager tasks: its eager rows are the others under another name
        rows = [replace(row, eager=False) for row in rows if row.eager]
    return rows


def run_row(row: Row, pytest_arguments: Sequence[str], *, shown: bool) -> Outcome:
    """Run one row; its output is shown as it comes, or where rows run side by side at its end."""
    environment = table()[f"{row.python}-{row.build}"]
    variables = {
        name: value for name, value in environment.variables().items() if name[:6] != "ZONDA_"
    }
    variables |= {
        "ZONDA_EXPECT_BUILD": row.build,
        "ZONDA_REACTOR": row.reactor,
        "ZONDA_EAGER_TASKS": str(int(row.eager)),
        "ZONDA_LOOP": row.loop,
    }
    reports = VENVS / "reports"
    reports.mkdir(exist_ok=True)
    report = reports / f"{row.name}.xml"
    report.unlink(missing_ok=True)
    command: list[str | Path] = [environment.folder / "bin" / "pytest", f"--junitxml={report}"]
    command += ["-o", f"cache_dir={reports / row.name}"]
    if not row.heavy:
        command += [f"--ignore={folder}" for folder in HEAVY]
    command += pytest_arguments
    # The newline is part of the text: two rows may print at once.
    print(
        f"==== {row.name}{' with the heavy tests' if row.heavy else ''}: started\n",
        end="",
        flush=True,
    )
    started = time.monotonic()
    with (reports / f"{row.name}.txt").open("w") as log:
        remark = _run_bounded(command, variables, None if shown else log)
    seconds = time.monotonic() - started
    if not shown:
        print(f"\n==== {row.name}: ended\n{Path(log.name).read_text()}", flush=True)
    return _read_report(report, seconds, remark)


def run_rows(rows: Sequence[Row], jobs: int, pytest_arguments: Sequence[str]) -> dict[str, Outcome]:
    """Run all rows, some at a time; interrupted, end those that run and start no other."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shown = jobs == 1 or len(rows) == 1
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run_row, row, pytest_arguments, shown=shown) for row in rows]
        try:
            outcomes = [future.result() for future in futures]
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(RUNNING):
                os.killpg(process.pid, signal.SIGTERM)
            sys.exit("interrupted")
    return {row.name: outcome for row, outcome in zip(rows, outcomes, strict=True)}


def _run_bounded(
    command: Sequence[str | Path], variables: dict[str, str], log: IO[str] | None
) -> str:
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    RUNNING.add(process)
    try:
        code = process.wait(TIME_LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"stopped after {TIME_LIMIT} s"
    finally:
        RUNNING.discard(process)
    return "" if code in {0, 1} else f"pytest exited with {code}"


def _read_report(report: Path, seconds: float, remark: str) -> Outcome:
    if not report.exists():
        return Outcome(0, 1, 0, seconds, remark or "no report")
    suites = ET.parse(report).getroot().iter("testsuite")  # noqa: S314 - pytest wrote it
    total = failed = skipped = 0
    for suite in suites:
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    passed = max(total - failed - skipped, 0)
    return Outcome(passed, failed or int(bool(remark)), skipped, seconds, remark)


def summarise(outcomes: dict[str, Outcome]) -> int:
    """Print a line a row and the total; returns how many failed."""
    print(f"\n{'':32}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for name, outcome in outcomes.items():
        counts = f"{outcome.passed:8}{outcome.failed:8}{outcome.skipped:9}{outcome.seconds:9.1f}"
        print(f"{name:32}{counts}  {outcome.remark}")
    passed = sum(outcome.passed for outcome in outcomes.values())
    failed = sum(outcome.failed for outcome in outcomes.values())
    skipped = sum(outcome.skipped for outcome in outcomes.values())
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return failed


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--python", help="only this version, such as 3.12")
    parser.add_argument("--build", choices=["compiled", "pure"], help="only this build")
    # Tests of a server mostly wait, so that three rows share two processors well.
    parser.add_argument("--jobs", type=int, default=3, help="rows at a time (default: 3)")
    options, pytest_arguments = parser.parse_known_args()

    wanted = [options.python] if options.python else PYTHONS
    found = [python for python in wanted if find_python(python)]
    rows = [row for python in found for row in rows_for(python)]
    rows = [row for row in rows if options.build in {None, row.build}]
    try:
        for name in dict.fromkeys(f"{row.python}-{row.build}" for row in rows):
            prepare(table()[name])
    except UnavailableError as failure:
        sys.exit(f"error: {failure}")

    by_name = run_rows(rows, options.jobs, pytest_arguments)
    for python in wanted:
        if python not in found:
            print(f"\nSKIPPED: no Python {python} on PATH or among pyenv's versions")
    failed = summarise(by_name)
    if not rows:
        sys.exit("error: nothing was tested: no Python of the matrix was found")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
