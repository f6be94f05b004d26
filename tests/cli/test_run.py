"""`zonda run` in a process of its own: what it takes, what it says, how it ends."""

import contextlib
import http.client
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.command import PATIENCE, ZondaCommand, finish, get
from tests.server.tls_client import encrypted, make_certificates
from zonda.cli import main
from zonda.cli.options import gathered_from
from zonda.cli.run import run
from zonda.server.settings import Settings, all_settings

APP = """
import asyncio, os, sys, threading, time
from pathlib import Path

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if os.environ.get("START") == "failed":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        if os.environ.get("START") == "slow":
            print("starting", flush=True)
            await asyncio.Event().wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("application shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"].removeprefix(scope["root_path"])
    body = b"hello"
    if path == "/root":
        body = scope["root_path"].encode()
    elif path.startswith("/env/"):
        body = os.environ.get(path[5:], "").encode()
    elif path == "/loop":
        body = type(asyncio.get_running_loop()).__module__.encode()
    elif path == "/when-told":
        print("request begun", flush=True)
        while not Path("go").exists():
            await asyncio.sleep(0.01)
    elif path == "/never":
        print("request begun", flush=True)
        await asyncio.Event().wait()
    elif path == "/block":
        print("request begun", flush=True)
        while True:
            time.sleep(0.01)
    elif path == "/thread":
        threading.Thread(target=threading.Event().wait, name="stuck").start()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

def create_app():
    return app
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def begin(port: int, path: str) -> http.client.HTTPConnection:
    """Send a request whose answer is not there yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path)
    return connection


def connect_for_ever(port: int) -> None:
    while True:
        # Reset is who was in the queue when the socket was closed; who comes later is refused.
        with contextlib.suppress(ConnectionResetError):
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_ends_with_0(project: Path, number: signal.Signals) -> None:
    with ZondaCommand("run", "shop:app", "--port", "0", cwd=project) as command:
        port = command.wait_for_port()
        assert get(port) == "hello"
        command.read_until('"GET / HTTP/1.1" 200 5B ')
        command.signal(number)
        assert command.wait() == 0
    assert "application shut down\n" in command.output
    assert "Stopping" in command.output
    assert "Stopped" in command.output
    assert "Traceback" not in command.output
    assert "ResourceWarning" not in command.output


def test_the_first_line_says_what_runs(project: Path) -> None:
    arguments = ("run", "shop:app", "--port", "0", "--loop", "asyncio", "--reactor", "asyncio")
    with ZondaCommand(*arguments, cwd=project) as command:
        line = command.read_until("Zonda ")
    assert re.search(r"Zonda \S+ \((compiled|pure Python), asyncio, asyncio, Python 3", line)
    assert line.endswith("serving shop:app\n")


def test_a_request_in_progress_is_finished_after_the_signal(project: Path) -> None:
    with ZondaCommand("run", "shop:app", "--port", "0", cwd=project) as command:
        connection = begin(command.wait_for_port(), "/when-told")
        command.read_until("request begun")
        command.signal(signal.SIGTERM)
        command.read_until("Stopping: 1 requests in progress have 30 s")
        (project / "go").touch()
        assert connection.getresponse().read() == b"hello"
        connection.close()
        assert command.wait() == 0
    assert "application shut down\n" in command.output


def test_new_connections_are_refused_while_it_drains(project: Path) -> None:
    with ZondaCommand("run", "shop:app", "--port", "0", cwd=project) as command:
        port = command.wait_for_port()
        connection = begin(port, "/when-told")
        command.read_until("request begun")
        command.signal(signal.SIGTERM)
        command.read_until("Stopping")
        with pytest.raises(ConnectionRefusedError):
            connect_for_ever(port)
        (project / "go").touch()
        connection.getresponse().read()
        connection.close()
        assert command.wait() == 0


def test_a_request_that_does_not_end_is_cancelled_at_the_limit(project: Path) -> None:
    arguments = ("run", "shop:app", "--port", "0", "--timeout-graceful-shutdown", "0.1")
    with ZondaCommand(*arguments, cwd=project) as command:
        connection = begin(command.wait_for_port(), "/never")
        command.read_until("request begun")
        command.signal(signal.SIGTERM)
        assert command.wait() == 0
        connection.close()
    assert "--timeout-graceful-shutdown" in command.output


