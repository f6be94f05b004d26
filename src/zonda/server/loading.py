"""Import an application by its name, with errors that say what to do.

A target is `package.module:attribute`, where the attribute may have dots and defaults to `app`.
What goes wrong on the way raises `LoadError` with one line: a reason and a hint. Where the
application's own code is at fault its traceback is kept, without the frames that are ours.
"""

import dataclasses
import importlib
import inspect
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, cast

from zonda.asgi.asgi2 import single_callable
from zonda.asgi.types import ASGI2App, ASGIApp, WSGIApp
from zonda.server import values

__all__ = [
    "LoadError",
    "WSGIApplication",
    "check_application",
    "load_application",
    "load_environment",
]

_DEFAULT_ATTRIBUTE = "app"
_USUAL_ATTRIBUTES = ("app", "application", "asgi", "api", "create_app", "make_app")
_USUAL_FOLDERS = ("src", "app", "backend")
_IMPORTLIB = importlib.__file__


_FACTORY = "takes no arguments; if it returns the application, add --factory"


@dataclasses.dataclass(frozen=True, slots=True)
class WSGIApplication:
    """Says of an application that it is to be called as WSGI has it."""

    app: WSGIApp


class LoadError(Exception):
    """The application cannot be had. The message is one line: what, why, and what to do.

    If its own code raised, `__cause__` is that error, and its traceback begins in that code.
    """


def load_application(
    target: str, *, factory: bool = False, app_dir: str = ".", interface: str = "auto"
) -> ASGIApp | WSGIApplication:
    """Import the application that `target` names; see `Settings` for the other arguments."""
    module_name, _, path = target.partition(":")
    path = path or _DEFAULT_ATTRIBUTE
    _refuse_what_is_no_module(target, module_name, path)
    _search_first(app_dir)
    found = _find_attribute(_import(module_name, app_dir), module_name, path)
    if factory:
        found = _call_factory(found, target)
    return check_application(found, name=target, interface=interface)


def check_application(
    app: object, *, name: str = "", interface: str = "auto"
) -> ASGIApp | WSGIApplication:
    """Return `app` as the server calls it; raise `LoadError` if it is no application.

    An ASGI 3 application comes back as it is, an ASGI 2 one as ASGI 3, a WSGI one as
    `WSGIApplication`. With the interface `auto` its parameters tell which it is; with another any
    callable is believed to be of that kind.
    """
    name = name or type(app).__name__
    if not callable(app):
        raise LoadError(
            f"{name} is a {type(app).__name__}, which cannot be called; "
            "name the application, or a function that returns one together with --factory"
        )
    if interface == "auto":
        interface, advice = _kind_of(app)
        if advice is not None:
            raise LoadError(f"{name} {advice}")
    if interface == "wsgi":
        return WSGIApplication(cast("WSGIApp", app))
    if interface == "asgi2":
        return single_callable(cast("ASGI2App", app))
    return cast("ASGIApp", app)


def load_environment(path: str) -> None:
    """Set the environment variables that a file lists; those that are set already stay.

    Raises `LoadError` if the file cannot be read or python-dotenv is missing.
    """
    try:
        dotenv = importlib.import_module("dotenv")
    except ImportError:
        raise LoadError("--env-file needs python-dotenv: pip install python-dotenv") from None
    try:
        dotenv.load_dotenv(Path(path).resolve(strict=True))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LoadError(f"Cannot read --env-file {path}: {reason}") from None


def _refuse_what_is_no_module(target: str, module_name: str, attribute: str) -> None:
    """Someone typed a file where a module is wanted, or nothing."""
    stem = module_name.removesuffix(".py")
    if stem != module_name or "/" in module_name or os.sep in module_name:
        folder, name = os.path.split(stem)
        option = f" with --app-dir {folder}" if folder else ""
        raise LoadError(
            f"{target!r} is a path, not a module; did you mean {name}:{attribute}{option}?"
        )
    if not all(module_name.split(".")):
        raise LoadError(f"{target!r} names no module; write MODULE:ATTRIBUTE, such as app:app")


def _search_first(app_dir: str) -> None:
    folder = os.path.abspath(app_dir)  # noqa: PTH100 (sys.path holds text)
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)


