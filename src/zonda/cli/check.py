"""`zonda check`: are the settings sound, is the application there, and what comes from where."""

import json
from typing import cast

import click

from zonda.cli.options import CONFIG, TARGET, SettingsCommand, gathered_from, target_of
from zonda.cli.uvicorn import foreign_options
from zonda.server.settings import Setting, all_settings
from zonda.server.sources import Gathered
from zonda.server.values import Mode

__all__ = ["check"]

_HELP = """Check the configuration, and import the application.

Takes what `zonda run` takes. Shows each value and where it comes from: the flag, the variable, the
file and line, or the default. Binds no address and serves nothing.

Exit code: 0 all is well, 1 the application cannot be imported or a file cannot be read, 2 a setting
is wrong.
"""


@click.pass_context
def _check(ctx: click.Context, /, **_: object) -> None:
    gathered = gathered_from(ctx)
    for warning in gathered.warnings:
        click.echo(f"Warning: {warning}", err=True)
    _show(gathered)
    target = target_of(gathered, ctx)
    # Not before: a wrong setting needs nothing of the server.
    from zonda.server.program import check_program  # noqa: PLC0415

    code = check_program(target, gathered.settings)
    if code == 0:
        click.echo(f"\n# {target} can be served with these settings.")
    ctx.exit(code)


def _show(gathered: Gathered) -> None:
    """Each value with its origin, as lines that could stand in a file."""
    click.echo("# Application")
    click.echo(_line("target", json.dumps(gathered.target or ""), gathered.origins["target"]))
    group = "Application"
    for name, setting in all_settings().items():
        if setting.group != group:
            group = setting.group
            click.echo(f"\n# {group}")
        value = _text(setting, getattr(gathered.settings, name))
        click.echo(_line(setting.flag[2:], value, gathered.origins[name]))


def _line(name: str, value: str | None, origin: str) -> str:
    return f"# {name} is not set" if value is None else f"{name} = {value}  # {origin}"


def _text(setting: Setting, value: object) -> str | None:
    """The value as TOML has it; None if there is none."""
    if value is None:
        return None
    if setting.secret or isinstance(value, dict):
        return '"…"'
    if isinstance(value, tuple):
        return json.dumps(list(cast("tuple[str, ...]", value)), ensure_ascii=False)
    text = setting.kind.write(value)
    if isinstance(setting.kind, Mode):
        return f"0o{text}"
    if isinstance(value, bool) or (isinstance(value, int | float) and text[-1].isdigit()):
        return text
    return json.dumps(text, ensure_ascii=False)


check = SettingsCommand(
    "check",
    callback=_check,
    params=[TARGET, CONFIG, *foreign_options()],
    help=_HELP,
    short_help="Check the configuration, and show where each value comes from.",
)
