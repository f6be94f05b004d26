"""The ASGI contract as types: scopes, events and the three callables.

They follow ASGI 3: the HTTP and WebSocket message format 2.5, lifespan 2.0, the TLS extension 0.2.
A key that the specification lets a server or an application leave out is `NotRequired` here.

An application that wants help from its type checker narrows on `type`:

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["method"]  # known to be an HTTPScope here
"""

# ruff: noqa: D101
# An event without a docstring is what its type says and nothing more.

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, NotRequired, Protocol, TypeAlias, TypedDict

__all__ = [
    "ASGI2App",
    "ASGIApp",
    "ASGIVersions",
    "Application",
    "HTTPDisconnectEvent",
    "HTTPEarlyHintEvent",
    "HTTPPathSendEvent",
    "HTTPPushEvent",
    "HTTPReceiveEvent",
    "HTTPRequestEvent",
    "HTTPResponseBodyEvent",
    "HTTPResponseStartEvent",
    "HTTPResponseTrailersEvent",
    "HTTPScope",
    "HTTPSendEvent",
    "HTTPZeroCopySendEvent",
    "HasFileno",
    "Header",
    "LifespanReceiveEvent",
    "LifespanScope",
    "LifespanSendEvent",
    "LifespanShutdownCompleteEvent",
    "LifespanShutdownEvent",
    "LifespanShutdownFailedEvent",
    "LifespanStartupCompleteEvent",
    "LifespanStartupEvent",
    "LifespanStartupFailedEvent",
    "Message",
    "Receive",
    "ReceiveEvent",
    "Scope",
    "Send",
    "SendEvent",
    "TLSExtension",
    "WebSocketAcceptEvent",
    "WebSocketCloseEvent",
    "WebSocketConnectEvent",
    "WebSocketDisconnectEvent",
    "WebSocketReceiveEvent",
    "WebSocketReceiveMessage",
    "WebSocketResponseBodyEvent",
    "WebSocketResponseStartEvent",
    "WebSocketScope",
    "WebSocketSendEvent",
    "WebSocketSendMessage",
]

Header: TypeAlias = tuple[bytes, bytes]
"""A field of a header block: its name, lower-case from the server, and its value."""


class HasFileno(Protocol):
    """What `http.response.zerocopysend` sends: anything with a descriptor."""

    def fileno(self) -> int:
        """The descriptor."""
        ...


class ASGIVersions(TypedDict):
    """`scope["asgi"]`: the version of ASGI itself and of the message format in this scope."""

    version: str
    spec_version: NotRequired[str]


class TLSExtension(TypedDict):
    """`scope["extensions"]["tls"]`: what the TLS handshake settled."""

    server_cert: str | None
    client_cert_chain: Iterable[str]
    client_cert_name: str | None
    client_cert_error: str | None
    tls_version: int | None
    cipher_suite: int | None


class HTTPScope(TypedDict):
    """One HTTP request."""

    type: Literal["http"]
    asgi: ASGIVersions
    http_version: str
    method: str
    scheme: NotRequired[str]
    path: str
    raw_path: NotRequired[bytes | None]
    query_string: bytes
    root_path: NotRequired[str]
    headers: Iterable[Header]
    client: NotRequired[tuple[str, int] | None]
    server: NotRequired[tuple[str, int | None] | None]
    state: NotRequired[dict[str, Any]]
    extensions: NotRequired[dict[str, Any] | None]


class WebSocketScope(TypedDict):
    """One WebSocket session, from the handshake to the close."""

    type: Literal["websocket"]
    asgi: ASGIVersions
    http_version: NotRequired[str]
    scheme: NotRequired[str]
    path: str
    raw_path: NotRequired[bytes | None]
    query_string: NotRequired[bytes]
    root_path: NotRequired[str]
    headers: Iterable[Header]
    client: NotRequired[tuple[str, int] | None]
    server: NotRequired[tuple[str, int | None] | None]
    subprotocols: NotRequired[Iterable[str]]
    state: NotRequired[dict[str, Any]]
    extensions: NotRequired[dict[str, Any] | None]


class LifespanScope(TypedDict):
    """The life of the application in one worker: start-up and shutdown."""

    type: Literal["lifespan"]
    asgi: ASGIVersions
    state: NotRequired[dict[str, Any]]


Scope: TypeAlias = HTTPScope | WebSocketScope | LifespanScope


# HTTP: server to application


class HTTPRequestEvent(TypedDict):
    type: Literal["http.request"]
    body: NotRequired[bytes]
    more_body: NotRequired[bool]


class HTTPDisconnectEvent(TypedDict):
    type: Literal["http.disconnect"]


# HTTP: application to server


class HTTPResponseStartEvent(TypedDict):
    type: Literal["http.response.start"]
    status: int
    headers: NotRequired[Iterable[Header]]
    trailers: NotRequired[bool]


class HTTPResponseBodyEvent(TypedDict):
    type: Literal["http.response.body"]
    body: NotRequired[bytes]
    more_body: NotRequired[bool]


class HTTPResponseTrailersEvent(TypedDict):
    """Extension `http.response.trailers`."""

    type: Literal["http.response.trailers"]
    headers: Iterable[Header]
    more_trailers: NotRequired[bool]


class HTTPEarlyHintEvent(TypedDict):
    """Extension `http.response.early_hint`: each link is a `Link` field's value (RFC 8297)."""

    type: Literal["http.response.early_hint"]
    links: Iterable[bytes]


