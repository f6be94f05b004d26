"""TLS: the context that the settings describe, and what an application is told of a connection.

A listener asks a provider for the context of each connection that it accepts, so that a
certificate can be replaced while the server runs.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from zonda.server.settings import SettingsError
from zonda.server.tls.names import subject_of

if TYPE_CHECKING:
    from zonda.server.settings import Settings

__all__ = ["ALPN", "ServerContext", "describe_connection", "make_context", "make_provider"]

ALPN = ("http/1.1",)
"""The protocols that are offered, best first (RFC 7301)."""

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_NUMBERS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_REQUIREMENTS = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_PEM = 1  # how the _ssl module names the encoding
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
_KEY = "PRIVATE KEY-----"


class ServerContext(ssl.SSLContext):
    """A context that knows what it presents.

    Attributes:
        certificate: The certificate that clients are shown, in PEM.
        suites: The number of each cipher suite (IANA's) by OpenSSL's name.
    """

    certificate: str
    suites: dict[str, int]


def make_provider(settings: Settings) -> Callable[[], ssl.SSLContext] | None:
    """What listeners ask for contexts, or None if the settings name no certificate.

    Raises:
        SettingsError: The certificate, the key or one of the other settings cannot be used.
    """
    if settings.ssl_certfile is None:
        return None
    context = make_context(settings)
    return lambda: context


def make_context(settings: Settings, alpn: Sequence[str] = ALPN) -> ServerContext:
    """The context that ``settings`` describe, offering the protocols ``alpn``.

    Raises:
        SettingsError: The certificate, the key or one of the other settings cannot be used.
    """
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.ssl_min_version]
    context.options |= (
        ssl.OP_NO_COMPRESSION
        | ssl.OP_NO_RENEGOTIATION
        | ssl.OP_CIPHER_SERVER_PREFERENCE
        # HTTP says by itself where a message ends, so an end of the stream without close_notify
        # cuts nothing short unnoticed; and a client that has only closed its half gets its answer.
        | getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # OpenSSL 1.1.1 has no such end
    )
    if settings.ssl_ciphers is not None:
        try:
            context.set_ciphers(settings.ssl_ciphers)
        except ssl.SSLError:
            raise SettingsError(
                "ssl_ciphers",
                "OpenSSL knows none of these: a list as `openssl ciphers` takes it is wanted",
                settings.ssl_ciphers,
            ) from None
    _load_certificate(context, settings)
    _ask_for_certificates(context, settings)
    context.set_alpn_protocols(list(alpn))
    context.suites = {each["name"]: each["id"] & 0xFFFF for each in context.get_ciphers()}
    return context


class _PasswordWanted(Exception):
    """The key is encrypted and no password was given."""


def _load_certificate(context: ServerContext, settings: Settings) -> None:
    certfile = cast("str", settings.ssl_certfile)
    keyfile = settings.ssl_keyfile
    password = settings.ssl_keyfile_password
    content = _read("ssl_certfile", certfile)
    if _END not in content.partition(_CERTIFICATE)[2]:
        raise SettingsError("ssl_certfile", "it holds no certificate in PEM", certfile)
    if keyfile is None and _KEY not in content:
        raise SettingsError(
            "ssl_certfile", "it holds no private key besides; name that with ssl_keyfile", certfile
        )
    if keyfile is not None and _KEY not in _read("ssl_keyfile", keyfile):
        raise SettingsError("ssl_keyfile", "it holds no private key in PEM", keyfile)
    asked = False

    def give_password() -> str:
        # Without it OpenSSL would ask on the terminal.
        nonlocal asked
        asked = True
        if password is None:
            raise _PasswordWanted
        return password

    name, path = ("ssl_certfile", certfile) if keyfile is None else ("ssl_keyfile", keyfile)
    try:
        context.load_cert_chain(certfile, keyfile, give_password)
    except _PasswordWanted:
        raise SettingsError(
            name,
            "the key is encrypted: give its password in the environment variable "
            "ZONDA_SSL_KEYFILE_PASSWORD",
            path,
        ) from None
    except ssl.SSLError as error:
        raise SettingsError(name, _why(error, asked=asked), path) from None
    start = content.index(_CERTIFICATE)
    context.certificate = content[start : content.index(_END, start)] + _END + "\n"


def _why(error: ssl.SSLError, *, asked: bool) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not the one of the certificate in ssl_certfile"
    if asked:
        return "the password in ssl_keyfile_password does not open the key"
    return f"OpenSSL does not read it: {_words(error)}"


def _words(error: ssl.SSLError) -> str:
    return error.reason.lower().replace("_", " ") if error.reason else str(error)


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace")
    except OSError as error:
        raise SettingsError(name, f"it cannot be read: {error.strerror}", path) from None


def _ask_for_certificates(context: ServerContext, settings: Settings) -> None:
    """Ask clients for certificates, if that is set, and say whose are trusted."""
    wanted = settings.ssl_cert_reqs
    trusted = settings.ssl_ca_certs
    if wanted == "none" or trusted is None:
        return
    folder = Path(trusted).is_dir()
    if not folder and _CERTIFICATE not in _read("ssl_ca_certs", trusted):
        raise SettingsError("ssl_ca_certs", "it holds no certificate in PEM", trusted)
    try:
        if folder:
            context.load_verify_locations(capath=trusted)
        else:
            context.load_verify_locations(cafile=trusted)
    except ssl.SSLError as error:
        raise SettingsError(
            "ssl_ca_certs", f"OpenSSL does not read it: {_words(error)}", trusted
        ) from None
    context.verify_mode = _REQUIREMENTS[wanted]
    # A session that is resumed brings no certificate with it, or not all of its chain; and one
    # that has been withdrawn meanwhile would go on to open connections.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def describe_connection(below: Any) -> dict[str, Any]:  # noqa: ANN401 (Transport.ssl)
    """What the ``tls`` extension of a scope says of a connection (ASGI TLS extension 0.2)."""
    context: ServerContext = below.context
    shown: bytes | None = below.getpeercert(True)
    chain: list[Any] = [] if shown is None else below.get_unverified_chain()
    return {
        "server_cert": context.certificate,
        "client_cert_chain": [each.public_bytes(_PEM) for each in chain],
        "client_cert_name": None if shown is None else subject_of(shown),
        # A certificate that does not verify ends the handshake.
        "client_cert_error": None,
        "tls_version": _NUMBERS.get(below.version()),
        "cipher_suite": context.suites.get((below.cipher() or ("",))[0]),
    }
