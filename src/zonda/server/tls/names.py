"""The subject of a certificate as text (RFC 4514).

The standard library gives a subject only for a certificate that it has verified, with names of
OpenSSL's for the types and without the types of the values; so it is read here, out of the
certificate's DER (X.690). No more of that is understood than a Name consists of::

    Certificate     SEQUENCE { tbsCertificate, ... }
    TBSCertificate  SEQUENCE { [0] version OPTIONAL, serialNumber, signature, issuer, validity,
                               subject Name, ... }                  RFC 5280 section 4.1
    Name            SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["subject_of"]

_OID = 0x06
_VERSION = 0xA0

# Short names (RFC 4514 section 3); any other type stands as its number.
_SHORT = {
    "2.5.4.3": "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}

# The string types that a value may have, and how each is encoded.
_STRINGS = {
    0x0C: "utf-8",  # UTF8String
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, as it is used
    0x16: "ascii",  # IA5String
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}

_SPECIAL = frozenset('"+,;<>\\')


def subject_of(certificate: bytes) -> str:
    """The subject of a certificate in DER, its most specific part first; ``""`` if it has none.

    Raises:
        ValueError: It is not a certificate.
    """
    _, outer, _ = _element(certificate, 0)
    _, inner, _ = _element(outer, 0)
    fields = list(_elements(inner))
    # Serial number, signature, issuer and validity are ahead of the subject, and the version if it
    # is there.
    place = 5 if fields and fields[0][0] == _VERSION else 4
    if len(fields) <= place:
        raise ValueError("without a subject")
    name = fields[place][1]
    parts = ["+".join(_attributes(each)) for _, each in _elements(name)]
    return ",".join(reversed(parts))


def _attributes(relative: bytes) -> Iterator[str]:
    """The attributes of a relative distinguished name."""
    for _, attribute in _elements(relative):
        tag, oid, end = _element(attribute, 0)
        if tag != _OID:
            raise ValueError("an attribute without a type")
        dotted = _dotted(oid)
        short = _SHORT.get(dotted)
        tag, value, _ = _element(attribute, end)
        text = _text(tag, value)
        if short is None or text is None:
            # As the octets of its BER encoding (RFC 4514 section 2.4).
            yield f"{short or dotted}=#{attribute[end:].hex()}"
        else:
            yield f"{short}={_escaped(text)}"


def _text(tag: int, value: bytes) -> str | None:
    """What a string type holds, or None if it is another type or not what it says."""
    encoding = _STRINGS.get(tag)
    try:
        return value.decode(encoding) if encoding is not None else None
    except UnicodeDecodeError:
        return None


def _escaped(text: str) -> str:
    """A value with what has a meaning of its own escaped (RFC 4514 section 2.4)."""
    escaped = "".join(
        "\\00" if each == "\0" else "\\" + each if each in _SPECIAL else each for each in text
    )
    if escaped.startswith((" ", "#")):
        escaped = "\\" + escaped
    if escaped.endswith(" ") and len(text) > 1:
        escaped = escaped[:-1] + "\\ "
    return escaped


def _dotted(oid: bytes) -> str:
    """An object identifier in its dotted form (X.690 section 8.19)."""
    numbers: list[int] = []
    number = 0
    for octet in oid:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(number)
            number = 0
    if not numbers:
        raise ValueError("an object identifier without an octet")
    top = min(numbers[0] // 40, 2)
    return ".".join(str(each) for each in (top, numbers[0] - 40 * top, *numbers[1:]))


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag and the content of each element of ``data``."""
    at = 0
    while at < len(data):
        tag, content, at = _element(data, at)
        yield tag, content


def _element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """The element at ``at``: its tag, its content, and where it ends."""
    if at + 2 > len(data):
        raise ValueError("cut short")
    tag, length = data[at], data[at + 1]
    at += 2
    if length & 0x80:
        octets = length & 0x7F
        if octets == 0:
            raise ValueError("without a length")
        length = int.from_bytes(data[at : at + octets], "big")
        at += octets
    end = at + length
    if end > len(data):
        raise ValueError("cut short")
    return tag, data[at:end], end
