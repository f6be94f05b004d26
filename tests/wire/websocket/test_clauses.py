"""The tables of clauses are whole, and what they point at exists."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.wire.http1.clause import Clause
from tests.wire.websocket.divergences import DIVERGENCES
from tests.wire.websocket.rfc6455 import WEBSOCKET
from tests.wire.websocket.rfc7692 import PERMESSAGE_DEFLATE

CLAUSES = [*WEBSOCKET, *PERMESSAGE_DEFLATE]

HERE = Path(__file__).parent
TESTS = HERE.parents[1]
ROOT = TESTS.parent


def location(reference: str) -> tuple[Path, str]:
    """The file and the name of a test that a clause refers to."""
    file, _, name = reference.partition("::")
    return (TESTS / file if "/" in file else HERE / file), name


@pytest.fixture(scope="module")
def collected() -> set[tuple[Path, str]]:
    """Every test that pytest collects from the files that the clauses refer to."""
    files = {location(reference)[0] for clause in CLAUSES for reference in clause.tests}
    assert {file for file in files if not file.exists()} == set()
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    answer = subprocess.run(
        [*command, *map(str, files)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    lines = (line.partition("::") for line in answer.stdout.splitlines())
    return {(ROOT / file, rest.partition("[")[0]) for file, found, rest in lines if found}


def test_no_two_clauses_share_an_id() -> None:
    assert [id_ for id_, count in Counter(c.id for c in CLAUSES).items() if count > 1] == []


def test_every_known_divergence_follows_a_clause() -> None:
    clauses = {clause.id for clause in CLAUSES}
    assert [known.name for known in DIVERGENCES if known.clause not in clauses] == []


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
def test_every_clause_has_a_test_or_a_reason(
    clause: Clause, collected: set[tuple[Path, str]]
) -> None:
    assert clause.text
    assert clause.tests or clause.reason
    missing = [reference for reference in clause.tests if location(reference) not in collected]
    assert missing == []
