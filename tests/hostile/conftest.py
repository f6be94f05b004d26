"""What the scenarios need of the system."""

import resource

import pytest

NEEDED = 8192


@pytest.fixture(scope="session", autouse=True)
def descriptors() -> None:
    """Enough descriptors for attackers and, inherited, for the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < NEEDED:
        pytest.skip(f"needs {NEEDED} descriptors: raise the hard limit (ulimit -Hn), now {hard}")
    if soft != resource.RLIM_INFINITY and soft < NEEDED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (NEEDED, hard))
