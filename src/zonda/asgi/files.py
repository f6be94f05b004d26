"""Serve a file as an ASGI answer: conditions, ranges, and the cheapest way the server offers.

The server's own static files and the toolkit's responses share this one function, `send_file`:

    async def app(scope, receive, send):
        await send_file(scope, send, "/srv/report.pdf", headers=[(b"cache-control", b"no-cache")])

A whole file goes out by `http.response.pathsend`, parts of one (and whole ones, where there is no
pathsend) by `http.response.zerocopysend`, and on servers with neither by reading `PART_SIZE` bytes
at a time on a thread, each part only after the server has taken the one before.
"""

import asyncio
import io
import mimetypes
import os
import secrets
import stat
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from email.utils import formatdate
from typing import Self, TypeVar, TypeVarTuple

from zonda.asgi.conditions import Outcome, evaluate, parse_date, range_applies
from zonda.asgi.ranges import ByteRange, RangeNotSatisfiableError, parse_range
from zonda.asgi.types import Header, HTTPScope, Send

__all__ = ["PART_SIZE", "FileChangedError", "FileInfo", "content_type", "send_file"]

PART_SIZE = 64 * 1024
"""Bytes read at once, and so held in memory a request, where the server sends no files itself."""

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class FileChangedError(RuntimeError):
    """The file got shorter while it was being sent, so the announced length cannot be kept.

    To change files that are being served, write a new one and rename it over the old.
    """


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a response says about a file, from one `stat`."""

    size: int
    """Bytes."""
    modified: int
    """Whole seconds since the epoch, as Last-Modified has them."""
    etag: bytes
    """A strong entity tag with its quotes; another one after every change of time or size."""
    content_type: bytes

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> Self:
        """Describe the file at `path`; its name decides the content type.

        Raises `IsADirectoryError` for a directory and `OSError` for what has no size or may never
        end, such as a pipe.
        """
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(f"{path!r} is a directory; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path!r} is not a regular file, and only those are served")
        return cls(
            size=status.st_size,
            modified=status.st_mtime_ns // 1_000_000_000,
            etag=b'"%x-%x"' % (status.st_mtime_ns, status.st_size),
            content_type=content_type(path),
        )


# Only the standard library's own table: what a file is must not depend on the machine's.
_TYPES = mimetypes.MimeTypes()
for _type, _suffix in (
    ("font/woff", ".woff"),
    ("font/woff2", ".woff2"),
    ("image/avif", ".avif"),
    ("image/webp", ".webp"),
    ("text/javascript", ".js"),
    ("text/javascript", ".mjs"),
    ("text/markdown", ".md"),
):
    _TYPES.add_type(_type, _suffix)

_COMPRESSED = {
    # As a Content-Encoding instead, a browser would unpack the archive that it is to save.
    "br": b"application/x-brotli",
    "bzip2": b"application/x-bzip2",
    "compress": b"application/x-compress",
    "gzip": b"application/gzip",
    "xz": b"application/x-xz",
}


def content_type(path: str) -> bytes:
    """Return the media type that a file's name stands for, with `charset=utf-8` for text."""
    guessed, encoding = _TYPES.guess_type(path)
    if encoding is not None:
        return _COMPRESSED.get(encoding, b"application/octet-stream")
    if guessed is None:
        return b"application/octet-stream"
    # An XML file says its encoding itself.
    is_text = guessed.startswith("text/") and guessed != "text/xml"
    return guessed.encode() + (b"; charset=utf-8" if is_text else b"")


async def send_file(
    scope: HTTPScope,
    send: Send,
    path: str | os.PathLike[str],
    *,
    status: int = 200,
    headers: Iterable[Header] = (),
) -> None:
    """Answer the request of `scope` with the regular file at `path`.

    A 200 to GET or HEAD becomes a 206, 304, 412 or 416 where the request's preconditions and its
    Range say so (RFC 9110 sections 13 and 14); any other `status` is sent with the whole file.
    `headers` (names in lower case) are sent first, and instead of what would be said about the
    file: `content-type`, `etag`, `last-modified`, `accept-ranges`. `content-length` is ours.

    Raises `FileNotFoundError`, `IsADirectoryError`, `PermissionError` and the like before anything
    is sent, the server's own `OSError` when the client has left, and `FileChangedError` if the
    file shrinks meanwhile. The file is closed when this returns, however it ends.
    """
    path = os.path.abspath(path)  # noqa: ASYNC240, PTH100 - no I/O; `resolve` would follow links
    extensions = scope.get("extensions") or {}
    pathsend = "http.response.pathsend" in extensions
    with ExitStack() as opened:
        if pathsend and not any(name == b"range" for name, _ in scope["headers"]):
            # The server will open the path. One `stat` costs less than the way to a thread.
            file, info = None, FileInfo.of(path, os.stat(path))  # noqa: PTH116 - as cheap as it gets
        else:
            file, info = await _in_thread(_open, path, opened)
        answer = _answer(scope, info, status, list(headers))
        await send(
            {"type": "http.response.start", "status": answer.status, "headers": answer.fields}
        )
        if not answer.parts:
            await send({"type": "http.response.body", "body": b""})
        elif file is None or (pathsend and answer.parts == _whole(info)):
            await send({"type": "http.response.pathsend", "path": path})
        else:
            zero_copy = "http.response.zerocopysend" in extensions
            await _send_parts(send, answer, file, zero_copy=zero_copy)


@dataclass(frozen=True, slots=True)
class _Part:
    """Bytes of the file, from `start` up to `stop`, that follow `head` in the answer."""

    head: bytes
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    fields: list[Header]
    parts: list[_Part]
    """None of them where the answer has no content, or only an empty one."""
    end: bytes = b""
    """What follows the last part."""


