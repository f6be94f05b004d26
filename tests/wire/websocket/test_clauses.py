"""The tables of clauses are whole, and what they point at exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.clause import Clause, Tables
from tests.wire.websocket.divergences import DIVERGENCES
from tests.wire.websocket.rfc6455 import WEBSOCKET
from tests.wire.websocket.rfc7692 import PERMESSAGE_DEFLATE

CLAUSES = [*WEBSOCKET, *PERMESSAGE_DEFLATE]
TABLES = Tables(Path(__file__).parent, CLAUSES)

# What binds a server is kept, and shown: nobody else keeps it.
LEFT_TO_OTHERS = ("binds ", "kept by the TLS layer")


@pytest.fixture(scope="module")
def collected() -> set[tuple[Path, str]]:
    """Every test that pytest collects from the files that the clauses refer to."""
    return TABLES.collect()


def test_no_two_clauses_share_an_id() -> None:
    assert TABLES.repeated() == []


def test_every_known_divergence_follows_a_clause() -> None:
    clauses = {clause.id for clause in CLAUSES}
    assert [known.name for known in DIVERGENCES if known.clause not in clauses] == []


def test_what_binds_a_server_has_a_test() -> None:
    untested = [clause for clause in CLAUSES if not clause.tests]
    assert [c.id for c in untested if not c.reason.startswith(LEFT_TO_OTHERS)] == []


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
def test_every_clause_has_a_test_or_a_reason(
    clause: Clause, collected: set[tuple[Path, str]]
) -> None:
    TABLES.check(clause, collected)
