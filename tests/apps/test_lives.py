"""Applications of each framework from start to end, each test with a server of its own.

An application object is started once at a time, as everywhere; so these are apart from the tests
that share a running one.
"""

from pathlib import Path

import httpx
import pytest

from tests.apps.conftest import FRAMEWORKS, Framework
from tests.apps.evidence import VARIABLE

WITH_LIFESPAN = [framework for framework in FRAMEWORKS if framework.has_lifespan]
WITHOUT_LIFESPAN = [framework for framework in FRAMEWORKS if not framework.has_lifespan]


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_an_exception_is_a_500_and_is_logged_once(framework: Framework) -> None:
    with framework.live("process") as server:
        response = httpx.get(f"{server.url}/fail", params={"why": "to-be-found-in-the-log"})
        assert response.status_code == 500
        assert "to-be-found-in-the-log" not in response.text
        assert httpx.get(server.url).status_code == 200
    assert server.logs.count("RuntimeError: deliberate: to-be-found-in-the-log") == 1
    assert server.logs.count("Traceback (most recent call last)") == 1


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_a_client_that_leaves_is_no_error(framework: Framework) -> None:
    with framework.live("process") as server:
        with httpx.stream("GET", f"{server.url}/endless") as response:
            assert next(response.iter_raw()).startswith(b"still here\n")
        assert httpx.get(f"{server.url}/left", timeout=20).json() == {"left": True}
    assert "Traceback" not in server.logs
    assert "ERROR" not in server.logs
    # Its connection was closed then, so that nothing was left to wait for at the end.
    assert "did not end" not in server.logs


@pytest.mark.parametrize("place", ["process", "thread"])
@pytest.mark.parametrize("framework", WITH_LIFESPAN, ids=str)
def test_the_shutdown_of_the_application_runs_once(
    framework: Framework, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = tmp_path / "evidence"
    monkeypatch.setenv(VARIABLE, str(evidence))
    with framework.live(place) as server:
        assert httpx.get(server.url).status_code == 200
        assert not evidence.exists()
    assert evidence.read_text() == "shut down\n"


@pytest.mark.parametrize("framework", WITHOUT_LIFESPAN, ids=str)
def test_an_application_without_lifespan_starts_and_stops_in_silence(framework: Framework) -> None:
    with framework.live("process") as server:
        assert httpx.get(server.url).status_code == 200
    assert "Traceback" not in server.logs
    assert "lifespan" not in server.logs.lower()
