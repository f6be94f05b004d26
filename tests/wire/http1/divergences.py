"""Where other parsers of the field read a request differently, and the clause that is ours.

A divergence is known by the feature of the input that causes it, which is looked for here without
the help of any of the parsers: ``Anatomy`` takes a request apart as leniently as can be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from zonda.wire.http1.grammar import MAX_CHUNK_LINE, MAX_EMPTY_LINES, MAX_METHOD

if TYPE_CHECKING:
    from collections.abc import Callable

# What a peer made of a request that we judged otherwise.
Peer = Literal["h11", "httptools"]
Kind = Literal["we refuse", "they refuse", "other content"]

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST = re.compile(
    rb"((\[[0-9A-Fa-f:.]{2,}\]|\[[vV].+\]|([A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)"
    rb"(:[0-9]{0,5})?)?"
)
_AUTHORITY_TARGET = re.compile(rb"(?i)https?://([^/?]*)")
_VERSION = re.compile(rb"HTTP/1\.[0-9]")
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_EXTENSION = re.compile(
    rb"(;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(=([!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb'|"([\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*'
)
_FORBIDDEN_TRAILER = re.compile(rb"(?i)(authorization|content-length|host|transfer-encoding)$")
# What llhttp knows of methods that the generator makes; it refuses every other name.
_LLHTTP_METHODS = (
    b"CONNECT DELETE GET HEAD LINK LOCK MOVE OPTIONS PATCH POST PURGE PUT QUERY TRACE UNLINK"
).split()


class Anatomy:
    """A request taken apart at its line feeds, whatever is wrong with it."""

    def __init__(self, data: bytes) -> None:
        start = len(data) - len(data.lstrip(b"\r\n"))
        self.lead = data[:start]
        lines = data[start:].split(b"\n")
        end = next((i for i, line in enumerate(lines) if i and line in (b"", b"\r")), len(lines))
        self.line_ends = lines[: end + 1]
        self.lines = [line.removesuffix(b"\r") for line in lines[:end]]
        self.body = b"\n".join(lines[end + 1 :])

    @cached_property
    def words(self) -> list[bytes]:
        """The words of the request line."""
        return self.lines[0].split(b" ")

    @property
    def method(self) -> bytes:
        return self.words[0]

    @property
    def target(self) -> bytes:
        return b" ".join(self.words[1:-1])

    @property
    def version(self) -> bytes:
        return self.words[-1]

    @cached_property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Names, in lower case, and values of whatever looks like a field line."""
        found = []
        for line in self.lines[1:]:
            name, _, value = line.partition(b":")
            found.append((name.lower().strip(), value.strip(b" \t")))
        return found

    def values(self, name: bytes) -> list[bytes]:
        return [value for field, value in self.fields if field == name]

    @cached_property
    def chunk_lines(self) -> list[bytes]:
        """The lines of a chunked body that are not its data, as far as they make sense."""
        found = []
        rest = self.body
        while rest:
            line, _, rest = rest.partition(b"\n")
            found.append(line)
            digits = re.match(rb"[ \t]*([0-9A-Fa-f]+)", line)
            if digits is None or int(digits[1], 16) > len(rest):
                break
            size = int(digits[1], 16)
            if size == 0:
                trailers = rest.split(b"\n")
                ends = (i for i, end in enumerate(trailers) if end in (b"", b"\r"))
                found += trailers[: next(ends, len(trailers)) + 1]
                break
            rest = rest[size:]
            if not rest.startswith(b"\r\n"):
                found.append(rest[:2])
            rest = rest[2:] if rest.startswith(b"\r\n") else rest.removeprefix(b"\n")
        return found

    @cached_property
    def extensions(self) -> list[bytes]:
        """The chunk extensions."""
        matches = (re.match(rb"[0-9A-Fa-f]+([ \t]*;.*)", line) for line in self.chunk_lines)
        return [match[1].removesuffix(b"\r") for match in matches if match]


def _has_bare_lf(a: Anatomy) -> bool:
    return any(not line.endswith(b"\r") for line in a.line_ends)


def _has_bad_host(a: Anatomy) -> bool:
    return any(not _HOST.fullmatch(value) for value in a.values(b"host"))


def _has_bad_target(a: Anatomy) -> bool:
    authority = _AUTHORITY_TARGET.match(a.target)
    if authority:
        return (
            not _HOST.fullmatch(authority[1]) or authority[1][:1] in (b"", b":") or b"#" in a.target
        )
    if a.target == b"*":
        return a.method != b"OPTIONS"
    return not a.target.startswith(b"/") or not re.fullmatch(rb'[!"$-~]+', a.target)


def _has_bad_length(a: Anatomy) -> bool:
    lengths = a.values(b"content-length")
    return len(lengths) > 1 or any(not re.fullmatch(rb"[0-9]{1,18}", value) for value in lengths)


def _has_other_coding(a: Anatomy) -> bool:
    codings = a.values(b"transfer-encoding")
    return len(codings) > 1 or any(value.lower() != b"chunked" for value in codings)


