"""`send_file` against the ASGI contract: each test is the server that it talks to."""

import asyncio
import contextlib
import email.parser
import email.policy
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonda.asgi.files import PART_SIZE, FileChangedError, FileInfo, content_type, send_file
from zonda.asgi.types import Header

CONTENT = bytes(range(256)) * 1000
"""256,000 bytes: four parts, the last of them short."""

PATHSEND = "http.response.pathsend"
ZEROCOPY = "http.response.zerocopysend"
EVERYTHING = (PATHSEND, ZEROCOPY)

# The tests look into them as plain dictionaries.
Request: TypeAlias = Any
Event: TypeAlias = Any


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "data.bin"
    file.write_bytes(CONTENT)
    return file


def scope(method: str = "GET", *, offers: tuple[str, ...] = (), **fields: str) -> Request:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "path": "/data.bin",
        "query_string": b"",
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in fields.items()],
        "extensions": {name: {} for name in offers},
    }


class Answer:
    """What a server puts together from the events; it sends files as a server would."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.body = b""
        self.ended = False

    async def send(self, event: Event) -> None:
        assert not self.ended
        self.events.append(event)
        match event["type"]:
            case "http.response.start":
                self.status: int = event["status"]
                self.headers = dict(event["headers"])
                assert len(self.headers) == len(event["headers"])
                return
            case "http.response.pathsend":
                path = Path(event["path"])
                assert path.is_absolute()
                self.body += path.read_bytes()  # noqa: ASYNC240 - nothing else runs here
            case "http.response.zerocopysend":
                self.body += os.pread(event["file"].fileno(), event["count"], event["offset"])
            case "http.response.body":
                self.body += event["body"]
        self.ended = not event.get("more_body", False)

    @property
    def ways(self) -> list[str]:
        return [event["type"].removeprefix("http.response.") for event in self.events]


def answer_to(
    scope: Request, path: Path, *, status: int = 200, headers: list[Header] | None = None
) -> Answer:
    answer = Answer()
    asyncio.run(send_file(scope, answer.send, path, status=status, headers=headers or []))
    assert answer.ended
    assert not is_open(path)
    return answer


def is_open(path: Path) -> bool:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        return False  # cannot be told here
    links = set()
    for descriptor in descriptors.iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself
            links.add(descriptor.readlink())
    return path in links


# The ways to send


def test_a_whole_file_goes_by_path_where_the_server_offers_it(path: Path) -> None:
    answer = answer_to(scope(offers=EVERYTHING), path)
    assert answer.ways == ["start", "pathsend"]
    assert answer.body == CONTENT


def test_the_path_sent_is_absolute(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert answer_to(scope(offers=EVERYTHING), Path(path.name)).body == CONTENT


def test_a_range_goes_by_descriptor_where_the_server_offers_it(path: Path) -> None:
    answer = answer_to(scope(offers=EVERYTHING, range="bytes=100-199"), path)
    assert answer.ways == ["start", "zerocopysend"]
    assert answer.body == CONTENT[100:200]


def test_a_whole_file_goes_by_descriptor_without_pathsend(path: Path) -> None:
    answer = answer_to(scope(offers=(ZEROCOPY,)), path)
    assert answer.ways == ["start", "zerocopysend"]
    assert answer.body == CONTENT


def test_a_range_of_everything_still_goes_by_path(path: Path) -> None:
    answer = answer_to(scope(offers=EVERYTHING, range="bytes=0-"), path)
    assert answer.ways == ["start", "pathsend"]
    assert (answer.status, answer.body) == (206, CONTENT)


def test_an_ignored_range_goes_by_path(path: Path) -> None:
    answer = answer_to(scope(offers=EVERYTHING, range="lines=1-2"), path)
    assert answer.ways == ["start", "pathsend"]
    assert answer.status == 200


@pytest.mark.parametrize("extensions", [{}, None])
def test_without_an_extension_a_file_goes_in_bounded_parts(
    path: Path, extensions: dict[str, Any] | None
) -> None:
    answer = answer_to({**scope(), "extensions": extensions}, path)
    assert answer.ways == ["start", "body", "body", "body", "body"]
    assert [len(event["body"]) for event in answer.events[1:]] == [PART_SIZE] * 3 + [59392]
    assert answer.body == CONTENT


def test_a_slow_reader_holds_up_the_next_part(path: Path) -> None:
    async def scenario() -> None:
        taken: asyncio.Queue[Any] = asyncio.Queue()
        go_on = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))

        async def send(event: Event) -> None:
            taken.put_nowait(event)
            if event["type"] == "http.response.body":
                await go_on.wait()

        sending = asyncio.create_task(send_file(scope(), send, path))
        assert (await taken.get())["type"] == "http.response.start"
        await taken.get()
        # Behind whatever else the only thread was asked for.
        await loop.run_in_executor(None, int)
        assert taken.empty()
        go_on.set()
        await sending
        assert taken.qsize() == 3

    asyncio.run(scenario())


@pytest.mark.parametrize("offers", [(), (ZEROCOPY,), EVERYTHING])
def test_an_empty_file_is_an_empty_body(tmp_path: Path, offers: tuple[str, ...]) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    for asked in ({}, {"range": "bytes=0-5"}):
        answer = answer_to(scope(offers=offers, **asked), empty)
        assert (answer.status, answer.body, answer.ways) == (200, b"", ["start", "body"])
        assert answer.headers[b"content-length"] == b"0"


@pytest.mark.parametrize("offers", [(), EVERYTHING])
def test_head_gets_the_fields_and_no_content(path: Path, offers: tuple[str, ...]) -> None:
    got = answer_to(scope(offers=offers), path)
    head = answer_to(scope("HEAD", offers=offers, range="bytes=0-9"), path)
    assert head.headers == got.headers
    assert (head.status, head.body) == (200, b"")
    assert head.ways == ["start", "body"]


# What is said about the file


def test_the_fields_describe_the_file(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>hi")
    os.utime(page, ns=(0, 784_111_777_123_456_789))
    assert answer_to(scope(), page).headers == {
        b"content-type": b"text/html; charset=utf-8",
        b"content-length": b"5",
        b"last-modified": b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"etag": b'"%x-5"' % 784_111_777_123_456_789,
        b"accept-ranges": b"bytes",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.js", b"text/javascript; charset=utf-8"),
        ("a.mjs", b"text/javascript; charset=utf-8"),
        ("a.CSS", b"text/css; charset=utf-8"),
        ("a.svg", b"image/svg+xml"),
        ("a.xml", b"text/xml"),
        ("a.json", b"application/json"),
        ("a.woff2", b"font/woff2"),
        ("a.wasm", b"application/wasm"),
        ("a.tar.gz", b"application/gzip"),
        ("a.svgz", b"application/gzip"),
        ("a.unheard-of", b"application/octet-stream"),
        ("README", b"application/octet-stream"),
    ],
)
def test_the_name_decides_the_content_type(name: str, expected: bytes) -> None:
    assert content_type(f"/srv/{name}") == expected


def test_the_entity_tag_changes_with_time_and_size(path: Path) -> None:
    tags = [FileInfo.of(str(path), path.stat()).etag]
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    tags.append(FileInfo.of(str(path), path.stat()).etag)
    os.truncate(path, 10)
    tags.append(FileInfo.of(str(path), path.stat()).etag)
    assert len(set(tags)) == 3


def test_given_fields_come_first_and_instead(path: Path) -> None:
    given = [
        (b"content-type", b"text/x-mine"),
        (b"etag", b'"mine"'),
        (b"content-length", b"1"),
        (b"x-more", b"1"),
    ]
    answer = answer_to(scope(if_none_match='"other"'), path, headers=given)
    assert list(answer.headers)[:3] == [b"content-type", b"etag", b"x-more"]
    assert answer.headers[b"content-type"] == b"text/x-mine"
    assert answer.headers[b"content-length"] == b"256000"
    assert answer_to(scope(if_none_match='"mine"'), path, headers=given).status == 304


def test_another_status_is_sent_whole_whatever_the_request_says(path: Path) -> None:
    asked = scope(if_none_match="*", range="bytes=0-9")
    answer = answer_to(asked, path, status=404)
    assert (answer.status, answer.body) == (404, CONTENT)
    assert answer.headers.keys() == {b"content-type", b"content-length"}


# Conditions and ranges


def test_a_file_the_client_has_is_not_sent_again(path: Path) -> None:
    first = answer_to(scope(), path)
    given = [(b"cache-control", b"no-cache"), (b"content-location", b"/data.bin")]
    for field, validator in (("if_none_match", b"etag"), ("if_modified_since", b"last-modified")):
        for offers in ((), EVERYTHING):
            asked = scope(offers=offers, **{field: first.headers[validator].decode()})
            answer = answer_to(asked, path, headers=given)
            assert (answer.status, answer.body) == (304, b"")
            assert answer.headers == {
                b"cache-control": b"no-cache",
                b"content-location": b"/data.bin",
                b"etag": first.headers[b"etag"],
                b"last-modified": first.headers[b"last-modified"],
                b"accept-ranges": b"bytes",
            }


def test_a_failed_precondition_is_a_412_without_content(path: Path) -> None:
    answer = answer_to(scope(if_match='"other"'), path)
    assert (answer.status, answer.body) == (412, b"")
    assert answer.headers[b"content-length"] == b"0"
    assert b"content-type" not in answer.headers


def test_conditions_of_a_request_that_already_acted_are_not_asked(path: Path) -> None:
    assert answer_to(scope("POST", if_match='"other"'), path).body == CONTENT


def test_one_range_is_a_206(path: Path) -> None:
    answer = answer_to(scope(range="bytes=-1000"), path)
    assert (answer.status, answer.body) == (206, CONTENT[-1000:])
    assert answer.headers[b"content-range"] == b"bytes 255000-255999/256000"
    assert answer.headers[b"content-length"] == b"1000"


def test_a_range_outside_of_the_file_is_a_416(path: Path) -> None:
    answer = answer_to(scope(range="bytes=256000-"), path)
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers[b"content-range"] == b"bytes */256000"
    assert b"content-type" not in answer.headers


@pytest.mark.parametrize("offers", [(), EVERYTHING])
def test_several_ranges_are_a_multipart(path: Path, offers: tuple[str, ...]) -> None:
    asked = scope(offers=offers, range="bytes=100000-199999,0-9,-5")
    answer = answer_to(asked, path)
    assert answer.status == 206
    assert answer.headers[b"content-length"] == b"%d" % len(answer.body)
    assert b"content-range" not in answer.headers

    head = b"content-type: " + answer.headers[b"content-type"] + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + answer.body)
    parts = list(message.walk())[1:]
    assert [part["content-range"] for part in parts] == [
        "bytes 100000-199999/256000",
        "bytes 0-9/256000",
        "bytes 255995-255999/256000",
    ]
    assert {part["content-type"] for part in parts} == {"application/octet-stream"}
    for wanted in (CONTENT[100_000:200_000], CONTENT[:10], CONTENT[-5:]):
        assert b"\r\n\r\n" + wanted + b"\r\n--" in answer.body


def test_if_range_decides_between_the_range_and_the_whole(path: Path) -> None:
    etag = answer_to(scope(), path).headers[b"etag"].decode()
    assert answer_to(scope(range="bytes=0-9", if_range=etag), path).status == 206
    assert answer_to(scope(range="bytes=0-9", if_range='"other"'), path).status == 200


def test_a_repeated_range_field_is_ignored(path: Path) -> None:
    asked = scope()
    asked["headers"] = [(b"range", b"bytes=0-9"), (b"range", b"bytes=5-9")]
    assert answer_to(asked, path).status == 200


def test_an_app_can_refuse_ranges(path: Path) -> None:
    given = [(b"accept-ranges", b"none")]
    assert answer_to(scope(range="bytes=0-9"), path, headers=given).status == 200


@given(data=st.data())
def test_whatever_the_range_the_length_announced_is_sent(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    size = data.draw(st.integers(0, 3000))
    file = tmp_path_factory.getbasetemp() / "any.bin"
    file.write_bytes(CONTENT[:size])
    field = data.draw(st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}(,[0-9]{0,4}-[0-9]{0,4}){0,4}"))
    offers = data.draw(st.sampled_from([(), (ZEROCOPY,), EVERYTHING]))
    answer = answer_to(scope(offers=offers, range=field.strip("\n")), file)
    assert answer.headers[b"content-length"] == b"%d" % len(answer.body)
    assert answer.status in (200, 206, 416)


# What goes wrong


@pytest.mark.parametrize("offers", [(), EVERYTHING])
@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "device"])
def test_what_is_no_file_is_an_error_before_anything_is_sent(
    tmp_path: Path, offers: tuple[str, ...], kind: str
) -> None:
    path = tmp_path / kind
    expected: type[OSError] = OSError
    match kind:
        case "missing":
            expected = FileNotFoundError
        case "directory":
            path.mkdir()
            expected = IsADirectoryError
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/zero")
    answer = Answer()
    with pytest.raises(expected):
        asyncio.run(send_file(scope(offers=offers), answer.send, path))
    assert answer.events == []
    assert not is_open(path)


class ClientLeftError(OSError):
    pass


@pytest.mark.parametrize("offers", [(), (ZEROCOPY,), EVERYTHING])
def test_a_client_that_leaves_ends_it_and_closes_the_file(
    path: Path, offers: tuple[str, ...]
) -> None:
    async def send(event: Event) -> None:
        if event["type"] != "http.response.start":
            raise ClientLeftError("gone")

    with pytest.raises(ClientLeftError):
        asyncio.run(send_file(scope(offers=offers), send, path))
    assert not is_open(path)


def test_a_file_that_shrinks_is_an_error(path: Path) -> None:
    async def send(event: Event) -> None:
        if event["type"] == "http.response.body":
            os.truncate(path, PART_SIZE)

    with pytest.raises(FileChangedError, match="ended at byte 65536"):
        asyncio.run(send_file(scope(), send, path))
    assert not is_open(path)


def test_a_file_that_grows_is_sent_as_it_was(path: Path) -> None:
    answer = Answer()

    async def send(event: Event) -> None:
        await answer.send(event)
        with path.open("ab") as file:
            file.write(b"more")

    asyncio.run(send_file(scope(), send, path))
    assert answer.ended
    assert answer.body == CONTENT


def test_a_file_that_is_replaced_is_sent_as_it_was(path: Path) -> None:
    answer = Answer()

    async def send(event: Event) -> None:
        await answer.send(event)
        if event["type"] == "http.response.start":
            other = path.with_suffix(".new")
            other.write_bytes(b"new")
            other.replace(path)

    asyncio.run(send_file(scope(), send, path))
    assert answer.body == CONTENT


@pytest.mark.parametrize("while_it", ["opens", "reads"])
def test_when_cancelled_it_waits_for_its_thread_and_closes_the_file(
    path: Path, while_it: str
) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        release = threading.Event()
        queued = asyncio.Event()

        async def send(event: Event) -> None:
            # The only thread is busy from here on, so that the next call must queue behind this.
            loop.run_in_executor(None, release.wait)
            queued.set()

        if while_it == "opens":
            await send(None)
        sending = asyncio.create_task(send_file(scope(), send, path))
        await queued.wait()
        for _ in range(3):
            await turn_of_the_loop()
            sending.cancel()
        await turn_of_the_loop()
        assert not sending.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not is_open(path)

    asyncio.run(scenario())


async def turn_of_the_loop() -> None:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(done.set_result, None)
    await done