class HTTPPathSendEvent(TypedDict):
    """Extension `http.response.pathsend`: an absolute path, in place of a body."""

    type: Literal["http.response.pathsend"]
    path: str


class HTTPZeroCopySendEvent(TypedDict):
    """Extension `http.response.zerocopysend`: `count` bytes from `offset` on.

    Without `offset` from the file's position on, without `count` to its end.
    """

    type: Literal["http.response.zerocopysend"]
    file: HasFileno | int
    offset: NotRequired[int]
    count: NotRequired[int]
    more_body: NotRequired[bool]


class HTTPPushEvent(TypedDict):
    """Extension `http.response.push` (HTTP/2)."""

    type: Literal["http.response.push"]
    path: str
    headers: Iterable[Header]


# WebSocket: server to application


class WebSocketConnectEvent(TypedDict):
    type: Literal["websocket.connect"]


class WebSocketReceiveMessage(TypedDict):
    """One message: either `bytes` or `text` is present and not None."""

    type: Literal["websocket.receive"]
    bytes: NotRequired[bytes | None]
    text: NotRequired[str | None]


class WebSocketDisconnectEvent(TypedDict):
    type: Literal["websocket.disconnect"]
    code: NotRequired[int]
    reason: NotRequired[str | None]


# WebSocket: application to server


class WebSocketAcceptEvent(TypedDict):
    type: Literal["websocket.accept"]
    subprotocol: NotRequired[str | None]
    headers: NotRequired[Iterable[Header]]


class WebSocketSendMessage(TypedDict):
    """One message: exactly one of `bytes` and `text` is present and not None."""

    type: Literal["websocket.send"]
    bytes: NotRequired[bytes | None]
    text: NotRequired[str | None]


class WebSocketCloseEvent(TypedDict):
    type: Literal["websocket.close"]
    code: NotRequired[int]
    reason: NotRequired[str | None]


class WebSocketResponseStartEvent(TypedDict):
    """Extension `websocket.http.response`: the head of a refusal other than 403."""

    type: Literal["websocket.http.response.start"]
    status: int
    headers: NotRequired[Iterable[Header]]


class WebSocketResponseBodyEvent(TypedDict):
    """Extension `websocket.http.response`: the body of a refusal."""

    type: Literal["websocket.http.response.body"]
    body: NotRequired[bytes]
    more_body: NotRequired[bool]


# Lifespan


class LifespanStartupEvent(TypedDict):
    type: Literal["lifespan.startup"]


class LifespanShutdownEvent(TypedDict):
    type: Literal["lifespan.shutdown"]


class LifespanStartupCompleteEvent(TypedDict):
    type: Literal["lifespan.startup.complete"]


class LifespanStartupFailedEvent(TypedDict):
    type: Literal["lifespan.startup.failed"]
    message: NotRequired[str]


class LifespanShutdownCompleteEvent(TypedDict):
    type: Literal["lifespan.shutdown.complete"]


class LifespanShutdownFailedEvent(TypedDict):
    type: Literal["lifespan.shutdown.failed"]
    message: NotRequired[str]


HTTPReceiveEvent: TypeAlias = HTTPRequestEvent | HTTPDisconnectEvent
HTTPSendEvent: TypeAlias = (
    HTTPResponseStartEvent
    | HTTPResponseBodyEvent
    | HTTPResponseTrailersEvent
    | HTTPEarlyHintEvent
    | HTTPPathSendEvent
    | HTTPZeroCopySendEvent
    | HTTPPushEvent
)
WebSocketReceiveEvent: TypeAlias = (
    WebSocketConnectEvent | WebSocketReceiveMessage | WebSocketDisconnectEvent
)
WebSocketSendEvent: TypeAlias = (
    WebSocketAcceptEvent
    | WebSocketSendMessage
    | WebSocketCloseEvent
    | WebSocketResponseStartEvent
    | WebSocketResponseBodyEvent
)
LifespanReceiveEvent: TypeAlias = LifespanStartupEvent | LifespanShutdownEvent
LifespanSendEvent: TypeAlias = (
    LifespanStartupCompleteEvent
    | LifespanStartupFailedEvent
    | LifespanShutdownCompleteEvent
    | LifespanShutdownFailedEvent
)
ReceiveEvent: TypeAlias = HTTPReceiveEvent | WebSocketReceiveEvent | LifespanReceiveEvent
SendEvent: TypeAlias = HTTPSendEvent | WebSocketSendEvent | LifespanSendEvent
Message: TypeAlias = ReceiveEvent | SendEvent

Receive: TypeAlias = Callable[[], Awaitable[ReceiveEvent]]
Send: TypeAlias = Callable[[SendEvent], Awaitable[None]]

ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[Any]]
"""Any ASGI 3 application.

The arguments are `Any` because every framework has its own types for them: a `MutableMapping` here,
a union of TypedDicts there, and neither is assignable to the other. A server has to take them all.
"""

ASGI2App: TypeAlias = Callable[[Any], Callable[[Any, Any], Awaitable[Any]]]
"""Any ASGI 2 application: called with the scope, it returns what is called with the rest."""

WSGIApp: TypeAlias = Callable[[Any, Any], Iterable[bytes]]
"""Any WSGI application (PEP 3333)."""

Application: TypeAlias = ASGIApp | ASGI2App | WSGIApp
"""What the server serves."""
