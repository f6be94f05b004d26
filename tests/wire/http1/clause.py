"""What a clause of an RFC is, and why some of them have nothing to test here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "grammar"]

CLIENT = "binds the client"
INTERMEDIARY = "binds intermediaries: this is an origin server"
APPLICATION = "binds the application: the server does not know the resource"
DOCUMENTS = "binds other documents"
CONNECTION = "kept by the connection, which drives the codec: see tests/server"
SWITCHING = "no protocol is switched to yet: the first one brings its tests"
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
