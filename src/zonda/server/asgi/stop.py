"""How an operation ends with a value, as a coroutine does.

Raising StopIteration in a compiled function makes an exception, a traceback and a frame to put in
it: a tenth of a WebSocket message. ``stop_inline.pxd`` sets the exception and nothing else.
"""

from __future__ import annotations

__all__ = ["set_value"]


def set_value(value: object) -> None:
    """Raise StopIteration with ``value``; compiled, set it: the caller raises what is set."""
    raise StopIteration(value)
