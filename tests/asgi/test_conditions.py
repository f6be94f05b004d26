import calendar
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonda.asgi.conditions import Outcome, evaluate, parse_date, range_applies

PROCEED, NOT_MODIFIED, FAILED = Outcome.PROCEED, Outcome.NOT_MODIFIED, Outcome.PRECONDITION_FAILED
NOW = calendar.timegm((1994, 11, 6, 8, 49, 37))
BEFORE, AFTER = formatdate(NOW - 1, usegmt=True), formatdate(NOW + 1, usegmt=True)
EXACT = formatdate(NOW, usegmt=True)


def outcome(
    method: str = "GET",
    *,
    etag: bytes | None = b'"a"',
    last_modified: int | None = NOW,
    **fields: str,
) -> Outcome:
    pairs = [
        (name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items()
    ]
    return evaluate(method, pairs, etag=etag, last_modified=last_modified)


def test_without_conditions_a_request_proceeds() -> None:
    assert outcome(host="x") is PROCEED


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"a"', PROCEED),
        ('"b", "a"', PROCEED),
        (',, "b" ,\t"a",', PROCEED),
        ("*", PROCEED),
        ('"b"', FAILED),
        ('"A"', FAILED),
        ('W/"a"', FAILED),
        ("a", FAILED),
        ("", FAILED),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_if_match_compares_strongly(method: str, value: str, expected: Outcome) -> None:
    assert outcome(method, if_match=value) is expected


def test_a_weak_tag_of_ours_never_passes_if_match() -> None:
    assert outcome(if_match='W/"a"', etag=b'W/"a"') is FAILED


def test_if_match_star_needs_only_something_to_be_there() -> None:
    assert outcome(if_match="*", etag=None) is PROCEED


@pytest.mark.parametrize("value", ['"a"', 'W/"a"', '"b","a"', '"b" , W/"a"', "*", ',"a"'])
def test_if_none_match_compares_weakly(value: str) -> None:
    assert outcome("GET", if_none_match=value) is NOT_MODIFIED
    assert outcome("HEAD", if_none_match=value) is NOT_MODIFIED
    assert outcome("PUT", if_none_match=value) is FAILED
    assert outcome("GET", if_none_match=value, etag=b'W/"a"') is NOT_MODIFIED


@pytest.mark.parametrize(
    "value", ['"b"', 'w/"a"', "a", '"a" "a"', '"a', '"a"b', '"a";', '*,"a"', ""]
)
def test_if_none_match_without_a_readable_match_proceeds(value: str) -> None:
    assert outcome("GET", if_none_match=value) is PROCEED
    assert outcome("PUT", if_none_match=value) is PROCEED


def test_a_comma_inside_of_a_tag_is_part_of_it() -> None:
    assert outcome(if_none_match='"x,y"', etag=b'"x,y"') is NOT_MODIFIED
    assert outcome(if_none_match='"x,a"', etag=b'"a"') is PROCEED


def test_a_list_may_be_spread_over_several_fields() -> None:
    fields = [(b"if-none-match", b'"b"'), (b"if-none-match", b'"a"')]
    assert evaluate("GET", fields, etag=b'"a"', last_modified=None) is NOT_MODIFIED


@pytest.mark.parametrize(
    ("value", "expected"), [(BEFORE, PROCEED), (EXACT, NOT_MODIFIED), (AFTER, NOT_MODIFIED)]
)
def test_if_modified_since_compares_dates(value: str, expected: Outcome) -> None:
    assert outcome("GET", if_modified_since=value) is expected
    assert outcome("HEAD", if_modified_since=value) is expected
    assert outcome("PUT", if_modified_since=value) is PROCEED


@pytest.mark.parametrize(
    ("value", "expected"), [(BEFORE, FAILED), (EXACT, PROCEED), (AFTER, PROCEED)]
)
def test_if_unmodified_since_compares_dates(value: str, expected: Outcome) -> None:
    assert outcome("GET", if_unmodified_since=value) is expected
    assert outcome("PUT", if_unmodified_since=value) is expected


def test_dates_that_cannot_be_compared_are_ignored() -> None:
    assert outcome(if_modified_since="yesterday") is PROCEED
    assert outcome(if_unmodified_since="yesterday") is PROCEED
    assert outcome(if_modified_since=AFTER, last_modified=None) is PROCEED
    assert outcome(if_unmodified_since=BEFORE, last_modified=None) is PROCEED
    twice = [(b"if-modified-since", AFTER.encode())] * 2
    assert evaluate("GET", twice, etag=None, last_modified=NOW) is PROCEED


def test_entity_tags_come_before_dates() -> None:
    assert outcome(if_match='"a"', if_unmodified_since=BEFORE) is PROCEED
    assert outcome(if_none_match='"b"', if_modified_since=AFTER) is PROCEED
    assert outcome(if_none_match='"a"', if_modified_since=BEFORE) is NOT_MODIFIED


def test_a_failed_precondition_comes_before_not_modified() -> None:
    assert outcome(if_match='"b"', if_none_match='"a"') is FAILED
    assert outcome(if_unmodified_since=BEFORE, if_none_match='"a"') is FAILED
    assert outcome(if_match='"a"', if_none_match='"a"') is NOT_MODIFIED


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT"])
def test_methods_without_a_selected_representation_ignore_conditions(method: str) -> None:
    assert outcome(method, if_match='"b"', if_none_match="*") is PROCEED


@pytest.mark.parametrize(
    ("value", "applies"),
    [
        ('"a"', True),
        ('"b"', False),
        ('W/"a"', False),
        ('"a", "b"', False),
        (EXACT, True),
        (BEFORE, False),
        (AFTER, False),
        ("junk", False),
        ("", False),
    ],
)
def test_if_range_wants_the_very_same_representation(value: str, applies: bool) -> None:
    fields = [(b"if-range", value.encode())]
    assert range_applies(fields, etag=b'"a"', last_modified=NOW) is applies


def test_without_if_range_a_range_applies() -> None:
    assert range_applies([(b"range", b"bytes=0-1")], etag=None, last_modified=None)


def test_if_range_never_holds_for_a_weak_or_missing_validator() -> None:
    for value in (b'"a"', b'W/"a"', EXACT.encode()):
        assert not range_applies([(b"if-range", value)], etag=b'W/"a"', last_modified=None)
        assert not range_applies([(b"if-range", value)] * 2, etag=b'"a"', last_modified=NOW)


@pytest.mark.parametrize(
    "value",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ],
)
def test_the_three_forms_of_a_date_are_read(value: bytes) -> None:
    assert parse_date(value, this_year=2026) == NOW


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"sun, 06 nov 1994 08:49:37 GMT",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Feb 1994 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun Nov 06 08:49:37 1994 GMT",
        b" Sun, 06 Nov 1994 08:49:37 GMT",
        b"1994-11-06T08:49:37Z",
        b"784111777",
    ],
)
def test_what_is_not_a_date_is_none(value: bytes) -> None:
    assert parse_date(value) is None


