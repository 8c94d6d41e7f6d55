"""Settings: where they come from, what is refused, and that the reference tells all of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from agent.config import CONFIGS, HOME, Settings, load_settings
from agent.reference import markdown, secrets_reference, sections, settings_reference
from agent.yamlfile import FileError

START, END = "<!-- made by `agent config --reference` -->\n", "<!-- end -->"


def test_the_documented_reference_is_the_current_one() -> None:
    text = (HOME / "docs" / "configuration.md").read_text(encoding="utf-8")
    _, start, rest = text.partition(START)
    documented, end, _ = rest.partition(END)
    assert (start, end) == (START, END), "docs/configuration.md has lost the comments around its reference"
    assert documented.strip() == markdown().strip(), (
        "docs/configuration.md is out of step; put the output of `agent config --reference` between its comments"
    )


def test_every_setting_says_what_it_is() -> None:
    silent = [f"{row.section}.{row.key}" for row in settings_reference() if not row.reason]
    silent += [variable for variable, use in secrets_reference() if not use]
    assert silent == []


def test_the_reference_has_every_setting_once() -> None:
    listed = [(row.section, row.key) for row in settings_reference()]
    expected = {
        (section, key)
        for section, model in sections()
        for key, field in model.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
    }
    named = {name for name in Settings.model_fields if name not in ("secrets", "gateways")} | {"gateways.NAME"}
    assert named <= {section for section, _ in sections()}
    assert len(listed) == len(expected)
    assert set(listed) == expected


def test_the_reference_gives_unit_default_and_limits() -> None:
    rows = {f"{row.section}.{row.key}": row for row in settings_reference()}
    context = rows["recognizer.context_s"]
    assert (context.unit, context.allowed) == ("s", "at least 5, at most 30")
    assert context.default == f"{Settings().recognizer.context_s:g}"
    assert rows["floor.wait_high_ms"].unit == "ms"
    assert rows["recognizer.device"].allowed == "`cpu`, `cuda`, `auto`"
    assert rows["server.public_url"].default == "none"


def test_a_cell_of_the_reference_cannot_break_its_table() -> None:
    for line in markdown().splitlines():
        if line.startswith("| "):
            assert line.replace("\\|", "").count("|") in (3, 6), line


def test_the_file_that_comes_with_the_agent_loads_and_changes_nothing() -> None:
    assert (CONFIGS / "default.yaml").is_file()
    assert load_settings(environment={}) == Settings()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("server:\n  port: 9000\n  max_calls: 3\n")
    settings = load_settings(path, {"CALLAGENT_SERVER__PORT": "9100", "HOME": "/nowhere"})
    assert (settings.server.port, settings.server.max_calls) == (9100, 3)


def test_an_unknown_key_is_refused_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("server:\n  port: 9000\n  prot: 1\n")
    with pytest.raises(FileError, match=r"mine\.yaml:3: unknown key 'server\.prot'"):
        load_settings(path, {})


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CALLAGENT_SERVER__PORT", "99999", r"CALLAGENT_SERVER__PORT is 99999: .*65535"),
        ("CALLAGENT_SERVER__PROT", "1", "CALLAGENT_SERVER__PROT is 1: there is no such setting"),
        ("CALLAGENT_SERVRE__PORT", "1", "CALLAGENT_SERVRE__PORT is no setting"),
        ("CALLAGENT_PORT", "1", "CALLAGENT_PORT is no setting"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value(variable: str, value: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        load_settings(None, {variable: value})


def test_secrets_do_not_belong_into_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("secrets:\n  token_key: 0123456789abcdef\n")
    with pytest.raises(FileError, match="secrets are read from the environment only"):
        load_settings(path, {})


def test_a_short_key_is_refused_without_showing_it() -> None:
    with pytest.raises(FileError, match=r"CALLAGENT_TOKEN_KEY: has 7 bytes; use at least 16") as refused:
        load_settings(None, {"CALLAGENT_TOKEN_KEY": "tiny-ky"})
    assert "tiny-ky" not in str(refused.value)


def test_secrets_are_kept_and_never_printed() -> None:
    key = "0123456789abcdef-key"
    settings = load_settings(None, {"CALLAGENT_TOKEN_KEY": key, "CALLAGENT_TWILIO_AUTH_TOKEN": "x"})
    assert settings.secrets.token_key is not None
    assert settings.secrets.token_key.get_secret_value() == key
    assert key not in repr(settings) + settings.model_dump_json()


def test_every_direct_dependency_is_pinned_and_agrees_with_the_constraints() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    loose = [one for one in wanted if "==" not in one]
    assert loose == []
    lines = (HOME / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints = {_pin(line) for line in lines if "==" in line}
    pins = {_pin(one) for one in wanted}
    constrained = {name for name, _ in constraints}
    assert {(name, version) for name, version in pins if name in constrained} <= constraints


def _pin(requirement: str) -> tuple[str, str]:
    name, _, version = requirement.partition("==")
    return name.partition("[")[0].lower().replace("_", "-"), version
