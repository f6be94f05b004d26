"""Which applications are driven, and where they run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.server.tls_client import Certificates, certificates
from zonda.testing import LiveServer

__all__ = ["certificates"]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Framework:
    name: str
    target: str
    has_lifespan: bool = True
    runs_in_thread: bool = True
    is_wsgi: bool = False

    def __str__(self) -> str:
        return f"{self.name}-wsgi" if self.is_wsgi else self.name

    def live(self, place: str, **settings: Any) -> LiveServer:  # noqa: ANN401 (see Settings)
        """A server for its application, in a "process" or a "thread"."""
        pytest.importorskip(self.name, reason=f"{self.name} is not installed")
        threads = 24 if self.is_wsgi else 0  # twenty requests meet
        return LiveServer(
            self.target,
            process=place == "process",
            app_dir=str(ROOT),
            threads=threads,
            **settings,
        )


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
    Framework("flask", "tests.apps.flask_app:app", has_lifespan=False, is_wsgi=True),
    Framework(
        "django",
        "tests.apps.django_project.wsgi:application",
        has_lifespan=False,
        runs_in_thread=False,
        is_wsgi=True,
    ),
]


SCHEMES = ["http", "https"]


def settings_of(scheme: str, certificates: Certificates) -> dict[str, Any]:
    """What makes a server speak a scheme."""
    return certificates.settings if scheme == "https" else {}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "apps: drives applications made with PyPI frameworks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("apps")