def test_a_second_signal_ends_at_once(project: Path) -> None:
    with ZondaCommand("run", "shop:app", "--port", "0", cwd=project) as command:
        connection = begin(command.wait_for_port(), "/never")
        command.read_until("request begun")
        command.signal(signal.SIGINT)
        command.read_until("Stopping: 1 requests in progress")
        command.signal(signal.SIGINT)
        assert command.wait() == 0
        connection.close()
    assert "application shut down\n" in command.output


def test_a_third_signal_kills_it_even_when_the_loop_is_stuck(project: Path) -> None:
    with ZondaCommand("run", "shop:app", "--port", "0", cwd=project) as command:
        connection = begin(command.wait_for_port(), "/block")
        command.read_until("request begun")
        # Signals that come together are one: each has to be taken before the next.
        while command.process.poll() is None:
            command.signal(signal.SIGTERM)
            with contextlib.suppress(Exception):
                command.process.wait(0.05)
        assert command.wait() == -signal.SIGTERM
        connection.close()


def test_a_thread_that_never_ends_does_not_keep_the_process(project: Path) -> None:
    with ZondaCommand("run", "shop:app", "--port", "0", cwd=project) as command:
        assert get(command.wait_for_port(), "/thread") == "hello"
        command.signal(signal.SIGTERM)
        assert command.wait() == 0
    assert "left behind: stuck" in command.output


def test_a_signal_while_the_application_starts_ends_it(project: Path) -> None:
    arguments = ("run", "shop:app", "--port", "0")
    with ZondaCommand(*arguments, cwd=project, env={"START": "slow"}) as command:
        command.read_until("starting")
        command.signal(signal.SIGTERM)
        assert command.wait() == 0
    assert "Stopped before it was ready" in command.output
    assert "Traceback" not in command.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_application_is_imported_ends_it(
    project: Path, number: signal.Signals
) -> None:
    (project / "slow.py").write_text(
        "import threading\nprint('importing', flush=True)\nthreading.Event().wait()"
    )
    with ZondaCommand("run", "slow", "--port", "0", cwd=project) as command:
        command.read_until("importing")
        command.signal(number)
        assert command.wait() == 0
    assert "Stopped before it was ready" in command.output
    assert "Traceback" not in command.output


def test_a_failed_start_up_ends_it_with_3_and_the_applications_message(project: Path) -> None:
    code, output = finish("run", "shop:app", "--port", "0", cwd=project, env={"START": "failed"})
    assert code == 3
    assert "The application did not start: no database" in output
    assert "Traceback" not in output
    assert "Listening" not in output


def test_a_target_that_is_not_there_is_one_line_and_1(project: Path) -> None:
    code, output = finish("run", "shp:app", "--port", "0", cwd=project)
    assert code == 1
    (line,) = output.splitlines()
    assert "There is no module 'shp'" in line
    assert "did you mean 'shop'?" in line


def test_an_import_error_of_the_application_shows_its_traceback_and_none_of_ours(
    project: Path,
) -> None:
    (project / "broken.py").write_text("import no_such_library\n")
    code, output = finish("run", "broken", "--port", "0", cwd=project)
    assert code == 1
    assert "No module named 'no_such_library'" in output
    files = re.findall(r'File "([^"]+)"', output)
    assert files == [str(project / "broken.py")]


