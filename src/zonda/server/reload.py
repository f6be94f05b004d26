"""`--reload`: a parent that owns the listening sockets, and a child that serves them.

The parent binds once and never serves. Each child is a new interpreter with the sockets inherited
by descriptor, so that connections made while there is no child wait in the sockets' queues and none
is refused. When a file changes the child is told to stop; open requests get half of
`timeout_reload`, then they are cancelled, and at its end the child is killed: a stream that never
ends cannot hold a reload up. A child that ends by itself, with a syntax error say, is started
again at the next change.

How a child is started, and tied to the life of its parent, is in processes.py.
"""

import contextlib
import dataclasses
import fnmatch
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from pathlib import Path, PurePath
from typing import Any, cast

from zonda.server.listeners import Listeners, describe, open_listeners
from zonda.server.logs import logger
from zonda.server.process.spawn import Child, start_child
from zonda.server.settings import Settings
from zonda.server.tls.context import make_provider

__all__ = ["ReloadError", "WatchedFiles", "supervise"]

_INCLUDED = ("*.py",)
_EXCLUDED = (".*", ".py[cod]", ".sw.*", "~*")
_KILLED = 5.0  # seconds for the system to end a process that is killed
_POLL = 0.2  # seconds between looks at whether the child still lives
_SHORTEST_GROUP = 1.6  # seconds that a burst of changes is gathered at most, when it does not pause


class ReloadError(Exception):
    """Reloading cannot work here; the message says what is missing."""


class WatchedFiles:
    """Which files a change of matters: by the patterns of the settings, below the directories.

    A file counts if its name or its path below the directory matches an included pattern and
    neither it nor a directory on the way matches an excluded one. A default pattern that is given
    on the other side is dropped there.
    """

    def __init__(self, settings: Settings) -> None:
        folders = [Path(folder).resolve() for folder in settings.reload_dir or (".",)]
        missing = [folder for folder in folders if not folder.is_dir()]
        if missing:
            raise ReloadError(f"--reload-dir {missing[0]} is no directory")
        # One that lies in another is watched with it.
        self.folders = [
            each for each in dict.fromkeys(folders) if not any(up in folders for up in each.parents)
        ]
        include = settings.reload_include
        exclude = tuple(pattern.rstrip("/") for pattern in settings.reload_exclude)
        self._include = (*(each for each in _INCLUDED if each not in exclude), *include)
        self._exclude = (*(each for each in _EXCLUDED if each not in include), *exclude)

    def matter(self, path: str) -> bool:
        """Whether a change of the file at `path` calls for a reload."""
        for folder in self.folders:
            try:
                below = PurePath(path).relative_to(folder)
            except ValueError:
                continue
            if not _matches(below, self._include):
                return False
            ways = (below, *list(below.parents)[:-1])
            return not any(_matches(way, self._exclude) for way in ways)
        return False


def _matches(path: PurePath, patterns: Iterable[str]) -> bool:
    return any(
        fnmatch.fnmatch(path.name, pattern) or fnmatch.fnmatch(path.as_posix(), pattern)
        for pattern in patterns
    )


def supervise(target: str, settings: Settings) -> None:
    """Serve `target` in a child that is replaced at each change, until told to stop.

    Raises `ReloadError`, `ListenError` or `SettingsError` before the first child; later failures
    are logged.
    """
    if sys.platform == "win32":
        raise ReloadError("--reload hands sockets to a child, which this release cannot on Windows")
    files = WatchedFiles(settings)
    make_provider(settings)  # the child makes its own; what is wrong is said here
    with contextlib.ExitStack() as at_end:
        listeners = at_end.enter_context(open_listeners(settings))
        child = _Served(target, settings, listeners)
        stop = at_end.enter_context(_stop_asked(child))
        at_end.callback(child.stop)
        changes = at_end.enter_context(
            contextlib.closing(_changes(files, settings.reload_delay, stop))
        )
        next(changes)  # from here on changes are seen, so the child reads what is current
        folders = ", ".join(str(folder) for folder in files.folders)
        scheme = "http" if settings.ssl_certfile is None else "https"
        urls = ", ".join(describe(listener, scheme) for listener in listeners.sockets)
        logger.info("Watching %s for changes, holding %s", folders, urls)
        child.start()
        for changed in changes:
            if changed:
                logger.info("%s changed: reloading", _some(changed))
                child.stop()
                child.start()
            else:
                child.report_its_end()
        logger.info("Stopping the reloading server")


class _Served:
    """The process that serves, one at a time."""

    def __init__(self, target: str, settings: Settings, listeners: Listeners) -> None:
        self._target = target
        self._sockets = listeners.sockets
        self._deadline = settings.timeout_reload
        self._settings = dataclasses.replace(
            settings,
            timeout_graceful_shutdown=min(
                settings.timeout_graceful_shutdown, settings.timeout_reload / 2
            ),
        )
        self._child: Child | None = None

    def start(self) -> None:
        """Start a child with the sockets."""
        self._child = start_child(self._target, self._settings, self._sockets, "reload")

    def stop(self) -> None:
        """End the child: ask it to, and kill it when it takes longer than the deadline."""
        child, self._child = self._child, None
        if child is None:
            return
        child.signal(signal.SIGTERM)  # and not a word to drain: this one interrupts an import
        if child.wait(self._deadline) is None:
            logger.warning(
                "The server did not stop within %g s and is killed (--timeout-reload)",
                self._deadline,
            )
            child.signal(signal.SIGKILL)
            child.wait(_KILLED)
        child.close()

    def kill(self) -> None:
        """End the child at once; `stop` still has to be called."""
        if self._child is not None:
            self._child.signal(signal.SIGKILL)

    def report_its_end(self) -> None:
        """Say once that the child has ended by itself."""
        if self._child is None or (code := self._child.poll()) is None:
            return
        how = f"with code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        logger.error("The server ended %s; it is started again at the next change", how)
        self.stop()


@contextlib.contextmanager
def _stop_asked(child: _Served) -> Generator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second one kills the child."""
    asked = threading.Event()

    def handle(*_: object) -> None:
        if asked.is_set():
            child.kill()
        asked.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _changes(files: WatchedFiles, delay: float, stop: threading.Event) -> Generator[list[str]]:
    """The files of each burst of changes, and an empty list now and then in between."""
    try:
        watch = cast("Callable[..., Any]", importlib.import_module("watchfiles").watch)
    except ImportError:
        raise ReloadError("--reload needs watchfiles: pip install watchfiles") from None

    def matters(_: object, path: str) -> bool:
        return files.matter(path)

    step = int(delay * 1000)
    try:
        for changed in watch(
            *files.folders,
            watch_filter=matters,
            step=step,
            debounce=max(step, int(_SHORTEST_GROUP * 1000)),
            rust_timeout=int(_POLL * 1000),
            yield_on_timeout=True,
            stop_event=stop,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            yield sorted({path for _, path in changed})
    except (OSError, RuntimeError) as error:
        raise ReloadError(
            f"The files cannot be watched: {error}; WATCHFILES_FORCE_POLLING=1 in the environment "
            "looks at them again and again instead"
        ) from None


def _some(paths: list[str]) -> str:
    """A few of the paths, for a log line."""
    shown = ", ".join(os.path.relpath(path) for path in paths[:3])
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"
