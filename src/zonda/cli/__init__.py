"""The command `zonda`."""

import importlib.metadata
import importlib.util

import click

import zonda
from zonda import _build
from zonda.cli.check import check
from zonda.cli.reload import reload
from zonda.cli.run import dev, run
from zonda.server import values

__all__ = ["main"]


class _Commands(click.Group):
    """The group; a word that is no command gets the command that was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first of `args` names."""
        word = args[0]
        if self.get_command(ctx, word) is None and not word.startswith("-"):
            near = values.nearest(word, self.commands)
            meant = near or f"run {word}"
            ctx.fail(f"There is no command {word!r}; did you mean: {ctx.command_path} {meant}")
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001
    if not wanted or ctx.resilient_parsing:
        return
    loop = "asyncio"
    if importlib.util.find_spec("uvloop") is not None:
        loop = f"uvloop {importlib.metadata.version('uvloop')}"
    click.echo(f"zonda {zonda.__version__} ({_build.describe()}, {loop})")
    ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version, the build and what it runs on.",
)
def main() -> None:
    """Serve Python web applications."""


main.add_command(run)
main.add_command(dev)
main.add_command(check)
main.add_command(reload)
