"""The settings of TLS: what is refused before anything listens, and with what words."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.server.harness import answer, in_loop, request, serving
from tests.server.tls_client import (
    Certificates,
    certificates,
    connect,
    encrypted,
    make_certificates,
)
from zonda.asgi.types import ASGIApp
from zonda.server.server import Server
from zonda.server.settings import Settings, SettingsError, to_environment
from zonda.server.tls.context import make_context

__all__ = ["certificates"]

APP: ASGIApp = answer()
VARIABLE = "ZONDA_SSL_KEYFILE_PASSWORD"


def refused(**settings: Any) -> SettingsError:  # noqa: ANN401
    """What making a context raises."""
    with pytest.raises(SettingsError) as caught:
        make_context(Settings(**settings))
    return caught.value


def combined(certificates: Certificates, target: Path) -> str:
    """The certificate and its key in one file."""
    files = (certificates.keyfile, certificates.certfile)
    target.write_text("".join(Path(each).read_text() for each in files))
    return str(target)


@in_loop
async def test_the_key_may_be_in_the_certificates_file(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    certfile = combined(certificates, tmp_path / "both.pem")
    async with serving(APP, ssl_certfile=certfile) as server:
        client = await connect(server, certificates.client())
        await client.send(request())
        assert (await client.read_response()).status == 200


@pytest.mark.parametrize("name", ["ssl_certfile", "ssl_keyfile"])
def test_a_file_that_is_not_there(certificates: Certificates, name: str) -> None:
    error = refused(**{**certificates.settings, name: "nowhere.pem"})
    assert error.name == name
    assert "it cannot be read: No such file" in error.reason


def test_a_certificate_without_a_key(certificates: Certificates) -> None:
    error = refused(ssl_certfile=certificates.certfile)
    assert error.name == "ssl_certfile"
    assert "ssl_keyfile" in error.reason


def test_files_that_hold_something_else(certificates: Certificates) -> None:
    assert "no certificate" in refused(ssl_certfile=certificates.keyfile).reason
    error = refused(ssl_certfile=certificates.certfile, ssl_keyfile=certificates.certfile)
    assert error.name == "ssl_keyfile"
    assert "no private key" in error.reason


def test_files_that_openssl_does_not_read(certificates: Certificates, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text(Path(certificates.certfile).read_text().replace("M", "N", 20))
    error = refused(ssl_certfile=str(broken), ssl_keyfile=certificates.keyfile)
    assert "OpenSSL does not read it" in error.reason


def test_the_key_of_another_certificate(certificates: Certificates, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)
    error = refused(ssl_certfile=certificates.certfile, ssl_keyfile=other.keyfile)
    assert error.name == "ssl_keyfile"
    assert "not the one of the certificate" in error.reason


def test_an_encrypted_key_needs_its_password_and_never_asks_for_it(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    keyfile = encrypted(certificates.keyfile, tmp_path / "encrypted.key")
    files: dict[str, Any] = {"ssl_certfile": certificates.certfile, "ssl_keyfile": keyfile}
    error = refused(**files)
    assert error.name == "ssl_keyfile"
    assert VARIABLE in error.reason
    wrong = refused(**files, ssl_keyfile_password="wrong")
    assert "does not open the key" in wrong.reason
    assert "wrong'" not in str(wrong)
    make_context(Settings(**files, ssl_keyfile_password="open sesame"))
    monkeypatch.setenv(VARIABLE, "open sesame")
    make_context(Settings(**files))


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "open sesame")
    settings = Settings(ssl_certfile="x")
    assert settings.ssl_keyfile_password == "open sesame"  # noqa: S105 (it opens nothing)
    assert "sesame" not in repr(settings)
    assert to_environment(settings) == {VARIABLE: "open sesame"}
    with pytest.raises(SettingsError) as caught:
        Settings(ssl_keyfile_password="sesame\0")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ssl_keyfile", "key.pem"),
        ("ssl_min_version", "1.3"),
        ("ssl_ciphers", "HIGH"),
        ("ssl_cert_reqs", "required"),
        ("ssl_ca_certs", "ca.pem"),
    ],
)
def test_nothing_is_set_without_a_certificate(name: str, value: str) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(SettingsError, match="ssl_certfile") as caught:
        Settings(**given)
    assert caught.value.name == name


def test_client_certificates_need_authorities_and_the_other_way_round() -> None:
    with pytest.raises(SettingsError, match="ssl_ca_certs"):
        Settings(ssl_certfile="x", ssl_cert_reqs="required")
    with pytest.raises(SettingsError, match="ssl_cert_reqs"):
        Settings(ssl_certfile="x", ssl_ca_certs="y")


@pytest.mark.parametrize(
    ("given", "kept"),
    [(ssl.CERT_NONE, "none"), (1, "optional"), ("2", "required"), ("Required", "required")],
)
def test_client_certificates_by_uvicorns_numbers(given: Any, kept: str) -> None:  # noqa: ANN401
    trusted = None if kept == "none" else "ca.pem"
    settings = Settings(ssl_certfile="x", ssl_cert_reqs=given, ssl_ca_certs=trusted)
    assert settings.ssl_cert_reqs == kept


@pytest.mark.parametrize("value", [3, -1, True, "yes", 1.0])
def test_other_numbers_are_refused(value: Any) -> None:  # noqa: ANN401
    with pytest.raises(SettingsError, match="none, optional, required"):
        Settings(ssl_certfile="x", ssl_cert_reqs=value)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_broken_versions_are_refused(version: str) -> None:
    with pytest.raises(SettingsError, match="RFC 8996"):
        Settings(ssl_certfile="x", ssl_min_version=version)


def test_ciphers_that_openssl_does_not_know(certificates: Certificates) -> None:
    error = refused(**certificates.settings, ssl_ciphers="TLSv1-NONSENSE")
    assert error.name == "ssl_ciphers"
    make_context(Settings(**certificates.settings, ssl_ciphers="ECDHE+AESGCM"))


def test_authorities_that_are_none(certificates: Certificates, tmp_path: Path) -> None:
    asking = {**certificates.settings, "ssl_cert_reqs": "required"}
    assert "cannot be read" in refused(**asking, ssl_ca_certs="nowhere.pem").reason
    assert "no certificate" in refused(**asking, ssl_ca_certs=certificates.keyfile).reason
    make_context(Settings(**asking, ssl_ca_certs=str(tmp_path)))  # a directory is looked into later


@in_loop
async def test_nothing_listens_when_the_certificate_cannot_be_used(
    certificates: Certificates,
) -> None:
    server = Server(APP, Settings(port=0, ssl_certfile=certificates.certfile))
    with pytest.raises(SettingsError):
        await server.start()
    assert server.urls == []


def test_what_a_context_allows(certificates: Certificates) -> None:
    context = make_context(Settings(**certificates.settings), alpn=("h2", "http/1.1"))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    for option in (
        ssl.OP_NO_COMPRESSION,
        ssl.OP_NO_RENEGOTIATION,
        ssl.OP_CIPHER_SERVER_PREFERENCE,
    ):
        assert context.options & option
    context = make_context(Settings(**certificates.settings, ssl_min_version="1.3"))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
