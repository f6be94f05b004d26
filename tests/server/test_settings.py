"""Settings check what they are given, say what is wrong with it, and read back what they write."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonda.server import values
from zonda.server.addresses import InheritedAddress, TCPAddress, UnixAddress
from zonda.server.settings import Settings, SettingsError, all_settings


def test_every_setting_says_what_it_is_for_and_its_default_is_one_it_takes() -> None:
    assert list(all_settings()) == [field.name for field in dataclasses.fields(Settings)]
    for setting in all_settings().values():
        assert setting.help.endswith(".")
        assert setting.group
        assert setting.check(setting.default) == setting.default


def test_limits_and_time_outs_are_on_by_default() -> None:
    settings = Settings()
    for name, setting in all_settings().items():
        if setting.group in {"Limits", "Time-outs"}:
            assert getattr(settings, name) > 0, name


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 80  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("given_values", "words"),
    [
        ({"port": 65536}, ["port=65536", "from 0 to 65535"]),
        ({"port": "http"}, ["port='http'", "a whole number"]),
        ({"port": 80.5}, ["port=80.5", "a whole number"]),
        ({"port": True}, ["port=True", "a whole number"]),
        ({"port": None}, ["port", "a whole number"]),
        ({"backlog": 0}, ["backlog=0", "from 1 on"]),
        ({"host": 5}, ["host=5", "text"]),
        ({"host": "a\0b"}, ["host=", "NUL"]),
        ({"loop": "uvlop"}, ["loop='uvlop'", "auto, asyncio, uvloop", "did you mean 'uvloop'?"]),
        ({"loop": 3}, ["loop=3", "auto, asyncio, uvloop"]),
        ({"interface": "cgi"}, ["interface='cgi'", "auto, asgi3, asgi2, wsgi"]),
        ({"threads": -1}, ["threads=-1", "from 1 on", "or 0 (4 more than there are cores"]),
        ({"limit_thread_queue": -1}, ["limit_thread_queue=-1", "from 0 on"]),
        ({"log_level": "trace"}, ["log_level='trace'", "use debug"]),
        ({"access_log": 1}, ["access_log=1", "True or False"]),
        ({"access_log": "maybe"}, ["access_log='maybe'", "true or false"]),
        ({"timeout_head": -1}, ["timeout_head=-1", "not below 0"]),
        ({"timeout_head": float("nan")}, ["timeout_head=nan", "finite"]),
        ({"timeout_head": float("inf")}, ["timeout_head=inf", "finite"]),
        ({"timeout_head": "soon"}, ["timeout_head='soon'", "a number of seconds"]),
        ({"timeout_head": []}, ["timeout_head=[]", "a number of seconds"]),
        ({"reload_delay": 0}, ["reload_delay=0", "from 0.01 on"]),
        ({"limit_request_body": "10 apples"}, ["limit_request_body='10 apples'", "10MiB"]),
        ({"limit_request_body": "0.3KiB"}, ["limit_request_body='0.3KiB'", "whole number of byte"]),
        ({"limit_request_head": 10}, ["limit_request_head=10", "from 1024 on"]),
        ({"limit_connections": -1}, ["limit_connections=-1", "from 1 on", "or 0 (none)"]),
        ({"uds_permissions": "999"}, ["uds_permissions='999'", "octal"]),
        ({"uds_permissions": 0o1777}, ["uds_permissions=1023", "0o777"]),
        ({"uds": ""}, ["uds=''", "a path"]),
        ({"uds": 4}, ["uds=4", "a path"]),
        ({"root_path": "api"}, ["root_path='api'", "'/api'"]),
        ({"header": ["nonsense"]}, ["header=", "X-Frame-Options: DENY"]),
        ({"header": ["Bad Name: x"]}, ["header=", "X-Frame-Options: DENY"]),
        ({"header": ["X: a\r\nY: b"]}, ["header=", "control characters"]),
        ({"header": ["X: \u20ac"]}, ["header=", "Latin-1"]),
        ({"header": ["Content-Length: 5"]}, ["header=", "leave it out"]),
        ({"header": 7}, ["header=7", "a list"]),
        ({"bind": ["127.0.0.1"]}, ["bind=", "HOST:PORT"]),
        ({"bind": ["http://127.0.0.1:80"]}, ["bind=", "without http://"]),
        ({"bind": ["::1:80"]}, ["bind=", "[::1]:80"]),
        ({"bind": ["127.0.0.1:99999"]}, ["bind=", "HOST:PORT"]),
        ({"bind": ["unix:"]}, ["bind=", "unix:/run/app.sock"]),
        ({"bind": ["fd://x"]}, ["bind=", "fd://3"]),
        ({"port": 80, "uds": "/tmp/s"}, ["port=80", "uds replaces it"]),
        ({"host": "::", "bind": [":80"]}, ["host='::'", "bind replaces it"]),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_its_value_and_what_to_do(
    given_values: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings(**given_values)  # type: ignore[arg-type]
    for word in words:
        assert word in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert refusal.value.name in given_values


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    with pytest.raises(SettingsError, match=r"prot: there is no such setting; did you mean port\?"):
        Settings(prot=80)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(SettingsError, match=r"xyzzy: there is no such setting$"):
        Settings(xyzzy=80)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("limit_request_body", "0", 0),
        ("limit_request_body", "1024", 1024),
        ("limit_request_body", "64k", 65536),
        ("limit_request_body", "10MiB", 10 * 2**20),
        ("limit_request_body", "1.5 GB", 3 * 2**29),
        ("limit_request_body", "1T", 2**40),
        ("timeout_head", "2.5", 2.5),
        ("timeout_head", "10s", 10.0),
        ("uds_permissions", "660", 0o660),
        ("uds_permissions", "0o600", 0o600),
        ("access_log", "off", False),
        ("access_log", "1", True),
        ("loop", "UVLOOP", "uvloop"),
        ("header", "X-A:  b ", ("X-A: b",)),
        ("root_path", "/api/", "/api"),
        ("app_dir", Path("src"), "src"),
        ("use_colors", None, None),
    ],
)
def test_text_and_other_forms_become_the_one_form(name: str, text: object, value: object) -> None:
    settings = Settings(**{name: text})  # type: ignore[arg-type]
    assert getattr(settings, name) == value


def test_addresses_are_those_of_bind_uds_and_fd_or_else_host_and_port() -> None:
    assert Settings().addresses == (TCPAddress("127.0.0.1", 8000),)
    assert Settings(host="::1", port=0).addresses == (TCPAddress("::1", 0),)
    assert Settings(uds="/run/s").addresses == (UnixAddress("/run/s"),)
    several = Settings(
        bind=("a.example:80", "[::1]:81", ":82", "unix:/run/a", "unix:b", "fd://5"), fd=3
    )
    assert several.addresses == (
        TCPAddress("a.example", 80),
        TCPAddress("::1", 81),
        TCPAddress("", 82),
        UnixAddress("/run/a"),
        UnixAddress("b"),
        InheritedAddress(5),
        InheritedAddress(3),
    )
    assert [str(address) for address in several.addresses][:5] == [
        "a.example:80",
        "[::1]:81",
        ":82",
        "unix:/run/a",
        "unix:b",
    ]


def test_the_environment_gives_defaults_for_reactor_and_eager_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZONDA_REACTOR", "asyncio")
    monkeypatch.setenv("ZONDA_EAGER_TASKS", "0")
    assert Settings().reactor == "asyncio"
    assert Settings().eager_tasks is False
    assert Settings(reactor="auto", eager_tasks=True).reactor == "auto"
    monkeypatch.setenv("ZONDA_REACTOR", "kqueue")
    with pytest.raises(SettingsError, match="reactor='kqueue'"):
        Settings()


counts = st.integers(1, 10**6)
texts = st.text(st.characters(categories=["L", "N"], max_codepoint=255), min_size=1, max_size=9)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "host": texts,
            "port": st.integers(0, 65535),
            "backlog": counts,
            "factory": st.booleans(),
            "use_colors": st.none() | st.booleans(),
            "root_path": texts.map(lambda text: "/" + text),
            "header": st.lists(texts.map(lambda text: f"X-Test: {text}"), max_size=3),
            "limit_request_body": st.integers(0, 2**40),
            "timeout_keep_alive": st.floats(0.1, 1000),
            "uds_permissions": st.integers(0, 0o777),
            "loop": st.sampled_from(["auto", "asyncio", "uvloop"]),
            "log_config": st.none() | texts | st.just({"version": 1}),
        },
    )
)
def test_settings_that_are_handed_to_another_process_are_the_same_there(
    given_values: dict[str, object],
) -> None:
    settings = Settings(**given_values)  # type: ignore[arg-type]
    handed = json.dumps({name: getattr(settings, name) for name in all_settings()})
    assert Settings(**json.loads(handed)) == settings


@given(st.integers(0, 2**50))
def test_a_size_reads_back_as_it_was_written(size: int) -> None:
    kind = values.Size()
    assert kind.read(kind.write(size)) == size


@given(st.floats(0, 1e9))
def test_a_time_reads_back_as_it_was_written(seconds: float) -> None:
    kind = values.Seconds()
    assert kind.read(kind.write(seconds)) == seconds


@given(st.booleans())
def test_yes_and_no_read_back_as_they_were_written(value: bool) -> None:
    kind = values.Flag()
    assert kind.read(kind.write(value)) is value


@given(st.integers(0, 0o777))
def test_permissions_read_back_as_they_were_written(mode: int) -> None:
    kind = values.Mode()
    assert kind.read(kind.write(mode)) == mode


@given(st.lists(st.integers(0, 65535), max_size=5))
def test_several_values_read_back_as_they_were_written(numbers: list[int]) -> None:
    kind = values.Many(values.Count(0, 65535))
    assert kind.read(kind.write(tuple(numbers))) == tuple(numbers)


@given(st.text(max_size=30))
def test_any_text_is_taken_or_refused_with_a_reason(text: str) -> None:
    for setting in all_settings().values():
        try:
            value = setting.kind.read(text)
        except ValueError as refusal:
            assert str(refusal)  # noqa: PT017 (either is right)
        else:
            assert setting.kind.check(value) == value
