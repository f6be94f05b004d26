"""The demo that `make run` serves: over the wire, and in a browser where there is one."""

import fcntl
import hashlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import zonda
from tests.server.tls_client import Certificates, certificates
from zonda import _build
from zonda.testing import LiveServer

__all__ = ["certificates"]

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "examples" / "demo" / "app.py"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer("examples.demo.app:app", process=True, app_dir=str(ROOT)) as server:
        yield server
    assert "Traceback" not in server.logs


@pytest.fixture(scope="module")
def secure(certificates: Certificates) -> Iterator[LiveServer]:
    with LiveServer(
        "examples.demo.app:app", process=True, app_dir=str(ROOT), **certificates.settings
    ) as server:
        yield server
    assert "Traceback" not in server.logs


@pytest.fixture
def client(server: LiveServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as client:
        yield client


# Over the wire


def test_the_page_shows_the_request(client: httpx.Client) -> None:
    response = client.get("/?q=1", headers={"x-one": "a <b> & c"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    rows = dict(re.findall(r"<tr><th scope=row>(.*?)<td>(.*)", response.text))
    assert rows["Method"] == "GET"
    assert rows["Query"] == "q=1"
    assert rows["HTTP version"] == "1.1"
    assert rows["Client"].startswith("127.0.0.1 port ")
    assert rows["Server"] == f"127.0.0.1 port {client.base_url.port}"
    assert rows["x-one"] == "a &lt;b&gt; &amp; c"
    assert zonda.__version__ in response.text
    assert _build.describe() in response.text


def test_the_page_escapes_what_comes_from_the_client(client: httpx.Client) -> None:
    response = client.get(httpx.URL("/").copy_with(raw_path=b"/?%3Cscript%3E<i>"))
    assert "<i>" not in response.text.partition("<script>")[0]


def test_the_page_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/").text
    assert re.findall(r"""(?:src|href|action)=["']?(?:https?:)?//""", page) == []
    assert "@import" not in page


def test_a_stream_comes_line_by_line(client: httpx.Client) -> None:
    with client.stream("GET", "/stream") as response:
        lines = response.iter_lines()
        assert next(lines).startswith("line  1 of 20")
        assert next(lines).startswith("line  2 of 20")


def test_events_go_on_where_they_were(client: httpx.Client) -> None:
    with client.stream("GET", "/events", headers={"last-event-id": "41"}) as response:
        assert response.headers["content-type"] == "text/event-stream"
        events = "".join(itertools.islice(response.iter_text(), 2))
    assert re.findall(r"^data: (.*)$", events, re.MULTILINE) == ["42", "43"]


def test_what_is_posted_is_echoed(client: httpx.Client) -> None:
    response = client.post("/echo", content="caf\u00e9")
    assert response.text == "caf\u00e9"
    assert client.post("/echo", content=bytes(64 * 1024)).content == bytes(64 * 1024)
    assert client.post("/echo", content=bytes(64 * 1024 + 1)).status_code == 413


def test_an_upload_is_counted_and_not_held(client: httpx.Client) -> None:
    piece = os.urandom(256 * 1024)
    report = client.post("/upload", content=(piece for _ in range(32))).json()
    assert report["bytes"] == 32 * len(piece)
    assert report["sha256"] == hashlib.sha256(piece * 32).hexdigest()
    assert report["largest_piece"] < 1024 * 1024


def test_a_client_may_leave_an_upload(server: LiveServer, client: httpx.Client) -> None:
    with socket.create_connection((server.host, server.port), timeout=20) as leaving:
        leaving.sendall(b"POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf")
    assert client.get("/health").json()["status"] == "ok"


def test_the_source_is_sent_as_a_file(client: httpx.Client) -> None:
    response = client.get("/file")
    assert response.content == SOURCE.read_bytes()
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    etag = response.headers["etag"]
    assert client.get("/file", headers={"if-none-match": etag}).status_code == 304
    part = client.get("/file", headers={"range": "bytes=3-9"})
    assert (part.status_code, part.content) == (206, SOURCE.read_bytes()[3:10])
    several = client.get("/file", headers={"range": "bytes=0-0,-1"})
    assert several.headers["content-type"].startswith("multipart/byteranges")
    assert int(several.headers["content-length"]) == len(several.content)


def test_the_process_tells_how_it_is(client: httpx.Client) -> None:
    first, second = client.get("/health").json(), client.get("/health").json()
    assert first["status"] == "ok"
    assert first["build"] == _build.describe()
    assert second["requests"] == first["requests"] + 1
    assert second["up_seconds"] >= first["up_seconds"] >= 0


def test_messages_are_echoed(server: LiveServer) -> None:
    with connect(f"ws://{server.host}:{server.port}/ws") as websocket:
        for message in ("caf\u00e9", b"\x00\xff", ""):
            websocket.send(message)
            assert websocket.recv(20) == message


def test_messages_are_echoed_over_tls(secure: LiveServer, certificates: Certificates) -> None:
    url = f"wss://{secure.host}:{secure.port}/ws"
    with connect(url, ssl=certificates.client()) as websocket:
        for message in ("caf\u00e9", b"\x00\xff", ""):
            websocket.send(message)
            assert websocket.recv(20) == message


def test_other_websockets_are_refused(server: LiveServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{server.host}:{server.port}/nothing")
    assert refused.value.response.status_code == 403


def test_other_paths_and_methods_are_refused(client: httpx.Client) -> None:
    assert client.get("/nothing").status_code == 404
    refused = client.delete("/echo")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert client.head("/").content == b""


# In a browser


class Browser:
    """Chromium over a pipe: the DevTools protocol, JSON messages that end with NUL."""

    def __init__(self, command: str, profile: Path) -> None:
        self._ours, theirs = socket.socketpair()
        self._ours.settimeout(30)
        # The browser reads commands from descriptor 3 and writes to 4. Neither may be one that
        # the other still needs when it is put in place.
        high = fcntl.fcntl(theirs, fcntl.F_DUPFD, 10)
        self._process = subprocess.Popen(
            [
                command,
                "--headless",
                "--no-sandbox",  # the tests may run as root; the only page is our own
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe",
                f"--user-data-dir={profile}",
                # The profile is thrown away, and only our own page is opened in it.
                "--ignore-certificate-errors",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[3, 4],
            preexec_fn=lambda: (os.dup2(high, 3), os.dup2(high, 4)),  # noqa: PLW1509 (no threads)
        )
        os.close(high)
        theirs.close()
        self._unread = b""
        self._ids = itertools.count(1)
        self._session: str | None = None
        self.complaints: list[Any] = []

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._ours.close()

    def call(self, method: str, **params: Any) -> Any:  # noqa: ANN401 (JSON)
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._ours.sendall(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(answer["params"]["exceptionDetails"])
            if answer.get("method") == "Log.entryAdded":
                self.complaints.append(answer["params"]["entry"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            piece = self._ours.recv(65536)
            assert piece, "the browser has ended"
            self._unread += piece
        message, _, self._unread = self._unread.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def open(self, url: str) -> None:
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.complaints.clear()
        self.call("Runtime.enable")
        self.call("Log.enable")
        self.call("Page.enable")
        self.call("Page.navigate", url=url)
        # A fresh document may replace this one until the page is there.
        while self.run("document.readyState + location.href") != f"complete{url}/":
            pass

    def run(self, expression: str) -> Any:  # noqa: ANN401 (any JavaScript value)
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:  # noqa: ANN401 (any JavaScript value)
        """Return the expression's value once that is true, looking whenever the page changes."""
        return self.run(f"""new Promise((resolve) => {{
            const observer = new MutationObserver(look);
            function look() {{
                const value = {expression};
                if (value) {{ observer.disconnect(); resolve(value); }}
            }}
            observer.observe(document, {{
                subtree: true, childList: true, characterData: true, attributes: true
            }});
            look();
        }})""")

    def click(self, element: str) -> None:
        self.run(f"document.querySelector('{element}').click()")

    def wait_for_text(self, element: str, pattern: str) -> str:
        content = f"document.querySelector('{element}').textContent"
        text: str = self.wait_for(f"/{pattern}/.test({content}) && {content}")
        return text


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    names = ["chromium", "chromium-browser", "google-chrome"]
    command = next(filter(None, map(shutil.which, names)), None)
    if command is None:
        pytest.skip(f"none of {', '.join(names)} is installed")
    browser = Browser(command, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser, server: LiveServer) -> Iterator[Browser]:
    """A browser with the page open, which must not complain about anything."""
    chromium.open(server.url)
    yield chromium
    assert chromium.complaints == []


@pytest.fixture
def secure_browser(chromium: Browser, secure: LiveServer) -> Iterator[Browser]:
    """The same over TLS."""
    chromium.open(secure.url)
    yield chromium
    assert chromium.complaints == []


def test_the_page_loads(browser: Browser) -> None:
    assert browser.run("document.querySelector('h1').textContent") == "Zonda"
    assert browser.run("document.querySelector('#build').textContent") == _build.describe()
    assert "Chrom" in browser.run("document.querySelector('#headers').textContent")


def test_the_page_shows_a_stream_as_it_comes(browser: Browser) -> None:
    lines = "document.querySelectorAll('#stream i').length"
    assert browser.wait_for(lines) < 20
    browser.wait_for_text("#stream-state", "^complete")
    assert browser.run(lines) > 10
    text = browser.wait_for_text("#stream", "that is all")
    assert re.findall(r"line +(\d+) of 20", text) == [str(number) for number in range(1, 21)]


def test_the_page_can_leave_a_stream(browser: Browser) -> None:
    browser.wait_for_text("#stream", "line +1 of 20")
    browser.click("#stream-stop")
    browser.wait_for_text("#stream-state", "^left after")
    assert browser.run("document.querySelector('#stream-start').disabled") is False


def test_the_page_counts_events(browser: Browser) -> None:
    browser.click("#events-toggle")
    browser.wait_for_text("#events", "^2$")
    browser.click("#events-toggle")
    browser.wait_for_text("#events-state", "^not connected")


def test_the_page_echoes_a_form(browser: Browser) -> None:
    browser.run("document.querySelector('#echo textarea').value = 'caf\u00e9 <b>'")
    browser.click("#echo button")
    assert browser.wait_for_text("#echo-answer", ".+") == "caf\u00e9 <b>"
    assert browser.run("document.querySelector('#echo-state').textContent") == "200, 9 bytes"


def exchange_messages(browser: Browser, scheme: str) -> None:
    browser.run("document.querySelector('#ws input').value = 'caf\u00e9 <b>'")
    browser.click("#ws button")
    browser.wait_for_text("#ws-log", r"ms  caf\u00e9 <b>\n$")
    assert browser.run("document.querySelector('#ws-state').textContent") == "connected"
    assert browser.run("new URL(socket.url).protocol") == scheme
    browser.run("document.querySelector('#ws input').value = 'again'")
    browser.click("#ws button")
    browser.wait_for_text("#ws-log", r"ms  again\n$")
    browser.click("#ws-toggle")
    browser.wait_for_text("#ws-state", "^closed with 1000")


def test_the_page_echoes_messages(browser: Browser) -> None:
    exchange_messages(browser, "ws:")


def test_the_page_echoes_messages_over_tls(secure_browser: Browser) -> None:
    scheme = "[...document.querySelectorAll('th')].find((name) => name.textContent === 'Scheme')"
    assert secure_browser.run(f"{scheme}.nextElementSibling.textContent.trim()") == "https"
    exchange_messages(secure_browser, "wss:")


def test_the_page_uploads(browser: Browser) -> None:
    browser.click("#upload-zeros")
    browser.wait_for_text("#upload-state", "arrived$")
    report = browser.run("document.querySelector('#upload-answer').textContent")
    assert "67,108,864 bytes" in report
    assert hashlib.sha256(bytes(64 * 1024 * 1024)).hexdigest() in report
    assert browser.run("document.querySelector('#upload-progress').value") == 1
