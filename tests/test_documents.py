"""What README.md and docs/*.md show is run, page by page, each page in a folder of its own.

Of a page, in order:

- a ``python`` block is run as a program;
- a ``console`` block is a transcript: each line that starts with ``$`` is a command, and the lines
  below it, where there are any, are what it must print (``...`` stands for anything).

An HTML comment on the line above a block, which no reader of the page sees, says otherwise:

``<!-- file: app.py -->``
    the block, in whatever language, is that file; a Python one is imported.
``<!-- serves: /path -->``
    the last command of the transcript is a server: it is started on a free port, must answer a GET
    of the path with a 2xx, and must end by itself with exit status 0 on SIGTERM.
``<!-- not run: reason -->``
    the block is left alone.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [page for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if page.exists()]
SECONDS = 30  # for any one command, far more than it needs

BLOCK = re.compile(
    r"^(?:(?P<indent> *)<!-- (?P<order>[a-z ]+): (?P<argument>.+?) -->\n+)?"
    r"^(?P<fence> *```+)(?P<language>[^\n`]*)\n(?P<text>.*?)^ *```+ *$",
    re.MULTILINE | re.DOTALL,
)
ORDERS = {"file", "serves", "not run"}
# Each block says what it is: of a shell session that is called `sh`, nothing would be run.
UNRUNNABLE_NAMES = {"", "bash", "sh", "shell", "py", "python3", "pycon", "doctest", "zsh"}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page, and what the comment above it says."""

    page: Path
    line: int
    language: str
    text: str
    order: str | None
    argument: str

    def __str__(self) -> str:
        return f"{self.page.name}, line {self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    source = page.read_text()
    for match in BLOCK.finditer(source):
        indent = len(match["fence"]) - len(match["fence"].lstrip())
        lines = match["text"].splitlines(keepends=True)
        yield Block(
            page=page,
            line=source.count("\n", 0, match.start("fence")) + 1,
            language=match["language"].strip().partition(" ")[0],
            text="".join(line[indent:] if line[:indent].isspace() else line for line in lines),
            order=match["order"],
            argument=match["argument"] or "",
        )


def run(command: list[str] | str, folder: Path) -> str:
    answer = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        shell=isinstance(command, str),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert answer.returncode == 0, f"{command} failed:\n{answer.stdout}"
    return answer.stdout


def environment() -> dict[str, str]:
    """A transcript's `python` and `zonda` are those that the tests run on."""
    here = Path(sys.executable).parent
    return {**os.environ, "PATH": os.pathsep.join([str(here), os.environ.get("PATH", "")])}


def commands_of(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a transcript with what it must print."""
    first, *rest = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not first.strip(), f"{block}: a transcript starts with a command, after `$ `"
    for part in rest:
        lines = part.splitlines(keepends=True)
        last = next(i for i, line in enumerate(lines) if not line.endswith("\\\n"))
        yield "".join(lines[: last + 1]).strip(), "".join(lines[last + 1 :]).strip()


def matches(expected: str, printed: str) -> bool:
    pattern = ".*?".join(map(re.escape, expected.split("...")))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def run_transcript(block: Block, folder: Path) -> None:
    commands = list(commands_of(block))
    if block.order == "serves":
        command, _ = commands.pop()
        serve(command, block.argument, folder)
    for command, expected in commands:
        printed = run(command, folder)
        assert not expected or matches(expected, printed), f"{block}: {command} printed\n{printed}"


def serve(command: str, path: str, folder: Path) -> None:
    """Start a server as the page does, on a port of ours: the last `--port` of a line counts."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [*shlex.split(command, comments=True), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        words,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            log = []
            for line in server.stdout:  # it says so when it listens, or ends and closes the pipe
                log.append(line)
                if str(port) in line:
                    break
            else:
                pytest.fail(f"{command} ended:\n{''.join(log)}")
            connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            assert answer.status // 100 == 2, f"{command}: GET {path}: {answer.status} {body!r}"
            server.send_signal(signal.SIGTERM)
            rest, _ = server.communicate(timeout=SECONDS)
            assert server.returncode == 0, f"{command} ended with {server.returncode}:\n{rest}"
        finally:
            server.kill()


def write(block: Block, folder: Path) -> None:
    file = folder / block.argument
    assert file.resolve().is_relative_to(folder), f"{block}: a file belongs to its page's folder"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block.text)
    if file.suffix == ".py":
        module = ".".join(Path(block.argument).with_suffix("").parts)
        run([sys.executable, "-W", "error", "-c", f"import {module}"], folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_the_page_shows_works(page: Path, tmp_path: Path) -> None:
    for block in blocks_of(page):
        if block.order == "file":
            write(block, tmp_path)
        elif block.order == "not run":
            continue
        elif block.language == "python":
            run([sys.executable, "-W", "error", "-c", block.text], tmp_path)
        elif block.language == "console":
            run_transcript(block, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language not in UNRUNNABLE_NAMES, f"{block}: say python, console or text"
        assert block.order in {None, *ORDERS}, f"{block}: {block.order} is none of {ORDERS}"


SAMPLE = """\
<!-- file: greeting.py -->

```python
WORD = "hello"
```

- in a list

  ```console
  $ python -c "import greeting; \\
      print(greeting.WORD, 1 / 3)"
  hello 0.3...
  ```

<!-- not run: it would fail -->
```python
raise SystemExit(1)
```
"""


def sample(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


def test_blocks_are_found_with_their_orders(tmp_path: Path) -> None:
    blocks = list(blocks_of(sample(tmp_path, SAMPLE)))
    assert [(block.language, block.order) for block in blocks] == [
        ("python", "file"),
        ("console", None),
        ("python", "not run"),
    ]
    test_what_the_page_shows_works(tmp_path / "page.md", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nraise SystemExit(1)\n```\n",
        "```console\n$ false\n```\n",
        "```console\n$ echo one\ntwo\n```\n",
        '<!-- file: broken.py -->\n```python\nimport "broken"\n```\n',
    ],
    ids=["program", "command", "output", "file"],
)
def test_a_page_that_shows_what_does_not_work_fails(text: str, tmp_path: Path) -> None:
    page = sample(tmp_path, text)
    with pytest.raises(AssertionError):
        test_what_the_page_shows_works(page, tmp_path)