def _import(name: str, app_dir: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            hint = _module_hint(missing, app_dir)
            raise LoadError(f"There is no module {missing!r}{hint}") from None
        raise _failed(f"Importing {name!r} failed", error) from error
    except (Exception, SystemExit) as error:
        raise _failed(f"Importing {name!r} failed", error) from error


def _find_attribute(module: ModuleType, module_name: str, path: str) -> object:
    found: object = module
    reached = module_name
    separator = ":"
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            near = _attribute_hint(found, part)
            hint = f"; did you mean {reached}{separator}{near}?" if near else ""
            what = f"Module {reached!r}" if found is module else repr(reached)
            raise LoadError(f"{what} has no attribute {part!r}{hint}") from None
        reached += separator + part
        separator = "."
    return found


def _call_factory(factory: object, target: str) -> object:
    if not callable(factory):
        raise LoadError(f"{target} cannot be called, so it is no factory; leave out --factory")
    try:
        app: object = factory()
    except (Exception, SystemExit) as error:
        if isinstance(error, TypeError) and _parameters(factory, 0) is False:
            raise LoadError(
                f"{target} cannot be called without arguments, so it is no factory; "
                "if it is the application itself, leave out --factory"
            ) from None
        raise _failed(f"The factory {target} failed", error) from error
    if inspect.iscoroutine(app):
        app.close()
        raise LoadError(f"The factory {target} is async; make it a plain function")
    return app


def _kind_of(app: Any) -> tuple[str, str | None]:  # noqa: ANN401 (that is the question)
    """The interface of an application; or what is wrong with it, and what to do."""
    if inspect.isclass(app):
        return _kind_of_class(app)
    if _parameters(app, 3) is not False:
        return "asgi3", None
    if _is_async(app):
        return "", "is an async function, but does not take (scope, receive, send)"
    for count, kind in ((2, "wsgi"), (0, ""), (1, "asgi2")):
        if _parameters(app, count):
            return kind, None if kind else _FACTORY
    return "", "takes neither (scope, receive, send) nor (environ, start_response)"


def _kind_of_class(app: type[object]) -> tuple[str, str | None]:
    if hasattr(app, "__await__"):  # made with (scope, receive, send), and then awaited
        return "asgi3", None
    if hasattr(app, "__iter__") and _parameters(app, 2):  # made with (environ, start_response)
        return "wsgi", None
    if _parameters(app, 1) and not _parameters(app, 0):
        return "asgi2", None
    return "", "is a class; name an instance of it, or add --factory to have one made"


def _parameters(function: Any, count: int) -> bool | None:  # noqa: ANN401 (any callable)
    """Whether `function` can be called with `count` positional arguments; None if unknown."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None  # compiled code need not tell
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _is_async(app: Any) -> bool:  # noqa: ANN401 (any callable)
    # What calling an instance runs is its class's method.
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__)


def _module_hint(missing: str, app_dir: str) -> str:
    """What to try when there is no module of this name."""
    parent = missing.rpartition(".")[0]
    if parent:
        return f"; {parent!r} was found, but has no module of that name"
    here = Path(app_dir)
    near = values.nearest(missing, _modules_in(here))
    if near is not None:
        return f" in {here.resolve()}; did you mean {near!r}?"
    for folder in (here / name for name in _USUAL_FOLDERS):
        if missing in _modules_in(folder):
            return f" in {here.resolve()}; it is in {folder}: add --app-dir {folder}"
    return f"; it was looked for in {here.resolve()} (--app-dir) and among the installed packages"


def _modules_in(folder: Path) -> list[str]:
    try:
        entries = list(folder.iterdir())
    except OSError:
        return []
    return [
        entry.stem
        for entry in entries
        if entry.suffix == ".py" or (entry.is_dir() and (entry / "__init__.py").exists())
    ]


def _attribute_hint(owner: object, missing: str) -> str | None:
    """The attribute that was probably meant: one spelt alike, else one that often is an app."""
    names = [name for name in dir(owner) if not name.startswith("_")]
    near = values.nearest(missing, names)
    return near or next((name for name in _USUAL_ATTRIBUTES if name in names), None)


def _failed(what: str, error: BaseException) -> LoadError:
    """The error to raise for one in the application's own code; it says where that was."""
    lines = str(error).strip().splitlines()
    text = ": ".join([type(error).__name__, *lines[:1]])
    error.__traceback__ = _without_our_frames(error.__traceback__)
    frames = traceback.extract_tb(error.__traceback__)
    # A syntax error names its place itself.
    if frames and not isinstance(error, SyntaxError):
        text += f" ({frames[-1].filename}, line {frames[-1].lineno})"
    return LoadError(f"{what}: {text}")


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in the application's code."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file != __file__ and not file.startswith("<frozen importlib") and file != _IMPORTLIB:
            break
        trace = trace.tb_next
    return trace
