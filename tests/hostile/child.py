"""The server under attack: the program as a user starts it, in a process of its own, measured.

What is asserted of it is counted or bounded, never timed:

- ``settled``: tasks, descriptors and running applications are back where they were;
- ``peak``: how much memory it has had at most, beyond what it had before;
- ``assert_quiet``: once nothing happens, it uses next to no processor time.
"""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tests.hostile.peers import HTTP, PATIENCE, Kind, Peer
from tests.server.harness import reactor_in_use

MIB = 1024 * 1024

_QUIET_FOR = 0.3  # seconds of nothing, over which processor time is measured
_QUIET = 0.1  # seconds of it that the wheel's turns and one question may use


class Child:
    """A running server."""

    def __init__(
        self, process: subprocess.Popen[bytes], address: tuple[str, int], kind: Kind, folder: Path
    ) -> None:
        self.process = process
        self.address = address
        self.kind = kind
        self.peers: set[Peer] = set()
        self._folder = folder
        self._baseline: dict[str, int] = {}
        self._memory = 0

    # What it has written

    @property
    def log(self) -> str:
        """What it has written to standard error: the log."""
        return (self._folder / "stderr").read_text("utf-8", "replace")

    @property
    def access_log(self) -> str:
        """What it has written to standard output: a line a request."""
        return (self._folder / "stdout").read_text("utf-8", "replace")

    def assert_nothing_amiss(self) -> None:
        """It runs, and has logged no fault: what peers do to it is none."""
        assert self.process.poll() is None, f"it has ended:\n{self.log}"
        log = self.log
        assert not any(word in log for word in ("ERROR", "Traceback", "raised exception")), log

    # What its application says

    async def ask(self, path: str) -> bytes:
        """The application's answer to a GET on a connection of its own."""
        peer = await self.kind.dial(self)
        try:
            await peer.send(
                b"GET %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % path.encode()
            )
            return (await peer.read_response()).content
        finally:
            peer.close()

    async def counts(self) -> dict[str, int]:
        """The application's counts."""
        found: dict[str, int] = json.loads(await self.ask("/counts"))
        return found

    async def book(self) -> dict[str, dict[str, int]]:
        """Which ids have begun and ended, each how often."""
        found: dict[str, dict[str, int]] = json.loads(await self.ask("/book"))
        return found

    # Memory, descriptors, processor time: from outside, even while it is busy

    @property
    def memory(self) -> int:
        """Octets of memory that it has now."""
        return self._status("VmRSS")

    @property
    def peak(self) -> int:
        """Octets of memory that it has had at most since ``mark``, beyond what it had then."""
        return self._status("VmHWM") - self._memory

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text("ascii").splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name}: {self.log}")

    @property
    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208

    @property
    def processor_time(self) -> float:
        """Seconds of processor time that it has used, all threads together."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text("ascii")
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def limit_descriptors(self, number: int) -> None:
        """From now on it can open no descriptor from ``number`` on."""
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (number, hard))

    async def mark(self) -> None:
        """What it has now is what it has to return to."""
        for _ in range(3):
            await self.ask("/counts")
        self._baseline = await self.counts()
        self._reset_peak()

    def _reset_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", "ascii")
        self._memory = self.memory

    async def settled(self) -> None:
        """Return once no task, descriptor or application is left over from the attack."""
        names = ("running", "tasks", "descriptors")
        await self._until(
            lambda now: all(now[name] <= self._baseline[name] for name in names),
            f"nothing left over, at first: {self._baseline}",
        )

    async def running(self, number: int) -> None:
        """Return once ``number`` applications run besides the one that counts them."""
        await self._until(lambda now: now["running"] == number + 1, f"{number} running")

    async def _until(self, holds: Callable[[dict[str, int]], bool], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not holds(now := await self.counts()):
            assert asyncio.get_running_loop().time() < deadline, f"{what}; but {now}"
            await asyncio.sleep(0.05)

    async def assert_quiet(self) -> None:
        """With nothing to do, it does nothing."""
        before = self.processor_time
        await asyncio.sleep(_QUIET_FOR)
        used = self.processor_time - before
        assert used <= _QUIET, f"{used:.2f} s of processor time in {_QUIET_FOR} s of nothing"

    async def assert_unharmed(self, *, memory: int) -> None:
        """Nothing is left over, ``memory`` octets were enough, and it is quiet."""
        await self.settled()
        assert self.peak <= memory, f"{self.peak / MIB:.1f} MiB more, allowed {memory / MIB:.1f}"
        await self.assert_quiet()
        self.assert_nothing_amiss()


def arguments(settings: dict[str, Any]) -> list[str]:
    """Settings as options of the command line."""
    options = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            options += [f"--{flag}", str(value)]
    return options


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    kind: Kind | None = None,
    *,
    stdout: int | None = None,
    stderr: int | None = None,
    **settings: Any,  # noqa: ANN401
) -> AsyncIterator[Child]:
    """A server while the block runs, marked; ``settings`` become options of ``zonda run``.

    It must end by itself, with exit status 0, when it is told to.
    """
    kind = kind or HTTP()
    if reactor_in_use() == "asyncio":
        # Its transports are the loop's own; those of uvloop have a row of the matrix elsewhere.
        settings.setdefault("loop", "asyncio")
    settings.setdefault("access_log", False)
    settings.setdefault("timeout_graceful_shutdown", 2)
    with contextlib.ExitStack() as closing:
        listener = closing.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        address: tuple[str, int] = listener.getsockname()
        files = [
            closing.enter_context((folder / name).open("wb")).fileno() if given is None else given
            for name, given in (("stdout", stdout), ("stderr", stderr))
        ]
        process = subprocess.Popen(  # noqa: ASYNC220 (nothing else runs yet)
            [
                *(sys.executable, "-m", "zonda", "run", "application:app"),
                *("--app-dir", str(Path(__file__).parent)),
                *("--fd", str(listener.fileno()), "--backlog", "4096"),
                *arguments(settings),
                *kind.arguments(folder),
            ],
            stdin=subprocess.DEVNULL,
            stdout=files[0],
            stderr=files[1],
            pass_fds=[listener.fileno()],
        )
    child = Child(process, address, kind, folder)
    try:
        # Connections wait in the socket that it has inherited: no need to ask whether it is up.
        await child.mark()
        yield child
        process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, PATIENCE)
        assert code == 0, f"exit status {code}"
    except BaseException as error:
        with contextlib.suppress(OSError):
            error.add_note(f"The server has written:\n{child.log[-4000:]}")
        raise
    finally:
        for peer in list(child.peers):
            peer.close()
        if process.poll() is None:
            process.kill()
        process.wait()
