"""What the log looks like, that it cannot be forged, and that it can be configured."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonda.server import logs
from zonda.server.settings import Settings, SettingsError

MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture(autouse=True)
def loggers_restored() -> Iterator[None]:
    kept = [
        (each, each.level, each.handlers[:], each.propagate, each.disabled)
        for each in (logs.logger, logs.access)
    ]
    yield
    for each, level, handlers, propagate, disabled in kept:
        each.setLevel(level)
        each.handlers[:] = handlers
        each.propagate = propagate
        each.disabled = disabled


def log_a_request(target: bytes = b"/path?x=1", status: int = 200) -> None:
    logs.log_access(("127.0.0.1", 53210), "GET", target, "1.1", status, 13, 0.00123)


def test_an_access_line_has_client_request_status_bytes_and_duration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(Settings())
    log_a_request()
    out, err = capsys.readouterr()
    assert re.fullmatch(
        MOMENT + r' 127\.0\.0\.1:53210 "GET /path\?x=1 HTTP/1\.1" 200 13B 1\.2ms\n', out
    )
    assert err == ""


def test_clients_of_every_kind_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings())
    logs.log_access(("2001:db8::1", 80), "GET", b"/", "1.1", 200, 0, 0.0)
    logs.log_access(None, "GET", b"/", "1.0", 204, 0, 0.0)
    first, second = capsys.readouterr().out.splitlines()
    assert ' [2001:db8::1]:80 "GET / HTTP/1.1" 200 0B 0.0ms' in first
    assert ' - "GET / HTTP/1.0" 204 0B 0.0ms' in second


def test_what_a_client_sends_cannot_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(use_colors=False))
    log_a_request(b'/a" 200\r\n\x1b[31m\x7f\x85\xe2\x80\xa8\\x')
    (line,) = capsys.readouterr().out.splitlines()
    escaped = r'"GET /a\x22 200\x0d\x0a\x1b[31m\x7f\x85\xe2\x80\xa8\x5cx HTTP/1.1"'
    assert escaped in line


@given(st.binary(max_size=50))
def test_every_target_is_one_printable_line_that_says_which_bytes_came(target: bytes) -> None:
    text = logs._escape(target)
    assert text.isascii()
    assert text.isprintable()
    assert '"' not in text
    assert text.encode("ascii").decode("unicode_escape").encode("latin-1") == target


def test_server_messages_go_to_standard_error_with_their_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(Settings())
    logs.logger.warning("disk at %d%%", 93)
    logs.logger.debug("not shown")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(MOMENT + r" WARNING  disk at 93%\n", err)


def test_a_traceback_follows_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings())
    try:
        raise ValueError("boom")
    except ValueError:
        logs.logger.exception("it failed")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("it failed")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: boom"


def test_colours_when_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(use_colors=True))
    for status in (101, 200, 304, 404, 500):
        log_a_request(status=status)
    logs.logger.error("bad")
    out, err = capsys.readouterr()
    colors = [re.findall(r"\x1b\[\d*m(\d{3})\x1b\[0m", line) for line in out.splitlines()]
    assert colors == [["101"], ["200"], ["304"], ["404"], ["500"]]
    assert "\x1b[31mERROR" in err
    plain = re.sub(r"\x1b\[\d*m", "", out.splitlines()[1])
    assert plain.endswith('127.0.0.1:53210 "GET /path?x=1 HTTP/1.1" 200 13B 1.2ms')


class Terminal:
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_and_no_color_is_honoured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    assert logs._wants_colors(None, terminal)
    assert not logs._wants_colors(None, None)
    assert not logs._wants_colors(False, terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not logs._wants_colors(None, terminal)
    assert logs._wants_colors(True, terminal)
    monkeypatch.setenv("NO_COLOR", "")
    assert logs._wants_colors(None, terminal)
    monkeypatch.setenv("TERM", "dumb")
    assert not logs._wants_colors(None, terminal)


def test_the_level_holds_for_both_loggers(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_level="warning"))
    log_a_request()
    logs.logger.info("hidden")
    logs.logger.warning("shown")
    out, err = capsys.readouterr()
    assert out == ""
    assert "hidden" not in err
    assert "shown" in err


def test_the_access_log_can_be_turned_off_and_on(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(access_log=False))
    log_a_request()
    assert capsys.readouterr().out == ""
    logs.configure(Settings())
    log_a_request()
    assert capsys.readouterr().out != ""


def test_loggers_of_others_stay_as_they_are() -> None:
    other = logging.getLogger("zonda_test_other")
    logs.configure(Settings())
    assert not other.disabled


JSON_CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"bare": {"format": "%(levelname)s|%(name)s|%(message)s"}},
    "handlers": {
        "out": {
            "class": "logging.StreamHandler",
            "formatter": "bare",
            "stream": "ext://sys.stdout",
        }
    },
    "loggers": {"zonda": {"handlers": ["out"], "level": "WARNING"}},
}

YAML_CONFIG = """
version: 1
disable_existing_loggers: false
formatters: {bare: {format: "%(levelname)s|%(name)s|%(message)s"}}
handlers: {out: {class: logging.StreamHandler, formatter: bare, stream: "ext://sys.stdout"}}
loggers: {zonda: {handlers: [out], level: WARNING}}
"""

INI_CONFIG = """
[loggers]
keys=root,zonda
[handlers]
keys=out
[formatters]
keys=bare
[logger_root]
handlers=
[logger_zonda]
qualname=zonda
level=WARNING
handlers=out
[handler_out]
class=StreamHandler
formatter=bare
args=(sys.stdout,)
[formatter_bare]
format=%(levelname)s|%(name)s|%(message)s
"""


@pytest.mark.parametrize("kind", ["dict", "json", "yaml", "yml", "ini"])
def test_a_log_config_of_every_kind(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind in {"yaml", "yml"}:
        pytest.importorskip("yaml")
    path = tmp_path / f"log.{kind}"
    text = {"json": json.dumps(JSON_CONFIG), "ini": INI_CONFIG}.get(kind, YAML_CONFIG)
    path.write_text(text)
    config = JSON_CONFIG if kind == "dict" else str(path)
    logs.configure(Settings(log_config=config))
    logs.logger.info("hidden")
    logs.logger.warning("shown")
    assert capsys.readouterr().out == "WARNING|zonda|shown\n"
    logs.configure(Settings(log_config=config, log_level="info"))
    logs.logger.info("shown too")
    assert "INFO|zonda|shown too" in capsys.readouterr().out


def test_our_formatter_can_be_named_in_a_log_config(capsys: pytest.CaptureFixture[str]) -> None:
    config = {
        **JSON_CONFIG,
        "formatters": {"bare": {"()": "zonda.server.logs.Formatter", "use_colors": True}},
    }
    logs.configure(Settings(log_config=config))
    logs.logger.warning("shown")
    assert "\x1b[33mWARNING " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("log.json", "{", "logging.config does not take it: Expecting property name"),
        ("log.json", '{"version": 2}', "logging.config does not take it: Unsupported version: 2"),
        (
            "log.json",
            '{"version": 1, "handlers": {"h": {"class": "no.Such"}}}',
            "Unable to configure handler 'h'",
        ),
        ("log.ini", "", "logging.config does not take it"),
        ("log.json", None, "the file cannot be read: No such file"),
    ],
)
def test_a_bad_log_config_says_what_is_wrong(
    name: str, text: str | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError) as refusal:
        logs.configure(Settings(log_config=str(path)))
    assert str(refusal.value).startswith("log_config=")
    assert words in str(refusal.value)


def test_without_pyyaml_a_yaml_log_config_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = tmp_path / "log.yaml"
    path.write_text(YAML_CONFIG)
    with pytest.raises(SettingsError, match="pip install pyyaml"):
        logs.configure(Settings(log_config=str(path)))


def test_columns_of_an_access_record_can_be_had_apart() -> None:
    records: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logs.configure(Settings())
    keeper = Keeper()
    logs.access.addHandler(keeper)
    log_a_request()
    (record,) = records
    assert record.name == "zonda.access"
    assert record.levelno == logging.INFO
    assert record.args == (
        *("127.0.0.1:53210", "GET", "/path?x=1", "1.1", 200, 13),
        pytest.approx(1.23),
    )


needs_full_disk = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full"
)


@needs_full_disk
def test_entries_that_cannot_be_written_are_counted_where_they_are_missing(
    tmp_path: Path,
) -> None:
    with Path("/dev/full").open("w") as full, (tmp_path / "log").open("w") as file:
        handler = logs.LineHandler(full)
        handler.setFormatter(logs.Formatter())
        record = logging.LogRecord("zonda", logging.INFO, __file__, 0, "an entry", None, None)
        for _ in range(3):
            handler.handle(record)
        handler.setStream(file)
        handler.handle(record)
        handler.handle(record)
    missing, *others = (tmp_path / "log").read_text().splitlines()
    assert missing.endswith("WARNING  3 entries are missing here: No space left on device")
    assert [line[20:] for line in others] == ["INFO     an entry"] * 2


@needs_full_disk
def test_an_access_log_that_cannot_be_written_is_complained_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        logs.configure(Settings())
        for _ in range(3):
            log_a_request()
        monkeypatch.undo()
    (line,) = capsys.readouterr().err.splitlines()
    assert "ERROR    The access log cannot be written (No space left on device)" in line


@needs_full_disk
def test_a_log_that_cannot_be_written_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        monkeypatch.setattr(sys, "stdout", full)
        logs.configure(Settings())
        log_a_request()
        logs.logger.error("nobody will read this")


def test_what_the_application_has_printed_comes_before_the_entry(
    capfd: pytest.CaptureFixture[str],
) -> None:
    logs.configure(Settings())
    print("printed")  # noqa: T201
    log_a_request()
    first, second = capfd.readouterr().out.splitlines()
    assert first == "printed"
    assert second.endswith("ms")
