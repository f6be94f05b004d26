"""How many instructions one case costs Zonda a request or message, and where, by callgrind.

Unlike CPU time it hardly depends on what else the machine does, so that two versions can be told
apart where their times can not; the kernel's part is not in it. The server runs some fifty times
slower, and what a message costs depends a little on how many come at once.
"""

import dataclasses
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from cases import Case
from load import LoadError, drive
from rounds import Plan
from servers import Server, start
from verify import verify

START_TIMEOUT = 120.0
CONTROL_TIMEOUT = 60.0
THRESHOLD = 90
"""Per cent of the instructions that the functions listed account for."""
TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


def instructions(plan: Plan, server: Server, case: Case) -> str:
    """Functions by the instructions they execute; raises LoadError without callgrind."""
    valgrind, annotate = shutil.which("valgrind"), shutil.which("callgrind_annotate")
    if valgrind is None or annotate is None:
        raise LoadError("valgrind is not on PATH: apt-get install valgrind")
    data = Path(tempfile.gettempdir()) / f"zonda-{case.name}.callgrind"
    for old in data.parent.glob(f"{data.name}*"):
        old.unlink()
    # Counting begins when it is told to: start-up is not in it, and calls that are under way then
    # are not taken for recursion.
    under = [valgrind, "--tool=callgrind", "-q", "--instr-atstart=no"]
    under.append(f"--callgrind-out-file={data}")
    slow = dataclasses.replace(
        server,
        command=lambda launch: [*under, *server.command(launch)],
        start_timeout=START_TIMEOUT,
    )
    with start(slow, case.app, plan.place, over=case.over) as up:
        verify(up, case)
        drive(up, case, plan.tools, plan.seconds)
        control("--instr=on", up.process.pid)
        requests, _ = drive(up, case, plan.tools, plan.seconds)
        control("--dump", up.process.pid)
    found = Path(f"{data}.1")
    total = TOTALS.search(found.read_text()) if found.exists() else None
    if total is None:
        raise LoadError(f"callgrind left no counts in {found}")
    command = [annotate, f"--threshold={THRESHOLD}", "--auto=no", str(found)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    each = int(total[1]) / requests
    return (
        f"{done.stdout}\n{case.name}: {each:,.0f} instructions each, of {requests:,}\n"
        f"More: callgrind_annotate --tree=both {found}"
    )


def control(what: str, pid: int) -> None:
    """Tells the callgrind of that process what to do, and waits until it has."""
    done = subprocess.run(
        ["callgrind_control", what, str(pid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=CONTROL_TIMEOUT,
    )
    if done.returncode != 0:
        raise LoadError(f"callgrind_control {what} failed: {(done.stderr or done.stdout).strip()}")
