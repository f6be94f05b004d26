"""Loading an application: what it takes, and the one line that says why it does not."""

import importlib
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from zonda.server.loading import (
    LoadError,
    WSGIApplication,
    check_application,
    load_application,
    load_environment,
)

APP = """
    async def app(scope, receive, send):
        pass
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory to make modules in; afterwards they are forgotten."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    importlib.invalidate_caches()


def write(folder: Path, name: str, source: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    importlib.invalidate_caches()


def refusal(load: Callable[[], object]) -> LoadError:
    with pytest.raises(LoadError) as refused:
        load()
    assert "\n" not in str(refused.value)
    return refused.value


def load(project: Path, target: str, **options: object) -> object:
    return load_application(target, app_dir=str(project), **options)  # type: ignore[arg-type]


def test_a_module_and_a_dotted_attribute(project: Path) -> None:
    write(project, "shop/__init__.py", "")
    write(
        project,
        "shop/web.py",
        APP
        + """
    class api:
        v1 = app
    """,
    )
    loaded = load(project, "shop.web:api.v1")
    assert loaded is sys.modules["shop.web"].app


def test_the_attribute_is_app_if_left_out(project: Path) -> None:
    write(project, "shop_a.py", APP)
    assert load(project, "shop_a") is sys.modules["shop_a"].app
    assert load(project, "shop_a:") is sys.modules["shop_a"].app


def test_the_application_directory_comes_first_on_the_path_once(project: Path) -> None:
    write(project, "shop_b.py", APP)
    load(project, "shop_b")
    load(project, "shop_b")
    assert sys.path[0] == str(project)
    assert sys.path.count(str(project)) == 1


def test_a_factory_is_called(project: Path) -> None:
    write(
        project,
        "made.py",
        """
        def create_app():
            async def app(scope, receive, send):
                pass
            return app
        """,
    )
    assert callable(load(project, "made:create_app", factory=True))


def test_a_missing_module_gets_the_nearest_name(project: Path) -> None:
    write(project, "main.py", APP)
    error = refusal(lambda: load(project, "mian:app"))
    assert "There is no module 'mian'" in str(error)
    assert "did you mean 'main'?" in str(error)
    assert error.__cause__ is None


def test_a_missing_module_that_is_in_src_gets_the_option_to_say_so(project: Path) -> None:
    write(project, "src/warehouse.py", APP)
    error = refusal(lambda: load(project, "warehouse"))
    assert f"--app-dir {project / 'src'}" in str(error)


def test_a_missing_module_without_a_near_name_says_where_it_was_looked_for(project: Path) -> None:
    error = refusal(lambda: load(project, "xyzzy"))
    assert str(project) in str(error)
    assert "--app-dir" in str(error)


def test_a_missing_module_of_a_package_names_the_package(project: Path) -> None:
    write(project, "parcel/__init__.py", "")
    error = refusal(lambda: load(project, "parcel.asgi:app"))
    assert "There is no module 'parcel.asgi'; 'parcel' was found" in str(error)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("app.py", "did you mean app:app?"),
        ("app.py:application", "did you mean app:application?"),
        ("src/app.py", "did you mean app:app with --app-dir src?"),
        ("./src/app", "did you mean app:app with --app-dir ./src?"),
        ("", "names no module"),
        (":app", "names no module"),
        (".app", "names no module"),
        ("pkg..app", "names no module"),
    ],
)
def test_a_file_typed_for_a_module_gets_the_module(project: Path, target: str, words: str) -> None:
    assert words in str(refusal(lambda: load(project, target)))


def test_a_missing_attribute_gets_the_nearest_name(project: Path) -> None:
    write(project, "shop_c.py", APP.replace("app", "application"))
    error = refusal(lambda: load(project, "shop_c:aplication"))
    assert "Module 'shop_c' has no attribute 'aplication'" in str(error)
    assert "did you mean shop_c:application?" in str(error)


def test_a_missing_default_attribute_gets_what_is_usual(project: Path) -> None:
    write(project, "shop_d.py", "def create_app(): ...")
    assert "did you mean shop_d:create_app?" in str(refusal(lambda: load(project, "shop_d")))


def test_a_missing_attribute_further_on_says_of_what(project: Path) -> None:
    write(project, "shop_e.py", "class api:\n    version = None")
    error = refusal(lambda: load(project, "shop_e:api.verson"))
    assert "'shop_e:api' has no attribute 'verson'; did you mean shop_e:api.version?" in str(error)


def test_an_import_that_fails_inside_is_told_from_a_missing_target(project: Path) -> None:
    write(project, "shop_f.py", "\nimport no_such_library\n")
    error = refusal(lambda: load(project, "shop_f"))
    assert "Importing 'shop_f' failed: ModuleNotFoundError: No module named" in str(error)
    assert f"{project / 'shop_f.py'}, line 2" in str(error)
    assert isinstance(error.__cause__, ModuleNotFoundError)


def test_the_traceback_of_the_applications_code_begins_in_it(project: Path) -> None:
    write(project, "shop_g.py", "import shop_h")
    write(project, "shop_h.py", "def configure():\n    raise KeyError('SECRET')\nconfigure()")
    error = refusal(lambda: load(project, "shop_g"))
    assert error.__cause__ is not None
    files = [frame.filename for frame in traceback.extract_tb(error.__cause__.__traceback__)]
    assert files[0] == str(project / "shop_g.py")
    assert files[-1] == str(project / "shop_h.py")
    assert "KeyError: 'SECRET'" in str(error)
    assert f"{project / 'shop_h.py'}, line 2" in str(error)


def test_a_syntax_error_names_its_file_and_line(project: Path) -> None:
    write(project, "shop_i.py", "a = 1\ndef (:\n")
    error = refusal(lambda: load(project, "shop_i"))
    assert "SyntaxError" in str(error)
    assert "shop_i.py, line 2" in str(error)


def test_an_application_that_exits_while_it_is_imported_is_an_error(project: Path) -> None:
    write(project, "shop_j.py", "import sys\nsys.exit('no configuration')")
    assert "SystemExit: no configuration" in str(refusal(lambda: load(project, "shop_j")))


def test_a_factory_that_fails_is_told_with_its_place(project: Path) -> None:
    write(project, "shop_k.py", "def make():\n    raise ValueError('no database')")
    error = refusal(lambda: load(project, "shop_k:make", factory=True))
    assert "The factory shop_k:make failed: ValueError: no database" in str(error)
    assert error.__cause__ is not None
    files = [frame.filename for frame in traceback.extract_tb(error.__cause__.__traceback__)]
    assert files == [str(project / "shop_k.py")]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("make = 5", "cannot be called, so it is no factory; leave out --factory"),
        ("def make(scope, receive, send): ...", "so it is no factory"),
        ("async def make(): ...", "is async; make it a plain function"),
        ("def make(): ...", "is a NoneType, which cannot be called"),
    ],
)
def test_what_is_no_factory_is_refused(project: Path, source: str, words: str) -> None:
    write(project, "shop_l.py", source)
    assert words in str(refusal(lambda: load(project, "shop_l:make", factory=True)))


class Application:
    async def __call__(self, scope: object, receive: object, send: object) -> None: ...


class AwaitedApplication:
    def __init__(self, scope: object, receive: object, send: object) -> None: ...

    def __await__(self) -> Iterator[None]:
        yield


class DoubleApplication:
    def __init__(self, scope: object) -> None: ...

    async def __call__(self, receive: object, send: object) -> None: ...


class WSGIObject:
    def __call__(self, environ: object, start_response: object) -> None: ...


async def application(scope: object, receive: object, send: object) -> None: ...


def wrapped(*args: object, **kwargs: object) -> None: ...


@pytest.mark.parametrize("app", [application, Application(), AwaitedApplication, wrapped, min])
def test_asgi_3_applications_of_every_shape_are_taken(app: object) -> None:
    assert check_application(app) is app


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (SimpleNamespace(), "is a SimpleNamespace, which cannot be called"),
        (Application, "is a class; name an instance of it, or add --factory"),
        (lambda: None, "add --factory"),
        (lambda config=None: config, "returns the application, add --factory"),
        (lambda _, __, ___, ____: None, "takes neither (scope, receive, send) nor (environ, start"),
    ],
)
def test_other_callables_are_refused_by_what_they_seem_to_be(app: object, words: str) -> None:
    assert words in str(refusal(lambda: check_application(app, name="shop:app")))


class WSGIClass:
    def __init__(self, environ: object, start_response: object) -> None: ...

    def __iter__(self) -> Iterator[bytes]:
        yield b""


def wsgi_generator(environ: object, start_response: object) -> Iterator[bytes]:
    yield b""


@pytest.mark.parametrize("app", [WSGIObject(), WSGIClass, wsgi_generator, lambda _, __: []])
def test_wsgi_applications_of_every_shape_are_known_by_their_parameters(app: object) -> None:
    assert check_application(app) == WSGIApplication(app)  # type: ignore[arg-type]


@pytest.mark.parametrize("app", [DoubleApplication, lambda _: None])
def test_asgi_2_applications_are_made_asgi_3_applications(app: object) -> None:
    found = check_application(app)
    assert callable(found)
    assert found is not app
    # And so they are one.
    assert check_application(found) is found


def test_an_interface_that_is_named_is_believed() -> None:
    def function(*_: object) -> None: ...

    app: object = function
    assert check_application(app) is app
    assert check_application(app, interface="wsgi") == WSGIApplication(app)  # type: ignore[arg-type]
    assert check_application(app, interface="asgi2") is not app


def test_an_async_function_of_two_is_no_wsgi_application() -> None:
    async def app(request: object, send: object) -> None: ...

    assert "is an async function" in str(refusal(lambda: check_application(app)))


def test_the_interface_asgi3_believes_any_callable() -> None:
    def function(scope: object) -> None: ...

    app: object = function
    assert check_application(app, interface="asgi3") is app
    refusal(lambda: check_application(5, interface="asgi3"))


def test_an_environment_file_sets_what_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dotenv")
    monkeypatch.setenv("ZONDA_TEST_SET", "before")
    monkeypatch.delenv("ZONDA_TEST_NEW", raising=False)
    path = tmp_path / "env"
    path.write_text('ZONDA_TEST_SET=after\nexport ZONDA_TEST_NEW="a b" # comment\n')
    try:
        load_environment(str(path))
        assert os.environ["ZONDA_TEST_SET"] == "before"
        assert os.environ["ZONDA_TEST_NEW"] == "a b"
    finally:
        os.environ.pop("ZONDA_TEST_NEW", None)


def test_an_environment_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    pytest.importorskip("dotenv")
    error = refusal(lambda: load_environment(str(tmp_path / "none")))
    assert str(error).startswith(f"Cannot read --env-file {tmp_path / 'none'}: No such file")


def test_without_python_dotenv_an_environment_file_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "dotenv", None)
    assert "pip install python-dotenv" in str(refusal(lambda: load_environment("env")))
