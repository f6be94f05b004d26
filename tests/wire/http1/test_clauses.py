"""The table of clauses is whole, and what it points at exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.clause import Clause, Tables
from tests.wire.http1.clauses import CLAUSES
from tests.wire.http1.rfc9112 import HTTP_1_1, SECTIONS_OF_9112

TABLES = Tables(Path(__file__).parent, CLAUSES)


@pytest.fixture(scope="module")
def collected() -> set[tuple[Path, str]]:
    """Every test that pytest collects from the files that the clauses refer to."""
    return TABLES.collect()


def test_no_two_clauses_share_an_id() -> None:
    assert TABLES.repeated() == []


@pytest.mark.parametrize("section", SECTIONS_OF_9112)
def test_every_must_of_rfc_9112_is_in_the_table(section: str) -> None:
    found = [
        clause.id
        for clause in HTTP_1_1
        if clause.section == f"9112-{section}" and clause.level in ("MUST", "MUST NOT")
    ]
    assert len(found) == SECTIONS_OF_9112[section], found


def test_every_clause_stands_in_a_section() -> None:
    unknown = [c.id for c in HTTP_1_1 if c.section.partition("-")[2] not in SECTIONS_OF_9112]
    assert unknown == []


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
def test_every_clause_has_a_test_or_a_reason(
    clause: Clause, collected: set[tuple[Path, str]]
) -> None:
    TABLES.check(clause, collected)
