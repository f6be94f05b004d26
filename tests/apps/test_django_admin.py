"""Django's admin, with its database, sessions, forms and static files, over the wire."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.apps.conftest import ROOT, settings_of
from tests.server.tls_client import Certificates
from zonda.testing import LiveServer

pytest.importorskip("django", reason="django is not installed")

SETTINGS = "tests.apps.django_project.settings"


@pytest.fixture(scope="module", params=[("asgi", "http"), ("asgi", "https"), ("wsgi", "http")])
def site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    certificates: Certificates,
) -> Iterator[LiveServer]:
    interface, scheme = request.param
    environment = {
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "DJANGO_SUPERUSER_PASSWORD": "secret",
        "ZONDA_TEST_DATABASE": str(tmp_path_factory.mktemp("django") / "database"),
    }
    for command in (
        ["migrate", "--run-syncdb"],
        ["createsuperuser", "--noinput", "--username=ana", "--email=ana@example.org"],
    ):
        subprocess.run(
            [sys.executable, "-m", "django", *command, "--verbosity=0"],
            cwd=ROOT,
            env={
                **os.environ,
                **environment,
                "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            },
            check=True,
        )
    with LiveServer(
        f"tests.apps.django_project.{interface}:application",
        process=True,
        app_dir=str(ROOT),
        env=environment,
        **settings_of(scheme, certificates),
    ) as server:
        yield server


@pytest.fixture
def browser(site: LiveServer, certificates: Certificates) -> Iterator[httpx.Client]:
    context = certificates.client()
    with httpx.Client(
        base_url=site.url, timeout=20, follow_redirects=True, verify=context
    ) as client:
        yield client


def submit(browser: httpx.Client, page: httpx.Response, **fields: str) -> httpx.Response:
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    # Browsers say where a form was, and over https Django insists on it.
    referer = {"referer": str(page.url)}
    return browser.post(page.url, data={**fields, "csrfmiddlewaretoken": token[1]}, headers=referer)


def log_in(browser: httpx.Client, password: str) -> httpx.Response:
    return submit(browser, browser.get("/admin/"), username="ana", password=password)


def test_the_login_page_and_its_static_files_are_served(browser: httpx.Client) -> None:
    page = browser.get("/admin/")
    assert page.status_code == 200
    assert page.url.path == "/admin/login/"
    styles = re.findall(r'href="(/static/[^"]+\.css)"', page.text)
    scripts = re.findall(r'src="(/static/[^"]+\.js)"', page.text)
    assert styles
    for path, kind in [*((path, "css") for path in styles), *((path, "java") for path in scripts)]:
        response = browser.get(path)
        assert response.status_code == 200, path
        assert response.headers["content-type"].startswith(f"text/{kind}")
        assert len(response.content) == int(response.headers["content-length"])


def test_a_static_file_the_browser_has_is_not_sent_again(browser: httpx.Client) -> None:
    first = browser.get("/static/admin/css/base.css")
    since = {"if-modified-since": first.headers["last-modified"]}
    again = browser.get("/static/admin/css/base.css", headers=since)
    assert (again.status_code, again.content) == (304, b"")


def test_one_can_log_in_add_a_note_and_find_it(browser: httpx.Client) -> None:
    assert "Site administration" in log_in(browser, "secret").text
    added = submit(browser, browser.get("/admin/notes/note/add/"), text="caf\u00e9 \u2713")
    assert added.url.path == "/admin/notes/note/"
    assert "was added successfully" in added.text
    assert "caf\u00e9 \u2713" in browser.get("/admin/notes/note/").text


def test_a_wrong_password_does_not_log_in(browser: httpx.Client) -> None:
    page = log_in(browser, "wrong")
    assert "Please enter the correct username and password" in page.text


def test_a_form_without_its_token_is_refused(browser: httpx.Client) -> None:
    response = browser.post("/admin/login/", data={"username": "ana", "password": "secret"})
    assert response.status_code == 403
