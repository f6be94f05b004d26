"""`zonda run` and `zonda dev`: serve an application until told to stop."""

import click

from zonda.cli.options import SettingsCommand, settings_from
from zonda.cli.uvicorn import foreign_options

__all__ = ["dev", "run"]

_HELP = """{purpose}

TARGET is MODULE:ATTRIBUTE, such as main:app or shop.web:create_app; the attribute is app if left
out. Sizes take K, M and G (64KiB, 1GiB), times are in seconds.

The first CTRL+C or SIGTERM lets requests in progress finish, the second ends them. Exit code: 0
stopped as told, 1 could not start, 2 wrong usage, 3 the application's start-up failed.
"""

_PARENT = click.Option(
    ["--parent-pipe"], type=int, hidden=True, help="Set by a reloading parent: stop when it closes."
)
_TARGET = click.Argument(["target"], metavar="TARGET")


@click.pass_context
def _serve(ctx: click.Context, /, target: str, parent_pipe: int | None, **_: object) -> None:
    settings = settings_from(ctx)
    # Not before: --help and wrong usage need nothing of the server.
    from zonda.server.program import run_program  # noqa: PLC0415

    ctx.exit(run_program(target, settings, parent=parent_pipe))


run = SettingsCommand(
    "run",
    callback=_serve,
    params=[_TARGET, _PARENT, *foreign_options()],
    help=_HELP.format(purpose="Serve the application TARGET."),
    short_help="Serve an application.",
)

dev = SettingsCommand(
    "dev",
    callback=_serve,
    params=[_TARGET, _PARENT, *foreign_options()],
    help=_HELP.format(purpose="Serve the application TARGET while you work on it."),
    short_help="Serve an application, and again whenever a file changes.",
    defaults={"reload": True, "log_level": "debug"},
)
