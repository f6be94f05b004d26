"""What the server writes to its log, and how that looks.

Two loggers: `zonda` for what happens to the server, to standard error, and `zonda.access` for a
line a request, to standard output. Both can be configured like any logger (`--log-config`); this
module has the default, which is made to be read by people.

A line is safe against forgery: what came from a client is escaped before it is written. And it
harms no request: where it cannot be written, for want of room on the disk, it is counted and lost.
"""

import importlib
import json
import logging
import logging.config
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TextIO

from zonda.server.settings import Settings, SettingsError

__all__ = ["Formatter", "LineHandler", "access", "configure", "log_access", "logger"]

logger = logging.getLogger("zonda")
access = logging.getLogger("zonda.access")

_ACCESS_LINE = '%s "%s %s HTTP/%s" %d %dB %.1fms'
_RESET = "\033[0m"
_DIM = "\033[2m"
_LEVEL_COLORS = {
    logging.DEBUG: "\033[36m",
    logging.INFO: "\033[32m",
    logging.WARNING: "\033[33m",
    logging.ERROR: "\033[31m",
    logging.CRITICAL: "\033[1;31m",
}
_STATUS_COLORS = {1: "\033[36m", 2: "\033[32m", 3: "\033[36m", 4: "\033[33m", 5: "\033[31m"}

# What must not reach a log as it is: controls, a quote that would end the request line early, and
# the backslash that the escapes themselves are written with.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), ord('"'), ord("\\"), *range(127, 256))}


def log_access(  # noqa: PLR0913, PLR0917 (the columns of the line)
    client: tuple[str, int] | None,
    method: str,
    target: bytes,
    http_version: str,
    status: int,
    size: int,
    seconds: float,
) -> None:
    """Log one finished exchange.

    `target` is the request target as it came, `size` the bytes of the response body that were
    sent, `seconds` the time from the request's head to the response's end. The record's `args` are
    the columns in the order of the line, for formatters that want them apart.
    """
    if not access.isEnabledFor(logging.INFO):
        return
    if client is None:
        peer = "-"
    else:
        peer = f"[{client[0]}]:{client[1]}" if ":" in client[0] else f"{client[0]}:{client[1]}"
    columns = (peer, method, _escape(target), http_version, status, size, seconds * 1000)
    # Made here rather than by access.info(), which walks the stack to find out who calls it.
    make_record = logging.getLogRecordFactory()
    access.handle(make_record(access.name, logging.INFO, __file__, 0, _ACCESS_LINE, columns, None))


def _escape(target: bytes) -> str:
    text = target.decode("latin-1")
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.translate(_ESCAPES)


class Formatter(logging.Formatter):
    """The time, the level (not of an access line) and the message; in colour if `use_colors`.

    With `pid`, the process that speaks stands after the time: there are several.
    """

    def __init__(self, *, use_colors: bool = False, pid: bool = False) -> None:
        super().__init__()
        self.use_colors = use_colors
        self._pid = f" [{os.getpid()}]" if pid else ""
        self._second = -1
        self._time = ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """The local time to the second, made anew once a second."""
        second = int(record.created)
        if second != self._second:
            self._second = second
            self._time = time.strftime(datefmt or "%Y-%m-%d %H:%M:%S", time.localtime(second))
        return self._time

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """One line; the base class adds a traceback below it."""
        moment = self.formatTime(record) + self._pid
        if record.msg is _ACCESS_LINE:
            if not self.use_colors or not isinstance(record.args, tuple):
                return f"{moment} {record.message}"
            peer, method, target, version, status, size, milliseconds = record.args
            color = _STATUS_COLORS.get(int(str(status)) // 100, "")
            return (
                f'{_DIM}{moment}{_RESET} {peer} "{method} {target} HTTP/{version}" '
                f"{color}{status}{_RESET} {size}B {milliseconds:.1f}ms"
            )
        if not self.use_colors:
            return f"{moment} {record.levelname:<8} {record.message}"
        color = _LEVEL_COLORS.get(record.levelno, "")
        return f"{_DIM}{moment}{_RESET} {color}{record.levelname:<8}{_RESET} {record.message}"


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes whole entries; those that cannot be written it counts, and the server goes on.

    The standard library's would write a traceback for each, and keep part of what it failed to
    write. This one says so once, in the log `zonda` if that is another; and when there is room
    again, how many entries are missing at that place.
    """

    def __init__(self, stream: TextIO | None = None, *, name_of_log: str = "log") -> None:
        super().__init__(stream)
        self._name_of_log = name_of_log
        self._missing = 0
        self._reason = ""
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one entry."""
        try:
            text = self.format(record) + self.terminator
        except Exception:
            self.handleError(record)
            return
        if self._missing:
            text = f"{self._notice()}{self.terminator}{text}"
        try:
            self._write(text)
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self._missing += 1
            self._reason = getattr(error, "strerror", None) or str(error)
            if self._missing == 1:
                self._complain()
        else:
            self._missing = 0

    def _write(self, text: str) -> None:
        stream = self.stream
        stream.flush()  # what the application has printed comes first
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError, AttributeError):  # not a file
            stream.write(text)
            stream.flush()
            return
        data = memoryview(text.encode(stream.encoding or "utf-8", "backslashreplace"))
        if self._torn:
            data = memoryview(b"\n" + bytes(data))
        while data:
            written = os.write(descriptor, data)
            data = data[written:]
            self._torn = bool(data)

    def _notice(self) -> str:
        entries = "entry is" if self._missing == 1 else "entries are"
        return self.format(
            _record(logging.WARNING, f"{self._missing} {entries} missing here: {self._reason}")
        )

    def _complain(self) -> None:
        if self not in logger.handlers:
            logger.error(
                "The %s cannot be written (%s): entries are lost until it can",
                self._name_of_log,
                self._reason,
            )


