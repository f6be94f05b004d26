"""`zonda reload`: have a running supervisor replace its workers, one after the other."""

import os
import signal

import click

from zonda.cli.options import CONFIG, SettingOption
from zonda.server.settings import all_settings
from zonda.server.sources import SourceError, gather

__all__ = ["reload"]


@click.command(params=[SettingOption(all_settings()["pid_file"], None), CONFIG])
@click.pass_context
def reload(ctx: click.Context, pid_file: str | None, config: str | None) -> None:
    """Replace the workers of a running server by new ones, one after the other.

    New code is served, no request is lost. The server is found by the file that it was told to
    write with --pid-file, which may stand in zonda.toml or in the environment as well. How the
    restart fares stands in the server's log. The same without this command: SIGHUP to the server's
    process.
    """
    # Not before: such signals are not everywhere.
    from zonda.server.process.pidfile import PidFileError, running_process  # noqa: PLC0415

    try:
        gathered = gather({} if pid_file is None else {"pid_file": pid_file}, config=config)
    except SourceError as error:
        raise click.UsageError(f"{error}.", ctx) from None
    if gathered.settings.pid_file is None:
        raise click.UsageError("--pid-file is wanted: the one that the server was given.", ctx)
    try:
        process = running_process(gathered.settings.pid_file)
        os.kill(process, signal.SIGHUP)
    except (OSError, PidFileError) as error:
        click.echo(f"Error: {error}", err=True)
        ctx.exit(1)
    click.echo(f"Process {process} replaces its workers.")
