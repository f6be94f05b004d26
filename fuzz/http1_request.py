"""Coverage-guided fuzzing of the HTTP/1 request code: ``fuzz/run http1_request``."""

# pyright: reportMissingModuleSource=false, reportMissingImports=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import sys

import atheris

# What is imported in here reports which of its branches an input takes.
with atheris.instrument_imports(include=["zonda.wire"]):
    from fuzz.http1 import check_request

if __name__ == "__main__":
    atheris.Setup(sys.argv, check_request)
    atheris.Fuzz()