def _has_coding_and_length(a: Anatomy) -> bool:
    return bool(a.values(b"transfer-encoding") and a.values(b"content-length"))


def _is_chunked(a: Anatomy) -> bool:
    return bool(a.values(b"transfer-encoding"))


def _has_bad_chunk_line(a: Anatomy) -> bool:
    return _is_chunked(a) and any(
        not line.endswith(b"\r") or _CONTROL.search(line[:-1]) for line in a.chunk_lines
    )


def _has_forbidden_trailer(a: Anatomy) -> bool:
    return any(_FORBIDDEN_TRAILER.match(line.partition(b":")[0]) for line in a.chunk_lines)


def _is_upgrade(a: Anatomy) -> bool:
    options = b",".join(a.values(b"connection")).lower()
    return bool(a.values(b"upgrade")) and b"upgrade" in options


@dataclass(frozen=True, slots=True)
class Divergence:
    """One known way in which a peer differs from us, and why ours is as it is."""

    name: str
    peers: tuple[Peer, ...]
    kinds: tuple[Kind, ...]
    applies: Callable[[Anatomy], object]
    clause: str
    """The id of the clause, in clauses.py, that ours follows."""
    example: bytes
    """A request on which each of the peers differs from us in one of these ways."""


def _get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: h") -> bytes:
    return b"\r\n".join([line, host, *fields]) + b"\r\n\r\n"


def _chunked(wire: bytes) -> bytes:
    return _get(b"Transfer-Encoding: chunked") + wire


BOTH: tuple[Peer, ...] = ("h11", "httptools")
H11: tuple[Peer, ...] = ("h11",)
HTTPTOOLS: tuple[Peer, ...] = ("httptools",)
WE: tuple[Kind, ...] = ("we refuse",)
THEY: tuple[Kind, ...] = ("they refuse",)

