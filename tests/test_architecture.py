"""The arrows between the layers point down, and importing is cheap.

The layers themselves are contracts in pyproject.toml, which ``make check`` reads too.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "zonda"

# Cython's own imports, which import-linter does not read: `cimport x`, `from x cimport y`, and in
# a .pyx the Python ones as well.
IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))", re.MULTILINE)

BELOW = {
    "wire": {"wire"},
    "asgi": {"asgi"},
    "server": {"server", "wire", "asgi", "_build"},
}


def loaded_by(statement: str) -> set[str]:
    """The modules that a statement loads in a fresh interpreter."""
    program = (
        f"import sys\nbefore = set(sys.modules)\n{statement}\nprint(*(set(sys.modules) - before))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split())


def test_imports_point_down_the_layers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename="pyproject.toml", no_cache=True, is_debug_mode=False)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize("layer", BELOW)
def test_cython_imports_point_down_the_layers(layer: str) -> None:
    for source in [*(PACKAGE / layer).rglob("*.pxd"), *(PACKAGE / layer).rglob("*.pyx")]:
        for match in IMPORT.finditer(source.read_text()):
            package, _, rest = (match[1] or match[2]).partition(".")
            if package == "zonda":
                assert rest.split(".")[0] in BELOW[layer], f"{source.name}: {match[0].strip()}"


def test_importing_zonda_loads_nothing_else() -> None:
    assert loaded_by("import zonda") == {"zonda"}


def test_every_public_name_is_there_when_asked_for() -> None:
    names = loaded_by("import zonda; [getattr(zonda, name) for name in zonda.__all__]")
    assert "zonda.server.settings" in names


def test_a_name_that_zonda_does_not_have_is_an_attribute_error() -> None:
    import zonda  # noqa: PLC0415 - the subject of the test

    with pytest.raises(AttributeError, match="no attribute 'Sever'"):
        zonda.Sever  # noqa: B018 - the access is the test


def test_the_codecs_load_nothing_of_the_other_layers() -> None:
    ours = {name for name in loaded_by("import zonda.wire.http1") if name.startswith("zonda.")}
    assert {name for name in ours if not name.startswith("zonda.wire")} == set()
