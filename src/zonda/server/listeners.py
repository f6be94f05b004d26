"""The sockets a server listens at: opened from settings, described for people, closed at the end.

Every socket comes out bound, listening, non-blocking and close-on-exec. An IPv6 socket takes IPv6
only, so that `[::]:8000` and `0.0.0.0:8000` can be listened at together; systems differ in what a
socket for both does.
"""

import contextlib
import errno
import os
import socket
import stat
import sys
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from zonda.server.addresses import Address, InheritedAddress, TCPAddress, UnixAddress

if TYPE_CHECKING:
    from types import TracebackType

    from zonda.server.settings import Settings

__all__ = ["ListenError", "Listeners", "describe", "open_listeners"]

_Place: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]  # as getaddrinfo has them

_PRIVILEGED_PORTS = 1024
_FREE_PORT_TRIES = 8  # to find one port that is free on all addresses of a host name


class ListenError(Exception):
    """An address cannot be listened at. The message is one line: the address, why, what to do."""


class Listeners:
    """The open listening sockets of a server, in the order of its addresses.

    Closing them removes the files of unix sockets that are still ours: when a successor has put
    its own in place, that one stays.
    """

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.places: dict[str, list[socket.socket]] = {}  # the sockets of each address
        self.files: list[tuple[str, tuple[int, int]]] = []  # of unix sockets, with identity

    def add(self, listener: socket.socket, path: str | None = None) -> None:
        """Own `listener`, and the file at `path` if it made one."""
        self.sockets.append(listener)
        if path is not None:
            self.files.append((path, _identity(path)))

    def close(self) -> None:
        """Close every socket. Calling it again does nothing."""
        for path, identity in self.files:
            # Before the socket is closed: once nobody answers, a successor may take the path.
            with contextlib.suppress(OSError):
                if _identity(path) == identity:
                    os.unlink(path)  # noqa: PTH108 (paths are text here)
        self.files.clear()
        for listener in self.sockets:
            listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self.close()


def open_listeners(settings: "Settings", had: Listeners | None = None) -> Listeners:
    """Open everything that `settings.addresses` names; all or nothing, with `ListenError`.

    What is open in `had` already is taken from there; what it has besides is closed.
    """
    listeners = Listeners()
    taken = had.places if had is not None else {}
    try:
        for address in settings.addresses:
            place = str(address)
            before = len(listeners.sockets)
            if place in taken:
                listeners.sockets += taken[place]
            else:
                _open(address, settings, listeners)
            listeners.places[place] = listeners.sockets[before:]
    except BaseException:
        for place in set(taken).intersection(listeners.places):
            listeners.sockets = [each for each in listeners.sockets if each not in taken[place]]
        listeners.close()
        raise
    if had is not None:
        kept = {address.path for address in settings.addresses if isinstance(address, UnixAddress)}
        listeners.files += [each for each in had.files if each[0] in kept]
        had.files = [each for each in had.files if each[0] not in kept]
        had.sockets = [each for each in had.sockets if each not in listeners.sockets]
        had.close()
    return listeners


def describe(listener: socket.socket, scheme: str = "http") -> str:
    """Where clients find `listener`: a URL, or `unix:PATH`."""
    name = listener.getsockname()
    if listener.family == socket.AF_INET:
        return f"{scheme}://{name[0]}:{name[1]}"
    if listener.family == socket.AF_INET6:
        host, zone, interface = name[0].partition("%")
        if not zone and name[3]:
            zone, interface = "%", socket.if_indextoname(name[3])
        # The zone's percent sign is itself percent-encoded in a URL (RFC 6874).
        return f"{scheme}://[{host}{'%25' if zone else ''}{interface}]:{name[1]}"
    if isinstance(name, bytes):  # the abstract namespace of Linux
        return "unix:@" + name[1:].decode("utf-8", "backslashreplace")
    return f"unix:{name}"


def _open(address: Address, settings: "Settings", listeners: Listeners) -> None:
    try:
        if isinstance(address, TCPAddress):
            _open_tcp(address, settings.backlog, listeners)
        elif isinstance(address, UnixAddress):
            _open_unix(address, settings, listeners)
        else:
            _open_inherited(address, settings.backlog, listeners)
    except OSError as error:
        raise ListenError(f"Cannot listen at {address}: {_explain(error, address)}") from error


