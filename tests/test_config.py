"""Settings from the environment as operators write them, and values that must be refused at the start."""

import pytest

from agent.config import load_settings
from agent.yamlfile import FileError


def from_environment(**variables: str):
    return load_settings(None, {f"CALLAGENT_{name}": value for name, value in variables.items()})


def test_variables_are_read_as_their_settings_are_meant():
    settings = from_environment(
        SERVER__PORT="0",
        SERVER__DRAIN_S="2.5",
        RECORDS__RECORD_AUDIO="false",
        HANDOFF__TRANSFER_TO="+15555550100",
        GATEWAYS__TWILIO='{account: "0123", parameters: {tier: gold}}',
        SERVER__TRUSTED_PROXIES="[10.0.0.1, 10.0.0.2]",
        SERVER__PUBLIC_URL="",
    )
    assert (settings.server.port, settings.server.drain_s) == (0, 2.5)
    assert settings.records.record_audio is False
    assert settings.handoff.transfer_to == "+15555550100"
    assert settings.gateway("twilio").account == "0123"
    assert settings.server.trusted_proxies == ["10.0.0.1", "10.0.0.2"]
    assert settings.gateway("twilio").parameters == {"tier": "gold"}
    assert settings.server.public_url is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SERVER__TRUSTED_PROXIES", "[10.0.0.1", r"CALLAGENT_SERVER__TRUSTED_PROXIES: .*write a list as \[a, b\]"),
        ("SERVER__TRUSTED_PROXIES", "10.0.0.1", "CALLAGENT_SERVER__TRUSTED_PROXIES is 10.0.0.1: .*list"),
        ("SERVER__MAX_CALLS", "many", "CALLAGENT_SERVER__MAX_CALLS is many: .*integer"),
        ("LOGS__LEVEL", "LOUD", "CALLAGENT_LOGS__LEVEL is LOUD: .*'DEBUG'"),
        ("SECRETS__TOKEN_KEY", "0123456789abcdef", "CALLAGENT_SECRETS__TOKEN_KEY is no setting"),
        ("SERVER__HOST__NAME", "x", "CALLAGENT_SERVER__HOST__NAME is x: there is no such setting"),
    ],
)
def test_what_cannot_be_read_is_named(name, value, message):
    with pytest.raises(FileError, match=message):
        from_environment(**{name: value})


@pytest.mark.parametrize(
    "url",
    ["voice.example.com", "http://voice.example.com", "https://", "https://a@voice.example.com", "https://v/?a=1"],
)
def test_a_public_address_that_no_carrier_can_use_is_refused(url):
    with pytest.raises(FileError, match=r"CALLAGENT_SERVER__PUBLIC_URL is .*https://voice\.example\.com"):
        from_environment(SERVER__PUBLIC_URL=url)


def test_every_problem_of_a_file_is_told_at_once_with_its_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("server:\n  port: [1]\n\nlogs:\n  level: LOUD\ngateways:\n  plain: {enabeld: true}\n")
    with pytest.raises(FileError) as caught:
        load_settings(path, {})
    assert sorted(problem.partition(": ")[0] for problem in caught.value.problems) == [
        f"{path}:2",
        f"{path}:5",
        f"{path}:7",
    ]


@pytest.mark.parametrize("text", ["[1, 2]", "just words", "7"])
def test_a_file_without_sections_says_what_it_must_hold(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(FileError, match=r"mine\.yaml:1: the file must hold sections"):
        load_settings(path, {})


def test_an_empty_file_changes_nothing(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("# nothing yet\n")
    assert load_settings(path, {}) == load_settings(None, {})


def test_a_certificate_without_its_key_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("server:\n  tls_cert: cert.pem\n")
    with pytest.raises(FileError, match=r"mine\.yaml:1: .*tls_cert and tls_key go together"):
        load_settings(path, {})
