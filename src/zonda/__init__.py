"""Zonda: a fast, strict ASGI server for Python.

The names below are imported when they are first used, so that ``import zonda`` costs next to
nothing and a program that uses one part does not load the others.
"""

__version__ = "0.1.0.dev0"

__all__ = ["Server", "Settings", "__version__", "serve"]

# Spelt out rather than imported from typing: type checkers know the name, and typing is the kind
# of import that this module is here to avoid.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from zonda.server.server import Server, serve
    from zonda.server.settings import Settings

_HOMES = {
    "Server": "zonda.server.server",
    "Settings": "zonda.server.settings",
    "serve": "zonda.server.server",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