def _open_tcp(address: TCPAddress, backlog: int, listeners: Listeners) -> None:
    places = _resolve(address)
    for attempt in range(1, _FREE_PORT_TRIES + 1):
        try:
            opened = _listen_together(places, address.port, backlog)
        except OSError as error:
            # A port that is free on the first address need not be on the second: take another.
            taken = error.errno == errno.EADDRINUSE
            if address.port != 0 or not taken or attempt == _FREE_PORT_TRIES:
                raise
        else:
            for listener in opened:
                listeners.add(listener)
            return


def _resolve(address: TCPAddress) -> list[_Place]:
    """Every address of a host name, once."""
    found = socket.getaddrinfo(
        address.host or None,
        address.port,
        type=socket.SOCK_STREAM,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_PASSIVE,
    )
    return list(dict.fromkeys((family, place) for family, _, _, _, place in found))


def _listen_together(places: list[_Place], port: int, backlog: int) -> list[socket.socket]:
    """Listen at all the places, at one port, also when any will do (0)."""
    opened: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        missing: OSError | None = None
        for family, (host, _, *rest) in places:
            try:
                listener = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
                _prepare_tcp(listener)
                listener.bind((host, port, *rest))
            except OSError as error:
                # "localhost" has an IPv6 address also where the kernel has no IPv6.
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                missing = missing or error
                continue
            listener.listen(backlog)
            port = listener.getsockname()[1]
            opened.append(listener)
        if missing is not None and not opened:
            raise missing
        undo.pop_all()
    return opened


def _prepare_tcp(listener: socket.socket) -> None:
    listener.settimeout(0)
    if sys.platform == "win32":
        # There SO_REUSEADDR would let any other process take the port from us.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted sockets inherit it, which saves a call for each.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _open_unix(address: UnixAddress, settings: "Settings", listeners: Listeners) -> None:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, "this system has no unix sockets")
    _remove_stale(address.path)
    with contextlib.ExitStack() as undo:
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.settimeout(0)
        listener.bind(address.path)
        listeners.add(listener, address.path)
        # Before listen(): until then nobody can connect, so nobody slips in before the change.
        os.chmod(address.path, settings.uds_permissions)  # noqa: PTH101 (paths are text here)
        listener.listen(settings.backlog)
        undo.pop_all()


def _remove_stale(path: str) -> None:
    """Remove the socket file of a server that is gone; leave everything else alone."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "the path exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 (paths are text here)
        except FileNotFoundError:
            return
        except BlockingIOError:  # somebody listens, with a full backlog
            raise OSError(errno.EADDRINUSE, "another process answers there") from None
        else:
            raise OSError(errno.EADDRINUSE, "another process answers there")


def _open_inherited(address: InheritedAddress, backlog: int, listeners: Listeners) -> None:
    listener = socket.socket(fileno=address.fd)
    with contextlib.ExitStack() as undo:
        # Not ours to close: whoever opened it may have another use for it.
        undo.callback(listener.detach)
        if listener.type != socket.SOCK_STREAM:
            raise OSError(errno.ESOCKTNOSUPPORT, "not a stream socket")
        listener.set_inheritable(False)
        listener.settimeout(0)
        listener.listen(backlog)  # if it listens already, this only sets the backlog anew
        listeners.add(listener)
        undo.pop_all()


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _explain(error: OSError, address: Address) -> str:
    """Why an address cannot be listened at, and what to do."""
    if isinstance(error, socket.gaierror):
        return "the name has no address; check its spelling, or give an IP address"
    reason = (error.strerror or str(error)).lower()
    if isinstance(address, InheritedAddress):
        return f"{reason}; the parent process has to leave an open stream socket at this descriptor"
    advice = {
        errno.EADDRINUSE: "stop the process that has it, or choose another",
        errno.EADDRNOTAVAIL: "no interface of this machine has the address; 0.0.0.0 is all of them",
        errno.EAFNOSUPPORT: "this system lacks the address family; choose another address",
        errno.EACCES: "check the permissions of the directory",
        errno.EPERM: "check the permissions of the directory",
        errno.ENOENT: "make the directory first",
        errno.EEXIST: "remove it, or choose another",
    }.get(error.errno or 0, "choose another address")
    if isinstance(address, TCPAddress):
        if error.errno == errno.EADDRINUSE:
            advice += " with --port (0 takes a free one)"
        elif error.errno in {errno.EACCES, errno.EPERM}:
            advice = (
                f"ports below {_PRIVILEGED_PORTS} need privileges (CAP_NET_BIND_SERVICE)"
                if address.port < _PRIVILEGED_PORTS
                else "the system does not allow this port"
            ) + "; choose another with --port"
    elif error.errno is None:  # only Python itself raises these: the path does not fit
        advice = "choose a shorter path, of at most about 100 bytes"
    return f"{reason}; {advice}"
