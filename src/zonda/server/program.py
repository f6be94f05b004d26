"""What the command line starts: the server itself, or the process that starts its servers.

It returns an exit code: those of serving.py, and the same from a supervisor. Code 2 is the command
line's own, for options that it cannot read.
"""

import os

from zonda.server import logs
from zonda.server.listeners import ListenError
from zonda.server.logs import logger
from zonda.server.process.pidfile import PidFileError
from zonda.server.process.systemd import NOTIFY_VARIABLE, with_activation
from zonda.server.settings import Settings, SettingsError

__all__ = ["check_program", "run_program"]

HANDOVER = "ZONDA_HANDOVER"
"""The environment variable by which a program knows that it goes on in another's place."""


def run_program(target: str, settings: Settings) -> int:
    """Serve `target` until told to stop, log what goes wrong, and return the exit code."""
    # Imported by turns: a process that does not serve needs no event loop.
    try:
        if HANDOVER in os.environ or (settings.supervised and not settings.reload):
            return _supervise(target, settings)
        if settings.reload:
            return _reload(target, settings)
        logs.configure(settings)
    except (ListenError, PidFileError, SettingsError) as error:
        logger.critical("%s", error)
        return 1
    from zonda.server.server import Server  # noqa: PLC0415
    from zonda.server.serving import NotifyingServer, run_server  # noqa: PLC0415

    settings = with_activation(settings, os.environ)
    kind = NotifyingServer if NOTIFY_VARIABLE in os.environ else Server
    return run_server(kind(target, settings))


def check_program(target: str, settings: Settings) -> int:
    """Import `target` and look at what the settings name, without serving; 0 if all is well."""
    from zonda.server.server import Server  # noqa: PLC0415
    from zonda.server.serving import check  # noqa: PLC0415

    return check(Server(target, settings))


def _supervise(target: str, settings: Settings) -> int:
    from zonda.server.process.supervisor import Supervisor  # noqa: PLC0415
    from zonda.server.process.upgrade import Handover  # noqa: PLC0415

    logs.configure(settings, pid=True)
    settings = with_activation(settings, os.environ)
    return Supervisor(target, settings, handover=Handover.take()).run()


def _reload(target: str, settings: Settings) -> int:
    from zonda.server.reload import ReloadError, supervise  # noqa: PLC0415

    logs.configure(settings)
    settings = with_activation(settings, os.environ)
    if settings.supervised:
        logger.info("One worker serves while --reload is on, and has no supervisor")
    try:
        supervise(target, settings)
    except ReloadError as error:
        logger.critical("%s", error)
        return 1
    return 0
