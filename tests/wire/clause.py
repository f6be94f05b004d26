"""What a clause of an RFC is, why some have nothing to test here, and how tables are checked."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent

Level = Literal["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "grammar"]

CLIENT = "binds the client"
INTERMEDIARY = "binds intermediaries: this is an origin server"
APPLICATION = "binds the application: the server does not know the resource"
DOCUMENTS = "binds other documents"
CONNECTION = "kept by the connection, which drives the codec: see tests/server"
TLS = "kept by the TLS layer under the connection"


@dataclass(frozen=True, slots=True)
class Clause:
    """One requirement."""

    id: str
    """The document and section, and a word."""
    level: Level
    text: str
    tests: tuple[str, ...] = ()
    """``file::test`` beside this file, or below ``tests/`` when the file has a folder."""
    reason: str = ""

    @property
    def section(self) -> str:
        """The document and section: ``9112-3.2``."""
        document, number, _ = self.id.split("-", 2)
        return f"{document}-{number}"


class Tables:
    """Tables of clauses, whose references are relative to ``folder``."""

    def __init__(self, folder: Path, clauses: Iterable[Clause]) -> None:
        self.folder = folder
        self.clauses = list(clauses)

    def location(self, reference: str) -> tuple[Path, str]:
        """The file and the name of a test that a clause refers to."""
        file, _, name = reference.partition("::")
        return (TESTS if "/" in file else self.folder) / file, name

    def collect(self) -> set[tuple[Path, str]]:
        """Every test that pytest collects from the files that the clauses refer to."""
        references = [reference for clause in self.clauses for reference in clause.tests]
        files = {self.location(reference)[0] for reference in references}
        assert {file for file in files if not file.exists()} == set()
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
        answer = subprocess.run(
            [*command, *map(str, files)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        lines = (line.partition("::") for line in answer.stdout.splitlines())
        return {(ROOT / file, rest.partition("[")[0]) for file, found, rest in lines if found}

    def repeated(self) -> list[str]:
        """Ids that more than one clause has."""
        counted = Counter(clause.id for clause in self.clauses)
        return [id_ for id_, count in counted.items() if count > 1]

    def check(self, clause: Clause, collected: set[tuple[Path, str]]) -> None:
        """A clause says something, and has tests, which exist, or a reason to have none."""
        assert clause.text
        assert clause.tests or clause.reason
        missing = [each for each in clause.tests if self.location(each) not in collected]
        assert missing == []
