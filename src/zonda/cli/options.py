"""Command-line options made from `Settings`, and the `--help` that lists them by group.

Nothing about a setting is said here: its flag, unit, default and meaning come from its field.
"""

# ruff: noqa: ANN401, ARG002
# What a value may be is its kind's to say; and click's methods are overridden, arguments and all.

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from zonda.server.settings import Setting, all_settings
from zonda.server.sources import Gathered, SourceError, gather
from zonda.server.values import Kind

__all__ = ["CONFIG", "TARGET", "SettingOption", "SettingsCommand", "gathered_from", "target_of"]

TARGET = click.Argument(["target"], metavar="[TARGET]", required=False)
CONFIG = click.Option(
    ["--config"],
    metavar="PATH",
    help="Read settings from this file, in place of zonda.toml or [tool.zonda] in pyproject.toml.",
)

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:  # generic since click 8.3 only
    _ParamType = click.ParamType


class _KindType(_ParamType):
    """Reads an option's text as its kind does."""

    def __init__(self, kind: Kind[Any]) -> None:
        self.kind = kind
        self.name = kind.metavar

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The unit, or the choices."""
        return self.kind.metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value that the text means; fails with the kind's reason."""
        try:
            return self.kind.check(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


class SettingOption(click.Option):
    """The option of one setting."""

    def __init__(self, setting: Setting, default: Any) -> None:
        flag = setting.flag
        if setting.yes_or_no:
            super().__init__([f"{flag}/--no-{flag[2:]}"], default=None, help=setting.help)
        else:
            super().__init__(
                [flag],
                type=_KindType(setting.each or setting.kind),
                multiple=setting.several,
                help=setting.help,
            )
        self.setting = setting
        self.shown_default = default

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """The option with its unit, and its meaning with its default."""
        setting = self.setting
        notes: list[str] = []
        if setting.yes_or_no:
            option = f"{setting.flag} / --no-{setting.flag[2:]}"
            if self.shown_default is not None:
                notes.append(f"default: {'on' if self.shown_default else 'off'}")
        else:
            option = f"{setting.flag} {(setting.each or setting.kind).metavar}"
            if self.shown_default not in {None, (), ""}:
                notes.append(f"default: {setting.kind.write(self.shown_default)}")
        zero = getattr(setting.kind, "zero", None)
        if zero is not None:
            notes.append(f"0: {zero}")
        if setting.several:
            notes.append("repeatable")
        return option, setting.help + (f"  [{'; '.join(notes)}]" if notes else "")


class SettingsCommand(click.Command):
    """A command with an option for every setting.

    `defaults` replaces defaults of settings for this command.
    """

    def __init__(
        self, *args: Any, defaults: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.defaults = dict(defaults or {})
        self.params += [
            SettingOption(setting, self.defaults.get(name, setting.default))
            for name, setting in all_settings().items()
        ]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section for each group of settings, then the rest."""
        groups: dict[str, list[tuple[str, str]]] = {}
        others: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None or not isinstance(parameter, click.Option):
                continue
            if isinstance(parameter, SettingOption):
                groups.setdefault(parameter.setting.group, []).append(record)
            else:
                others.append(record)
        for group, records in (*groups.items(), ("Other", others)):
            with formatter.section(group):
                formatter.write_dl(records)


def gathered_from(ctx: click.Context) -> Gathered:
    """What the command line and the other sources say; what is wrong is a usage error."""
    flags = {
        name: ctx.params[name]
        for name in all_settings()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    try:
        return gather(
            flags,
            target=ctx.params.get("target"),
            config=ctx.params.get("config"),
            defaults=getattr(ctx.command, "defaults", {}),
        )
    except SourceError as error:
        raise click.UsageError(f"{error}.", ctx) from None


def target_of(gathered: Gathered, ctx: click.Context) -> str:
    """The application's name; a usage error if no source has it."""
    if gathered.target is None:
        raise click.UsageError(
            "Missing argument 'TARGET': name the application, such as main:app; "
            "it can also stand as target in zonda.toml, or in ZONDA_TARGET.",
            ctx,
        )
    return gathered.target