DIVERGENCES = [
    Divergence(
        "bare LF in the head",
        H11,
        WE,
        _has_bare_lf,
        "9112-2.2-lf",
        b"GET / HTTP/1.1\r\nHost: h\n\r\n",
    ),
    Divergence(
        "bare CR or LF ahead of the request line",
        HTTPTOOLS,
        WE,
        lambda a: a.lead.replace(b"\r\n", b""),
        "9112-2.2-bare-cr",
        b"\r" + _get(),
    ),
    Divergence(
        "more empty lines ahead than we skip",
        HTTPTOOLS,
        WE,
        lambda a: a.lead.count(b"\n") > MAX_EMPTY_LINES,
        "9112-2.2-empty-line",
        b"\r\n" * (MAX_EMPTY_LINES + 1) + _get(),
    ),
    Divergence(
        "an empty line ahead, which h11 does not skip",
        H11,
        THEY,
        lambda a: a.lead,
        "9112-2.2-empty-line",
        b"\r\n" + _get(),
    ),
    Divergence(
        "other than two spaces in the request line",
        HTTPTOOLS,
        WE,
        lambda a: len(a.words) != 3,
        "9112-3-grammar",
        _get(line=b"GET /  HTTP/1.1"),
    ),
    Divergence(
        "a major version other than 1",
        BOTH,
        WE,
        lambda a: not _VERSION.fullmatch(a.version),
        "9110-6.2-major",
        _get(line=b"GET / HTTP/2.0"),
    ),
    Divergence(
        "a minor version above 1, which llhttp refuses",
        HTTPTOOLS,
        THEY,
        lambda a: re.fullmatch(rb"HTTP/1\.[2-9]", a.version),
        "9110-6.2-minor",
        _get(line=b"GET / HTTP/1.2"),
    ),
    Divergence(
        "CONNECT",
        BOTH,
        WE,
        lambda a: a.method == b"CONNECT",
        "9112-3-method",
        _get(line=b"CONNECT h:80 HTTP/1.1"),
    ),
    Divergence(
        "a method longer than any that there is",
        H11,
        WE,
        lambda a: len(a.method) > MAX_METHOD,
        "9112-3-method",
        _get(line=b"M" * (MAX_METHOD + 1) + b" / HTTP/1.1"),
    ),
    Divergence(
        "a method that llhttp does not know",
        HTTPTOOLS,
        THEY,
        lambda a: a.method not in _LLHTTP_METHODS and _TOKEN.fullmatch(a.method),
        "9110-9.1-extension",
        _get(line=b"FOO / HTTP/1.1"),
    ),
    Divergence(
        "a target of no valid form",
        BOTH,
        WE,
        _has_bad_target,
        "9112-3.2-invalid",
        _get(line=b"GET ftp://h/ HTTP/1.1"),
    ),
    Divergence(
        "no Host",
        HTTPTOOLS,
        WE,
        lambda a: not a.values(b"host"),
        "9112-3.2-host",
        b"GET / HTTP/1.1\r\n\r\n",
    ),
    Divergence(
        "no Host, which h11 misses in a higher minor version",
        H11,
        WE,
        lambda a: not a.values(b"host") and re.fullmatch(rb"HTTP/1\.[2-9]", a.version),
        "9112-3.2-host",
        b"GET / HTTP/1.2\r\n\r\n",
    ),
    Divergence(
        "more than one Host",
        HTTPTOOLS,
        WE,
        lambda a: len(a.values(b"host")) > 1,
        "9112-3.2-host",
        _get(b"Host: h"),
    ),
    Divergence(
        "a malformed Host", BOTH, WE, _has_bad_host, "9112-3.2-host", _get(host=b"Host: a/b")
    ),
    Divergence(
        "a folded field line",
        H11,
        WE,
        lambda a: any(line[:1] in (b" ", b"\t") for line in (*a.lines[1:], *a.chunk_lines)),
        "9112-5.2-fold",
        _get(b"a: b", b" c"),
    ),
    Divergence(
        "a control character in a field value",
        H11,
        WE,
        lambda a: any(_CONTROL.search(line) for line in a.lines[1:]),
        "9110-5.5-ctl",
        _get(b"a: \x01"),
    ),
    Divergence(
        "an expectation that nobody meets",
        BOTH,
        WE,
        lambda a: any(value.lower() != b"100-continue" for value in a.values(b"expect")),
        "9110-10.1.1-unknown",
        _get(b"Expect: a-miracle"),
    ),
    Divergence(
        "a Content-Length that is a list, repeated or out of range",
        H11,
        WE,
        _has_bad_length,
        "9112-6.3-length-400",
        _get(b"Content-Length: 1, 1") + b"a",
    ),
    Divergence(
        "Content-Length beside Transfer-Encoding",
        H11,
        WE,
        _has_coding_and_length,
        "9112-6.1-both",
        _get(b"Content-Length: 1", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
    Divergence(
        "Transfer-Encoding in HTTP/1.0",
        BOTH,
        WE,
        lambda a: _is_chunked(a) and a.version == b"HTTP/1.0",
        "9112-6.1-http-1.0",
        _get(b"Transfer-Encoding: chunked", line=b"GET / HTTP/1.0") + b"0\r\n\r\n",
    ),
    Divergence(
        "a coding other than one chunked",
        HTTPTOOLS,
        WE,
        _has_other_coding,
        "9112-6.1-unknown",
        _get(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    ),
    Divergence(
        "a tab behind the coding",
        HTTPTOOLS,
        THEY,
        lambda a: any(re.match(rb"(?i)transfer-encoding:.*\t *$", line) for line in a.lines),
        "9110-5.5-whitespace",
        _get(b"Transfer-Encoding: chunked\t") + b"0\r\n\r\n",
    ),
    Divergence(
        "a trailer or chunk extension with a bare CR, a bare LF or a control character",
        H11,
        WE,
        _has_bad_chunk_line,
        "9112-2.2-lf",
        _chunked(b"0\r\na: b\n\r\n"),
    ),
    Divergence(
        "white space behind a chunk size",
        H11,
        WE,
        lambda a: any(re.match(rb"[0-9A-Fa-f]+[ \t]+\r?$", line) for line in a.chunk_lines),
        "9112-7.1-grammar",
        _chunked(b"0 \r\n\r\n"),
    ),
    Divergence(
        "a chunk size of more digits than h11 reads",
        H11,
        THEY,
        lambda a: any(re.match(rb"0[0-9A-Fa-f]{20}", line) for line in a.chunk_lines),
        "9112-7.1-grammar",
        _chunked(b"0" * 21 + b"\r\n\r\n"),
    ),
    Divergence(
        "a chunk extension beyond our limit",
        BOTH,
        WE,
        lambda a: any(len(line) >= MAX_CHUNK_LINE for line in a.chunk_lines),
        "9112-7.1.1-limit",
        _chunked(b"0;" + b"a" * MAX_CHUNK_LINE + b"\r\n\r\n"),
    ),
    Divergence(
        "a trailer that frames, routes or authenticates",
        BOTH,
        WE,
        _has_forbidden_trailer,
        "9110-6.5.1-merge",
        _chunked(b"0\r\nHost: h\r\n\r\n"),
    ),
    Divergence(
        "bad white space before a chunk extension",
        BOTH,
        THEY,
        lambda a: any(re.match(rb"[ \t]", extension) for extension in a.extensions),
        "9110-5.6.3-bws",
        _chunked(b"0 ;a\r\n\r\n"),
    ),
    Divergence(
        "a chunk extension that is not read, and so not judged",
        HTTPTOOLS,
        THEY,
        lambda a: any(not _EXTENSION.fullmatch(extension) for extension in a.extensions),
        "9112-7.1.1-ignore",
        _chunked(b"0;a b\r\n\r\n"),
    ),
    Divergence(
        "an upgrade, after which llhttp reads no body",
        HTTPTOOLS,
        ("other content", "we refuse"),
        _is_upgrade,
        "9110-7.8-framing",
        _get(b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 1") + b"a",
    ),
]
