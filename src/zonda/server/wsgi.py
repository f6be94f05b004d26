"""The WSGI runner of an exchange (PEP 3333): a thread calls the application, the loop answers.

A request is two objects. ``WSGIExchange`` lives in the event loop and alone touches the stream.
``WSGICall`` lives on a thread of the pool, where the application runs. Between them go::

    the call's outbox     what the loop is to do: start the response, send, read on. The thread
                          posts it and goes on; the loop empties it when it is woken
    the exchange's body   what has arrived of the request, taken by the thread as it reads
    the call's sleeper    a lock on which the thread waits: for more of the body, or for room, when
                          the client takes no more or the loop is behind

An application that returns a list costs one hand-over to a thread and one back, and its answer
leaves in one write. What another iterable yields is handed to the loop before the next is asked
for; that the loop has sent it is waited for only when much is on its way.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast
from urllib.parse import unquote_to_bytes

from zonda.asgi.pool import Call, Mailbox, Pool
from zonda.server.exchange import ClientDisconnected, Exchange, Runner, Stream
from zonda.server.service import Service
from zonda.server.settings import Settings
from zonda.server.wsgi_files import FileWrapper, Input
from zonda.wire.events import Request

__all__ = ["WSGICall", "WSGIExchange", "WSGIRunner", "thread_count"]

_UNSENT = 262_144
"""Bytes of a response on their way to the loop above which the application waits."""

# What each part of a response counts besides its length, so that many tiny ones are bounded too.
_PART_OVERHEAD = 64

_JOINED = 65_536  # parts of a response that wait together are sent as one up to about this size

_COMPLETE = 4  # the last phase of an exchange
_MAX_CHAIN = 16  # how far an exception's causes are followed
_MAX_LENGTH_DIGITS = 18
_MAX_KEYS = 1024  # field names whose keys are kept

# What an outbox holds: one of these, and what it is done with.
_START = 0
_PART = 1
_LAST = 2
_FILE = 3
_WANT = 4
_CONSUMED = 5
_FAILED = 6
_DONE = 7

Environ: TypeAlias = dict[str, Any]


def thread_count(settings: Settings) -> int:
    """How many threads a worker has for a WSGI application.

    The default is the standard library's: it suits applications that wait for a database or
    another service some of the time, and is few enough not to fight over the interpreter.
    """
    return settings.threads or min(32, (os.cpu_count() or 1) + 4)


class WSGIRunner(Runner):
    """Opens exchanges whose application is a WSGI callable.

    Attributes:
        pool: The threads that run it.
        mailbox: Their way back to the loop.
        lock: Held where a thread decides to wait, and where the loop changes what it waits for.
    """

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.pool = Pool(
            thread_count(settings), waiting=settings.limit_thread_queue, name="zonda-wsgi"
        )
        self.mailbox = Mailbox(loop)
        self.lock = threading.Lock()
        self._named: tuple[object, str, str] = (None, "localhost", "80")
        self._keys: dict[bytes, str] = {}
        root_path = settings.root_path.encode("utf-8").decode("latin-1")
        self._environ: Environ = {
            "SCRIPT_NAME": root_path,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": "zonda",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": getattr(settings, "workers", 1) != 1,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            # The input ends where the body does, whether its length is known or not.
            "wsgi.input_terminated": True,
        }

    def open(self, service: Service, stream: Stream, request: Request) -> WSGIExchange:
        """An exchange for ``request``, not begun."""
        exchange = WSGIExchange.__new__(WSGIExchange)
        exchange.set_up(service, stream, request)
        exchange.runner = self
        exchange.call = None
        exchange.blocked = False
        return exchange

    def close(self) -> None:
        """End the threads that rest, and the others once they are done."""
        self.pool.close()

    def environ(self, exchange: WSGIExchange) -> Environ:
        """The environment of a request (PEP 3333, RFC 3875), without its input."""
        request = exchange.request
        environ = self._environ.copy()
        environ["REQUEST_METHOD"] = request.method
        raw_path = request.raw_path
        if b"%" in raw_path:
            path = unquote_to_bytes(raw_path).decode("latin-1")
        else:
            path = raw_path.decode("latin-1")
        environ["PATH_INFO"] = "" if path == "*" else path
        environ["QUERY_STRING"] = request.query_string.decode("latin-1")
        environ["REQUEST_URI"] = environ["RAW_URI"] = request.target.decode("latin-1")
        if request.http_version != "1.1":
            environ["SERVER_PROTOCOL"] = "HTTP/" + request.http_version
        if exchange.scheme != "http":
            environ["wsgi.url_scheme"] = exchange.scheme
        client = exchange.client
        if client is None:
            environ["REMOTE_ADDR"] = ""
        else:
            environ["REMOTE_ADDR"] = client[0]
            environ["REMOTE_PORT"] = str(client[1])
        named = self._named
        if named[0] is not exchange.server:
            named = self._named = _named(exchange.server, exchange.scheme)
        environ["SERVER_NAME"] = named[1]
        environ["SERVER_PORT"] = named[2]
        self._add_fields(environ, request)
        return environ

    def _add_fields(self, environ: Environ, request: Request) -> None:
        keys = self._keys
        for field in request.headers:
            name, value = field
            key = keys.get(name)
            if key is None:
                key = self._key(name)
            if not key:
                continue
            text = value.decode("latin-1")
            if key in environ:
                joint = "; " if key == "HTTP_COOKIE" else ","
                text = environ[key] + joint + text
            environ[key] = text
        if request.content_length >= 0:
            environ["CONTENT_LENGTH"] = str(request.content_length)

    def _key(self, name: bytes) -> str:
        """The key of a field; empty for one that is not handed on."""
        if b"_" in name or name in {b"content-length", b"proxy"}:
            # X_User would pass for X-User, and Proxy for the variable that clients of other
            # servers obey.
            key = ""
        elif name == b"content-type":
            key = "CONTENT_TYPE"
        else:
            key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        if len(self._keys) < _MAX_KEYS:
            self._keys[name] = key
        return key


class WSGIExchange(Exchange):
    """An exchange whose application is a WSGI callable: its side in the loop.

    Attributes:
        call: Its side on a thread, until the application is done.
        blocked: Whether the client takes no more for now.
    """

    runner: WSGIRunner
    call: WSGICall | None
    blocked: bool

    def begin(self) -> None:
        """Have a thread call the application."""
        service = self.service
        self.begun = True
        service.in_flight += 1
        service.running.add(self)
        call = WSGICall.__new__(WSGICall)
        call.set_up(self, service)
        self.call = call
        try:
            self.runner.pool.put(call)
        except RuntimeError as error:
            self._done()
            self._refuse(error)

    def _refuse(self, error: RuntimeError) -> None:
        """No thread, and no place to wait for one."""
        self.service.refused(self.client, 503, f"{error} (--threads, --limit-thread-queue)")
        fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"1")]
        self.start(503, fields, False)
        self.write(b"Service Unavailable", False)

    def cancel(self) -> None:
        """Let the client go, and the thread as soon as it reads or writes."""
        call = self.call
        if call is not None:
            if self.runner.pool.withdraw(call):
                self._done()
            self.break_off()
            self.rouse()

    def add_body(self, piece: bytes) -> None:
        """A piece of the request's body has arrived."""
        with self.runner.lock:
            Exchange.add_body(self, piece)
        self.rouse()

    def end_body(self) -> None:
        """The request is complete."""
        self._body_complete = True
        self.rouse()

    def lost(self) -> None:
        """The client has left, or the stream was broken off."""
        Exchange.lost(self)
        call = self.call
        if call is not None:
            if self.runner.pool.withdraw(call):
                self._done()
            else:
                self.rouse()

    def writable(self) -> None:
        """The stream is no longer blocked."""
        self.blocked = False
        self.rouse()

    def rouse(self) -> None:
        """Have the thread look again at what it waits for."""
        call = self.call
        if call is not None:
            # The lock is taken even where nobody seems to wait: the thread may be about to.
            with self.runner.lock:
                sleeper = call.sleeper
                call.sleeper = None
            if sleeper is not None:
                sleeper.release()

    def perform(self, kind: int, value: Any) -> None:
        """Do what the thread has posted."""
        if kind == _DONE:
            self._done()
        elif kind == _FAILED:
            self._failed(value)
        elif self.gone or self.phase == _COMPLETE:
            # The stream may be another exchange's already.
            if kind == _FILE:
                value.close()
        else:
            try:
                self._perform(kind, value)
            except Exception as error:
                self._failed(error)

    def _perform(self, kind: int, value: Any) -> None:
        if kind == _START:
            self.start(value[0], value[1], False)
        elif kind == _PART:
            self.write(value, True)
            if self.stream.is_blocked():
                self.blocked = True
        elif kind == _LAST:
            self.write(value, False)
        elif kind == _FILE:
            self.write_file(value, False)
        elif kind == _WANT:
            if not self._body_complete:
                self.stream.want_body()
        elif kind == _CONSUMED:
            self.stream.consumed(value)

    def _failed(self, error: BaseException) -> None:
        if not (self.is_over() and _is_disconnect(error)):
            self.service.logger.error(
                "exception in the WSGI application: %s %s",
                self.request.method,
                self.request.path,
                exc_info=error,
            )
        self.break_off()
        self.rouse()

    def _done(self) -> None:
        service = self.service
        service.in_flight -= 1
        service.running.discard(self)
        self.call = None

    # From the thread

    def is_over(self) -> bool:
        """Whether nothing that the application still does reaches the client."""
        return self.gone or self.phase == _COMPLETE

    def take_body(self) -> bytes:
        """What has come of the request's body, waiting until something has; ``b""`` at its end.

        Raises:
            ClientDisconnected: The rest will not come.
        """
        call = self.call
        if call is None:
            raise ClientDisconnected("the request is over")
        asked = False
        while True:
            with self.runner.lock:
                pieces = self._pieces
                complete = self._body_complete
                if pieces is not None:
                    self._pieces = None
                    self.buffered = 0
                    break
                if complete:
                    return b""
                if self.is_over():
                    raise ClientDisconnected("the client left before its request was complete")
                sleeper = call.sleep()
            if not asked:
                asked = True
                call.post(_WANT, None)
            sleeper.acquire()
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not complete:
            call.post(_CONSUMED, len(data))
        return data


