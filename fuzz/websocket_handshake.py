"""Coverage-guided fuzzing of the WebSocket handshake code: ``fuzz/run websocket_handshake``."""

# pyright: reportMissingModuleSource=false, reportMissingImports=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import sys

import atheris

# What is imported in here reports which of its branches an input takes.
with atheris.instrument_imports(include=["zonda.wire"]):
    from fuzz.websocket import check_handshake

if __name__ == "__main__":
    atheris.Setup(sys.argv, check_handshake)
    atheris.Fuzz()
