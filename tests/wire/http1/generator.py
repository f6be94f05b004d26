"""A generator of requests: mostly right, wrong in one or two places, and sometimes mutated.

It walks the grammar of RFC 9112 with a source of chance. At each production it takes, now and then,
one of the ways in which real messages are wrong; after that, it may cut, double, swap or replace
octets anywhere. The same seed makes the same request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

T = TypeVar("T")

CANARY = b"GET /canary HTTP/1.1\r\nHost: canary\r\n\r\n"
"""A second request behind a first one: whoever misjudges where the first ends, misreads it."""

_METHODS = [b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH"]
_ODD_METHODS = [b"CONNECT", b"FOO", b"get", b"G(T", b"", b"M" * 40, b"PRI", b"GET\t", b"\xffGET"]
_TARGETS = [b"/", b"/a/b?c=d", b"/%41", b"http://h/a", b"http://h:80", b"/a?b?c", b"//a", b"/;=@:"]
_ODD_TARGETS = [
    b"*",
    b"",
    b"a",
    b"/a#b",
    b"/\xe9",
    b"/a b",
    b"/\x7f",
    b"h:80",
    b"http://u@h/",
    b"http:///a",
    b"ftp://h/",
    b"http://h#a",
    b"/\x00",
    b"/\t",
    b'/"<>\\^`{|}',
    b"/%zz",
]
_ODD_VERSIONS = [
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/1.9",
    b"HTTP/2.0",
    b"HTTP/0.9",
    b"http/1.1",
    b"HTTP/1.10",
    b"HTTP/1",
    b"HTTPS/1.1",
    b"HTTP/1.1 ",
    b"",
]
_HOSTS = [b"h", b"example.com:80", b"[::1]:8080", b"127.0.0.1", b""]
_ODD_HOSTS = [b"a b", b"a/b", b"u@h", b"h:x", b"[::1", b"a,b", b"h\xe9", b"h:1:2", b"a?b", b"%zz"]
_NAMES = [b"Accept", b"X-Made-Up", b"cookie", b"USER-AGENT", b"!#$%&'*+-.^_`|~", b"a"]
_ODD_NAMES = [
    b"a b",
    b"a(",
    b"",
    b"a\xe9",
    b"a\x00",
    b"a\t",
    b"a ",
    b" a",
    b"a:",
    b"Host\x0b",
    b"a=",
]
_VALUES = [b"b", b"", b"a, b;c=d", b'"quoted"', b"a\tb", b"\xe9\x80\xff", b"a:b", b"b" * 60]
_ODD_VALUES = [b"a\x00b", b"a\x01b", b"\x7f", b"a\rb", b"a\nb", b"a\x0bb", b"a\r\n b", b"a\r\n\tb"]
_LENGTH_NAMES = [b"Content-Length", b"content-length", b"CONTENT-LENGTH"]
_ODD_LENGTHS = [
    b"+%d",
    b"-%d",
    b"0x%x",
    b"0%d",
    b"%d,%d",
    b"%d, %d",
    b"%d %d",
    b"%d;",
    b"%d.0",
    b"99999999999999999999%d",
    b"",
    b"%d_0",
    b'"%d"',
    b"\x0b%d",
]
_CODINGS = [b"chunked", b"Chunked", b"CHUNKED"]
_ODD_CODINGS = [
    b"chunked, chunked",
    b"gzip, chunked",
    b"chunked, gzip",
    b"gzip",
    b"identity",
    b"xchunked",
    b"chunked;a=b",
    b"",
    b"chunked,",
    b",chunked",
    b"\x0bchunked",
    b"chunked\x00",
    b'"chunked"',
    b"chun\r\n ked",
]
_EXTENSIONS = [b"", b"", b"", b";a", b";a=b", b';a="b c"', b";a=b;c=d"]
_ODD_EXTENSIONS = [
    b" ;a",
    b"; a = b",
    b" ",
    b"\t",
    b";",
    b";=",
    b";a=",
    b";a\x00",
    b";a\x01",
    b";a\n",
    b";a\rb",
    b';a="',
    b';a="\n"',
    b";" + b"a" * 300,
    b";a;;b",
    b";a b",
    b";\xe9",
]
_ODD_SIZES = [b"0x%x", b"+%x", b"-%x", b"%x ", b" %x", b"000000000000000000000%x", b"", b"%xg"]
_TRAILERS = [b"X-Sum: 1", b"etag: a", b"x:"]
_ODD_TRAILERS = [
    b"Content-Length: 5",
    b"Host: h",
    b"Transfer-Encoding: chunked",
    b"a",
    b"a : b",
    b" a: b",
    b"a: \x00",
    b"Authorization: a",
]
_ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b" \r\n"]
_OTHERS = [
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: x, CLOSE",
    b"Connection: upgrade",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b"Expect: a-miracle",
    b"TE: trailers",
    b"Trailer: x-sum",
    b"Keep-Alive: timeout=5",
]
_INTERESTING = b"\x00\x01\t\n\r\x0b\x0c \"#%'(),-/0159:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xa0\xe9\xff"


class Generator:
    """Makes one request after another from ``random``; ``fault`` is how often it goes wrong."""

    def __init__(self, random: Random, fault: float = 0.04) -> None:
        self._random = random
        self._fault = fault

    def request(self) -> bytes:
        """A request, perhaps with a second one behind it."""
        data = self._head_and_body()
        if self._chance(0.5):
            data += CANARY
        for _ in range(self._random.choice([0, 0, 0, 0, 0, 1, 1, 2])):
            data = self.mutated(data)
        return data or CANARY

    def mutated(self, data: bytes) -> bytes:
        """``data`` with one small change somewhere."""
        if not data:
            return CANARY
        random = self._random
        start = random.randrange(len(data))
        end = min(len(data), start + random.choice([1, 1, 1, 2, 4, 16]))
        change = random.randrange(6)
        if change == 0:
            return data[:start] + data[end:]
        if change == 1:
            return data[:end] + data[start:]
        if change == 2:
            return data[: start + 1]
        octet = bytes([random.choice(_INTERESTING)])
        if change == 3:
            return data[:start] + octet + data[start:]
        return data[:start] + octet + data[start + 1 :]

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _pick(self, right: Sequence[T], wrong: Sequence[T]) -> T:
        return self._random.choice(wrong if self._chance(self._fault) else right)

    def _end(self) -> bytes:
        return self._pick([b"\r\n"], _ENDS) if self._chance(0.3) else b"\r\n"

    def _line(self) -> bytes:
        space = self._pick([b" "], [b"  ", b"\t", b"", b" \t", b"\x0c"])
        parts = [
            self._pick(_METHODS, _ODD_METHODS),
            self._pick(_TARGETS, _ODD_TARGETS),
            self._pick([b"HTTP/1.1"], _ODD_VERSIONS),
        ]
        return space.join(parts) + self._end()

    def _field(self) -> bytes:
        if self._chance(0.35):
            return self._random.choice(_OTHERS)
        colon = self._pick([b": ", b":", b":\t ", b":  "], [b" : ", b"\t:", b"", b" ", b"="])
        name = self._pick(_NAMES, _ODD_NAMES)
        return name + colon + self._pick(_VALUES, _ODD_VALUES)

    def _length(self, size: int) -> bytes:
        pattern = self._pick([b"%d"], _ODD_LENGTHS)
        return pattern.replace(b"%d", b"%d" % size).replace(b"%x", b"%x" % size)

    def _chunks(self, body: bytes) -> bytes:
        wire = b""
        while body:
            size = self._random.randint(1, len(body))
            wire += self._chunk_line(size) + body[:size] + self._end()
            body = body[size:]
        wire += self._chunk_line(0)
        while self._chance(0.2):
            wire += self._pick(_TRAILERS, _ODD_TRAILERS) + self._end()
        return wire + self._end()

    def _chunk_line(self, size: int) -> bytes:
        digits = self._pick([b"%x", b"%X", b"0%x"], _ODD_SIZES)
        number = digits.replace(b"%x", b"%x" % size).replace(b"%X", b"%X" % size)
        return number + self._pick(_EXTENSIONS, _ODD_EXTENSIONS) + self._end()

    def _head_and_body(self) -> bytes:
        random = self._random
        body = bytes(random.choice(_INTERESTING) for _ in range(random.choice([0, 1, 5, 17, 300])))
        framing = self._pick(["none", "length", "chunked"], ["both", "lengths", "codings", "cut"])
        fields = [self._field() for _ in range(random.choice([0, 0, 1, 2, 5]))]
        fields.insert(0, b"Host: " + self._pick(_HOSTS, _ODD_HOSTS))
        if self._chance(self._fault):
            fields = random.choice([fields[1:], [fields[0], *fields], [b"host:h", *fields]])
        length = random.choice(_LENGTH_NAMES) + b": "
        coding = b"Transfer-Encoding: "
        wire = b"" if framing == "none" else body
        if framing in ("length", "both", "lengths", "cut"):
            size = len(body) + (7 if framing == "cut" else 0)
            fields.append(length + self._length(size))
        if framing == "lengths":
            fields.append(length + b"%d" % (len(body) + random.choice([0, 0, 3])))
        if framing in ("chunked", "both", "codings"):
            fields.append(coding + self._pick(_CODINGS, _ODD_CODINGS))
            wire = self._chunks(body)
        if framing == "codings":
            fields.append(coding + random.choice([*_CODINGS, *_ODD_CODINGS]))
        if self._chance(0.5):
            random.shuffle(fields)
        lead = self._pick([b""] * 12 + [b"\r\n"], [b"\n", b"\r", b" ", b"\r\n" * 9, b"\x00"])
        head = self._line() + b"".join(field + self._end() for field in fields) + self._end()
        return lead + head + wire
