"""What systemd and a service tell each other: sockets handed over, readiness, signs of life.

The protocols are those of sd_listen_fds(3) and sd_notify(3). They need no library: variables of
the environment, inherited descriptors, and datagrams to a unix socket. Other service managers speak
them too; where nobody does, all of this does nothing.
"""

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import Mapping

from zonda.server.logs import logger
from zonda.server.settings import Settings, all_settings

__all__ = ["NOTIFY_VARIABLE", "Notifier", "activated_sockets", "with_activation"]

NOTIFY_VARIABLE = "NOTIFY_SOCKET"
"""The environment variable that says that a service manager listens."""

_FIRST = 3  # SD_LISTEN_FDS_START


def activated_sockets(environ: Mapping[str, str]) -> list[tuple[int, str]]:
    """The descriptors of sockets that were opened for this very process, each with its name."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environ.get("LISTEN_FDS", "")
    if not count.isdecimal():
        return []
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * int(count)
    return [(_FIRST + i, names[i]) for i in range(int(count))]


def with_activation(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings, listening at the sockets that were handed over, if no address is named."""
    handed = activated_sockets(environ)
    if not handed:
        return settings
    addresses = [f"fd://{number}" for number, _ in handed]
    shown = ", ".join(f"fd://{number} ({name or 'unnamed'})" for number, name in handed)
    named = [
        name
        for name in ("bind", "uds", "fd", "host", "port")
        if getattr(settings, name) != all_settings()[name].default
    ]
    if named:
        unused = sorted(set(addresses).difference(map(str, settings.addresses)))
        if unused:
            logger.warning(
                "Sockets were handed over for activation, but %s is set: %s not listened at",
                named[0],
                ", ".join(unused) + (" is" if len(unused) == 1 else " are"),
            )
        return settings
    logger.info("Listening at what was handed over for activation: %s", shown)
    return dataclasses.replace(settings, bind=tuple(addresses))


class Notifier:
    """Tells the service manager how the service fares; one that is not there hears nothing.

    Attributes:
        watchdog: Seconds between signs of life: half of what the manager waits for; None if it
            does not wait for any.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get(NOTIFY_VARIABLE, "")
        if self._address[:1] not in {"/", "@"}:
            self._address = ""
        self.watchdog: float | None = None
        interval = environ.get("WATCHDOG_USEC", "")
        pid = environ.get("WATCHDOG_PID", str(os.getpid()))
        if self._address and interval.isdecimal() and int(interval) and pid == str(os.getpid()):
            self.watchdog = int(interval) / 2e6

    def ready(self, status: str = "") -> None:
        """It serves."""
        self._send("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        """Its workers are being replaced; `ready` ends that."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=Replacing workers")

    def stopping(self) -> None:
        """It is on its way out."""
        self._send("STOPPING=1", "STATUS=Stopping")

    def alive(self) -> None:
        """A sign of life."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # A name in the abstract namespace begins with a NUL.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto("\n".join(lines).encode(), address)