def _record(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord(logger.name, level, __file__, 0, text, None, None)


def configure(settings: Settings, *, pid: bool = False) -> None:
    """Set the loggers up as the settings say; raises `SettingsError` for a bad `log_config`.

    With `pid`, each line says which process it is from, unless `log_config` says otherwise.
    """
    config = settings.log_config
    if config is None:
        logging.config.dictConfig(_default_config(settings, pid=pid))
    elif isinstance(config, dict):
        _apply(lambda: logging.config.dictConfig(config), None)
    else:
        _configure_from_file(config)
    if settings.log_level is not None:
        for each in (logger, access):
            each.setLevel(settings.log_level.upper())
    access.disabled = not settings.access_log


def _default_config(settings: Settings, *, pid: bool) -> dict[str, Any]:
    level = (settings.log_level or "info").upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            name: {
                "()": Formatter,
                "use_colors": _wants_colors(settings.use_colors, stream),
                "pid": pid,
            }
            for name, stream in (("server", sys.stderr), ("access", sys.stdout))
        },
        "handlers": {
            "server": _handler("server", "log", "ext://sys.stderr"),
            "access": _handler("access", "access log", "ext://sys.stdout"),
        },
        "loggers": {
            "zonda": {"level": level, "handlers": ["server"], "propagate": False},
            "zonda.access": {"level": level, "handlers": ["access"], "propagate": False},
        },
    }


def _handler(formatter: str, name: str, stream: str) -> dict[str, Any]:
    return {"()": LineHandler, "formatter": formatter, "stream": stream, "name_of_log": name}


class _Terminal(Protocol):
    def isatty(self) -> bool: ...


def _wants_colors(asked: bool | None, stream: _Terminal | None) -> bool:
    if asked is not None:
        return asked
    # https://no-color.org: any text that is not empty counts.
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream is not None and stream.isatty()


def _configure_from_file(path: str) -> None:
    suffix = Path(path).suffix.lower()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError("log_config", f"the file cannot be read: {reason}", path) from None
    if suffix == ".json":
        _apply(lambda: logging.config.dictConfig(json.loads(text)), path)
    elif suffix in {".yaml", ".yml"}:
        try:
            yaml = importlib.import_module("yaml")
        except ImportError:
            raise SettingsError(
                "log_config", "YAML needs PyYAML: pip install pyyaml", path
            ) from None
        _apply(lambda: logging.config.dictConfig(yaml.safe_load(text)), path)
    else:
        _apply(lambda: logging.config.fileConfig(path, disable_existing_loggers=False), path)


def _apply(configure_logging: Callable[[], None], shown: object) -> None:
    try:
        configure_logging()
    except Exception as error:
        # dictConfig names the part at fault, and puts the reason in the cause.
        reason = ": ".join(str(each) for each in (error, error.__cause__) if each is not None)
        raise SettingsError(
            "log_config", f"logging.config does not take it: {reason}", shown
        ) from error
