"""The options of uvicorn's that Zonda does not have, each with a line that says so.

A command line of uvicorn's works with the name changed, or says what about it does not: an option
is never taken and then ignored. Where one value asks for what Zonda does anyway, it is taken.
"""

import dataclasses

import click

__all__ = ["foreign_options"]


@dataclasses.dataclass(frozen=True)
class _Foreign:
    """An option that is not there: why, and the values that ask for nothing else than we do."""

    reason: str
    harmless: frozenset[str] = frozenset()
    is_flag: bool = False


def _later(what: str, instead: str = "") -> str:
    return f"{what} not in this release yet{'; ' if instead else ''}{instead}"


_PROXY_HEADERS = _later("X-Forwarded-* fields are", "an ASGI middleware can read them")

_FOREIGN = {
    "--http": _Foreign(
        "Zonda has one HTTP parser and no choice of it; leave it out", frozenset({"auto"})
    ),
    "--http2": _Foreign(_later("HTTP/2 is"), is_flag=True),
    "--proxy-headers": _Foreign(_PROXY_HEADERS, is_flag=True),
    "--no-proxy-headers": _Foreign("", frozenset({""}), is_flag=True),
    "--forwarded-allow-ips": _Foreign(_PROXY_HEADERS),
    "--timeout-worker-healthcheck": _Foreign(
        "the settings are --timeout-worker-stall and --stall-restart here"
    ),
    "--ssl-version": _Foreign(
        "a constant of Python's ssl module names one version of TLS, or all that there are; every "
        "version from --ssl-min-version on is spoken here",
        frozenset({"2", "17"}),  # PROTOCOL_TLS and PROTOCOL_TLS_SERVER
    ),
    "--h11-max-incomplete-event-size": _Foreign("the limit is --limit-request-head here"),
    "--reset-contextvars": _Foreign(
        "every request has a context of its own here, a copy of what lifespan left; leave it out",
        is_flag=True,
    ),
}


def foreign_options() -> list[click.Option]:
    """Hidden options that stop the command with the reason why they are not there."""
    return [_option(flag, foreign) for flag, foreign in _FOREIGN.items()]


def _option(flag: str, foreign: _Foreign) -> click.Option:
    def refuse(ctx: click.Context, _: click.Parameter, value: str | bool | None) -> None:  # noqa: FBT001
        if not value or ctx.resilient_parsing:
            return
        if ("" if value is True else str(value)) not in foreign.harmless:
            raise click.UsageError(f"{flag}: {foreign.reason}.", ctx)

    return click.Option(
        [flag], is_flag=foreign.is_flag, hidden=True, expose_value=False, callback=refuse
    )