class WSGICall(Call):
    """A request on its thread.

    Attributes:
        sleeper: What the thread waits on, held; None while it does not wait.
    """

    sleeper: Any

    def set_up(self, exchange: WSGIExchange, service: Service) -> None:
        """Begin a life: in the place of ``__init__``, as for an exchange."""
        self.exchange = exchange
        self.loop = service.loop
        self.mailbox = exchange.runner.mailbox
        self.sleeper = None
        self._outbox: deque[tuple[int, Any]] = deque()
        self._posted = False  # whether the loop has yet to empty the outbox
        self._status = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._declared = -1  # the application's Content-Length
        self._started = False  # whether the head is in the outbox
        self._ended = False  # whether the end of the body is
        self._written = 0  # bytes of the body
        self._given = 0  # the same with the overhead of each part, for what is on its way
        self._taken = 0  # and what of it the loop has taken

    # In the loop

    def returned(self) -> None:
        """Do what is in the outbox."""
        self._posted = False
        exchange = self.exchange
        outbox = self._outbox
        taken = False
        while outbox:
            kind, value = outbox.popleft()
            if kind == _PART:
                taken = True
                self._taken += len(value) + _PART_OVERHEAD
                if outbox and outbox[0][0] == _PART:
                    value = self._joined(value)
            exchange.perform(kind, value)
        if taken or exchange.is_over():
            exchange.rouse()

    def _joined(self, part: bytes) -> bytes:
        """``part`` and the parts that follow it in the outbox, within reason."""
        outbox = self._outbox
        parts = [part]
        size = len(part)
        while outbox and outbox[0][0] == _PART and size + len(outbox[0][1]) <= _JOINED:
            part = outbox.popleft()[1]
            self._taken += len(part) + _PART_OVERHEAD
            size += len(part)
            parts.append(part)
        return b"".join(parts)

    # On the thread

    def run(self) -> None:
        """Call the application, and hand over what it answers."""
        try:
            self.exchange.service.context.copy().run(self.respond)
        except BaseException as error:
            self._outbox.append((_FAILED, error))
        self.post(_DONE, None)

    def respond(self) -> None:
        """Call the application: the part of ``run`` that runs in the request's own context."""
        exchange = self.exchange
        environ = exchange.runner.environ(exchange)
        environ["wsgi.input"] = Input(exchange)
        app: Any = exchange.service.app
        result: Any = app(environ, self.start_response)
        kind = cast("type[object]", type(result))
        try:
            if kind is list or kind is tuple:
                self._send_all(result)
            elif kind is FileWrapper:
                self._send_file(result)
            else:
                self._send_each(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: Any = None,
    ) -> Callable[[bytes], None]:
        """What the application calls to start its response; see PEP 3333."""
        if exc_info is not None:
            _, error, traceback = exc_info
            try:
                if self._started:
                    raise error.with_traceback(traceback)
            finally:
                error = traceback = exc_info = None  # they refer to this frame
        elif self._status:
            raise RuntimeError(
                "start_response has been called already: again it is for errors, with exc_info"
            )
        code = _status_code(status)
        fields: list[tuple[bytes, bytes]] = []
        declared = -1
        for field in headers:
            name, value = field
            try:
                pair = (name.encode("latin-1"), value.encode("latin-1"))
            except (AttributeError, UnicodeEncodeError):
                raise _field_error(name, value) from None
            if len(name) == 14 and name.lower() == "content-length" and value.isdecimal():
                declared = int(value[:_MAX_LENGTH_DIGITS])  # of a longer one the encoder complains
            fields.append(pair)
        self._status = code
        self._fields = fields
        self._declared = declared
        return self.write

    def write(self, data: bytes) -> None:
        """Send a part of the body; it waits while much is on its way.

        Raises:
            ClientDisconnected: The client has left.
            RuntimeError: It is more than the Content-Length says.
        """
        if type(data) is not bytes:
            data = _as_bytes(data)
        if self._status == 0:
            raise _not_started()
        if data:
            self._write(data)
            self._wait_for_room()

    def _send_all(self, parts: Any) -> None:
        """Send what is all there."""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if type(data) is not bytes:
            data = _as_bytes(data)
        if self._status == 0:
            raise _not_started()
        if self._started:  # by write()
            if data:
                self._write(data)
            self._end()
        else:
            self._started = True
            self._outbox.append((_START, (self._status, self._fields)))
            self._outbox.append((_LAST, data))

    def _send_each(self, parts: Iterable[bytes]) -> None:
        """Send what comes, each part before the next is asked for."""
        exchange = self.exchange
        bodiless = exchange.request.method == "HEAD"
        for data in parts:
            if type(data) is not bytes:
                data = _as_bytes(data)
            if data:
                if self._status == 0:
                    raise _not_started()
                if not self._ended and exchange.is_over():
                    return
                self._write(data)
                if bodiless:
                    break  # the head is all that the client gets; the rest may have no end
                if not self._ended:
                    self._wait_for_room()
        self._end()

    def _send_file(self, wrapper: FileWrapper) -> None:
        """Send a file without reading it, if it is one."""
        segment = wrapper.segment()
        if segment is None or self._started:
            if segment is not None:
                segment.close()
            self._send_each(wrapper)
            return
        if self._status == 0:
            segment.close()
            raise _not_started()
        if 0 <= self._declared < segment.remaining:
            segment.remaining = self._declared
        self._begin()
        self._ended = True
        self._outbox.append((_FILE, segment))

    def _begin(self) -> None:
        self._started = True
        self._outbox.append((_START, (self._status, self._fields)))

    def _write(self, data: bytes) -> None:
        size = len(data)
        if self._ended or 0 <= self._declared < self._written + size:
            raise RuntimeError(
                f"the body is longer than its content-length, which is {self._declared}: "
                "send the right content-length, or none"
            )
        if self.exchange.is_over():
            raise ClientDisconnected("the client has left")
        if not self._started:
            self._begin()
        self._written += size
        if self._written == self._declared:
            self._ended = True
            self.post(_LAST, data)
        else:
            self._given += size + _PART_OVERHEAD
            self.post(_PART, data)

    def _end(self) -> None:
        if not self._ended:
            if self._status == 0:
                raise _not_started()
            if not self._started:
                self._begin()
            self._ended = True
            self._outbox.append((_LAST, b""))

    def _wait_for_room(self) -> None:
        exchange = self.exchange
        if not exchange.blocked and self._given - self._taken <= _UNSENT:
            return
        while True:
            with exchange.runner.lock:
                if exchange.is_over() or not (
                    exchange.blocked or self._given - self._taken > _UNSENT
                ):
                    return
                sleeper = self.sleep()
            sleeper.acquire()

    def post(self, kind: int, value: Any) -> None:
        """Put something in the outbox, and have the loop look into it."""
        self._outbox.append((kind, value))
        if not self._posted:
            self._posted = True
            self.mailbox.post(self)

    def sleep(self) -> Any:
        """What to wait on; ``rouse`` releases it. The runner's lock is held."""
        sleeper = threading.Lock()
        sleeper.acquire()
        self.sleeper = sleeper
        return sleeper


