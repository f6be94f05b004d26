"""The extensions; everything else about the package stands in pyproject.toml.

Compiled are the Python files with a ``.pxd`` of the same name beside them, and the ``.pyx`` files.
Extensions are an optimisation: where they do not compile, the install goes on without any of them
and says so. All or none, since a half-compiled install is a build that nobody tests.

Environment:

``ZONDA_PURE_PYTHON=1``
    leave the extensions out.
``ZONDA_REQUIRE_EXTENSIONS=1``
    fail when they do not compile.
``ZONDA_SANITIZE=1``
    build with clang's address and undefined-behaviour sanitizers.
``CFLAGS``, ``CC``
    as for any extension; where ``CFLAGS`` is set, it decides about optimisation.
"""

from __future__ import annotations

import os
import platform
import runpy
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("src")

DIRECTIVES = {
    "language_level": 3,
    # Methods are builtins, which the interpreter calls without making a bound method first.
    "binding": False,
    "embedsignature": False,
    # C types come from the .pxd; annotations are for type checkers, and mean what they do to them.
    "annotation_typing": False,
    # Indices in the hot modules are bounded by their code, which the fuzz corpora replay under the
    # sanitizers.
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
}


def switched_on(variable: str) -> bool:
    """Whether an environment variable is set to something other than 0."""
    return os.environ.get(variable, "0") not in {"", "0"}


def compiler_flags() -> tuple[list[str], list[str]]:
    """The flags for the compiler and for the linker."""
    if switched_on("ZONDA_SANITIZE"):
        sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
        shared = ["-shared-libasan"] if "clang" in os.environ["CC"] else []
        flags = [*sanitizers, *shared]
        return [*flags, "-g", "-O1", "-fno-omit-frame-pointer"], flags
    if "CFLAGS" in os.environ:
        return [], []
    if sys.platform == "win32":
        return ["/O2"], []
    flags = ["-O3", "-g0"]
    if sys.platform == "linux":
        # Calls into libpython go straight through its table: 3% of a small request.
        flags += ["-fno-plt", "-fno-semantic-interposition"]
    return flags, []


def extensions() -> list[Extension]:
    """One extension a hot module, or none for a pure build."""
    if switched_on("ZONDA_PURE_PYTHON") or platform.python_implementation() != "CPython":
        return []
    hot_sources = runpy.run_path("src/zonda/_build.py")["hot_sources"]
    compile_args, link_args = compiler_flags()
    return [
        Extension(
            module,
            [source.as_posix()],
            extra_compile_args=compile_args,
            extra_link_args=link_args,
        )
        for module, source in hot_sources(SOURCE / "zonda").items()
    ]


class BuildExtensions(build_ext):
    """Translates with Cython and compiles: all of the extensions, or none."""

    def build_extensions(self) -> None:
        """Build, and where that fails go on without extensions unless they are required."""
        try:
            self._translate()
            super().build_extensions()
        except Exception as error:  # noqa: BLE001 - compilers fail in many ways
            if switched_on("ZONDA_REQUIRE_EXTENSIONS"):
                sys.exit(f"Zonda's extensions are required, and did not compile: {error}")
            self._leave_out(error)

    def _translate(self) -> None:
        from Cython.Build import cythonize  # noqa: PLC0415 - not needed for metadata

        # setuptools has put its own marks on our extensions: keep them, take the sources only.
        translated = cythonize(
            self.extensions,
            build_dir="build/cython",
            include_path=[str(SOURCE)],
            compiler_directives=DIRECTIVES,
            quiet=True,
        )
        sources = {extension.name: extension.sources for extension in translated}
        for extension in self.extensions:
            extension.sources = sources[extension.name]

    def _leave_out(self, error: Exception) -> None:
        for extension in self.extensions:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self.extensions = []
        self.distribution.ext_modules = []
        rule = "*" * 78
        sys.stderr.write(
            f"{rule}\n"
            "Zonda's extensions did not compile; installing it as pure Python, which is several\n"
            "times slower. Install a C compiler and the headers of this Python, then reinstall.\n"
            "With ZONDA_REQUIRE_EXTENSIONS=1 this is an error; with ZONDA_PURE_PYTHON=1, meant.\n"
            f"The reason: {error}\n"
            f"{rule}\n"
        )


if switched_on("ZONDA_SANITIZE"):
    os.environ.setdefault("CC", "clang")

setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExtensions})
