import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import httpx
import pytest

from tests.server.tls_client import encrypted, make_certificates
from zonda.asgi.types import Receive, Scope, Send
from zonda.server.lifespan import LifespanFailed
from zonda.server.listeners import ListenError
from zonda.server.loading import LoadError
from zonda.server.settings import SettingsError
from zonda.testing import LiveServer, LiveServerError

MODULE = """
import asyncio, os, pathlib

async def answer(send, text):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("started")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down")
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["path"] == "/die":
        os._exit(7)
    elif scope["path"] == "/environment":
        await answer(send, os.environ.get("LIVE", "none"))
    else:
        await answer(send, f"hello from {os.getpid()}")

async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})

async def hanging(scope, receive, send):
    await asyncio.Event().wait()
"""


@pytest.fixture
def app_dir(tmp_path: Path) -> str:
    (tmp_path / "live_app.py").write_text(MODULE)
    return str(tmp_path)


@pytest.fixture(params=[False, True], ids=["thread", "process"])
def process(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(autouse=True)
def forget_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    # A server in this process imports it here.
    monkeypatch.setattr(sys, "path", sys.path.copy())
    sys.modules.pop("live_app", None)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=10).close()
    except ConnectionRefusedError:
        return False
    return True


# Where it runs


def test_an_application_object_is_served_in_this_process() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])
        await hello(scope, receive, send)

    with LiveServer(app, lifespan="off") as server:
        assert httpx.get(server.url).text == "hello"
    assert seen == ["http"]


def test_an_application_is_served_by_name(app_dir: str, process: bool) -> None:
    with LiveServer("live_app:app", process=process, app_dir=app_dir) as server:
        pid = int(httpx.get(server.url).text.rpartition(" ")[2])
    assert (pid != os.getpid()) == process


def test_it_can_be_used_in_an_event_loop(app_dir: str, process: bool) -> None:
    async def scenario() -> None:
        server = LiveServer("live_app:app", process=process, app_dir=app_dir)
        async with server, httpx.AsyncClient(base_url=server.base_url) as client:
            assert (await client.get("/")).status_code == 200

    asyncio.run(scenario())


def test_several_run_at_once() -> None:
    with LiveServer(hello) as one, LiveServer(hello) as other:
        assert one.port != other.port
        assert httpx.get(one.url).text == httpx.get(other.url).text == "hello"


def test_one_can_be_entered_again(app_dir: str, process: bool) -> None:
    server = LiveServer("live_app:app", process=process, app_dir=app_dir)
    for _ in range(2):
        with server:
            assert httpx.get(server.url).status_code == 200


def test_settings_are_keywords(app_dir: str, process: bool) -> None:
    with LiveServer(
        "live_app:app", process=process, app_dir=app_dir, header=("x-one: 1",), server_header=False
    ) as server:
        response = httpx.get(server.url)
    assert response.headers["x-one"] == "1"
    assert "server" not in response.headers


# Where it listens


def test_it_listens_at_a_free_port_of_the_loopback(process: bool, app_dir: str) -> None:
    with LiveServer("live_app:app", process=process, app_dir=app_dir) as server:
        assert server.host == "127.0.0.1"
        assert server.url == server.base_url == f"http://127.0.0.1:{server.port}"
        assert server.urls == [server.url]
        assert server.uds is None
        where = server.host, server.port
        assert is_open(*where)
    assert not is_open(*where)


def test_it_listens_at_a_unix_socket(process: bool, app_dir: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with (
        LiveServer("live_app:app", process=process, app_dir=app_dir, uds=str(path)) as server,
        httpx.Client(transport=httpx.HTTPTransport(uds=server.uds)) as client,
    ):
        assert server.url == "http://localhost"
        assert client.get(server.url).status_code == 200
    assert not path.exists()


def test_it_speaks_tls(process: bool, app_dir: str, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    with LiveServer(
        "live_app:app",
        process=process,
        app_dir=app_dir,
        ssl_certfile=certificates.certfile,
        ssl_keyfile=encrypted(certificates.keyfile, tmp_path / "encrypted.key"),
        ssl_keyfile_password="open sesame",
    ) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert httpx.get(server.url, verify=certificates.client()).status_code == 200
    path = tmp_path / "socket"
    server = LiveServer("live_app:app", app_dir=app_dir, uds=path, **certificates.settings)
    with (
        server,
        httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path), verify=certificates.client())
        ) as client,
    ):
        assert server.url == "https://localhost"
        assert server.port == 443
        answer = client.get(server.url, extensions={"sni_hostname": "zonda.test"})
        assert answer.status_code == 200


