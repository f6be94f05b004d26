"""Where a server listens: the text forms of an address, and what each means.

`HOST:PORT`, `[IPV6]:PORT`, `:PORT` (every interface, IPv4 and IPv6), `unix:PATH`, `fd://NUMBER`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Address", "InheritedAddress", "TCPAddress", "UnixAddress", "parse_address"]

_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class TCPAddress:
    """A host name or IP address and a port; no host is every interface, port 0 any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class InheritedAddress:
    """A socket that is open already, by its descriptor."""

    fd: int

    def __str__(self) -> str:
        return f"fd://{self.fd}"


Address: TypeAlias = TCPAddress | UnixAddress | InheritedAddress


def parse_address(text: str) -> Address:
    """The address that `text` stands for; raises `ValueError` with what is wrong with it."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if path.startswith("//"):
            path = path.removeprefix("//")
        if not path or "\0" in path:
            raise ValueError("a path is wanted after unix:, such as unix:/run/app.sock")
        return UnixAddress(path)
    if text.startswith("fd://"):
        number = text.removeprefix("fd://")
        if not (number.isascii() and number.isdigit()):
            raise ValueError("a descriptor's number is wanted after fd://, such as fd://3")
        return InheritedAddress(int(number))
    host, colon, number = text.rpartition(":")
    if not colon or not (number.isascii() and number.isdigit()) or int(number) > _MAX_PORT:
        raise ValueError(
            "HOST:PORT, [IPV6]:PORT, unix:PATH or fd://NUMBER is wanted, such as 127.0.0.1:8000"
        )
    if "/" in host or "\0" in host:
        raise ValueError("a host name or an IP address is wanted before the port, without http://")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"an IPv6 address stands in brackets: [{host}]:{number}")
    return TCPAddress(host, int(number))
