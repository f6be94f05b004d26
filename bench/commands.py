"""The command lines of the servers, on equal terms; bench/README.md tells why each option is there.

Every server gets one worker process, no access log, uvloop where it can run on it (the portable
Zonda excepted), and its own defaults otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass

from certificate import Certificate

IDLE_TIMEOUT = 300
"""Seconds that connections may idle where a case holds them open."""
MOST_CONNECTIONS = 16_384


@dataclass(frozen=True)
class Launch:
    """What a server's command line is made from."""

    python: str
    app: str
    port: int
    certificate: Certificate | None = None
    """For TLS; None: without."""
    crowd: bool = False
    """Thousands of connections come: limits on their number must be raised to allow it."""
    idle: bool = False
    """They stay idle for longer than the default time-outs allow, which must be raised too."""
    websocket: bool = False
    deflate: bool = False
    """A server that has permessage-deflate, but turned off, turns it on."""


def zonda(loop: str) -> Callable[[Launch], list[str]]:
    """Zonda's command line, on the loop."""

    def command(launch: Launch) -> list[str]:
        line = [launch.python, "-m", "zonda", "run", f"bench.apps:{launch.app}"]
        line += ["--host", "127.0.0.1", "--port", str(launch.port)]
        line += ["--no-access-log", "--loop", loop]
        if launch.certificate is not None:
            line += ["--ssl-certfile", str(launch.certificate.chain)]
            line += ["--ssl-keyfile", str(launch.certificate.key)]
        if launch.crowd:
            line += ["--limit-connections", str(MOST_CONNECTIONS)]
        if launch.idle:
            line += ["--timeout-keep-alive", str(IDLE_TIMEOUT)]
        if launch.idle and launch.websocket:
            line += ["--ws-ping-interval", str(IDLE_TIMEOUT)]
        return line

    return command


def uvicorn(websockets: str) -> Callable[[Launch], list[str]]:
    """Uvicorn's, with its compiled parser and loop, and that one of its ways to do WebSocket."""

    def command(launch: Launch) -> list[str]:
        line = [launch.python, "-m", "uvicorn", f"bench.apps:{launch.app}"]
        line += ["--host", "127.0.0.1", "--port", str(launch.port), "--workers", "1"]
        line += ["--http", "httptools", "--loop", "uvloop", "--no-access-log"]
        line += ["--no-proxy-headers"]
        if launch.websocket:
            line += ["--ws", websockets]
        if launch.certificate is not None:
            line += ["--ssl-certfile", str(launch.certificate.chain)]
            line += ["--ssl-keyfile", str(launch.certificate.key)]
        if launch.idle:
            line += ["--timeout-keep-alive", str(IDLE_TIMEOUT)]
        if launch.idle and launch.websocket:
            line += ["--ws-ping-interval", str(IDLE_TIMEOUT)]
        return line

    return command


def granian(launch: Launch) -> list[str]:
    """The command line of granian: its default runtime, one thread of it."""
    line = [launch.python, "-m", "granian", f"bench.apps:{launch.app}"]
    line += ["--host", "127.0.0.1", "--port", str(launch.port), "--workers", "1"]
    line += ["--interface", "asgi", "--loop", "uvloop", "--no-access-log"]
    if launch.certificate is not None:
        line += ["--ssl-certificate", str(launch.certificate.chain)]
        line += ["--ssl-keyfile", str(launch.certificate.key)]
    if launch.crowd:
        line += ["--backlog", str(MOST_CONNECTIONS), "--backpressure", str(MOST_CONNECTIONS)]
    if launch.idle:
        # The time to read a head runs while a connection idles, and 60 s is the most it takes.
        line += ["--http1-header-read-timeout", "60000"]
    return line


def peregrine(launch: Launch) -> list[str]:
    """The command line of peregrine-server, which takes uvloop where it is installed."""
    line = [launch.python, "-m", "peregrine"]
    line += ["--host", "127.0.0.1", "--port", str(launch.port), "--workers", "1"]
    line += ["--protocol", "asgi"]
    if launch.certificate is not None:
        line += ["--tls-cert", str(launch.certificate.chain)]
        line += ["--tls-key", str(launch.certificate.key)]
    if launch.crowd:
        line += ["--max-connections", str(MOST_CONNECTIONS)]
    if launch.idle:
        line += ["--keep-alive", str(IDLE_TIMEOUT * 1000)]
    if launch.idle and launch.websocket:
        line += ["--ws-ping-interval", str(IDLE_TIMEOUT * 1000)]
    if launch.deflate:
        line.append("--ws-compress")
    return [*line, f"bench.apps:{launch.app}"]
