"""`zonda check`: each value with where it comes from, and the application imported."""

import re
from pathlib import Path

import pytest

from tests.cli.command import ZondaCommand, finish, get
from zonda.server.settings import all_settings

APP = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def lines_of(output: str) -> dict[str, list[str]]:
    shown = {
        name: [value, origin]
        for name, value, origin in re.findall(r"^([a-z-]+) = (.*)  # (.*)$", output, re.MULTILINE)
    }
    return shown | {
        name: [] for name in re.findall(r"^# ([a-z-]+) is not set$", output, re.MULTILINE)
    }


def test_it_shows_each_value_and_where_it_comes_from(project: Path) -> None:
    (project / "zonda.toml").write_text('target = "shop:app"\nlimit-request-body = "2MiB"\n')
    code, output = finish(
        *("check", "--port", "0", "--header", "X-A: b"), cwd=project, env={"ZONDA_BACKLOG": "5"}
    )
    assert code == 0
    shown = lines_of(output)
    assert set(shown) == {"target", *(setting.flag[2:] for setting in all_settings().values())}
    assert shown["target"] == ['"shop:app"', "zonda.toml, line 1"]
    assert shown["limit-request-body"] == ['"2MiB"', "zonda.toml, line 2"]
    assert shown["port"] == ["0", "--port"]
    assert shown["backlog"] == ["5", "ZONDA_BACKLOG"]
    assert shown["header"] == ['["X-A: b"]', "--header"]
    assert shown["host"] == ['"127.0.0.1"', "default"]
    assert shown["uds"] == []
    assert output.endswith("shop:app can be served with these settings.\n")


def test_what_it_shows_is_a_file_that_gives_the_same(project: Path) -> None:
    arguments = ("--uds-permissions", "600", "--timeout-head", "2.5", "--header", 'X-A: "b"')
    code, output = finish("check", "shop:app", *arguments, cwd=project)
    assert code == 0
    (project / "zonda.toml").write_text(output)
    code, again = finish("check", cwd=project)
    assert code == 0
    first, second = lines_of(output), lines_of(again)
    assert {name: row[:1] for name, row in first.items()} == {
        name: row[:1] for name, row in second.items()
    }


@pytest.mark.parametrize(
    ("arguments", "file", "code", "words"),
    [
        (["shp:app"], "", 1, "did you mean 'shop'?"),
        ([], "", 2, "Missing argument 'TARGET'"),
        (["shop:app"], "prot = 1", 2, "zonda.toml, line 1: there is no setting prot"),
        (["shop:app"], "port = 70000", 2, "port = 70000: a number from 0 to 65535"),
        (["shop:app", "--log-config", "none.json"], "", 1, "the file cannot be read"),
        (["shop:app", "--env-file", "none.env"], "", 1, "Cannot read --env-file"),
        (["shop:app", "--prot", "1"], "", 2, "--port"),
        (["shop:app", "--config", "none.toml"], "", 2, "none.toml cannot be read"),
    ],
)
def test_what_is_wrong_is_said_and_told_by_the_code(
    project: Path, arguments: list[str], file: str, code: int, words: str
) -> None:
    (project / "zonda.toml").write_text(file)
    ended, output = finish("check", *arguments, cwd=project)
    assert (ended, "Traceback" in output) == (code, False)
    assert words in re.sub(r"\s+", " ", output)


def test_run_takes_environment_and_file_and_warns_of_what_looks_like_a_mistake(
    project: Path,
) -> None:
    (project / "pyproject.toml").write_text('[tool.zonda]\ntarget = "shop:app"\n')
    environment = {"ZONDA_PORT": "0", "ZONDA_BAKLOG": "1"}
    with ZondaCommand("run", cwd=project, env=environment) as command:
        command.read_until("Warning: ZONDA_BAKLOG is no setting; did you mean ZONDA_BACKLOG?")
        assert get(command.wait_for_port()) == "hello"
