"""The small examples, each run as its first lines say. The demo has a file of its own."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from zonda.testing import LiveServer

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> LiveServer:
    return LiveServer(f"{name}:app", process=True, app_dir=str(EXAMPLES))


def test_hello() -> None:
    with example("hello") as server:
        assert httpx.get(server.url).text == "Hello, World!"


def test_streaming() -> None:
    with example("streaming") as server:
        with httpx.stream("GET", server.url, timeout=20) as response:
            lines = list(itertools.islice(response.iter_lines(), 2))
        assert all(len(line.split(":")) == 3 for line in lines)
        pieces = [b"from the ", b"andes"]
        assert httpx.post(server.url, content=iter(pieces)).text == "FROM THE ANDES"
    assert "Traceback" not in server.logs


def hear(client: ClientConnection, text: str) -> None:
    """Wait until the room has heard ``text``."""
    while client.recv(20) != text:
        pass


def test_chat() -> None:
    with example("chat") as server:
        url = f"ws://{server.host}:{server.port}/"
        with connect(url) as first, connect(url) as second:
            for name, client in (("first", first), ("second", second)):
                client.send(f"{name} is here")
                hear(client, f"{name} is here")  # who hears it is in the room
            second.send("to all")
            hear(first, "to all")
            hear(second, "to all")
    assert "Traceback" not in server.logs


def test_a_slow_reader_does_not_hold_the_chat() -> None:
    """Who does not read falls behind and is let go; the others hear everything."""
    with example("chat") as server:
        url = f"ws://{server.host}:{server.port}/"
        with (
            connect(url, max_queue=1, compression=None) as slow,
            connect(url, compression=None) as quick,
        ):
            slow.send("slow is here")
            hear(slow, "slow is here")
            for number in range(150):
                text = f"{number}" * 200_000
                quick.send(text)
                hear(quick, text)
            with pytest.raises(ConnectionClosed) as closed:
                hear(slow, "what nobody says")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
    assert "Traceback" not in server.logs


def test_lifespan_state() -> None:
    with example("lifespan_state") as server:
        texts = [httpx.get(f"{server.url}{path}").text for path in ("/a", "/b", "/a")]
    assert texts == [
        "/a was visited 1 times\n",
        "/b was visited 1 times\n",
        "/a was visited 2 times\n",
    ]


def test_embedding() -> None:
    program = (EXAMPLES / "embedding.py").read_text("utf-8").replace("port=8000", "port=0")
    process = subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Listening on " in line:
                url = line.partition("Listening on ")[2].split()[0]
                assert httpx.get(url).text.startswith("step ")
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.name)
def test_the_readme_lists_it(file: Path) -> None:
    assert f"[{file.name}]({file.name})" in (EXAMPLES / "README.md").read_text("utf-8")
