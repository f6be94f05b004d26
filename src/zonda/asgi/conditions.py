"""Conditional requests: may the answer be skipped, cut to a range, or must it fail (RFC 9110 13).

The preconditions of section 13.2.2, in the order that it sets:

    step  field                 compared  if it holds   if not
    1     If-Match              strong    go to 3       412
    2     If-Unmodified-Since   dates     go to 3       412      (only without If-Match)
    3     If-None-Match         weak      go to 5       304 for GET and HEAD, else 412
    4     If-Modified-Since     dates     go to 5       304      (only GET, HEAD; without 3)
    5     If-Range              strong    the range     the whole

`evaluate` takes steps 1 to 4, `range_applies` the fifth. Both are pure: they see header fields as
ASGI gives them (names in lower case) and the validators of the representation as it is now. A
field that cannot be read is as good as absent, with one difference: a list of entity tags that
cannot be read is a list without a match, which lets a GET pass and stops a guarded write.
"""

import calendar
import re
import time
from collections.abc import Iterable
from enum import Enum

__all__ = ["Outcome", "evaluate", "parse_date", "range_applies"]

Fields = Iterable[tuple[bytes, bytes]]

_ENTITY_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_DELIMITER = re.compile(rb"[ \t]*(?:,[ \t]*)*")


class Outcome(Enum):
    """What the preconditions say of a request; the value is the status they ask for."""

    PROCEED = 200
    NOT_MODIFIED = 304
    PRECONDITION_FAILED = 412


def evaluate(
    method: str, fields: Fields, *, etag: bytes | None, last_modified: int | None
) -> Outcome:
    """Evaluate the preconditions of a request that would otherwise get a 2xx (section 13.2.2).

    `etag` is the entity tag of the representation with its quotes (and `W/`, if it is weak),
    `last_modified` its date in whole seconds since the epoch; None stands for one it has not.
    """
    if method in ("CONNECT", "OPTIONS", "TRACE"):  # section 13.2.1
        return Outcome.PROCEED
    reads = method in ("GET", "HEAD")
    given = _collect(fields)

    if_match = given.get(b"if-match")
    if if_match is not None:
        if not _any_matches(if_match, etag, weak=False):
            return Outcome.PRECONDITION_FAILED
    elif last_modified is not None:
        unmodified_since = _only_date(given.get(b"if-unmodified-since"))
        if unmodified_since is not None and last_modified > unmodified_since:
            return Outcome.PRECONDITION_FAILED

    if_none_match = given.get(b"if-none-match")
    if if_none_match is not None:
        if _any_matches(if_none_match, etag, weak=True):
            return Outcome.NOT_MODIFIED if reads else Outcome.PRECONDITION_FAILED
    elif reads and last_modified is not None:
        modified_since = _only_date(given.get(b"if-modified-since"))
        if modified_since is not None and last_modified <= modified_since:
            return Outcome.NOT_MODIFIED

    return Outcome.PROCEED


def range_applies(fields: Fields, *, etag: bytes | None, last_modified: int | None) -> bool:
    """Tell whether If-Range, where there is one, lets the Range field count (section 13.1.5).

    A date counts when it is exactly that of the representation. Clients may send one only if
    it was already a second old when they got it, so a later change has another date.
    """
    if_range = _collect(fields).get(b"if-range")
    if if_range is None:
        return True
    if len(if_range) != 1:
        return False
    tag = _ENTITY_TAG.fullmatch(if_range[0])
    if tag is not None:
        return tag[1] is None and tag[2] == etag
    date = parse_date(if_range[0])
    return date is not None and date == last_modified


def _collect(fields: Fields) -> dict[bytes, list[bytes]]:
    given: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if name.startswith(b"if-"):
            given.setdefault(name, []).append(value.strip(b" \t"))
    return given


def _any_matches(values: list[bytes], etag: bytes | None, *, weak: bool) -> bool:
    """Compare as section 8.8.3.2 says: `weak` looks at the opaque parts only."""
    if values == [b"*"]:
        return True
    if etag is None or (not weak and etag.startswith(b"W/")):
        return False
    opaque = etag.removeprefix(b"W/")
    return any(tag == opaque and (weak or not is_weak) for is_weak, tag in _entity_tags(values))


def _entity_tags(values: list[bytes]) -> list[tuple[bool, bytes]]:
    """Return (is weak, opaque tag) of each member; none at all if the list is malformed."""
    tags: list[tuple[bool, bytes]] = []
    for value in values:
        position = _skip(value, 0)
        while position < len(value):
            tag = _ENTITY_TAG.match(value, position)
            if tag is None:
                return []
            tags.append((tag[1] is not None, tag[2]))
            position = _skip(value, tag.end())
            # A comma inside of a tag is part of it; between two tags there must be one.
            if position < len(value) and b"," not in value[tag.end() : position]:
                return []
    return tags


def _skip(value: bytes, position: int) -> int:
    match = _DELIMITER.match(value, position)
    return match.end() if match else position


def _only_date(values: list[bytes] | None) -> int | None:
    return parse_date(values[0]) if values is not None and len(values) == 1 else None


_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_MONTH = rb"(?P<month>" + b"|".join(_MONTHS) + rb")"
_TIME = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DATES = [
    re.compile(form)
    for form in (
        # IMF-fixdate, then the two that a recipient must accept although none may send them.
        _DAY + rb", (?P<day>[0-9]{2}) " + _MONTH + rb" (?P<year>[0-9]{4}) " + _TIME + rb" GMT",
        _LONG_DAY + rb", (?P<day>[0-9]{2})-" + _MONTH + rb"-(?P<year>[0-9]{2}) " + _TIME + rb" GMT",
        _DAY + rb" " + _MONTH + rb" (?P<day>[0-9]{2}| [0-9]) " + _TIME + rb" (?P<year>[0-9]{4})",
    )
]


def parse_date(value: bytes, *, this_year: int | None = None) -> int | None:
    """Return an HTTP-date as seconds since the epoch, None if it is not one (section 5.6.7).

    A year of two digits is the latest that is not more than 50 years after `this_year`, by
    default the year of the clock.
    """
    for form in _DATES:
        match = form.fullmatch(value)
        if match is not None:
            break
    else:
        return None
    year, day = int(match["year"]), int(match["day"])
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if len(match["year"]) == 2:
        year = _full_year(year, this_year)
    month = _MONTHS.index(match["month"]) + 1
    # The grammar allows a leap second; `timegm` carries it over, as POSIX time does.
    if year == 0 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    return calendar.timegm((year, month, day, hour, minute, second))


def _full_year(year: int, this_year: int | None) -> int:
    latest = (this_year if this_year is not None else time.gmtime().tm_year) + 50
    return latest - (latest - year) % 100
