"""Which build of Zonda is installed: compiled, or pure Python.

setup.py reads the rule of what is compiled from here, so that it stands once.
"""

import platform
import sys
from importlib.machinery import ExtensionFileLoader, PathFinder
from pathlib import Path

__all__ = ["HOT_MODULES", "compiled", "describe", "hot_sources"]


def hot_sources(package: Path) -> dict[str, Path]:
    """What a compiled build has as extensions: the full names of modules, each with its source.

    They are the Python files with a ``.pxd`` of the same name beside them (an ``__init__.pxd``
    only marks a package), and the ``.pyx`` files; these on Linux alone, since they
    stand on epoll.
    """
    augmented = [path.with_suffix(".py") for path in package.rglob("*.pxd")]
    sources = [path for path in augmented if path.stem != "__init__" and path.exists()]
    if sys.platform == "linux":
        sources += package.rglob("*.pyx")
    return {
        ".".join(source.relative_to(package.parent).with_suffix("").parts): source
        for source in sorted(sources)
    }


def _is_extension(module: str) -> bool:
    # Looked for by its path: to look for it by name would import its parents, and this module is
    # asked by `zonda --version`.
    *parents, name = module.split(".")[1:]
    spec = PathFinder.find_spec(name, [str(_PACKAGE.joinpath(*parents))])
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)


_PACKAGE = Path(__file__).parent

HOT_MODULES = tuple(hot_sources(_PACKAGE))
"""The modules of this install that are extensions if it is a compiled one, by their full names."""

_interpreted = [module for module in HOT_MODULES if not _is_extension(module)]

compiled: bool = bool(HOT_MODULES) and not _interpreted
"""Whether every one of the hot modules is an extension in this install."""


def describe() -> str:
    """The build and what it runs on, in one line for a person."""
    if compiled:
        build = "compiled"
    elif len(_interpreted) == len(HOT_MODULES):
        build = "pure Python"
    else:
        build = f"partly compiled, without {', '.join(_interpreted)}; reinstall it"
    implementation = platform.python_implementation()
    return f"{build}, {implementation} {platform.python_version()} on {platform.system()}"