def test_an_address_in_use_is_one_line_and_1(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code, output = finish("run", "shop:app", "--port", port, cwd=project)
    assert code == 1
    assert f"Cannot listen at 127.0.0.1:{port}: address already in use" in output
    assert "Traceback" not in output


def test_it_speaks_tls_with_a_key_whose_password_is_in_the_environment(project: Path) -> None:
    certificates = make_certificates(project)
    keyfile = encrypted(certificates.keyfile, project / "encrypted.key")
    arguments = ("--ssl-certfile", certificates.certfile, "--ssl-keyfile", keyfile)
    environment = {"ZONDA_SSL_KEYFILE_PASSWORD": "open sesame"}
    with ZondaCommand(
        "run", "shop:app", "--port", "0", *arguments, cwd=project, env=environment
    ) as command:
        assert get(command.wait_for_port(), tls=certificates.client()) == "hello"
        command.read_until('"GET / HTTP/1.1" 200 5B ')
        command.signal(signal.SIGTERM)
        assert command.wait() == 0
    assert "Listening on https://" in command.output
    assert "Traceback" not in command.output


def test_an_encrypted_key_without_its_password_is_one_line_and_1(project: Path) -> None:
    certificates = make_certificates(project)
    keyfile = encrypted(certificates.keyfile, project / "encrypted.key")
    code, output = finish(
        *("run", "shop:app", "--port", "0"),
        *("--ssl-certfile", certificates.certfile, "--ssl-keyfile", keyfile),
        cwd=project,
    )
    assert code == 1
    assert "ZONDA_SSL_KEYFILE_PASSWORD" in output
    assert "PEM pass phrase" not in output
    assert "Traceback" not in output


def test_a_bad_log_config_is_one_line_and_1(project: Path) -> None:
    code, output = finish("run", "shop:app", "--log-config", "none.json", cwd=project)
    assert code == 1
    assert "the file cannot be read" in output
    assert "Traceback" not in output


def test_factory_app_dir_and_environment_file(project: Path) -> None:
    (project / "src").mkdir()
    (project / "shop.py").rename(project / "src" / "store.py")
    (project / "settings.env").write_text("FROM_FILE=yes\nSET=file\n")
    arguments = ("--factory", "--app-dir", "src", "--env-file", "settings.env", "--port", "0")
    with ZondaCommand(
        "run", "store:create_app", *arguments, cwd=project, env={"SET": "before"}
    ) as command:
        port = command.wait_for_port()
        assert get(port, "/env/FROM_FILE") == "yes"
        assert get(port, "/env/SET") == "before"


def test_options_reach_the_server(project: Path) -> None:
    with ZondaCommand(
        *("run", "shop:app", "--port", "0", "--root-path", "/api", "--loop", "asyncio"),
        *("--header", "X-One: 1", "--header", "X-Two:2", "--no-server-header", "--no-access-log"),
        cwd=project,
    ) as command:
        port = command.wait_for_port()
        assert get(port, "/loop").startswith("asyncio.")
        connection = begin(port, "/root")
        response = connection.getresponse()
        assert response.read() == b"/api"
        connection.close()
        assert response.headers["x-one"] == "1"
        assert response.headers["x-two"] == "2"
        assert response.headers["server"] is None
        assert response.headers["date"] is not None
        command.signal(signal.SIGTERM)
        assert command.wait() == 0
    assert "GET" not in command.output


def test_it_listens_everywhere_it_is_told_to(project: Path) -> None:
    with socket.socket() as inherited:
        inherited.bind(("127.0.0.1", 0))
        inherited.listen()
        with ZondaCommand(
            *("run", "shop:app", "--bind", "127.0.0.1:0", "--bind", "unix:here.sock"),
            *("--bind", f"fd://{inherited.fileno()}"),
            cwd=project,
            pass_fds=(inherited.fileno(),),
        ) as command:
            first = command.wait_for_port()
            assert "unix:here.sock" in command.read_until("Listening on")
            second = command.wait_for_port()
            assert second == inherited.getsockname()[1]
            assert get(first) == get(second) == "hello"
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(str(project / "here.sock"))
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                answer = b""
                while part := client.recv(4096):
                    answer += part
            assert answer.endswith(b"hello")
            command.signal(signal.SIGTERM)
            assert command.wait() == 0
    assert not (project / "here.sock").exists()


# Without a process: what the command line says


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments, prog_name="zonda")
    return result.exit_code, re.sub(r"\s+", " ", result.output)


def test_version_says_build_python_and_loop() -> None:
    code, output = invoke("--version")
    assert code == 0
    assert re.match(r"zonda \S+ \(.*(compiled|pure Python).*, \w+ 3\.\d+\.\d+ on \w+, \w+", output)


@pytest.mark.parametrize("command", ["run", "dev"])
def test_help_lists_every_setting_with_its_unit_its_default_and_what_0_means(command: str) -> None:
    code, output = invoke(command, "--help")
    assert code == 0
    for setting in all_settings().values():
        assert setting.flag in output
        assert f"{setting.group}:" in output
    for words in (
        "--limit-request-body SIZE",
        "[default: 1GiB; 0: none]",
        "--timeout-head SECONDS",
        "[default: 10; 0: none]",
        "--port PORT",
        "[default: 8000]",
        "--access-log / --no-access-log",
        "[default: on]",
    ):
        assert words in output
    assert "--timeout-worker-healthcheck" not in output


