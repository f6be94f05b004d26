"""What the applications leave behind for the tests to find."""

import os
from pathlib import Path

VARIABLE = "ZONDA_TEST_EVIDENCE"


def note_shutdown() -> None:
    """Write that the application's shutdown ran, in the file that the test has named."""
    if VARIABLE in os.environ:
        with Path(os.environ[VARIABLE]).open("a") as file:
            file.write("shut down\n")