def test_a_leap_second_is_a_date() -> None:
    assert parse_date(b"Sat, 31 Dec 2016 23:59:60 GMT") == calendar.timegm((2017, 1, 1, 0, 0, 0))


@pytest.mark.parametrize(("digits", "year"), [(b"26", 2026), (b"76", 2076), (b"77", 1977)])
def test_a_short_year_is_at_most_fifty_years_ahead(digits: bytes, year: int) -> None:
    parsed = parse_date(b"Sunday, 01-Jan-" + digits + b" 00:00:00 GMT", this_year=2026)
    assert parsed == calendar.timegm((year, 1, 1, 0, 0, 0))


@given(st.integers(0, 253402300799))
def test_every_second_survives_each_form(second: int) -> None:
    assert parse_date(formatdate(second, usegmt=True).encode()) == second
    assert parse_date(time.asctime(time.gmtime(second)).encode()) == second


@given(st.binary(max_size=40))
def test_no_field_makes_it_fail(junk: bytes) -> None:
    for name in (b"if-match", b"if-none-match", b"if-modified-since", b"if-range"):
        for value in (junk, b'"' + junk + b'", "a"'):
            fields = [(name, value)]
            evaluate("GET", fields, etag=b'"a"', last_modified=NOW)
            range_applies(fields, etag=b'"a"', last_modified=NOW)


@given(st.lists(st.from_regex(rb'(W/)?"[!#-~\x80-\xff]{0,5}"', fullmatch=True), max_size=6))
def test_if_none_match_finds_exactly_the_tags_of_its_list(tags: list[bytes]) -> None:
    fields = [(b"if-none-match", b" , ".join(tags))]
    listed = {tag.removeprefix(b"W/") for tag in tags}
    for etag in [*listed, b'"absent"']:
        expected = NOT_MODIFIED if etag in listed else PROCEED
        assert evaluate("GET", fields, etag=etag, last_modified=None) is expected
