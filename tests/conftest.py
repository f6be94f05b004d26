"""What the whole suite shares: which build, reactor and task mode it runs on.

The matrix (``scripts/matrix.py``) says so by environment, a person by option. Both reach Zonda by
the environment, so that servers in child processes run the same way.
"""

import os
import platform
import sys
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

import hypothesis
import pytest

from zonda import _build

# Deadlines are timings, and a shared machine fails them. In CI the examples are the same each
# time, so that a change is judged by what it changes; chance belongs to fuzzing and to people.
hypothesis.settings.register_profile("suite", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("zonda")
    group.addoption(
        "--reactor",
        choices=["auto", "epoll", "asyncio"],
        default=os.environ.get("ZONDA_REACTOR", "auto"),
        help="the reactor that servers run on (default: ZONDA_REACTOR, or auto)",
    )
    group.addoption(
        "--eager-tasks",
        choices=["0", "1"],
        default=os.environ.get("ZONDA_EAGER_TASKS", "1"),
        help="whether applications start eagerly, where Python can (default: ZONDA_EAGER_TASKS)",
    )
    group.addoption(
        "--expect-build",
        choices=["compiled", "pure"],
        default=os.environ.get("ZONDA_EXPECT_BUILD"),
        help="refuse to run on the other build (default: ZONDA_EXPECT_BUILD)",
    )


def pytest_configure(config: pytest.Config) -> None:
    expected = config.getoption("--expect-build")
    if expected:
        complaints = _differences_from(expected)
        if complaints:
            raise pytest.UsageError(
                f"a {expected} build of Zonda was expected, and found is {_build.describe()}:\n"
                + "\n".join(complaints)
            )
    os.environ["ZONDA_REACTOR"] = str(config.getoption("--reactor"))
    os.environ["ZONDA_EAGER_TASKS"] = str(config.getoption("--eager-tasks"))


def _differences_from(expected: str) -> list[str]:
    """What is loaded otherwise than in the expected build, asked of the modules themselves."""
    complaints = []
    if _build.compiled != (expected == "compiled"):
        complaints.append(f"zonda._build.compiled is {_build.compiled}")
    for name in _build.HOT_MODULES:
        if find_spec(name) is None:
            if expected == "compiled":
                complaints.append(f"{name} is missing")
            continue
        file = import_module(name).__file__ or ""
        if file.endswith(tuple(EXTENSION_SUFFIXES)) != (expected == "compiled"):
            complaints.append(f"{name} is {file}")
    return complaints


def pytest_report_header(config: pytest.Config) -> str:
    eager = config.getoption("--eager-tasks") == "1"
    if sys.version_info < (3, 12):
        tasks = "not eager (this Python cannot)"
    else:
        tasks = "eager" if eager else "not eager"
    reactor = config.getoption("--reactor")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"zonda: {_build.describe()}; reactor {reactor}; tasks {tasks}; {python}"


@pytest.fixture(scope="session")
def reactor(pytestconfig: pytest.Config) -> str:
    """The reactor that this run is about: auto, epoll or asyncio."""
    return str(pytestconfig.getoption("--reactor"))


@pytest.fixture(scope="session")
def eager_tasks(pytestconfig: pytest.Config) -> bool:
    """Whether applications start eagerly in this run, where Python can."""
    return bool(pytestconfig.getoption("--eager-tasks") == "1")
