"""The files of examples/deploy say what is true: their commands and variables are Zonda's."""

import configparser
import importlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from zonda.cli import main
from zonda.server.settings import Settings
from zonda.server.sources import gather

FOLDER = Path(__file__).parents[1] / "examples" / "deploy"


@pytest.fixture(autouse=True)
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "main.py").write_text("async def app(scope, receive, send): ...")
    monkeypatch.chdir(tmp_path)


def assert_runs(words: list[str], environment: dict[str, str]) -> None:
    """A command line `zonda run …` is one that `zonda check` has nothing against."""
    assert words[0].endswith("zonda")
    assert words[1] == "run"
    result = CliRunner().invoke(main, ["check", *words[2:]], env=environment)
    assert result.exit_code == 0, result.output


def unit(name: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FOLDER / name)
    return {section: dict(parser[section]) for section in parser.sections()}


def test_the_unit_runs_zonda_and_leaves_it_time_to_stop() -> None:
    service = unit("zonda.service")
    assert_runs(shlex.split(service["Service"]["ExecStart"]), {})
    limit = Settings().timeout_graceful_shutdown
    assert int(service["Service"]["TimeoutStopSec"]) > 2 * limit
    assert service["Unit"]["Requires"] == "zonda.socket"
    assert "ListenStream" in unit("zonda.socket")["Socket"]


def test_the_image_runs_zonda_with_variables_that_are_settings() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    variables = dict(
        word.split("=", 1)
        for line in re.findall(r"^ENV (.*)$", text, re.MULTILINE)
        for word in line.split()
    )
    gathered = gather(environ=variables)
    assert not gathered.warnings
    assert gathered.target == "main:app"
    found = re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)
    assert found is not None
    assert_runs(json.loads(found[1]), variables)


def test_the_manifest_gives_settings_and_time_to_drain() -> None:
    manifest: dict[str, Any] = importlib.import_module("yaml").safe_load(
        (FOLDER / "kubernetes.yaml").read_text()
    )
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    gathered = gather(environ=variables)
    assert not gathered.warnings
    assert set(gathered.origins.values()) >= set(variables)
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    needed = pause + 2 * gathered.settings.timeout_graceful_shutdown
    assert pod["terminationGracePeriodSeconds"] > needed
    assert container["ports"][0]["containerPort"] == gathered.settings.port
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["tcpSocket"]["port"] == container["ports"][0]["name"]
