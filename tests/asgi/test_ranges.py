import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonda.asgi.ranges import MAX_RANGES, ByteRange, RangeNotSatisfiableError, parse_range


def spans(value: bytes, size: int = 1000) -> list[tuple[int, int]]:
    return [(found.start, found.stop) for found in parse_range(value, size)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-499", [(0, 500)]),
        (b"bytes=500-999", [(500, 1000)]),
        (b"bytes=500-", [(500, 1000)]),
        (b"bytes=-100", [(900, 1000)]),
        (b"bytes=0-0", [(0, 1)]),
        (b"bytes=999-999", [(999, 1000)]),
    ],
)
def test_one_range_is_understood(value: bytes, expected: list[tuple[int, int]]) -> None:
    assert spans(value) == expected


@pytest.mark.parametrize(
    "value", [b"bytes=900-1000", b"bytes=900-99999", b"bytes=900-" + b"9" * 99]
)
def test_an_end_behind_the_file_is_cut(value: bytes) -> None:
    assert spans(value) == [(900, 1000)]


@pytest.mark.parametrize("value", [b"bytes=-1001", b"bytes=-" + b"9" * 5000])
def test_a_suffix_longer_than_the_file_is_all_of_it(value: bytes) -> None:
    assert spans(value) == [(0, 1000)]


def test_leading_zeros_count_for_nothing() -> None:
    assert spans(b"bytes=" + b"0" * 5000 + b"1-2") == [(1, 3)]


@pytest.mark.parametrize("value", [b"Bytes=1-2", b"BYTES=1-2"])
def test_the_name_of_the_unit_is_case_insensitive(value: bytes) -> None:
    assert spans(value) == [(1, 3)]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes=,",
        b"bytes=-",
        b"bytes=a-b",
        b"bytes=1",
        b"bytes=5-4",
        b"bytes=+1-2",
        b"bytes=1--2",
        b"bytes=--1",
        b"bytes=1-2-3",
        b"bytes=0x1-2",
        b"bytes=1 -2",
        b"bytes =1-2",
        b"bytes: 1-2",
        "bytes=\u0661-\u0662".encode(),
        b"lines=1-2",
        b"bytes=1-2, 9-8",
        b"bytes=1-2; 3-4",
    ],
)
def test_a_malformed_or_foreign_range_is_ignored(value: bytes) -> None:
    assert spans(value) == []


@pytest.mark.parametrize(
    "value", [b"bytes=1000-", b"bytes=1000-2000", b"bytes=-0", b"bytes=-0,5000-"]
)
def test_a_range_without_any_byte_of_the_file_is_not_satisfiable(value: bytes) -> None:
    with pytest.raises(RangeNotSatisfiableError) as caught:
        parse_range(value, 1000)
    assert caught.value.unsatisfied(1000) == b"bytes */1000"


@pytest.mark.parametrize("value", [b"bytes=0-", b"bytes=5-9", b"bytes=-5", b"bytes=-0"])
def test_an_empty_file_has_no_ranges(value: bytes) -> None:
    assert spans(value, size=0) == []


def test_several_ranges_keep_the_order_they_were_asked_in() -> None:
    assert spans(b"bytes=800-809, 0-9 ,\t400-409") == [(800, 810), (0, 10), (400, 410)]


def test_empty_elements_of_the_list_are_skipped() -> None:
    assert spans(b"bytes=, 0-9,, ,500-509,") == [(0, 10), (500, 510)]


def test_what_is_not_satisfiable_is_left_out_of_several() -> None:
    assert spans(b"bytes=0-9,5000-,500-509") == [(0, 10), (500, 510)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-99,50-149", [(0, 150)]),
        (b"bytes=0-99,100-199", [(0, 200)]),
        (b"bytes=0-99,110-199", [(0, 200)]),
        (b"bytes=0-9,500-509,5-20", [(0, 21), (500, 510)]),
        (b"bytes=500-509,0-9,0-999", [(0, 1000)]),
    ],
)
def test_ranges_that_overlap_or_nearly_touch_become_one(
    value: bytes, expected: list[tuple[int, int]]
) -> None:
    assert spans(value) == expected


def test_too_many_ranges_are_ignored() -> None:
    allowed = b",".join(b"%d-%d" % (n * 1000, n * 1000) for n in range(MAX_RANGES))
    assert len(spans(b"bytes=" + allowed, size=100_000)) == MAX_RANGES
    assert spans(b"bytes=" + allowed + b",99999-", size=100_000) == []
    assert spans(b"bytes=0-1" + b"," * 10_000, size=100_000) == []


def test_content_range_names_the_last_byte() -> None:
    assert ByteRange(0, 500).content_range(1234) == b"bytes 0-499/1234"


numbers = st.integers(0, 2000)
specs = st.one_of(
    st.builds(lambda a, b: f"{min(a, b)}-{max(a, b)}", numbers, numbers),
    st.builds(lambda a: f"{a}-", numbers),
    st.builds(lambda a: f"-{a}", numbers),
)


def asked_bytes(spec: str, size: int) -> set[int]:
    first, _, last = spec.partition("-")
    if not first:
        return set(range(max(size - int(last), 0), size))
    return set(range(int(first), min(int(last) + 1, size) if last else size))


@given(st.lists(specs, min_size=1, max_size=MAX_RANGES), st.integers(1, 1500))
def test_every_byte_asked_for_is_sent_once_and_few_others(asked: list[str], size: int) -> None:
    wanted: set[int] = set().union(*(asked_bytes(spec, size) for spec in asked))
    try:
        found = parse_range(("bytes=" + ",".join(asked)).encode(), size)
    except RangeNotSatisfiableError:
        assert not wanted
        return
    sent = [position for one in found for position in range(one.start, one.stop)]
    assert len(sent) == len(set(sent))
    assert wanted <= set(sent) <= set(range(size))
    assert all(one.start in wanted and one.stop - 1 in wanted for one in found)


@given(st.binary(max_size=60), st.integers(0, 50))
def test_no_field_makes_it_fail(junk: bytes, size: int) -> None:
    for value in (junk, b"bytes=" + junk):
        try:
            found = parse_range(value, size)
        except RangeNotSatisfiableError:
            continue
        assert all(0 <= one.start < one.stop <= size for one in found)


@given(st.text("0123456789-, \t", max_size=40), st.integers(1, 50))
def test_no_set_of_numbers_makes_it_fail(junk: str, size: int) -> None:
    try:
        found = parse_range(b"bytes=" + junk.encode(), size)
    except RangeNotSatisfiableError:
        return
    assert all(0 <= one.start < one.stop <= size for one in found)