def _named(server: tuple[str, int | None] | None, scheme: str) -> tuple[object, str, str]:
    """SERVER_NAME and SERVER_PORT, which are never empty; a unix socket has neither."""
    if server is None or server[1] is None:
        return server, "localhost", "443" if scheme == "https" else "80"
    return server, server[0], str(server[1])


def _status_code(status: str) -> int:
    digits = status[:3]
    if not (
        len(digits) == 3 and digits.isascii() and digits.isdigit() and status[3:4] in {"", " "}
    ):
        raise ValueError(f"a status is a number and a reason, such as '200 OK', not {status!r}")
    code = int(digits)
    if code < 200:
        raise ValueError(f"{status!r} is not a final status: 200 to 999 are")
    return code


def _field_error(name: object, value: object) -> Exception:
    if not isinstance(name, str) or not isinstance(value, str):
        return TypeError(f"a header's name and value are str, not {name!r} and {value!r}")
    return ValueError(f"header {name!r} has a character that is not in Latin-1: {value!r}")


def _as_bytes(data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(cast("bytes", data))
    raise TypeError(f"a response body is bytes, not {type(data).__name__}: encode it first")


def _not_started() -> RuntimeError:
    return RuntimeError("the application has not called start_response")


def _is_disconnect(error: BaseException | None) -> bool:
    """Whether ``error`` is what the client's leaving made of the application."""
    for _ in range(_MAX_CHAIN):
        if error is None or isinstance(error, ClientDisconnected):
            return error is not None
        error = error.__cause__ or error.__context__
    return False
