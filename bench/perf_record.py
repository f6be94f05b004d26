"""Where Zonda's time goes in one case, by Linux perf."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from cases import Case
from load import LoadError, drive
from rounds import Plan
from servers import Server, start
from verify import verify

FREQUENCY = 999
"""Samples a second; not a divisor of any timer's, so as not to beat with it."""
SMALLEST = 0.5
"""Per cent below which a function is left out."""


def profile(plan: Plan, server: Server, case: Case) -> str:
    """Functions by their share of the server's CPU time; raises LoadError without perf."""
    perf = shutil.which("perf")
    if perf is None:
        raise LoadError("perf is not on PATH: apt-get install linux-perf")
    data = Path(tempfile.gettempdir()) / f"zonda-{case.name}.perf.data"
    with start(server, case.app, plan.place, over=case.over) as up:
        verify(up, case)
        pids = ",".join(map(str, sorted(up.pids)))
        command = [perf, "record", "-q", "-F", str(FREQUENCY), "-g", "-p", pids, "-o", str(data)]
        recorder = subprocess.Popen(
            [*command, "--", "sleep", str(plan.seconds)], stderr=subprocess.PIPE, text=True
        )
        try:
            drive(up, case, plan.tools, plan.seconds)
        finally:
            _, complaint = recorder.communicate(timeout=plan.seconds + 30)
        if recorder.returncode != 0:
            raise LoadError(f"perf record failed: {complaint.strip()}")
    command = [perf, "report", "-i", str(data), "--stdio", "--no-children", "-g", "none"]
    command += ["--percent-limit", str(SMALLEST)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{done.stdout}\nCall graphs: perf report -g -i {data}"