def _answer(scope: HTTPScope, info: FileInfo, status: int, fields: list[Header]) -> _Answer:
    """Decide what the request gets; no I/O."""
    fields = [field for field in fields if field[0] != b"content-length"]
    names = {name for name, _ in fields}
    if b"content-type" not in names:
        fields.append((b"content-type", info.content_type))
    whole = _whole(info) if scope["method"] != "HEAD" else []
    length = (b"content-length", b"%d" % info.size)
    if status != 200 or scope["method"] not in ("GET", "HEAD"):
        return _Answer(status, [*fields, length], whole)

    for field in (
        (b"etag", info.etag),
        (b"last-modified", formatdate(info.modified, usegmt=True).encode()),
        (b"accept-ranges", b"bytes"),
    ):
        if field[0] not in names:
            fields.append(field)
    values = dict(fields)
    etag, modified = values[b"etag"], parse_date(values[b"last-modified"])
    outcome = evaluate(scope["method"], scope["headers"], etag=etag, last_modified=modified)
    if outcome is not Outcome.PROCEED:
        empty = [] if outcome is Outcome.NOT_MODIFIED else [(b"content-length", b"0")]
        return _Answer(outcome.value, [*_without_content(fields), *empty], [])

    asked = [value for name, value in scope["headers"] if name == b"range"]
    ranges: tuple[ByteRange, ...] = ()
    if (
        # Only GET has ranges (section 14.2), and Range is no list that two fields could share.
        scope["method"] == "GET"
        and len(asked) == 1
        and values[b"accept-ranges"] != b"none"
        and range_applies(scope["headers"], etag=etag, last_modified=modified)
    ):
        try:
            ranges = parse_range(asked[0], info.size)
        except RangeNotSatisfiableError as error:
            empty = [(b"content-range", error.unsatisfied(info.size)), (b"content-length", b"0")]
            return _Answer(416, [*_without_content(fields), *empty], [])
    if ranges:
        return _partial(fields, values[b"content-type"], ranges, info.size)
    return _Answer(200, [*fields, length], whole)


def _whole(info: FileInfo) -> list[_Part]:
    return [_Part(b"", 0, info.size)] if info.size else []


def _partial(
    fields: list[Header], part_type: bytes, ranges: tuple[ByteRange, ...], size: int
) -> _Answer:
    """Make the 206: one range as it is, several as multipart/byteranges (section 14.6)."""
    if len(ranges) == 1:
        (only,) = ranges
        fields = [
            *fields,
            (b"content-range", only.content_range(size)),
            (b"content-length", b"%d" % len(only)),
        ]
        return _Answer(206, fields, [_Part(b"", only.start, only.stop)])

    boundary = secrets.token_hex(16).encode()
    parts = [
        _Part(
            b"\r\n--%b\r\ncontent-type: %b\r\ncontent-range: %b\r\n\r\n"
            % (boundary, part_type, chosen.content_range(size)),
            chosen.start,
            chosen.stop,
        )
        for chosen in ranges
    ]
    end = b"\r\n--%b--\r\n" % boundary
    length = sum(len(part.head) + part.stop - part.start for part in parts) + len(end)
    fields = [
        *(field for field in fields if field[0] != b"content-type"),
        (b"content-type", b"multipart/byteranges; boundary=" + boundary),
        (b"content-length", b"%d" % length),
    ]
    return _Answer(206, fields, parts, end)


_OF_THE_CONTENT = frozenset(
    b"content-" + name
    for name in (b"disposition", b"encoding", b"language", b"length", b"range", b"type")
)


def _without_content(fields: list[Header]) -> list[Header]:
    """Leave out what describes the content, where none is sent (section 15.4.5)."""
    return [field for field in fields if field[0] not in _OF_THE_CONTENT]


def _open(path: str, opened: ExitStack) -> tuple[io.FileIO, FileInfo]:
    """Open the file, into `opened` so that it gets closed whoever waits for this call, or not."""
    file = opened.enter_context(io.FileIO(path, opener=_without_waiting))
    return file, FileInfo.of(path, os.fstat(file.fileno()))


def _without_waiting(path: str, flags: int) -> int:
    # Opening a pipe waits for its other end, maybe for ever, before anyone sees that it is one.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(file: io.FileIO, start: int, count: int) -> bytes:
    file.seek(start)
    content = file.read(count)
    if not content:
        raise FileChangedError(
            f"{file.name!r} ended at byte {start} while it was sent; to change a file that is "
            "served, write a new one and rename it over the old"
        )
    return content


async def _send_parts(send: Send, answer: _Answer, file: io.FileIO, *, zero_copy: bool) -> None:
    end_follows = bool(answer.end)
    for part in answer.parts:
        if part.head:
            await send({"type": "http.response.body", "body": part.head, "more_body": True})
        if zero_copy:
            await send(
                {
                    "type": "http.response.zerocopysend",
                    "file": file,
                    "offset": part.start,
                    "count": part.stop - part.start,
                    "more_body": end_follows,
                }
            )
            continue
        position = part.start
        while position < part.stop:
            count = min(PART_SIZE, part.stop - position)
            content = await _in_thread(_read, file, position, count)
            position += len(content)
            more = position < part.stop or end_follows
            await send({"type": "http.response.body", "body": content, "more_body": more})
    if end_follows:
        await send({"type": "http.response.body", "body": answer.end})


async def _in_thread(call: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
    """Await a blocking call; when cancelled, see it end first, as it may be using the file."""
    future = asyncio.get_running_loop().run_in_executor(None, call, *arguments)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise
