"""The kinds of values that a setting can have: how each reads text, checks a value and writes text.

One kind serves every source of settings. The command line, the environment and files give text,
which `read` turns into a value; Python code gives values, which `check` accepts or refuses; `write`
gives text that reads back as the value, for `--help` and for a child process. All three raise
`ValueError` with a reason that completes "port=99999: …".
"""

# ruff: noqa: ANN401, D102, TRY004
# A value comes from anyone and may be anything until it is checked; whatever is wrong with it, one
# kind of error says so; and what read, check and write do is documented once, in Kind.

from __future__ import annotations

import difflib
import os
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from zonda.server.addresses import parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "Choice",
    "Count",
    "Flag",
    "HeaderField",
    "Kind",
    "ListenAddress",
    "Many",
    "Mode",
    "Path",
    "Seconds",
    "Secret",
    "Size",
    "Text",
    "nearest",
]

T = TypeVar("T")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_MULTIPLES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding", "trailer", "upgrade"})
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that `word` most likely stands for, or None if none is near."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return found[0] if found else None


class Kind(Protocol[T]):
    """How one setting's value is read, checked and written. Every method raises `ValueError`."""

    @property
    def metavar(self) -> str:
        """What stands for the value in `--help`; it names the unit."""
        ...

    def read(self, text: str) -> T:
        """The value that `text` means."""
        ...

    def check(self, value: Any) -> T:
        """`value`, in the one form it is kept in. Text that `read` understands will do."""
        ...

    def write(self, value: T) -> str:
        """Text from which `read` makes this value again."""
        ...


class Text:
    """Text without a NUL; with `absolute_path` a URL path (it begins with a slash) or nothing."""

    metavar = "TEXT"

    def __init__(self, *, absolute_path: bool = False) -> None:
        self.absolute_path = absolute_path

    def read(self, text: str) -> str:
        if "\0" in text:
            raise ValueError("a NUL is not allowed here")
        if self.absolute_path and text:
            if not text.startswith("/"):
                raise ValueError(f"a URL path begins with a slash: {'/' + text!r}")
            return text.rstrip("/")
        return text

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"text is wanted, not {_a(value)}")
        return self.read(value)

    def write(self, value: str) -> str:
        return value


class Secret(Text):
    """Text that is not to be seen: neither in a message nor on a command line of our making."""

    metavar = "SECRET"


class Path:
    """A path of the file system, as text. Nothing is looked up here: it may appear later."""

    metavar = "PATH"

    def read(self, text: str) -> str:
        if not text or "\0" in text:
            raise ValueError("a path is wanted")
        return text

    def check(self, value: Any) -> str:
        if not isinstance(value, str | os.PathLike):
            raise ValueError(f"a path is wanted, not {_a(value)}")
        path: str | bytes = os.fspath(value)
        return self.read(os.fsdecode(path))

    def write(self, value: str) -> str:
        return value


class Flag:
    """Yes or no."""

    metavar = "BOOLEAN"

    def read(self, text: str) -> bool:
        word = text.strip().lower()
        if word not in _YES | _NO:
            raise ValueError("true or false is wanted")
        return word in _YES

    def check(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.read(value)
        raise ValueError(f"True or False is wanted, not {_a(value)}")

    def write(self, value: bool) -> str:
        return "true" if value else "false"


class Choice:
    """One of several words; `refused` are words of uvicorn's that mean nothing here, and why."""

    def __init__(self, *words: str, refused: Mapping[str, str] | None = None) -> None:
        self.words = words
        self.refused = dict(refused or {})
        self.metavar = "[" + "|".join(words) + "]"

    def read(self, text: str) -> str:
        word = text.strip().lower()
        if word in self.words:
            return word
        if word in self.refused:
            raise ValueError(self.refused[word])
        near = nearest(word, self.words)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"one of {', '.join(self.words)} is wanted{hint}")

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"one of {', '.join(self.words)} is wanted, not {_a(value)}")
        return self.read(value)

    def write(self, value: str) -> str:
        return value


class Count:
    """A whole number from `minimum` to `maximum`; `zero` is what 0 means where it is special."""

    def __init__(
        self,
        minimum: int = 0,
        maximum: int | None = None,
        *,
        zero: str | None = None,
        metavar: str = "COUNT",
    ) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self.zero = zero
        self.metavar = metavar

    def read(self, text: str) -> int:
        try:
            number = int(text.strip())
        except ValueError:
            raise ValueError("a whole number is wanted") from None
        return self._within(number)

    def check(self, value: Any) -> int:
        if isinstance(value, str):
            return self.read(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"a whole number is wanted, not {_a(value)}")
        return self._within(value)

    def write(self, value: int) -> str:
        return str(value)

    def _within(self, number: int) -> int:
        if number == 0 and self.zero is not None:
            return number
        _between(number, self.minimum, self.maximum, self.zero)
        return number


