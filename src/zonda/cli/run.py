"""`zonda run` and `zonda dev`: serve an application until told to stop."""

import click

from zonda.cli.options import CONFIG, TARGET, SettingsCommand, gathered_from, target_of
from zonda.cli.uvicorn import foreign_options

__all__ = ["dev", "run"]

_HELP = """{purpose}

TARGET is MODULE:ATTRIBUTE, such as main:app or shop.web:create_app; the attribute is app if left
out. Sizes take K, M and G (64KiB, 1GiB), times are in seconds.

Each setting can also stand in the environment (ZONDA_PORT for --port) or in a file: zonda.toml, or
[tool.zonda] in pyproject.toml. `zonda check` shows each value with where it comes from.

The first CTRL+C or SIGTERM lets requests in progress finish, the second ends them. Exit code: 0
stopped as told, 1 could not start, 2 wrong usage, 3 the application's start-up failed.
"""


@click.pass_context
def _serve(ctx: click.Context, /, **_: object) -> None:
    gathered = gathered_from(ctx)
    target = target_of(gathered, ctx)
    for warning in gathered.warnings:
        click.echo(f"Warning: {warning}", err=True)
    # Not before: --help and wrong usage need nothing of the server.
    from zonda.server.program import run_program  # noqa: PLC0415

    ctx.exit(run_program(target, gathered.settings))


run = SettingsCommand(
    "run",
    callback=_serve,
    params=[TARGET, CONFIG, *foreign_options()],
    help=_HELP.format(purpose="Serve the application TARGET."),
    short_help="Serve an application.",
)

dev = SettingsCommand(
    "dev",
    callback=_serve,
    params=[TARGET, CONFIG, *foreign_options()],
    help=_HELP.format(purpose="Serve the application TARGET while you work on it."),
    short_help="Serve an application, and again whenever a file changes.",
    defaults={"reload": True, "log_level": "debug"},
)
