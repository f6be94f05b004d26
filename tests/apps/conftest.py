"""Which applications are driven, and where they run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from zonda.testing import LiveServer

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Framework:
    name: str
    target: str
    has_lifespan: bool = True


FRAMEWORKS = [
    Framework("fastapi", "tests.apps.fastapi_app:app"),
    Framework("starlette", "tests.apps.starlette_app:app"),
    Framework("litestar", "tests.apps.litestar_app:app"),
    Framework("quart", "tests.apps.quart_app:app"),
    Framework("django", "tests.apps.django_project.asgi:application", has_lifespan=False),
]
PLACES = ["process", "thread"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "apps: drives applications made with PyPI frameworks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("apps")


def start(framework: Framework, place: str) -> LiveServer:
    pytest.importorskip(framework.name, reason=f"{framework.name} is not installed")
    return LiveServer(framework.target, process=place == "process", app_dir=str(ROOT))


@pytest.fixture(scope="module", params=FRAMEWORKS, ids=lambda framework: framework.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    chosen: Framework = request.param
    return chosen


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest, framework: Framework) -> str:
    chosen: str = request.param
    if framework.name == "django" and chosen == "thread":
        pytest.skip("Django's settings belong to a whole process")
    return chosen


@pytest.fixture(scope="module")
def server(framework: Framework, place: str) -> Iterator[LiveServer]:
    """One server for all the tests of a framework that do not need it stopped."""
    with start(framework, place) as running:
        yield running


@pytest.fixture
def client(server: LiveServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as client:
        yield client
