"""Settings come from flags, environment, file and defaults, and say which."""

from pathlib import Path

import pytest

from zonda.server.settings import Settings, all_settings
from zonda.server.sources import Gathered, SourceError, gather


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gathered(environ: dict[str, str] | None = None, **flags: object) -> Gathered:
    return gather(flags, environ=environ or {})


def refusal(environ: dict[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(SourceError) as refused:
        gathered(environ, **flags)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_without_any_source_there_are_the_defaults() -> None:
    found = gathered()
    assert found.settings == Settings()
    assert found.target is None
    assert set(found.origins) == {*all_settings(), "target"}
    assert set(found.origins.values()) == {"default"}


def test_flags_come_before_the_environment_before_the_file_before_defaults(project: Path) -> None:
    (project / "zonda.toml").write_text('backlog = 1\nport = 1\nhost = "1.1.1.1"\n')
    found = gather(
        {"port": 3},
        environ={"ZONDA_PORT": "2", "ZONDA_HOST": "2.2.2.2"},
        defaults={"backlog": 7, "log_level": "debug"},
    )
    settings = found.settings
    assert (settings.port, settings.host, settings.backlog) == (3, "2.2.2.2", 1)
    assert settings.log_level == "debug"
    assert found.origins["port"] == "--port"
    assert found.origins["host"] == "ZONDA_HOST"
    assert found.origins["backlog"] == "zonda.toml, line 1"
    assert found.origins["log_level"] == found.origins["factory"] == "default"


def test_the_target_can_stand_in_each_source(project: Path) -> None:
    (project / "zonda.toml").write_text('target = "file:app"\n')
    assert gathered().target == "file:app"
    assert gathered().origins["target"] == "zonda.toml, line 1"
    assert gathered({"ZONDA_TARGET": "variable:app"}).target == "variable:app"
    assert gather(target="argument:app", environ={"ZONDA_TARGET": "no"}).target == "argument:app"


def test_values_of_a_file_are_its_own_types_or_text_with_units(project: Path) -> None:
    (project / "zonda.toml").write_text(
        """
        access-log = false
        limit_request_body = "10MiB"
        timeout-head = 2.5
        timeout_write = "5s"
        uds-permissions = 0o660
        reload_dir = ["a", "b"]
        header = ["Cache-Control: no-store, private", "X-A: b"]

        [log-config]
        version = 1
        """
    )
    settings = gathered().settings
    assert settings.access_log is False
    assert settings.limit_request_body == 10 * 2**20
    assert (settings.timeout_head, settings.timeout_write) == (2.5, 5.0)
    assert settings.uds_permissions == 0o660
    assert settings.reload_dir == ("a", "b")
    assert settings.header == ("Cache-Control: no-store, private", "X-A: b")
    assert settings.log_config == {"version": 1}


def test_several_values_of_a_variable_are_parted_by_commas_and_fields_by_lines() -> None:
    settings = gathered(
        {
            "ZONDA_BIND": "127.0.0.1:80, unix:/run/app.sock",
            "ZONDA_HEADER": "Cache-Control: no-store, private\nX-A: b\n",
        }
    ).settings
    assert settings.bind == ("127.0.0.1:80", "unix:/run/app.sock")
    assert settings.header == ("Cache-Control: no-store, private", "X-A: b")


def test_an_empty_variable_counts_as_not_set(project: Path) -> None:
    (project / "zonda.toml").write_text("port = 9\n")
    assert gathered({"ZONDA_PORT": ""}).settings.port == 9


def test_the_table_of_a_project_file_is_read(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[project]\nport = "no"\n\n[tool.zonda]\nport = 9\n\n[tool.other]\nhost = "no"\n'
    )
    found = gathered()
    assert found.settings.port == 9
    assert found.origins["port"] == "pyproject.toml, line 5"
    assert found.settings.host == Settings().host


def test_a_project_file_without_our_table_is_passed_over(project: Path) -> None:
    (project / "pyproject.toml").write_text("[project]\n[tool]\n")
    (project / "src").mkdir()
    (project / "src" / "zonda.toml").write_text("port = 9\n")
    assert gathered().settings.port == Settings().port
    for environ, flags in (({}, {"app_dir": "src"}), ({"ZONDA_APP_DIR": "src"}, {})):
        found = gathered(environ, **flags)
        assert found.settings.port == 9
        assert found.origins["port"] == "src/zonda.toml, line 1"


def test_one_file_is_read_and_the_nearest_wins(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.zonda]\nport = 1\nbacklog = 1\n")
    (project / "zonda.toml").write_text("port = 2\n")
    assert gathered().settings.port == 2
    assert gathered().settings.backlog == Settings().backlog


def test_a_named_file_is_the_one_that_is_read(project: Path) -> None:
    (project / "zonda.toml").write_text("port = 1\n")
    (project / "other.toml").write_text("port = 2\n")
    assert gather(config="other.toml", environ={}).settings.port == 2
    assert gathered({"ZONDA_CONFIG": "other.toml"}).settings.port == 2
    with pytest.raises(SourceError, match=r"none\.toml cannot be read: No such file"):
        gather(config="none.toml", environ={})
    (project / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(SourceError, match=r"there is no \[tool\.zonda\] in it"):
        gather(config="pyproject.toml", environ={})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 80", ["zonda.toml, line 1: there is no setting prot", "did you mean port?"]),
        ("\nlimit-request-boddy = 1", ["line 2", "did you mean limit-request-body?"]),
        ("xyzzy = 1", ["there is no setting xyzzy"]),
        ('app = "a:b"', ["did you mean target?"]),
        ("target = 5", ["line 1: target = 5", "MODULE:ATTRIBUTE"]),
        ('port = "http"', ["zonda.toml, line 1: port = 'http': a whole number is wanted"]),
        ("port = true", ["port = True", "a whole number"]),
        ('bind = ["nonsense"]', ["zonda.toml, line 1: bind = ['nonsense']", "HOST:PORT"]),
        ("app-dir = '.'\napp_dir = '.'", ["line 2", "twice"]),
        ("[tool.zonda]\nport = 1", ["line 1", "settings stand at the top of zonda.toml"]),
        ("[limits]\nport = 1", ["line 1: there is no table [limits]"]),
        ("port = \n", ["zonda.toml is not TOML", "line 1"]),
        ('uds = "s"\nport = 5', ["zonda.toml, line 2: uds replaces it"]),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_line_and_what_to_do(
    project: Path, text: str, words: list[str]
) -> None:
    (project / "zonda.toml").write_text(text)
    said = refusal()
    for word in words:
        assert word in said


def test_a_table_that_is_none_is_refused(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool]\nzonda = 5\n")
    assert "[tool.zonda]" in refusal()


def test_a_mistake_in_a_variable_is_named_with_the_variable() -> None:
    assert refusal({"ZONDA_PORT": "http"}) == "ZONDA_PORT='http': a whole number is wanted"
    assert refusal({"ZONDA_UDS": "s", "ZONDA_PORT": "5"}).startswith("ZONDA_PORT: uds replaces it")


def test_a_mistake_in_a_flag_is_named_with_the_flag() -> None:
    assert refusal(port=5, uds="s").startswith("--port: uds replaces it")


def test_a_variable_near_a_setting_is_warned_of_and_others_are_left_alone() -> None:
    found = gathered(
        {
            "ZONDA_PROT": "80",
            "ZONDA_DATABASE_URL_OF_THE_APPLICATION": "x",
            "ZONDA_EXPECT_BUILD": "pure",
            "ZONDA_PURE_PYTHON": "1",
            "OTHER_PORT": "1",
        }
    )
    assert found.warnings == ("ZONDA_PROT is no setting; did you mean ZONDA_PORT?",)
    assert found.settings.port == Settings().port


def test_what_kubernetes_sets_for_a_service_of_the_name_is_not_taken_for_settings() -> None:
    found = gathered(
        {
            "ZONDA_PORT": "tcp://10.0.0.1:80",
            "ZONDA_PORT_80_TCP": "tcp://10.0.0.1:80",
            "ZONDA_PORT_80_TCP_PORT": "80",
            "ZONDA_SERVICE_HOST": "10.0.0.1",
            "ZONDA_SERVICE_PORT": "80",
        }
    )
    assert found.settings == Settings()
    (warning,) = found.warnings
    assert "enableServiceLinks" in warning


def test_an_address_replaces_those_of_other_kinds_further_down(project: Path) -> None:
    (project / "zonda.toml").write_text('host = "0.0.0.0"\nport = 9\n')
    found = gathered(uds="app.sock")
    assert [str(each) for each in found.settings.addresses] == ["unix:app.sock"]
    assert found.origins["port"] == "default"
    (project / "zonda.toml").write_text('bind = ["0.0.0.0:9", "unix:a.sock"]\n')
    assert [str(each) for each in gathered(port=80).settings.addresses] == ["127.0.0.1:80"]
    assert len(gathered().settings.addresses) == 2
    assert len(gathered({"ZONDA_UDS": "b.sock"}).settings.addresses) == 3


def test_the_number_of_workers_can_be_what_a_platform_says() -> None:
    found = gathered({"WEB_CONCURRENCY": "3"})
    assert (found.settings.workers, found.origins["workers"]) == (3, "WEB_CONCURRENCY")
    assert gathered({"WEB_CONCURRENCY": "3", "ZONDA_WORKERS": "2"}).settings.workers == 2
    assert gathered({"WEB_CONCURRENCY": ""}).settings.workers == 1
    assert refusal({"WEB_CONCURRENCY": "many"}).startswith("WEB_CONCURRENCY='many'")


def test_making_settings_reads_neither_environment_nor_files(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "zonda.toml").write_text("port = 9\n")
    monkeypatch.setenv("ZONDA_PORT", "10")
    assert Settings().port == 8000
    assert gather().settings.port == 10
