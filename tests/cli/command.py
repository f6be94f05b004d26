"""The command `zonda` in a process of its own, for tests."""

import http.client
import os
import queue
import re
import signal
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import zonda

PATIENCE = 30.0
"""Seconds to wait for what has to happen; only a failing test waits so long."""


class ZondaCommand:
    """Runs `python -m zonda ARGUMENTS` while its `with` block runs, and reads what it writes."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        env: dict[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.command = [sys.executable, "-X", "dev", "-u", "-m", "zonda", *arguments]
        self.cwd = cwd
        self.pass_fds = pass_fds
        source = str(Path(zonda.__file__).parents[1])
        path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
        self.env = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", **(env or {})}
        self.output = ""
        self._lines: queue.Queue[str | None] = queue.Queue()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self.command,
            cwd=self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            pass_fds=self.pass_fds,
            start_new_session=True,  # a process group of its own, as in a terminal
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()
        if error is not None:
            self._take_the_rest()
            error.add_note(f"The command has written:\n{self.output}")

    def _read(self) -> None:
        if self.process.stdout is not None:
            for line in self.process.stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _take_the_rest(self) -> None:
        while not self._lines.empty():
            self.output += self._lines.get() or ""

    def read_until(self, words: str) -> str:
        """The next line that contains `words`."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"{words!r} is never written") from None
            if line is None:
                raise AssertionError(f"it ended without writing {words!r}")
            self.output += line
            if words in line:
                return line

    def wait_for_port(self) -> int:
        """The port of the first "Listening on" line from here on."""
        found = re.search(r"https?://\S+:(\d+)", self.read_until("Listening on http"))
        assert found is not None
        return int(found[1])

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ctrl_c(self) -> None:
        """Do what CTRL+C in a terminal does: interrupt it and all its children."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> int:
        """The exit code; `output` then is everything that it has written."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self._take_the_rest()
        return code


def finish(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command that ends by itself: its exit code and what it has written."""
    with ZondaCommand(*arguments, cwd=cwd, env=env) as command:
        return command.wait(), command.output


def get(port: int, path: str = "/", *, tls: ssl.SSLContext | None = None) -> str:
    """What a server at `port` answers."""
    connection = (
        http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        if tls is None
        else http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE, context=tls)
    )
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()
