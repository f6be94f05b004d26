"""Subjects of certificates as text, held against those of the cryptography library."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from zonda.server.tls.names import subject_of

KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(subject: x509.Name) -> bytes:
    """A certificate in DER, with this subject."""
    now = datetime.now(UTC)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "not this one")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(KEY, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def subject(*parts: tuple[x509.ObjectIdentifier, str]) -> str:
    return subject_of(
        certificate(x509.Name([x509.NameAttribute(oid, value) for oid, value in parts]))
    )


def test_the_most_specific_part_comes_first() -> None:
    assert (
        subject(
            (NameOID.COUNTRY_NAME, "XY"),
            (NameOID.LOCALITY_NAME, "Castle Anthrax"),
            (NameOID.ORGANIZATION_NAME, "Python"),
            (NameOID.COMMON_NAME, "Some One"),
        )
        == "CN=Some One,O=Python,L=Castle Anthrax,C=XY"
    )


def test_a_subject_may_be_empty() -> None:
    assert subject_of(certificate(x509.Name([]))) == ""


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a,b+c", r"a\,b\+c"),
        ('"<;>"', r"\"\<\;\>\""),
        ("\\", r"\\"),
        ("#1", r"\#1"),
        (" both ", r"\ both\ "),
        (" ", r"\ "),
        ("  ", r"\ \ "),
        ("a#b c", "a#b c"),
        ("Łódź", "Łódź"),
        ("\0", r"\00"),
    ],
)
def test_what_has_a_meaning_is_escaped(value: str, written: str) -> None:
    assert subject((NameOID.COMMON_NAME, value)) == f"CN={written}"


def test_a_type_without_a_short_name_stands_as_its_number_and_octets() -> None:
    oid = x509.ObjectIdentifier("1.2.840.113549.1.9.1")
    assert subject((oid, "a@b.c")) == "1.2.840.113549.1.9.1=#16056140622e63"


def test_several_attributes_at_one_level() -> None:
    name = x509.Name(
        [
            x509.RelativeDistinguishedName(
                [
                    x509.NameAttribute(NameOID.COMMON_NAME, "Some One"),
                    x509.NameAttribute(NameOID.USER_ID, "some"),
                ]
            )
        ]
    )
    assert set(subject_of(certificate(name)).split("+")) == {"CN=Some One", "UID=some"}


@pytest.mark.parametrize(
    "kind", [_ASN1Type.UTF8String, _ASN1Type.BMPString, _ASN1Type.UniversalString]
)
def test_every_type_of_string(kind: _ASN1Type) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Łódź", kind)])
    assert subject_of(certificate(name)) == "CN=Łódź"


_TYPES = [
    NameOID.COMMON_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.LOCALITY_NAME,
    NameOID.DOMAIN_COMPONENT,
    NameOID.USER_ID,
]
_PRINTABLE = st.characters(codec="ascii", min_codepoint=0x20, max_codepoint=0x7E)
_VALUES = st.text(_PRINTABLE, min_size=1, max_size=60)


@given(st.lists(st.tuples(st.sampled_from(_TYPES), _VALUES), max_size=5))
def test_it_reads_back_as_the_same_name(parts: list[tuple[x509.ObjectIdentifier, str]]) -> None:
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
    written = subject_of(certificate(name))
    if parts:
        assert x509.Name.from_rfc4514_string(written).rfc4514_string() == name.rfc4514_string()
    else:
        assert written == ""


@given(st.binary(max_size=200))
def test_anything_else_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        subject_of(data)


def test_a_certificate_cut_short_is_a_value_error() -> None:
    whole = certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Some One")]))
    for length in range(len(whole)):
        with pytest.raises(ValueError):  # noqa: PT011
            subject_of(whole[:length])


def test_a_certificate_without_a_subject_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="without a subject"):
        subject_of(b"\x30\x02\x30\x00")


def test_a_string_that_is_not_what_it_says_stands_as_its_octets() -> None:
    whole = certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Some One")]))
    broken = whole.replace(b"Some One", b"Some \xff\xff\xff")
    assert subject_of(broken) == "CN=#0c08" + b"Some \xff\xff\xff".hex()
