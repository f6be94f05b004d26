"""The inputs that fuzzing began with and those that it kept: what broke once stays mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.http1 import check_request, check_response

CORPUS = Path(__file__).parents[3] / "fuzz" / "corpus"


def inputs(target: str) -> list[Path]:
    found = sorted((CORPUS / target).iterdir())
    assert found, f"the corpus of {target} is empty"
    return found


@pytest.mark.parametrize("path", inputs("http1_request"), ids=lambda path: path.name)
def test_a_request_of_the_corpus_holds(path: Path) -> None:
    check_request(path.read_bytes())


@pytest.mark.parametrize("path", inputs("http1_response"), ids=lambda path: path.name)
def test_a_response_of_the_corpus_holds(path: Path) -> None:
    check_response(path.read_bytes())