def test_it_listens_at_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with LiveServer(hello, host="::1") as server:
        assert server.host == "::1"
        assert server.url == f"http://[::1]:{server.port}"
        assert httpx.get(server.url).text == "hello"


def test_a_child_listens_at_an_inherited_socket(app_dir: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        with LiveServer("live_app:app", process=True, app_dir=app_dir, fd=fd) as server:
            assert server.port == listener.getsockname()[1]
            assert httpx.get(server.url).status_code == 200


def test_where_it_listens_is_known_while_it_runs() -> None:
    server = LiveServer(hello)
    with pytest.raises(LiveServerError, match="enter its with block"):
        _ = server.url
    with server:
        pass
    assert server.urls == []


# What goes wrong at the start


def test_a_failed_start_up_is_raised(process: bool, app_dir: str) -> None:
    server = LiveServer("live_app:failing", process=process, app_dir=app_dir)
    with pytest.raises(LifespanFailed, match="no database"), server:
        pytest.fail("entered")


def test_an_application_that_cannot_be_imported_is_raised(process: bool, app_dir: str) -> None:
    Path(app_dir, "broken_app.py").write_text("raise ValueError('at import')")
    server = LiveServer("broken_app:app", process=process, app_dir=app_dir)
    with pytest.raises(LoadError, match="ValueError: at import"), server:
        pytest.fail("entered")
    if process:
        assert "broken_app.py" in server.logs


def test_an_application_that_does_not_exist_is_raised(process: bool, app_dir: str) -> None:
    server = LiveServer("no_such_module:app", process=process, app_dir=app_dir)
    with pytest.raises(LoadError, match="no_such_module"), server:
        pytest.fail("entered")


def test_a_port_that_is_taken_is_raised(process: bool, app_dir: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = LiveServer("live_app:app", process=process, app_dir=app_dir, port=port)
        with pytest.raises(ListenError, match=str(port)), server:
            pytest.fail("entered")


def test_a_start_up_that_takes_too_long_is_raised(process: bool, app_dir: str) -> None:
    server = LiveServer(
        "live_app:hanging", process=process, app_dir=app_dir, start_timeout=0.5 + 2 * process
    )
    with pytest.raises(TimeoutError, match="start_timeout"), server:
        pytest.fail("entered")
    if process:
        assert "live_app:hanging" in server.logs


def test_a_child_that_dies_at_its_start_is_raised(app_dir: str) -> None:
    Path(app_dir, "dying_app.py").write_text("import os; print('so long', flush=True); os._exit(4)")
    server = LiveServer("dying_app:app", process=True, app_dir=app_dir)
    with pytest.raises(LiveServerError, match="code 4") as caught, server:
        pytest.fail("entered")
    assert "so long" in caught.value.__notes__[0]


def test_a_wrong_setting_is_raised_at_once(process: bool) -> None:
    with pytest.raises(SettingsError, match="did you mean"):
        LiveServer("live_app:app", process=process, limit_conections=3)


def test_a_child_needs_the_name_of_its_application() -> None:
    with pytest.raises(TypeError, match="by name"):
        LiveServer(hello, process=True)


def test_an_environment_is_only_for_a_child(app_dir: str) -> None:
    with pytest.raises(ValueError, match="process=True"):
        LiveServer(hello, env={"LIVE": "1"})
    with LiveServer("live_app:app", process=True, app_dir=app_dir, env={"LIVE": "yes"}) as server:
        assert httpx.get(f"{server.url}/environment").text == "yes"


# The end, and what can be seen then


def test_the_log_of_a_child_is_kept(app_dir: str) -> None:
    with LiveServer("live_app:app", process=True, app_dir=app_dir) as server:
        assert "started" in server.logs
        httpx.get(f"{server.url}/seen-in-the-log")
    assert "/seen-in-the-log" in server.logs
    assert server.logs.count("shut down") == 1


def test_there_is_no_log_of_this_process() -> None:
    with LiveServer(hello) as server, pytest.raises(LiveServerError, match="caplog"):
        _ = server.logs


def test_a_request_in_progress_is_finished_at_the_end() -> None:
    arrived = threading.Event()
    release = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        loops.append(asyncio.get_running_loop())
        arrived.set()
        await release.wait()
        await hello(scope, receive, send)

    loops: list[asyncio.AbstractEventLoop] = []
    answers: list[httpx.Response] = []
    server = LiveServer(app)
    with server, socket.create_connection((server.host, server.port), timeout=20) as idle:
        url = server.url
        asking = threading.Thread(target=lambda: answers.append(httpx.get(url, timeout=20)))
        asking.start()
        arrived.wait(20)
        leaving = threading.Thread(target=server.__exit__, args=(None, None, None))
        leaving.start()
        assert idle.recv(1) == b""  # it closes idle connections first
        loops[0].call_soon_threadsafe(release.set)
        leaving.join(20)
        asking.join(20)
    assert answers[0].text == "hello"


def test_a_request_that_does_not_end_is_cancelled() -> None:
    cancelled = threading.Event()
    arrived = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        arrived.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with (
        LiveServer(app, timeout_graceful_shutdown=0.1) as server,
        socket.create_connection((server.host, server.port)) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert arrived.wait(20)
        server.__exit__(None, None, None)
        assert cancelled.is_set()


def test_a_child_that_dies_in_the_block_is_raised_at_its_end(app_dir: str) -> None:
    with (
        pytest.raises(LiveServerError, match="code 7"),
        LiveServer("live_app:app", process=True, app_dir=app_dir) as server,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        httpx.get(f"{server.url}/die")


def test_an_error_in_the_block_is_not_hidden_by_one_at_its_end(app_dir: str) -> None:
    with (
        pytest.raises(httpx.RemoteProtocolError) as caught,
        LiveServer("live_app:app", process=True, app_dir=app_dir) as server,
    ):
        httpx.get(f"{server.url}/die")
    assert "code 7" in caught.value.__notes__[0]


def test_ctrl_c_of_the_terminal_is_left_to_the_test(app_dir: str) -> None:
    with LiveServer("live_app:app", process=True, app_dir=app_dir) as server:
        os.kill(int(httpx.get(server.url).text.rpartition(" ")[2]), signal.SIGINT)
        assert httpx.get(server.url).status_code == 200


def test_a_child_ends_when_its_parent_dies(app_dir: str) -> None:
    program = textwrap.dedent("""
        import os, sys
        from zonda.testing import LiveServer

        server = LiveServer("live_app:app", process=True, app_dir=sys.argv[1]).__enter__()
        print(server.port, flush=True)
        sys.stdin.read()
        os._exit(0)
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", program, app_dir],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=20) as idle:
            idle.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert idle.recv(65536).startswith(b"HTTP/1.1 200")
            parent.communicate()
            # The server closes idle connections when it drains.
            assert idle.recv(65536) == b""


def test_leaving_twice_does_nothing(app_dir: str, process: bool) -> None:
    with LiveServer("live_app:app", process=process, app_dir=app_dir) as server:
        server.__exit__(None, None, None)
        assert server.urls == []


def test_nothing_is_left_behind(app_dir: str, process: bool) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("descriptors cannot be counted here")
    counts: list[int] = []
    # An event loop may open a few for the whole process: the first round is not counted.
    for target in ["live_app:app", "live_app:failing"] * 2:
        with (
            warnings.catch_warnings(action="error"),
            contextlib.suppress(LifespanFailed),
            LiveServer(target, process=process, app_dir=app_dir),
        ):
            pass
        counts.append(len(list(descriptors.iterdir())))
    assert counts[1] == counts[2] == counts[3]
    assert [each for each in threading.enumerate() if "zonda" in each.name] == []
