"""The Range field: which bytes of a representation a client asks for (RFC 9110 section 14).

    ranges-specifier = range-unit "=" range-set
    range-set        = 1#range-spec
    range-spec       = first-pos "-" [ last-pos ]  /  "-" suffix-length

A server may always answer with the whole representation instead, so whatever is malformed, too
much, or about another unit than bytes is ignored and never an error. Only a well-formed request
for bytes that do not exist is one: `RangeNotSatisfiableError`, a 416.

What a client may cost us is bounded twice. A set of more than `MAX_RANGES` specs is ignored.
Specs that overlap, or leave a gap smaller than a part's own head would be, become one, so that an
answer never carries a byte twice and is never much larger than the file.
"""

import re
from dataclasses import dataclass

__all__ = ["MAX_RANGES", "ByteRange", "RangeNotSatisfiableError", "parse_range"]

MAX_RANGES = 16
"""Specs in one Range field; a field with more of them is ignored. Viewers of PDF files, the
clients that ask for the most, send up to about ten."""

_MERGED_GAP = 80
"""Bytes. Two parts closer than this cost less as one (section 15.3.7.2)."""

_SPEC = re.compile(rb"([0-9]*)-([0-9]*)")
_MAX_DIGITS = 19
"""Any number that is longer lies behind the end of any file; `int` refuses very long ones."""


class RangeNotSatisfiableError(ValueError):
    """No range of the set overlaps the representation: answer 416 with `unsatisfied(size)`."""

    @staticmethod
    def unsatisfied(size: int) -> bytes:
        """Return the value of the Content-Range field of the 416 (section 14.4)."""
        return b"bytes */%d" % size


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """The bytes from `start` up to, and not including, `stop`; never empty."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def content_range(self, size: int) -> bytes:
        """Return the value of the Content-Range field, for a representation of `size` bytes."""
        return b"bytes %d-%d/%d" % (self.start, self.stop - 1, size)


def parse_range(value: bytes, size: int, *, limit: int = MAX_RANGES) -> tuple[ByteRange, ...]:
    """Return the satisfiable ranges of a Range field, in the order asked for, none overlapping.

    `size` is the length of the representation in bytes. The empty tuple means: ignore the field
    and answer with the whole representation. That is so for an empty representation too: some
    clients put a Range in every request, and a 416 for an empty file helps none of them.

    Raises `RangeNotSatisfiableError` if the set is well-formed and none of it can be had.
    """
    unit, equals, range_set = value.partition(b"=")
    # Names of range units are case-insensitive (section 14.1).
    if not equals or unit.lower() != b"bytes" or size == 0:
        return ()
    # Empty elements of a list are skipped, a reasonable number of them (section 5.6.1.2).
    if range_set.count(b",") >= 2 * limit:
        return ()
    specs = [spec for element in range_set.split(b",") if (spec := element.strip(b" \t"))]
    if not specs or len(specs) > limit:
        return ()

    ranges: list[ByteRange] = []
    for spec in specs:
        bounds = _bounds(spec, size)
        if bounds is None:
            return ()
        start, stop = bounds
        if start < stop:
            _insert(ranges, ByteRange(start, stop))
    if not ranges:
        raise RangeNotSatisfiableError(f"no range of {value!r} is within {size} bytes")
    return tuple(ranges)


def _bounds(spec: bytes, size: int) -> tuple[int, int] | None:
    """Return (start, stop) cut to `size`, stop <= start if unsatisfiable, None if malformed."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        return (max(size - _number(last), 0), size) if last else None
    start = _number(first)
    if not last:
        return start, size
    end = _number(last)
    return None if end < start else (start, min(end + 1, size))


def _number(digits: bytes) -> int:
    significant = digits.lstrip(b"0")
    return int(significant or b"0") if len(significant) <= _MAX_DIGITS else 10**_MAX_DIGITS


def _insert(ranges: list[ByteRange], new: ByteRange) -> None:
    """Append `new`, or widen the first range it touches and drop the others it now covers.

    The ranges of the list never touch each other, so that one pass is enough.
    """
    place = len(ranges)
    for index in reversed(range(len(ranges))):
        old = ranges[index]
        if new.start <= old.stop + _MERGED_GAP and old.start <= new.stop + _MERGED_GAP:
            new = ByteRange(min(old.start, new.start), max(old.stop, new.stop))
            del ranges[index]
            place = index
    ranges.insert(place, new)
