"""Make one of the project's environments and run a command in it.

    python3 scripts/environment.py NAME COMMAND [ARGUMENT...]

NAME is a row of the table below. Each environment is a virtual environment under ``.venv/`` with
Zonda installed as a user has it, not editable, so that the compiled and the pure build can never
shadow each other. One is made on first use and brought up to date when the sources, or the
dependencies in pyproject.toml, have changed.

Needs nothing but Python and, for the compiled builds, a C compiler.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENVS = ROOT / ".venv"

# What goes into a wheel: changes of these, and of nothing else, rebuild it.
BUILD_INPUTS = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "src")
NOT_SOURCES = ("*.so", "*.c", "*.html", "*.pyc", "*.egg-info")

BUILDS: Mapping[str, Mapping[str, str]] = {
    "compiled": {"ZONDA_REQUIRE_EXTENSIONS": "1"},
    "pure": {"ZONDA_PURE_PYTHON": "1"},
    "sanitized": {"ZONDA_REQUIRE_EXTENSIONS": "1", "ZONDA_SANITIZE": "1"},
}

OURS = f"{sys.version_info.major}.{sys.version_info.minor}"


class UnavailableError(Exception):
    """An environment cannot be made; the message says why and what to do."""


@dataclass(frozen=True)
class Environment:
    """One row of the table: what an environment is made of."""

    name: str
    python: str
    build: str | None
    """A key of BUILDS, or None where the sources are only looked at, not run."""
    groups: tuple[str, ...] = ()
    """Dependency groups of pyproject.toml."""

    @property
    def folder(self) -> Path:
        """Where it is."""
        return VENVS / self.name

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    def variables(self) -> dict[str, str]:
        """The process environment for a command that runs in it."""
        variables = {
            name: value
            for name, value in os.environ.items()
            if name not in {"PYTHONHOME", "PYTHONPATH"}
        }
        variables["VIRTUAL_ENV"] = str(self.folder)
        variables["PATH"] = os.pathsep.join([str(self.folder / "bin"), variables.get("PATH", "")])
        if self.build is None:
            variables["PYTHONPATH"] = str(ROOT / "src")
        if self.build == "sanitized":
            variables |= sanitizer_variables()
        return variables


def table() -> dict[str, Environment]:
    """Every environment there is, by name."""
    rows = [
        Environment("run", OURS, "compiled"),
        Environment("run-pure", OURS, "pure"),
        Environment("check", OURS, None, ("check",)),
        Environment("docs", OURS, None, ("docs",)),
        Environment("bench", "3.13", "compiled", ("bench",)),
        Environment("fuzz", "3.11", "pure", ("fuzz",)),
        Environment("sanitized", "3.11", "sanitized", ("test",)),
    ]
    rows += [
        Environment(f"{python}-{build}", python, build, ("test", "apps"))
        for python in ("3.11", "3.12", "3.13")
        for build in ("compiled", "pure")
    ]
    return {row.name: row for row in rows}


def find_python(version: str) -> Path | None:
    """An interpreter of this version, such as 3.13: on PATH, or one that pyenv has installed."""
    candidates: list[Path] = []
    if version == OURS:
        candidates.append(Path(getattr(sys, "_base_executable", sys.executable)))
    on_path = shutil.which(f"python{version}")
    if on_path:
        candidates.append(Path(on_path))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += sorted(pyenv.glob(f"versions/{version}*/bin/python{version}"), reverse=True)
    return next((path for path in candidates if _is_python(path, version)), None)


def _is_python(path: Path, version: str) -> bool:
    # Asked, not believed: pyenv puts a command on PATH for versions that it then refuses to run.
    program = "import sys; print(*sys.version_info[:2], sep='.')"
    answer = subprocess.run([path, "-c", program], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and answer.stdout.strip() == version


def sanitizer_variables() -> dict[str, str]:
    """What lets an ordinary Python load extensions built with ZONDA_SANITIZE=1."""
    compiler = os.environ.get("CC", "clang")
    library = "libclang_rt.asan-x86_64.so" if "clang" in compiler else "libasan.so"
    try:
        runtime = run([compiler, f"-print-file-name={library}"]).strip()
    except OSError as error:
        raise UnavailableError(
            f"the sanitized build needs {compiler}: install clang, or set CC=gcc"
        ) from error
    if not Path(runtime).is_absolute():
        raise UnavailableError(
            f"{compiler} has no {library}: install clang's compiler-rt, or set CC=gcc"
        )
    return {
        "LD_PRELOAD": runtime,
        # CPython frees at exit what it likes: leaks are looked for by tests, not here.
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        # Python's own allocator hides overruns from the sanitizer.
        "PYTHONMALLOC": "malloc",
    }


def run(command: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed; when it fails, fail with all of that."""
    environment = {**os.environ, **(variables or {})}
    answer = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if answer.returncode:
        words = " ".join(map(str, command))
        raise UnavailableError(f"{answer.stdout}\n{words} failed ({answer.returncode}): see above")
    return answer.stdout


