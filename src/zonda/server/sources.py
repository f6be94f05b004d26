"""Where settings come from: flags, environment, a file, defaults; and which of them each came from.

    flags        what the command line gives
    environment  ZONDA_PORT, ZONDA_LIMIT_REQUEST_BODY, … and ZONDA_TARGET; for the number of workers
                 also WEB_CONCURRENCY, which platforms set
    file         zonda.toml, or [tool.zonda] in pyproject.toml: the first there is in the working
                 directory, then in --app-dir; or the one that --config or ZONDA_CONFIG names
    defaults     those of `Settings`

The first that has a value wins, setting by setting. Nothing here runs unless it is asked for:
`Settings(...)` itself looks at no file, and `zonda.serve` takes what it is given.

Addresses are one choice although they are five settings: a source that names `bind`, `uds` or `fd`
takes the place of a `host` and `port` further down, and the reverse.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from zonda.server import values
from zonda.server.settings import Setting, Settings, SettingsError, all_settings

__all__ = ["Gathered", "SourceError", "gather"]

FILE_NAME = "zonda.toml"
PROJECT_FILE_NAME = "pyproject.toml"
DEFAULT = "default"
"""The origin of a value that nobody has given."""

_PREFIX = "ZONDA_"
_CONFIG_VARIABLE = "ZONDA_CONFIG"
_TARGET_VARIABLE = "ZONDA_TARGET"
_WORKERS_VARIABLE = "WEB_CONCURRENCY"
# Variables of ours that are no settings: they are about building and testing.
_NOT_SETTINGS = frozenset(
    {
        _CONFIG_VARIABLE,
        _TARGET_VARIABLE,
        "ZONDA_EXPECT_BUILD",
        "ZONDA_HANDOVER",
        "ZONDA_PURE_PYTHON",
        "ZONDA_REQUIRE_EXTENSIONS",
        "ZONDA_SANITIZE",
    }
)
# Kubernetes gives each pod such variables for a service of the name "zonda".
_SERVICE_LINK = re.compile(r"ZONDA_(?:SERVICE_(?:HOST|PORT)|PORT_\d+_)")
_SERVICE_LINK_PORT = re.compile(r"(?:tcp|udp|sctp)://")

_PLACES = ({"host", "port"}, {"bind", "uds", "fd"})
_OTHER_NAMES = {"app": "target", "application": "target", "access_logs": "access_log"}


class SourceError(ValueError):
    """What a source says cannot be used. The message names the source, and says what to do."""


@dataclasses.dataclass(frozen=True)
class Gathered:
    """What the sources say together.

    Attributes:
        settings: The settings.
        target: The application's name, if any source has it.
        origins: For `target` and each setting where its value comes from, for a person:
            "--port", "ZONDA_PORT", "zonda.toml, line 3" or "default".
        warnings: What looks like a mistake, a line each.
    """

    settings: Settings
    target: str | None
    origins: Mapping[str, str]
    warnings: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Given:
    """A value with where it stands."""

    value: Any
    origin: str


_Source = dict[str, _Given]


def gather(
    flags: Mapping[str, Any] | None = None,
    *,
    target: str | None = None,
    config: str | None = None,
    environ: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Gathered:
    """Settings from all sources; what is wrong with them raises `SourceError`.

    Args:
        flags: Settings that were given outright: they come first.
        target: The application's name, where it was given outright.
        config: The file to read, in place of the one that would be found.
        environ: The environment, if not that of this process.
        defaults: Settings to use where no source has another; they replace those of `Settings`.
    """
    environ = os.environ if environ is None else environ
    first = {
        name: _Given(value, all_settings()[name].flag) for name, value in (flags or {}).items()
    }
    if target is not None:
        first["target"] = _Given(target, "TARGET")
    second, warnings = _from_environment(environ)
    folder = next((s["app_dir"].value for s in (first, second) if "app_dir" in s), ".")
    third = _from_file(config or environ.get(_CONFIG_VARIABLE) or None, folder)
    last = {name: _Given(value, DEFAULT) for name, value in (defaults or {}).items()}

    found: _Source = {}
    for source in (first, second, third, last):
        replaced = _replaced_places(found)
        for name, given in source.items():
            if name not in replaced:
                found.setdefault(name, given)
    named = found.pop("target", _Given(None, DEFAULT))
    try:
        settings = Settings(**{name: given.value for name, given in found.items()})
    except SettingsError as error:
        where = all_settings()[error.name].flag
        if error.name in found:
            where = found[error.name].origin
        raise SourceError(f"{where}: {error.reason}") from None
    origins = dict.fromkeys(all_settings(), DEFAULT)
    origins |= {name: given.origin for name, given in found.items()}
    origins["target"] = named.origin
    return Gathered(settings, named.value, origins, tuple(warnings))


def _replaced_places(found: _Source) -> set[str]:
    """The settings of an address that a source with precedence has chosen otherwise."""
    one, other = _PLACES
    if found.keys() & other:
        return one
    return other if found.keys() & one else set()


def _from_environment(environ: Mapping[str, str]) -> tuple[_Source, list[str]]:
    by_variable = {each.environment: each for each in all_settings().values()}
    found: _Source = {}
    warnings: list[str] = []
    for variable in sorted(each for each in environ if each.startswith(_PREFIX)):
        text = environ[variable]
        if not text.strip():
            continue  # as if it were not set, so that it can be emptied where it cannot be unset
        setting = by_variable.get(variable)
        if variable == _TARGET_VARIABLE:
            found["target"] = _Given(text, variable)
        elif setting is None:
            near = None
            if variable not in _NOT_SETTINGS and not _SERVICE_LINK.match(variable):
                near = values.nearest(variable, by_variable)
            if near is not None:
                warnings.append(f"{variable} is no setting; did you mean {near}?")
        elif variable == "ZONDA_PORT" and _SERVICE_LINK_PORT.match(text):
            warnings.append(
                f"ZONDA_PORT={text} is ignored: Kubernetes sets it for a service named zonda; "
                "enableServiceLinks: false in the pod keeps it out"
            )
        else:
            found[setting.name] = _Given(_read(setting, text, variable), variable)
    concurrency = environ.get(_WORKERS_VARIABLE, "")
    if "workers" not in found and concurrency.strip():
        workers = _read(all_settings()["workers"], concurrency, _WORKERS_VARIABLE)
        found["workers"] = _Given(workers, _WORKERS_VARIABLE)
    return found, warnings


def _read(setting: Setting, text: str, variable: str) -> Any:  # noqa: ANN401
    try:
        return setting.kind.read(text)
    except ValueError as error:
        shown = "" if setting.secret else f"={text!r}"
        raise SourceError(f"{variable}{shown}: {error}") from None


def _from_file(named: str | None, app_dir: str) -> _Source:
    if named is not None:
        path = Path(named)
        table = _table_of(path, path.name == PROJECT_FILE_NAME)
        if table is None:
            raise SourceError(f"{path}: there is no [tool.zonda] in it")
        return _from_table(table, path)
    for folder in dict.fromkeys((Path(), Path(app_dir))):
        for name in (FILE_NAME, PROJECT_FILE_NAME):
            path = folder / name
            if path.is_file():
                table = _table_of(path, name == PROJECT_FILE_NAME)
                if table is not None:
                    return _from_table(table, path)
    return {}


def _table_of(path: Path, in_tool: bool) -> dict[str, Any] | None:
    """The settings in a file; None if it is one of many tools and has nothing for us."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not TOML: {error}") from None
    if not in_tool:
        return content
    tools = content.get("tool", {})
    table: Any = cast("dict[str, Any]", tools).get("zonda") if isinstance(tools, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise SourceError(f"{path}: tool.zonda is to be a table: [tool.zonda]")
    return cast("dict[str, Any]", table)


def _from_table(table: dict[str, Any], path: Path) -> _Source:
    found: _Source = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        where = _place(path, key)
        if name in found:
            raise SourceError(f"{where}: {key} stands there twice, with - and with _")
        if name == "target":
            if not isinstance(value, str):
                raise SourceError(
                    f"{where}: target = {value!r}: MODULE:ATTRIBUTE is wanted, as text"
                )
            found[name] = _Given(value, where)
            continue
        setting = all_settings().get(name)
        if setting is None:
            raise SourceError(f"{where}: {_unknown(key, name, value)}")
        try:
            found[name] = _Given(setting.check(value), where)
        except SettingsError as error:
            shown = key if setting.secret else f"{key} = {value!r}"
            raise SourceError(f"{where}: {shown}: {error.reason}") from None
    return found


def _unknown(key: str, name: str, value: object) -> str:
    if name in {"tool", "zonda"} and isinstance(value, dict):
        return f"settings stand at the top of {FILE_NAME}, in no table: take the [{key}…] line out"
    if isinstance(value, dict):
        return f"there is no table [{key}]: settings stand beside each other, in no table"
    near = _OTHER_NAMES.get(name) or values.nearest(name, [*all_settings(), "target"])
    hint = f"; did you mean {near.replace('_', '-') if '-' in key else near}?" if near else ""
    return f"there is no setting {key}{hint}"


def _place(path: Path, key: str) -> str:
    """The file, and the line that `key` stands at where it can be told."""
    pattern = re.compile(rf"\s*(?:\[(?:tool\.zonda\.)?)?['\"]?{re.escape(key)}['\"]?\s*[=.\]]")
    inside = path.name != PROJECT_FILE_NAME
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not inside:
            inside = line.strip().startswith("[tool.zonda")
            if line.strip() == "[tool.zonda]":
                continue
        elif path.name == PROJECT_FILE_NAME and re.match(r"\s*\[(?!tool\.zonda)", line):
            inside = False
        if inside and pattern.match(line):
            return f"{path}, line {number}"
    return str(path)