class Size(Count):
    """A number of bytes; text may use K, M, G and T, bare or with B or iB: all powers of 1024."""

    def __init__(self, minimum: int = 0, *, zero: str | None = None) -> None:
        super().__init__(minimum, zero=zero, metavar="SIZE")

    def read(self, text: str) -> int:
        match = _SIZE.fullmatch(text.strip())
        if match is None:
            raise ValueError("a size is wanted, such as 65536, 64KiB, 10MiB or 1GiB")
        number, multiple = match.groups()
        size = Fraction(number) * _MULTIPLES[multiple.lower()]
        if size.denominator != 1:
            raise ValueError("a whole number of bytes is wanted")
        return self._within(int(size))

    def write(self, value: int) -> str:
        for multiple in ("T", "G", "M", "K"):
            if value and value % _MULTIPLES[multiple.lower()] == 0:
                return f"{value // _MULTIPLES[multiple.lower()]}{multiple}iB"
        return str(value)


class Seconds:
    """A time in seconds, fractions allowed; `zero` is what 0 means where it is special."""

    metavar = "SECONDS"

    def __init__(self, minimum: float = 0.0, *, zero: str | None = None) -> None:
        self.minimum = minimum
        self.zero = zero

    def read(self, text: str) -> float:
        try:
            number = float(text.strip().lower().removesuffix("s"))
        except ValueError:
            raise ValueError("a number of seconds is wanted") from None
        return self._within(number)

    def check(self, value: Any) -> float:
        if isinstance(value, str):
            return self.read(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"a number of seconds is wanted, not {_a(value)}")
        return self._within(float(value))

    def write(self, value: float) -> str:
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)

    def _within(self, number: float) -> float:
        if number == 0 and self.zero is not None:
            return number
        # Written so that NaN is refused too.
        if not 0 <= number < float("inf"):
            raise ValueError("a finite number of seconds, not below 0, is wanted")
        _between(number, self.minimum, None, self.zero)
        return number


class Mode:
    """Permissions of a file, in octal as `chmod` takes them."""

    metavar = "OCTAL"

    def read(self, text: str) -> int:
        try:
            mode = int(text.strip().removeprefix("0o"), 8)
        except ValueError:
            raise ValueError("permissions in octal are wanted, such as 660") from None
        return self.check(mode)

    def check(self, value: Any) -> int:
        if isinstance(value, str):
            return self.read(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0o777:
            raise ValueError("permissions from 0o000 to 0o777 are wanted, such as 0o660")
        return value

    def write(self, value: int) -> str:
        return f"{value:03o}"


class ListenAddress(Text):
    """A place to listen at: HOST:PORT, [IPV6]:PORT, unix:PATH or fd://NUMBER."""

    metavar = "ADDRESS"

    def read(self, text: str) -> str:
        parse_address(text)
        return text


class HeaderField(Text):
    """A response field, "Name: value" (RFC 9110 section 5); not one that frames the message."""

    metavar = "NAME:VALUE"

    def read(self, text: str) -> str:
        name, colon, value = text.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise ValueError('a field is wanted, such as "X-Frame-Options: DENY"')
        if name.lower() in _FRAMING:
            raise ValueError(f"{name} frames the message: it is the server's to send; leave it out")
        value = value.strip(" \t")
        if any((char < " " and char != "\t") or char == "\x7f" or char > "\xff" for char in value):
            raise ValueError("a field value holds no control characters and nothing beyond Latin-1")
        return f"{name}: {value}"


class Many(Generic[T]):
    """Several values of one kind: a repeated option on the command line, a list in a file.

    In one text they are parted by commas, or by another `separator` where each may have commas.
    """

    def __init__(self, each: Kind[T], *, separator: str = ",") -> None:
        self.each = each
        self.separator = separator
        self.metavar = each.metavar

    def read(self, text: str) -> tuple[T, ...]:
        return tuple(
            self.each.read(part.strip()) for part in text.split(self.separator) if part.strip()
        )

    def check(self, value: Any) -> tuple[T, ...]:
        if isinstance(value, str):
            # One value where several may stand; not split, since Python code can write a list.
            return (self.each.read(value),)
        if not isinstance(value, list | tuple):
            raise ValueError(f"a list is wanted, not {_a(value)}")
        return tuple(self.each.check(part) for part in cast("Iterable[Any]", value))

    def write(self, value: tuple[T, ...]) -> str:
        return self.separator.join(self.each.write(part) for part in value)


def _a(value: object) -> str:
    return f"{type(value).__name__} {value!r}"


def _between(number: float, minimum: float, maximum: float | None, zero: str | None) -> None:
    if number < minimum or (maximum is not None and number > maximum):
        reach = f"from {minimum:g} on" if maximum is None else f"from {minimum:g} to {maximum:g}"
        extra = f", or 0 ({zero})" if zero is not None and minimum > 0 else ""
        raise ValueError(f"a number {reach} is wanted{extra}")
