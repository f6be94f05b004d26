"""Applications of each framework, unmodified, over the wire.

They all serve the same paths, each written the way of its framework. Where a test needs something
to have happened in the application, it asks for a path that answers when it has.
"""

import asyncio
import hashlib
import os
from collections.abc import Iterator

import httpx
import pytest

from tests.apps.conftest import FRAMEWORKS, SCHEMES, Framework, settings_of
from tests.server.tls_client import Certificates
from zonda.testing import LiveServer

Place = tuple[Framework, str, str]

PLACES = [(framework, "process", scheme) for framework in FRAMEWORKS for scheme in SCHEMES]
PLACES += [(framework, "thread", "http") for framework in FRAMEWORKS if framework.runs_in_thread]


@pytest.fixture(scope="module", params=PLACES, ids=lambda param: "-".join(map(str, param)))
def place(request: pytest.FixtureRequest) -> Place:
    chosen: Place = request.param
    return chosen


@pytest.fixture(scope="module")
def framework(place: Place) -> Framework:
    return place[0]


@pytest.fixture(scope="module")
def server(place: Place, certificates: Certificates) -> Iterator[LiveServer]:
    """One server for all the tests of an application."""
    framework, where, scheme = place
    with framework.live(where, **settings_of(scheme, certificates)) as running:
        yield running


@pytest.fixture
def client(server: LiveServer, certificates: Certificates) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20, verify=certificates.client()) as client:
        yield client


def test_what_start_up_prepared_is_there(client: httpx.Client, framework: Framework) -> None:
    expected = {
        "framework": framework.name,
        "started": "by lifespan" if framework.has_lifespan else None,
    }
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")
    assert response.json() == expected


def test_path_and_query_parameters_arrive(client: httpx.Client) -> None:
    params = {"q": "caf\u00e9 & more", "tag": ["a", "b/c"]}
    response = client.get("/items/7", params=params)
    assert response.json() == {"id": 7, "q": "caf\u00e9 & more", "tags": ["a", "b/c"]}


def test_json_goes_both_ways(client: httpx.Client) -> None:
    item = {"name": "caf\u00e9", "price": 2.5}
    response = client.post("/items", json=item)
    assert response.status_code == 201
    assert response.json() == item


def test_an_unknown_path_is_not_found(client: httpx.Client) -> None:
    assert client.get("/nothing/here").status_code == 404


def test_head_has_the_fields_of_get_and_no_content(client: httpx.Client) -> None:
    response = client.head("/")
    # Some frameworks answer HEAD on their own, some do not; none may send content.
    assert response.status_code in (200, 405)
    assert response.content == b""
    assert client.get("/").status_code == 200


def test_an_upload_arrives_whole(client: httpx.Client) -> None:
    content = os.urandom(3 * 1024 * 1024 + 17)
    response = client.post(
        "/upload",
        data={"note": "caf\u00e9"},
        files={"file": ("data.bin", content, "application/octet-stream")},
    )
    assert response.status_code == 200, response.text
    assert response.json() == {
        "note": "caf\u00e9",
        "filename": "data.bin",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_a_streamed_response_arrives_as_it_is_made(client: httpx.Client) -> None:
    with client.stream("GET", "/stream") as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"first\n"
        # The application makes the second chunk only after this, which proves that the first one
        # was not held back for it.
        assert client.post("/release").status_code == 204
        assert b"".join(chunks) == b"second\n"


def test_the_application_notices_a_client_that_leaves(client: httpx.Client) -> None:
    with client.stream("GET", "/endless") as response:
        assert next(response.iter_raw()).startswith(b"still here\n")
    assert client.get("/left").json() == {"left": True}


def test_requests_run_concurrently(server: LiveServer, certificates: Certificates) -> None:
    context = certificates.client()

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, timeout=20, verify=context) as client:
            return await asyncio.gather(*(client.get("/meet") for _ in range(20)))

    assert [response.json() for response in asyncio.run(all_at_once())] == [{"met": 20}] * 20
