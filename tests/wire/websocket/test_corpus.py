"""The inputs that fuzzing began with and those that it kept: what broke once stays mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.websocket import check_frames, check_handshake, check_mask

CORPUS = Path(__file__).parents[3] / "fuzz" / "corpus"


def inputs(target: str) -> list[Path]:
    found = sorted((CORPUS / target).iterdir())
    assert found, f"the corpus of {target} is empty"
    return found


@pytest.mark.parametrize("path", inputs("websocket_frames"), ids=lambda path: path.name)
def test_frames_of_the_corpus_hold(path: Path) -> None:
    check_frames(path.read_bytes())
    check_mask(path.read_bytes())


@pytest.mark.parametrize("path", inputs("websocket_handshake"), ids=lambda path: path.name)
def test_a_handshake_of_the_corpus_holds(path: Path) -> None:
    check_handshake(path.read_bytes())