def test_dev_reloads_and_says_more() -> None:
    _, output = invoke("dev", "--help")
    assert "Start again when a file changes. Needs watchfiles. [default: on]" in output
    assert "[default: debug]" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "Missing argument 'TARGET'"),
        (["run", "a", "--prot", "1"], "--port"),
        (["run", "a", "--limit-request-boddy", "1"], "--limit-request-body"),
        (["run", "a", "--port", "http"], "'http': a whole number is wanted"),
        (["run", "a", "--limit-request-body", "much"], "10MiB"),
        (["run", "a", "--loop", "uvlop"], "did you mean 'uvloop'?"),
        (["run", "a", "--interface", "wsgl"], "did you mean 'wsgi'?"),
        (["run", "a", "--port", "1", "--uds", "s"], "--port: uds replaces it"),
        (["run", "a", "--header", "nonsense"], "a field is wanted"),
        (["rnu", "a"], "did you mean: zonda run"),
        (["shop:app"], "did you mean: zonda run shop:app"),
        (["run", "a", "--ssl-keyfile", "k"], "--ssl-keyfile: TLS needs a certificate"),
        (["run", "a", "--ssl-version", "5"], "--ssl-min-version"),
        (["run", "a", "--proxy-headers"], "--proxy-headers: X-Forwarded-* fields are not in this"),
        (["run", "a", "--ws", "wsproto"], "Zonda has a WebSocket codec of its own"),
        (["run", "a", "--http", "h11"], "Zonda has one HTTP parser"),
        (["run", "a", "--http2"], "HTTP/2 is not in this release yet"),
        (["run", "a", "--timeout-worker-healthcheck", "5"], "--timeout-worker-stall"),
        (["run", "a", "--h11-max-incomplete-event-size", "5"], "--limit-request-head"),
    ],
)
def test_wrong_usage_is_2_and_says_what_to_do(arguments: list[str], words: str) -> None:
    code, output = invoke(*arguments)
    assert code == 2
    assert words in output


def parse(arguments: list[str]) -> Settings:
    return gathered_from(run.make_context("run", ["shop:app", *arguments])).settings


def test_options_of_uvicorn_that_ask_for_what_zonda_does_are_taken() -> None:
    arguments = ["--workers", "1", "--http", "auto", "--no-proxy-headers", "--ws", "auto"]
    assert parse(arguments) == Settings()


def test_every_option_of_uvicorn_is_known() -> None:
    # As of uvicorn 0.54; a name that is not taken is at least answered.
    names = (  # noqa: SIM905 (forty names read better without quotes)
        """
        host port uds fd reload reload-dir reload-include reload-exclude reload-delay workers loop
        http http2 ws ws-max-size ws-max-queue ws-ping-interval ws-ping-timeout
        ws-per-message-deflate lifespan interface env-file log-config log-level access-log
        use-colors proxy-headers no-proxy-headers server-header date-header forwarded-allow-ips
        root-path limit-concurrency backlog limit-max-requests limit-max-requests-jitter
        timeout-keep-alive timeout-graceful-shutdown timeout-worker-healthcheck ssl-keyfile
        ssl-certfile ssl-keyfile-password ssl-version ssl-cert-reqs ssl-ca-certs ssl-ciphers header
        app-dir h11-max-incomplete-event-size reset-contextvars factory
        """
    ).split()
    known = {flag for parameter in run.params for flag in parameter.opts}
    assert {f"--{name}" for name in names} <= known


@pytest.fixture(autouse=True)
def loop_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite's runs choose a loop by a variable, which is a setting as well."""
    monkeypatch.delenv("ZONDA_LOOP", raising=False)


def test_a_value_from_the_environment_is_no_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZONDA_REACTOR", "asyncio")
    assert parse([]).reactor == "asyncio"
    assert parse(["--reactor", "auto"]).reactor == "auto"


def test_help_needs_nothing_of_the_server(tmp_path: Path) -> None:
    program = """
import sys
from click.testing import CliRunner
from zonda.cli import main
assert CliRunner().invoke(main, ["run", "--help"]).exit_code == 0
heavy = {"asyncio", "uvloop", "zonda.server.server", "zonda.server.process.supervisor"}
heavy &= set(sys.modules)
assert not heavy, heavy
"""
    environment = ZondaCommand(cwd=tmp_path).env
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
