"""What is true of the repository as a whole."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

import zonda
from zonda import _build

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"

# A home folder, in the spelling of Linux, macOS and Windows.
HOME = re.compile(r"/(?:home|Users)/\w|/root/|\b[A-Z]:\\Users\\")


def tracked_files() -> list[Path]:
    """The files under version control, and those that are about to be."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a checkout")
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def declarations() -> list[Path]:
    """The .pxd files but for each __init__.pxd, which only marks a package."""
    return [path for path in SOURCE.rglob("*.pxd") if path.stem != "__init__"]


def test_the_install_knows_every_module_that_is_to_be_compiled() -> None:
    assert tuple(_build.hot_sources(SOURCE / "zonda")) == _build.HOT_MODULES != ()


def test_every_declaration_augments_a_module_or_is_included_by_one() -> None:
    cython = [file.read_text() for kind in ("*.pxd", "*.pyx") for file in SOURCE.rglob(kind)]
    for path in declarations():
        companions = [path.with_suffix(".py"), path.with_suffix(".pyx")]
        asked_for = re.compile(rf"\bcimport .*\b{path.stem}\b|\b{path.stem} cimport\b")
        assert any(file.exists() for file in companions) or any(map(asked_for.search, cython)), path


def test_every_module_that_exists_only_compiled_has_a_typed_interface() -> None:
    for path in SOURCE.rglob("*.pyx"):
        assert path.with_suffix(".pyi").exists(), path


def test_every_package_has_a_docstring() -> None:
    for folder in (SOURCE / "zonda").rglob("*/"):
        if list(folder.glob("*.py")):
            text = (folder / "__init__.py").read_text()
            assert text.startswith('"""'), folder


def test_the_version_has_one_source() -> None:
    assert metadata.version("zonda") == zonda.__version__


def test_the_build_describes_itself() -> None:
    assert _build.describe().startswith("compiled, " if _build.compiled else "pure Python, ")


def test_no_file_names_a_machine() -> None:
    for file in tracked_files():
        try:
            text = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # an image or an archive
        if file != Path(__file__):  # which has to spell what it looks for
            assert HOME.findall(text) == [], file
            assert f"{ROOT}/" not in text or len(ROOT.parts) < 3, file


def test_nothing_generated_is_under_version_control() -> None:
    files = tracked_files()
    assert [file for file in files if file.suffix in {".so", ".pyd", ".pyc", ".whl"}] == []
    assert [file for file in files if file.suffix == ".c" and SOURCE in file.parents] == []


def test_the_source_distribution_has_all_that_builds_and_tests_it(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for file in tracked_files():
        copy = tree / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)
    # Without isolation, since a test asks no package index for the build's requirements.
    program = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=tree,
        env={**os.environ, "PYTHONWARNINGS": "default"},
        capture_output=True,
        check=True,
    )
    [archive] = (tree / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    expected = {str(file.relative_to(ROOT)) for file in tracked_files()}
    left_out = {name for name in expected if name.startswith((".ci/", ".git"))}
    assert expected - left_out - names == set()
