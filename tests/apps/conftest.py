"""Which applications are driven, and where they run."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from zonda.testing import LiveServer

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Framework:
    name: str
    target: str
    has_lifespan: bool = True
    runs_in_thread: bool = True

    def __str__(self) -> str:
        return self.name

    def live(self, place: str) -> LiveServer:
        """A server for its application, in a "process" or a "thread"."""
        pytest.importorskip(self.name, reason=f"{self.name} is not installed")
        return LiveServer(self.target, process=place == "process", app_dir=str(ROOT))


FRAMEWORKS = [
    Framework("fastapi", "tests.apps.fastapi_app:app"),
    Framework("starlette", "tests.apps.starlette_app:app"),
    Framework("litestar", "tests.apps.litestar_app:app"),
    Framework("quart", "tests.apps.quart_app:app"),
    Framework(
        "django",
        "tests.apps.django_project.asgi:application",
        has_lifespan=False,
        # Its settings belong to a whole process, and this one is not only its own.
        runs_in_thread=False,
    ),
]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "apps: drives applications made with PyPI frameworks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("apps")
