"""What the kernel says of a server's processes: CPU time, memory; and of the cores (Linux)."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


class ProcessesChangedError(RuntimeError):
    """A server started or lost a process while it was measured, so its CPU time is not known."""


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Whatever is started inside runs on this core only (children inherit the affinity)."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(root: int) -> frozenset[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            # The name, in parentheses, may hold anything: count fields from its end.
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, queue = set(), [root]
    while queue:
        pid = queue.pop()
        found.add(pid)
        queue += children.get(pid, ())
    return frozenset(found)


def cpu_seconds(pids: frozenset[int]) -> float:
    """User and system time of the processes so far, all threads, ended ones too.

    It is utime + stime of /proc/PID/stat, from the clock behind it: that counts nanoseconds where
    the file counts ticks of 10 ms. Its number is made from the pid as in clock_getcpuclockid(3).
    """
    try:
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)
    except OSError as error:
        raise ProcessesChangedError("a process of the server has ended") from error


def resident_bytes(pids: frozenset[int]) -> int:
    """Resident memory, page by page: /proc/PID/statm may lag behind by some hundred KiB."""
    total = 0
    for pid in pids:
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "Rss":
                total += int(rest.split()[0]) * 1024
    return total


def core_busy_seconds(core: int) -> float:
    """Time the core was not idle since boot, on anyone's behalf, in ticks of 10 ms."""
    for line in (PROC / "stat").read_text().splitlines():
        fields = line.split()
        if fields[0] == f"cpu{core}":
            user, nice, system, _idle, _wait, interrupt, soft, steal = map(int, fields[1:9])
            return (user + nice + system + interrupt + soft + steal) * TICK
    raise RuntimeError(f"/proc/stat does not list core {core}")
