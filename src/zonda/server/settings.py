"""Every setting of the server, each with its default, its meaning and its limits, in one place.

`Settings` is the only thing to change to add a setting: the command line, `--help`, what is read
from the environment and from files (sources.py) and the hand-over to a child process are made from
its fields. A field is declared with `setting(group, kind, help, default=…)`; its
name is the flag's with underscores (`timeout_head` is `--timeout-head`).

Zero turns a limit off where the help says "0: none". Sizes are in bytes, times in seconds.
"""

# ruff: noqa: ANN401
# What a value may be is its kind's to say (values.py).

import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Any, Self, cast

from zonda.server import values
from zonda.server.addresses import Address, InheritedAddress, TCPAddress, UnixAddress, parse_address

__all__ = [
    "SUPERVISING",
    "Setting",
    "Settings",
    "SettingsError",
    "all_settings",
    "to_environment",
]


class SettingsError(ValueError):
    """A setting has a value that it cannot have, or there is no such setting.

    `name` is the field's name, `value` what was given, `reason` what is wrong and what to do.
    """

    def __init__(self, name: str, reason: str, value: object = None) -> None:
        super().__init__(f"{name}: {reason}" if value is None else f"{name}={value!r}: {reason}")
        self.name = name
        self.reason = reason
        self.value = value


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """The description of one setting: what flag, `--help` and checks are made from."""

    name: str
    group: str
    kind: values.Kind[Any]
    default: Any
    help: str

    @property
    def flag(self) -> str:
        """The option of the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def environment(self) -> str:
        """The name of its environment variable."""
        return "ZONDA_" + self.name.upper()

    @property
    def several(self) -> bool:
        """Whether the value is a tuple and the option can be repeated."""
        return self.each is not None

    @property
    def each(self) -> values.Kind[Any] | None:
        """The kind of each part of a value, where there can be several."""
        each: values.Kind[Any] | None = getattr(self.kind, "each", None)
        return each

    @property
    def yes_or_no(self) -> bool:
        """Whether the option takes no value and has a `--no-…` form."""
        return isinstance(self.kind, values.Flag)

    @property
    def secret(self) -> bool:
        """Whether the value must not be seen."""
        return isinstance(self.kind, values.Secret)

    def check(self, value: Any) -> Any:
        """`value` in the form it is kept in; raises `SettingsError`."""
        if value is None and self.default is None:
            return None
        try:
            return self.kind.check(value)
        except ValueError as error:
            shown = None if self.secret else value
            raise SettingsError(self.name, str(error), shown) from None


class _ClientCertificates(values.Choice):
    """Whether clients show certificates; the numbers are those of `ssl.VerifyMode`."""

    def read(self, text: str) -> str:
        number = text.strip()
        return self.words[int(number)] if number in {"0", "1", "2"} else super().read(text)

    def check(self, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return self.read(str(int(value)))
        return super().check(value)


class _LogConfig(values.Path):
    """A file of logging configuration; from Python also a dictionary for `dictConfig`."""

    def check(self, value: Any) -> Any:
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
        return super().check(value)


def setting(
    group: str, kind: values.Kind[Any], text: str, *, default: Any, variable: str | None = None
) -> Any:
    """A field of `Settings`; `variable` is an environment variable that replaces the default."""
    metadata = {"group": group, "kind": kind, "default": default, "help": text}
    shown = not isinstance(kind, values.Secret)
    if variable is None:
        return dataclasses.field(default=default, metadata=metadata, repr=shown)
    # Looked up when a Settings is made, so that a test run can turn it for all servers it starts.
    return dataclasses.field(
        default_factory=lambda: os.environ.get(variable) or default, metadata=metadata, repr=shown
    )


_NOT_YET = "is not in this release yet"

SUPERVISING = (
    *("workers", "supervise", "pid_file", "stall_restart"),
    *("limit_max_requests", "limit_max_age", "limit_max_rss"),
)
"""Settings that ask for a supervisor when they are not as they are by default."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of a server. Immutable; a wrong value or name raises `SettingsError`.

    Text that the command line would take is taken too: `Settings(limit_request_body="10MiB")`.
    """

    # Application

    factory: bool = setting(
        "Application",
        values.Flag(),
        "TARGET is a function that returns the application.",
        default=False,
    )
    app_dir: str = setting(
        "Application",
        values.Path(),
        "Import TARGET from here: put in front of the module search path.",
        default=".",
    )
    env_file: str | None = setting(
        "Application",
        values.Path(),
        "Environment variables to set before the application is imported, as NAME=value lines; "
        "those that are set already stay. Needs python-dotenv.",
        default=None,
    )
    interface: str = setting(
        "Application",
        values.Choice("auto", "asgi3", "asgi2", "wsgi"),
        "What kind of callable TARGET is; auto looks at its parameters.",
        default="auto",
    )
    lifespan: str = setting(
        "Application",
        values.Choice("auto", "on", "off"),
        "Start-up and shutdown events for the application; auto goes on without them when the "
        "application does not know them, on takes that for a failure.",
        default="auto",
    )
    root_path: str = setting(
        "Application",
        values.Text(absolute_path=True),
        "The URL path below which a proxy has mounted the application.",
        default="",
    )

    # Bind

    host: str = setting(
        "Bind",
        values.Text(),
        "Address or host name to listen at. 0.0.0.0 is every IPv4 interface, :: every IPv6 one.",
        default="127.0.0.1",
    )
    port: int = setting(
        "Bind",
        values.Count(0, 65535, metavar="PORT"),
        "Port to listen at; 0 takes a free one.",
        default=8000,
    )
    bind: tuple[str, ...] = setting(
        "Bind",
        values.Many(values.ListenAddress()),
        "Listen here in place of --host and --port: HOST:PORT, [IPV6]:PORT, :PORT (all "
        "interfaces), unix:PATH or fd://NUMBER.",
        default=(),
    )
    uds: str | None = setting(
        "Bind", values.Path(), "Listen at a unix socket of this path.", default=None
    )
    uds_permissions: int = setting(
        "Bind",
        values.Mode(),
        "Permissions of unix sockets. Whoever may write may connect; the default is as open as a "
        "local port.",
        default=0o666,
    )
    fd: int | None = setting(
        "Bind",
        values.Count(0, metavar="NUMBER"),
        "Listen at the socket with this descriptor, inherited from the process that started us.",
        default=None,
    )
    backlog: int = setting(
        "Bind",
        values.Count(1),
        "Connections that wait to be accepted; the system may have a lower limit of its own.",
        default=2048,
    )

    # TLS

    ssl_certfile: str | None = setting(
        "TLS",
        values.Path(),
        "Speak TLS at every address, with this certificate: PEM, followed by the certificates "
        "between it and the authority's.",
        default=None,
    )
    ssl_keyfile: str | None = setting(
        "TLS",
        values.Path(),
        "Private key of the certificate, in PEM; needless if the certificate's file holds it too.",
        default=None,
    )
    ssl_keyfile_password: str | None = setting(
        "TLS",
        values.Secret(),
        "What the key is encrypted with. Others can read a command line: better in the environment "
        "variable ZONDA_SSL_KEYFILE_PASSWORD.",
        default=None,
        variable="ZONDA_SSL_KEYFILE_PASSWORD",
    )
    ssl_min_version: str = setting(
        "TLS",
        values.Choice(
            "1.2",
            "1.3",
            refused={
                "1.0": "TLS 1.0 is broken (RFC 8996): 1.2 or 1.3",
                "1.1": "TLS 1.1 is broken (RFC 8996): 1.2 or 1.3",
            },
        ),
        "Oldest version of TLS to speak.",
        default="1.2",
    )
    ssl_ciphers: str | None = setting(
        "TLS",
        values.Text(),
        "Cipher suites of TLS 1.2, as `openssl ciphers` takes them; those of 1.3 are all good.",
        default=None,
    )
    ssl_cert_reqs: str = setting(
        "TLS",
        _ClientCertificates("none", "optional", "required"),
        "Ask clients for certificates; 0, 1 and 2 mean the same.",
        default="none",
    )
    ssl_ca_certs: str | None = setting(
        "TLS",
        values.Path(),
        "Authorities whose client certificates are trusted: a PEM file, or a directory with the "
        "names that `openssl rehash` makes.",
        default=None,
    )

    # Process

    loop: str = setting(
        "Process",
        values.Choice("auto", "asyncio", "uvloop"),
        "Event loop; auto is uvloop where it is installed.",
        default="auto",
    )
    reactor: str = setting(
        "Process",
        values.Choice("auto", "epoll", "asyncio"),
        "What watches the sockets; auto is epoll on Linux in a compiled install, else asyncio.",
        default="auto",
        variable="ZONDA_REACTOR",
    )
    eager_tasks: bool = setting(
        "Process",
        values.Flag(),
        "Run a request's task at once, up to its first wait, not in the next turn of the loop. "
        "Takes effect from Python 3.12 on.",
        default=True,
        variable="ZONDA_EAGER_TASKS",
    )
    threads: int = setting(
        "Process",
        values.Count(1, zero="4 more than there are cores, at most 32"),
        "Threads that run a WSGI application: requests that it works on at once.",
        default=0,
    )

    # Workers

    workers: int = setting(
        "Workers",
        values.Count(1, 512, zero="one a core"),
        "Processes that serve. With more than one, a supervisor that does not serve itself starts "
        "them, replaces those that end, and restarts them one by one on SIGHUP.",
        default=1,
    )
    supervise: bool = setting(
        "Workers",
        values.Flag(),
        "Have a supervisor for a single worker too. It is implied by several workers, --pid-file, "
        "--stall-restart and the --limit-max-… settings.",
        default=False,
    )
    pid_file: str | None = setting(
        "Workers",
        values.Path(),
        "Write the supervisor's process number to this file; `zonda reload` reads it.",
        default=None,
    )
    limit_max_requests: int = setting(
        "Workers",
        values.Count(1, zero="none"),
        "Requests after which a worker is replaced.",
        default=0,
    )
    limit_max_requests_jitter: int = setting(
        "Workers",
        values.Count(0),
        "As many requests more at most, a number by chance for each worker, so that they are not "
        "all replaced at once.",
        default=0,
    )
    limit_max_age: float = setting(
        "Workers",
        values.Seconds(1, zero="none"),
        "Age at which a worker is replaced, or up to a tenth sooner, by chance.",
        default=0.0,
    )
    limit_max_rss: int = setting(
        "Workers",
        values.Size(2**20, zero="none"),
        "Resident memory above which a worker is replaced, or up to a tenth sooner, by chance.",
        default=0,
    )
    timeout_worker_start: float = setting(
        "Workers",
        values.Seconds(0.1, zero="none"),
        "For a worker to import the application and start it up; then it is killed.",
        default=300.0,
    )
    timeout_worker_stall: float = setting(
        "Workers",
        values.Seconds(0.1, zero="do not look"),
        "Time that a worker's event loop may stand still; then the log shows what blocks it.",
        default=30.0,
    )
    stall_restart: bool = setting(
        "Workers",
        values.Flag(),
        "Replace a worker whose event loop stands still for --timeout-worker-stall.",
        default=False,
    )

    # Reload

    reload: bool = setting(
        "Reload", values.Flag(), "Start again when a file changes. Needs watchfiles.", default=False
    )
    reload_dir: tuple[str, ...] = setting(
        "Reload",
        values.Many(values.Path()),
        "Watch this directory, and what is below it, in place of the current one.",
        default=(),
    )
    reload_include: tuple[str, ...] = setting(
        "Reload",
        values.Many(values.Text()),
        "Glob pattern of files to watch besides *.py.",
        default=(),
    )
    reload_exclude: tuple[str, ...] = setting(
        "Reload",
        values.Many(values.Text()),
        "Glob pattern of files and directories not to watch, besides .*, .py[cod], .sw.* and ~*.",
        default=(),
    )
    reload_delay: float = setting(
        "Reload",
        values.Seconds(0.01),
        "Quiet time after a change before the server is started again, so that a save of many "
        "files counts once.",
        default=0.1,
    )

    # Responses

    server_header: bool = setting(
        "Responses",
        values.Flag(),
        "Send a Server field, where the application sends none.",
        default=True,
    )
    date_header: bool = setting(
        "Responses",
        values.Flag(),
        "Send a Date field, where the application sends none.",
        default=True,
    )
    header: tuple[str, ...] = setting(
        "Responses",
        values.Many(values.HeaderField(), separator="\n"),
        "A field to add to every response.",
        default=(),
    )

    # Limits

    limit_concurrency: int = setting(
        "Limits",
        values.Count(1, zero="none"),
        "Requests in progress at once; more are answered 503 with Retry-After.",
        default=10_000,
    )
    limit_thread_queue: int = setting(
        "Limits",
        values.Count(0),
        "Requests for a WSGI application that wait for a thread; more are answered 503 with "
        "Retry-After.",
        default=1024,
    )
    limit_connections: int = setting(
        "Limits",
        values.Count(1, zero="none"),
        "Open connections; more wait in the backlog.",
        default=65_536,
    )
    limit_request_line: int = setting(
        "Limits",
        values.Size(256),
        "Length of a request line; longer ones are answered 414.",
        default=16 * 1024,
    )
    limit_request_head: int = setting(
        "Limits",
        values.Size(1024),
        "Length of a request's head, the line and all fields; longer ones are answered 431.",
        default=64 * 1024,
    )
    limit_request_fields: int = setting(
        "Limits", values.Count(1), "Fields in a request's head; more are answered 431.", default=100
    )
    limit_request_body: int = setting(
        "Limits",
        values.Size(1, zero="none"),
        "Length of a request's body; longer ones are answered 413.",
        default=1024**3,
    )
    limit_body_rate: int = setting(
        "Limits",
        values.Size(1, zero="none"),
        "Bytes a second that a request's body brings at least, on average over --timeout-body of "
        "waiting for it; slower ones are answered 408.",
        default=100,
    )

    # WebSocket

    ws: str = setting(
        "WebSocket",
        values.Choice(
            "auto",
            "none",
            refused=dict.fromkeys(
                ("websockets", "websockets-sansio", "wsproto"),
                "Zonda has a WebSocket codec of its own and no choice of it; use auto",
            ),
        ),
        "Take WebSockets; none treats the request for one as any other request.",
        default="auto",
    )
    ws_max_size: int = setting(
        "WebSocket",
        values.Size(1, zero="none"),
        "Size of a message from a client, inflated and put together; larger ones end the WebSocket "
        "with 1009.",
        default=16 * 1024**2,
    )
    ws_max_fragments: int = setting(
        "WebSocket",
        values.Count(1),
        "Frames of one message from a client; more end the WebSocket with 1008.",
        default=16_384,
    )
    ws_max_queue: int = setting(
        "WebSocket",
        values.Count(1),
        "Messages from a client that wait for the application; while as many do, or 256 KiB of "
        "them, the client is not read from.",
        default=32,
    )
    ws_ping_interval: float = setting(
        "WebSocket",
        values.Seconds(zero="never"),
        "Silence of a client after which it is sent a ping.",
        default=20.0,
    )
    ws_ping_timeout: float = setting(
        "WebSocket",
        values.Seconds(zero="none"),
        "From a ping to any sign of life; then the WebSocket ends with 1011.",
        default=20.0,
    )
    ws_timeout_handshake: float = setting(
        "WebSocket",
        values.Seconds(zero="none"),
        "For the application to accept or refuse a WebSocket; then it is refused with 503.",
        default=30.0,
    )
    ws_timeout_close: float = setting(
        "WebSocket",
        values.Seconds(0.1),
        "For the client to answer a close.",
        default=10.0,
    )
    ws_per_message_deflate: bool = setting(
        "WebSocket",
        values.Flag(),
        "Compress messages for clients that offer permessage-deflate (RFC 7692).",
        default=True,
    )
    ws_deflate_window: int = setting(
        "WebSocket",
        values.Count(9, 15, metavar="BITS"),
        "Window of the compression, a power of two: what each of both directions remembers of "
        "earlier messages, and the memory that it takes.",
        default=12,
    )
    ws_deflate_takeover: bool = setting(
        "WebSocket",
        values.Flag(),
        "Let the window outlive a message, so that alike messages compress well; without it a "
        "connection holds no window between messages.",
        default=True,
    )

    # Time-outs

    timeout_head: float = setting(
        "Time-outs",
        values.Seconds(zero="none"),
        "From the first byte of a request, or from the connection, to the end of its head.",
        default=10.0,
    )
    timeout_keep_alive: float = setting(
        "Time-outs",
        values.Seconds(zero="close after each response"),
        "Idle time of a connection between requests. Longer than a browser's pause between a page "
        "and what it loads next; give a few seconds more than a proxy in front keeps its "
        "connections, so that it is the one that closes.",
        default=20.0,
    )
    timeout_body: float = setting(
        "Time-outs",
        values.Seconds(zero="none"),
        "Without a byte of the body while the application waits for one, or with fewer than "
        "--limit-body-rate asks for.",
        default=30.0,
    )
    timeout_write: float = setting(
        "Time-outs",
        values.Seconds(zero="none"),
        "Without the client taking a byte while a response waits to be sent.",
        default=30.0,
    )
    timeout_linger: float = setting(
        "Time-outs",
        values.Seconds(zero="do not wait"),
        "For the client to read the answer after we refused the rest of its request, before the "
        "connection is reset (RFC 9112 section 9.6).",
        default=2.0,
    )
    timeout_tls_handshake: float = setting(
        "Time-outs",
        values.Seconds(zero="none"),
        "From the connection to the end of its TLS handshake.",
        default=10.0,
    )
    timeout_graceful_shutdown: float = setting(
        "Time-outs",
        values.Seconds(zero="at once"),
        "For requests in progress to finish after SIGTERM or CTRL+C; then they are cancelled. "
        "The application's own shutdown has as long again.",
        default=30.0,
    )
    timeout_reload: float = setting(
        "Time-outs",
        values.Seconds(0.1),
        "For the old server to stop on a reload before it is killed; open requests get half of it.",
        default=1.0,
    )

    # Logging

    log_level: str | None = setting(
        "Logging",
        values.Choice(
            "critical",
            "error",
            "warning",
            "info",
            "debug",
            refused={"trace": f"a log of every ASGI message {_NOT_YET}; use debug"},
        ),
        "Least level to log; info, unless --log-config says otherwise.",
        default=None,
    )
    log_config: str | dict[str, Any] | None = setting(  # noqa: RUF009 (the default is None)
        "Logging",
        _LogConfig(),
        "File of logging configuration for the loggers zonda and zonda.access: .json, .yaml (needs "
        "PyYAML) or .ini, as the standard library's logging.config reads them.",
        default=None,
    )
    access_log: bool = setting(
        "Logging", values.Flag(), "Log a line for each request.", default=True
    )
    use_colors: bool | None = setting(
        "Logging",
        values.Flag(),
        "Colours in the log; if neither is given, on a terminal, unless NO_COLOR is set.",
        default=None,
    )

    if not TYPE_CHECKING:

        def __new__(cls, **given: object) -> Self:
            """Refuse unknown names with the nearest known one; the generated __init__ cannot."""
            for name in given:
                if name not in all_settings():
                    near = values.nearest(name, all_settings())
                    hint = f"; did you mean {near}?" if near else ""
                    raise SettingsError(name, f"there is no such setting{hint}")
            return object.__new__(cls)

    def __post_init__(self) -> None:
        for name, described in all_settings().items():
            object.__setattr__(self, name, described.check(getattr(self, name)))
        self._check_addresses()
        self._check_tls()

    def _check_addresses(self) -> None:
        """Refuse a host or port that something else overrides: it would silently do nothing."""
        for name in ("host", "port"):
            value = getattr(self, name)
            for other in ("bind", "uds", "fd"):
                if value != all_settings()[name].default and getattr(self, other) not in ((), None):
                    raise SettingsError(
                        name,
                        f"{other} replaces it; leave one out, or list every address in bind",
                        value,
                    )

    def _check_tls(self) -> None:
        """Refuse settings of TLS that would silently do nothing."""
        if self.ssl_certfile is None:
            for name in (
                "ssl_keyfile",
                "ssl_min_version",
                "ssl_ciphers",
                "ssl_cert_reqs",
                "ssl_ca_certs",
            ):
                value = getattr(self, name)
                if value != all_settings()[name].default:
                    raise SettingsError(
                        name, "TLS needs a certificate: name it with ssl_certfile", value
                    )
        elif self.ssl_cert_reqs != "none" and self.ssl_ca_certs is None:
            raise SettingsError(
                "ssl_cert_reqs",
                "name with ssl_ca_certs whose certificates are trusted",
                self.ssl_cert_reqs,
            )
        elif self.ssl_cert_reqs == "none" and self.ssl_ca_certs is not None:
            raise SettingsError(
                "ssl_ca_certs",
                "clients are not asked for certificates: say so with ssl_cert_reqs optional or "
                "required",
                self.ssl_ca_certs,
            )

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All places to listen at, in the order bind, uds, fd; host and port if there is none."""
        found: list[Address] = [parse_address(text) for text in self.bind]
        if self.uds is not None:
            found.append(UnixAddress(self.uds))
        if self.fd is not None:
            found.append(InheritedAddress(self.fd))
        return tuple(found) or (TCPAddress(self.host, self.port),)

    @property
    def supervised(self) -> bool:
        """Whether a supervisor is to start the workers, rather than one worker be the process."""
        return any(getattr(self, name) != all_settings()[name].default for name in SUPERVISING)


@functools.cache
def all_settings() -> dict[str, Setting]:
    """The description of every setting by name, in the order of `--help`."""
    return {
        field.name: Setting(
            name=field.name,
            group=field.metadata["group"],
            kind=field.metadata["kind"],
            default=field.metadata["default"],
            help=field.metadata["help"],
        )
        for field in dataclasses.fields(Settings)
    }


def to_environment(settings: Settings) -> dict[str, str]:
    """Environment variables for the secrets, since a command line can be read by others."""
    return {
        described.environment: described.kind.write(getattr(settings, name))
        for name, described in all_settings().items()
        if described.secret and getattr(settings, name) is not None
    }