@cache
def uv() -> Path:
    """The installer: uv, from a virtual environment of its own."""
    folder = VENVS / "tools"
    program = folder / "bin" / "uv"
    if not program.exists():
        venv.create(folder, clear=True, with_pip=True)
        run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "uv>=0.8"])
    return program


@cache
def fingerprint() -> str:
    """A digest of everything that goes into a wheel."""
    paths = [ROOT / name for name in BUILD_INPUTS]
    files = [file for path in paths for file in [path, *path.rglob("*")] if file.is_file()]
    sources = [file for file in files if not any(map(file.match, NOT_SOURCES))]
    return digest_of(*(str(file.relative_to(ROOT)) for file in sorted(sources)))


def digest_of(*names: str) -> str:
    """A digest of some files of the repository, their names included."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(b"%s\0%s\0" % (name.encode(), (ROOT / name).read_bytes()))
    return digest.hexdigest()


def wheel(python: str, interpreter: Path, build: str) -> Path:
    """The wheel of the present sources for a Python and a build, built if it is not there."""
    folder = VENVS / "wheels" / f"{python}-{build}"
    stamp = folder / "stamp"
    found = list(folder.glob("*.whl"))
    if found and stamp.exists() and stamp.read_text() == fingerprint():
        return found[0]
    for old in [*found, stamp]:
        old.unlink(missing_ok=True)
    stage = _stage(folder / "stage")
    print(f"building Zonda for Python {python}, {build}", flush=True)
    run(
        [uv(), "build", "--wheel", "--python", interpreter, "--out-dir", folder, stage],
        BUILDS[build],
    )
    stamp.write_text(fingerprint())
    return next(folder.glob("*.whl"))


def _stage(stage: Path) -> Path:
    """Copy the sources to where they are built, keeping what an earlier build can be spared."""
    recipe = digest_of("pyproject.toml", "setup.py")
    mark = stage / "recipe"
    if not mark.exists() or mark.read_text() != recipe:
        shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True, exist_ok=True)
    mark.write_text(recipe)
    shutil.rmtree(stage / "src", ignore_errors=True)
    for name in BUILD_INPUTS:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns(*NOT_SOURCES)
            shutil.copytree(ROOT / name, stage / name, ignore=ignored)
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, stage / name)
    # Only extensions are kept: setuptools would ship a module that has since left the sources.
    for built in (stage / "build").glob("lib*/**/*"):
        kept = built.suffix == ".so" and _source_of(built, stage).exists()
        if built.is_file() and not kept:
            built.unlink()
    return stage


def _source_of(extension: Path, stage: Path) -> Path:
    parts = extension.relative_to(stage / "build").parts[1:-1]
    module = stage.joinpath("src", *parts, extension.name.split(".")[0])
    plain = module.with_suffix(".py")
    return plain if plain.exists() else module.with_suffix(".pyx")


def prepare(environment: Environment) -> None:
    """Bring an environment up to date; a no-op when it is."""
    interpreter = find_python(environment.python)
    if interpreter is None:
        raise UnavailableError(
            f"no Python {environment.python} on PATH or among pyenv's versions: install it"
        )
    VENVS.mkdir(exist_ok=True)
    with locked(VENVS / "lock"):
        recipe = f"{interpreter} {environment.groups} {digest_of('pyproject.toml')}"
        stamps = [recipe] if environment.build is None else [recipe, fingerprint()]
        stamp = environment.folder / "stamp"
        before = stamp.read_text().splitlines() if stamp.exists() else []
        if before == stamps:
            return
        if before[:1] != [recipe]:
            run([uv(), "venv", "--quiet", "--clear", "--python", interpreter, environment.folder])
        stamp.unlink(missing_ok=True)
        _install(environment, interpreter)
        stamp.write_text("\n".join(stamps))


def _install(environment: Environment, interpreter: Path) -> None:
    command: list[str | Path] = [uv(), "pip", "install", "--quiet", "--compile-bytecode"]
    command += ["--python", environment.interpreter]
    for group in environment.groups:
        command += ["--group", group]
    if environment.build is None:
        command += ["--requirements", "pyproject.toml", "--extra", "reload"]
    else:
        built = wheel(environment.python, interpreter, environment.build)
        command += ["--reinstall-package", "zonda", f"zonda[reload] @ {built.as_uri()}"]
    print(f"installing into {environment.folder.relative_to(ROOT)}", flush=True)
    run(command)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file: two habits started at once must not build the same environment."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """The command line: replaces this process by the command."""
    environments = table()
    if len(sys.argv) < 3 or sys.argv[1] not in environments:  # itself, NAME, COMMAND
        names = ", ".join(environments)
        sys.exit(f"usage: {sys.argv[0]} NAME COMMAND [ARGUMENT...]\nNAME is one of: {names}")
    environment = environments[sys.argv[1]]
    try:
        prepare(environment)
        variables = environment.variables()
    except UnavailableError as failure:
        sys.exit(f"error: {failure}")
    command = sys.argv[2:]
    try:
        os.execvpe(command[0], command, variables)  # noqa: S606 - the command is the caller's
    except FileNotFoundError:
        sys.exit(f"error: no command {command[0]} in {environment.folder}")


if __name__ == "__main__":
    main()
