"""A measured server is the configured one, but touches nobody's data and calls nobody."""

import httpx
import pytest
import yaml

from agent.config import load_settings
from agent.lab.measuring import server as measuring
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.server import MeasuredServer, settings_to_measure
from agent.yamlfile import FileError

CONFIGURED = """\
recognizer: {context_s: 12}
server: {max_calls: 4, handshake_s: 3}
dialogue: {domain: bank, database_url: sqlite+aiosqlite:///real.db}
handoff: {webhook_url: https://desk.example/handoff, transfer_to: "+15555550100"}
alerts: {webhook_url: https://desk.example/surge}
records: {record_audio: false}
"""


def test_settings_are_kept_but_data_and_ways_out_are_ours(tmp_path):
    given = tmp_path / "given.yaml"
    given.write_text(CONFIGURED)
    written = tmp_path / "config.yaml"
    changes = {"voice": {"cache": str(tmp_path / "phrases")}}
    written.write_text(yaml.safe_dump(settings_to_measure(tmp_path, given, changes, calls=8)))
    settings = load_settings(written, {})
    assert (settings.recognizer.context_s, settings.server.handshake_s) == (12, 3)
    assert settings.records.record_audio is False
    assert settings.server.max_calls == 9
    assert settings.handoff.webhook_url is None
    assert settings.handoff.transfer_to is None
    assert settings.alerts.webhook_url is None
    assert settings.dialogue.domain == "shop"
    assert str(tmp_path) in settings.dialogue.database_url
    assert str(tmp_path) in settings.records.database_url
    assert settings.records.recordings.is_relative_to(tmp_path)
    assert settings.voice.cache == tmp_path / "phrases"


def test_handoffs_go_to_the_receiver_of_the_run(tmp_path):
    written = tmp_path / "config.yaml"
    url = "http://127.0.0.1:1/handoffs"
    written.write_text(yaml.safe_dump(settings_to_measure(tmp_path, None, {}, 1, webhook=url)))
    handoff = load_settings(written, {}).handoff
    assert (handoff.webhook_url, handoff.allow_private) == (url, True)


def test_a_wrong_configuration_is_refused_before_anything_starts(tmp_path):
    given = tmp_path / "given.yaml"
    given.write_text("recogniser: {}\n")
    with pytest.raises(FileError, match="unknown key 'recogniser'"):
        settings_to_measure(tmp_path, given, {}, 1)


def test_secrets_and_addresses_of_the_environment_stay_out(monkeypatch):
    for name in ("TWILIO_AUTH_TOKEN", "HANDOFF__WEBHOOK_URL", "RECORDS__DATABASE_URL", "POOL__WORKERS"):
        monkeypatch.setenv(f"CALLAGENT_{name}", "3")
    monkeypatch.setenv("COLOUR", "red")
    kept = measuring._environment()
    assert kept["COLOUR"] == "red"
    assert [name for name in kept if name.startswith("CALLAGENT_")] == ["CALLAGENT_POOL__WORKERS"]


def served(answers):
    """A measured server whose API gives `answers` by path, one after the other."""

    def answer(request):
        left = answers[request.url.path]
        return left.pop(0) if len(left) > 1 else left[0]

    http = httpx.AsyncClient(base_url="http://127.0.0.1:1", transport=httpx.MockTransport(answer))
    return MeasuredServer("http://127.0.0.1:1", 1, 0.0, http)


def listing(outcome):
    rows = [{"id": "c-2", "gateway_call_id": "CA2", "outcome": None}]
    return httpx.Response(
        200, json={"calls": [*rows, {"id": "c-1", "gateway_call_id": "CA1", "outcome": outcome}], "running": []}
    )


async def test_a_record_is_given_once_it_is_closed():
    call = {"call": {"id": "c-1"}, "turns": []}
    server = served(
        {"/api/calls": [listing(None), listing("completed")], "/api/calls/c-1": [httpx.Response(200, json=call)]}
    )
    assert await server.closed_call("CA1") == call
    assert server.twilio == "ws://127.0.0.1:1/gateways/twilio"


async def test_a_record_that_stays_open_is_an_error(monkeypatch):
    monkeypatch.setattr(measuring, "_CLOSING_S", 0.2)
    with pytest.raises(MeasureFailed, match="did not close the record of call CA2"):
        await served({"/api/calls": [listing("completed")]}).closed_call("CA2")


async def test_an_api_that_fails_is_an_error():
    with pytest.raises(MeasureFailed, match="does not answer /api/calls"):
        await served({"/api/calls": [httpx.Response(500)]}).closed_call("CA1")
