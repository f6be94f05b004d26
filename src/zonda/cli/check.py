"""`zonda check`: are the settings sound, is the application there, and what comes from where."""

from typing import cast

import click

from zonda.cli.options import CONFIG, TARGET, SettingsCommand, gathered_from, target_of
from zonda.cli.uvicorn import foreign_options
from zonda.server.settings import Setting, all_settings
from zonda.server.sources import Gathered

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
        click.echo(f"\n{target} can be served with these settings.")
    ctx.exit(code)


def _show(gathered: Gathered) -> None:
    groups: dict[str, list[tuple[str, str, str]]] = {}
    groups["Application"] = [("target", gathered.target or "", gathered.origins["target"])]
    for name, setting in all_settings().items():
        value = _text(setting, getattr(gathered.settings, name))
        groups.setdefault(setting.group, []).append(
            (setting.flag[2:], value, gathered.origins[name])
        )
    rows = [row for group in groups.values() for row in group]
    first = max(len(row[0]) for row in rows)
    second = min(max(len(row[1]) for row in rows), 40)
    for group, members in groups.items():
        click.echo(group)
        for name, value, origin in members:
            click.echo(f"  {name:<{first}}  {value:<{second}}  {origin}")


def _text(setting: Setting, value: object) -> str:
    if value is None:
        return "-"
    if setting.secret:
        return "(hidden)"
    if isinstance(value, dict):
        return "(a table)"
    if isinstance(value, tuple):
        return repr(list(cast("tuple[str, ...]", value))) if value else "-"
    return setting.kind.write(value) or "-"


check = SettingsCommand(
    "check",
    callback=_check,
    params=[TARGET, CONFIG, *foreign_options()],
    help=_HELP,
    short_help="Check the configuration, and show where each value comes from.",
)
