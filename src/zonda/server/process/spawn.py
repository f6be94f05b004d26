"""A child process that serves, seen from the process that starts it.

A child is a new interpreter that runs `zonda.server.process.child`: nothing of its parent's memory
is in it, so new code is new. It is given its listening sockets, already bound, by inherited
descriptors, and one end of a control socket. Through that its parent sends a plan first, then words
(`drain`, `abort`), a line each; the child answers with lines of JSON. When the parent closes its
end, or dies, the child drains.

    plan      8 hexadecimal digits, then as many bytes of JSON: what to serve, how, on which sockets
    up        {"state": "ready"}              and draining, gone: see `WorkerState`
              {"failed": "…", "code": 3}      it never became ready, and why
              {"retire": "…"}                 it asks to be replaced, and why
"""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from zonda.server.settings import Settings, SettingsError, all_settings

__all__ = ["Child", "check_settings", "environment_for_children", "follow_directory", "start_child"]

_LOOK = 0.01  # seconds between looks whether a child has ended
_MOST_HEARD = 65_536  # bytes of a line from a child
# What a service manager says to the process that it has started, and to no other.
_NOT_FOR_CHILDREN = (
    *("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"),
    *("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"),
)


class Child:
    """A child process.

    Attributes:
        pid: Its number.
        control: Our end of its control socket; non-blocking.
        code: Its exit code once it has been seen to end, negative for a signal; None before.
    """

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self.control = control
        self.code: int | None = None
        self._heard = b""

    def tell(self, word: str) -> None:
        """Send it a word. One that has ended, or that does not listen, does not hear it."""
        with contextlib.suppress(OSError):
            self.control.send(word.encode() + b"\n")

    def hear(self) -> tuple[list[dict[str, Any]], bool]:
        """What it has said since, and whether it will say no more."""
        try:
            data = self.control.recv(_MOST_HEARD)
        except (BlockingIOError, InterruptedError):
            return [], False
        except OSError:
            return [], True
        *lines, self._heard = (self._heard + data).split(b"\n")
        messages: list[dict[str, Any]] = []
        for line in lines:
            # An application might have found the descriptor and written to it.
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):
                    messages.append(cast("dict[str, Any]", message))
        return messages, not data or len(self._heard) > _MOST_HEARD

    def poll(self) -> int | None:
        """Its exit code if it has ended."""
        if self.code is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or None if it has not ended after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(_LOOK)
        return self.code

    def signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def close(self) -> None:
        """Close our end of the control socket."""
        self.control.close()


def start_child(  # noqa: PLR0913, PLR0917 (a process takes as much)
    target: str,
    settings: Settings,
    sockets: Sequence[socket.socket],
    role: str,
    more: Mapping[str, Any] | None = None,
    inherited: Sequence[int] = (),
) -> Child:
    """Start a child that serves `target` on `sockets`.

    `role` is what kind of child it is, `more` goes into its plan, and it gets the descriptors
    `inherited` besides. Raises `SettingsError` if the settings cannot be handed over, `OSError` if
    there can be no further process.
    """
    plan = _plan(target, settings, sockets, role, more or {})
    ours, theirs = socket.socketpair()
    with theirs:
        command = [
            sys.executable,
            *(f"-W{option}" for option in sys.warnoptions),
            *("-Xdev" for _ in range(sys.flags.dev_mode)),
            *("-P" for _ in range(sys.flags.safe_path)),
            *("-I" for _ in range(sys.flags.isolated)),
            *("-m", "zonda.server.process.child", target, str(theirs.fileno())),
        ]
        follow_directory()
        passed = [theirs.fileno(), *(each.fileno() for each in sockets), *inherited]
        try:
            for descriptor in passed:
                os.set_inheritable(descriptor, True)
            pid = os.posix_spawn(
                sys.executable,
                command,
                environment_for_children(),
                # CTRL+C goes to every process of the terminal; the child is to hear of it from us.
                # It lets the signal in when it has a handler for it.
                setsigmask=[signal.SIGINT],
                setsigdef=[signal.SIGPIPE],
            )
        except BaseException:
            ours.close()
            raise
        finally:
            for descriptor in passed:
                os.set_inheritable(descriptor, False)
    ours.settimeout(10.0)  # far more than the child needs to begin reading
    with contextlib.suppress(OSError):  # it has ended already: that is noticed elsewhere
        ours.sendall(b"%08x" % len(plan) + plan)
    ours.setblocking(False)
    return Child(pid, ours)


def check_settings(target: str, settings: Settings) -> None:
    """Raise `SettingsError` if the settings could not be handed to a child."""
    _plan(target, settings, (), "", {})


def environment_for_children() -> dict[str, str]:
    """The environment, without what a service manager says to this process only."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_FOR_CHILDREN}


def follow_directory() -> None:
    """Go where the path now leads that this program was started in.

    It may go through a symbolic link that has been pointed at a new release since.
    """
    if _DIRECTORY is not None:
        with contextlib.suppress(OSError):
            os.chdir(_DIRECTORY)


def _logical_directory() -> str | None:
    """The working directory as the shell knows it, links and all."""
    path = os.environ.get("PWD", "")
    with contextlib.suppress(OSError):
        if path and os.path.samefile(path, "."):  # noqa: PTH121 (text on both sides)
            return path
    return None


_DIRECTORY = _logical_directory()


def _plan(
    target: str,
    settings: Settings,
    sockets: Sequence[socket.socket],
    role: str,
    more: Mapping[str, Any],
) -> bytes:
    places: dict[str, Any] = {"bind": tuple(f"fd://{each.fileno()}" for each in sockets)}
    for name in ("host", "port", "uds", "fd", "reload"):
        places[name] = all_settings()[name].default
    settings = dataclasses.replace(settings, **places)
    try:
        return json.dumps(
            {
                "target": target,
                "settings": {name: getattr(settings, name) for name in all_settings()},
                "argv": sys.argv,
                "role": role,
                **more,
            }
        ).encode()
    except (TypeError, ValueError):
        raise SettingsError(
            "log_config", "it holds what cannot be handed to another process; give a file"
        ) from None
