"""Coverage-guided fuzzing of the WebSocket frame code: ``fuzz/run websocket_frames``."""

# pyright: reportMissingModuleSource=false, reportMissingImports=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import sys

import atheris

# What is imported in here reports which of its branches an input takes.
with atheris.instrument_imports(include=["zonda.wire"]):
    from fuzz.websocket import check_frames

if __name__ == "__main__":
    atheris.Setup(sys.argv, check_frames)
    atheris.Fuzz()
