"""Sec-WebSocket-Extensions and the terms of permessage-deflate (RFC 6455 9.1, RFC 7692 7.1)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from zonda.wire.websocket import (
    DeflateOptions,
    DeflateParameters,
    negotiate_deflate,
    parse_extensions,
)

WIDE = DeflateOptions(server_window_bits=15, client_window_bits=15)


def answer(*offers: str, options: DeflateOptions = WIDE) -> str | None:
    agreed = negotiate_deflate(parse_extensions([offer.encode() for offer in offers]), options)
    return agreed.field_value.decode() if agreed else None


# The grammar


def test_offers_are_read_in_order_over_several_lines() -> None:
    lines = [b"foo", b'bar; baz=2, , foo; a ; b="c";d = e', b""]
    assert parse_extensions(lines) == [
        ("foo", ()),
        ("bar", (("baz", "2"),)),
        ("foo", (("a", None), ("b", "c"), ("d", "e"))),
    ]
    assert parse_extensions([]) == parse_extensions([b" ,\t,"]) == []


def test_a_quoted_value_is_unescaped() -> None:
    assert parse_extensions([rb'a; b="1\5"']) == [("a", (("b", "15"),))]


@pytest.mark.parametrize(
    "text",
    [
        b";",
        b"; a",
        b"a;",
        b"a; =b",
        b"a; b=",
        b"a b",
        b"a; b c",
        b"a; b=c d",
        b"a/b",
        b'a; b="',
        b'a; b="c',
        b'a; b="c\\"',
        b'a; b=""',
        b'a; b="c d"',
        b'a; b="c,d"',
        b'a; b="c\\ d"',
        b'a; b="c"d',
        b"a; b=c=d",
        b"\xff",
        b"a=b",
        b"a; b=\x00",
    ],
)
def test_what_breaks_the_grammar_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"extension|quoted"):
        parse_extensions([text])


# The terms


def test_a_plain_offer_gets_a_plain_answer() -> None:
    assert answer("permessage-deflate") == "permessage-deflate"


def test_no_offer_gets_no_answer() -> None:
    assert answer() is None
    assert answer("x-webkit-deflate-frame, permessage-bzip2, Permessage-Deflate") is None


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        ("server_no_context_takeover", "server_no_context_takeover"),
        ("client_no_context_takeover", "client_no_context_takeover"),
        ("server_max_window_bits=15", "server_max_window_bits=15"),
        ("server_max_window_bits=9", "server_max_window_bits=9"),
        ('server_max_window_bits="10"', "server_max_window_bits=10"),
        ("client_max_window_bits", ""),
        ("client_max_window_bits=15", ""),
        ("client_max_window_bits=8", "client_max_window_bits=8"),
    ],
)
def test_each_parameter_has_its_answer(offer: str, expected: str) -> None:
    said = f"permessage-deflate; {expected}" if expected else "permessage-deflate"
    assert answer(f"permessage-deflate; {offer}") == said


@pytest.mark.parametrize(
    "offer",
    [
        "unknown",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=1e1",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=08",
        "client_max_window_bits=-9",
        "client_max_window_bits; client_max_window_bits",
        "Server_no_context_takeover",
    ],
)
def test_an_impossible_offer_is_declined(offer: str) -> None:
    assert answer(f"permessage-deflate; {offer}") is None


def test_a_window_that_zlib_cannot_deflate_with_is_declined() -> None:
    assert answer("permessage-deflate; server_max_window_bits=8") is None


def test_the_first_offer_that_can_be_accepted_is() -> None:
    first = "permessage-deflate; server_max_window_bits=8"
    second = "permessage-deflate; server_max_window_bits=11"
    assert answer(f"{first}, {second}", "permessage-deflate") == second
    assert answer("foo", first, "permessage-deflate") == "permessage-deflate"


def test_what_the_client_leaves_open_is_ours_to_say() -> None:
    options = DeflateOptions(
        server_window_bits=10, client_window_bits=11, server_takeover=False, client_takeover=False
    )
    takeover = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    assert answer("permessage-deflate", options=options) == f"{takeover}; server_max_window_bits=10"
    offer = "permessage-deflate; client_max_window_bits; server_max_window_bits=9"
    windows = "server_max_window_bits=9; client_max_window_bits=11"
    assert answer(offer, options=options) == f"{takeover}; {windows}"


def test_a_window_of_the_client_is_never_named_unasked() -> None:
    options = replace(WIDE, client_window_bits=9)
    assert answer("permessage-deflate", options=options) == "permessage-deflate"


def test_every_answer_is_within_its_offer() -> None:
    for server, client, ours in product([None, *range(9, 16)], [None, *range(8, 16)], (9, 12, 15)):
        offer = "permessage-deflate"
        offer += f"; server_max_window_bits={server}" if server else ""
        offer += f"; client_max_window_bits={client}" if client else ""
        options = replace(WIDE, server_window_bits=ours, client_window_bits=ours)
        agreed = negotiate_deflate(parse_extensions([offer.encode()]), options)
        assert agreed is not None
        assert (agreed.server_max_window_bits or 15) <= min(server or 15, ours)
        assert (agreed.client_max_window_bits or 15) <= (min(client, ours) if client else 15)
        assert server is None or agreed.server_max_window_bits is not None
        assert client is not None or agreed.client_max_window_bits is None


@pytest.mark.parametrize("bits", [7, 8, 16])
def test_options_are_checked(bits: int) -> None:
    with pytest.raises(ValueError, match="server_window_bits"):
        DeflateOptions(server_window_bits=bits)
    if bits != 8:
        with pytest.raises(ValueError, match="client_window_bits"):
            DeflateOptions(client_window_bits=bits)


def test_nothing_was_agreed_means_the_widest_window() -> None:
    assert DeflateParameters().field_value == b"permessage-deflate"
