"""The commands that look and do not call: doctor, models, config, records."""

import asyncio
import json
import socket
from pathlib import Path

import pytest
import yaml

from agent.clock import RealClock
from agent.config import Settings, load_settings
from agent.records.contracts import CallFinished, CallOpened, TurnRecord
from agent.records.writer import SqlRecords


def words(text: str) -> str:
    """The words of a table, without its borders and line breaks."""
    return " ".join(text.replace("│", " ").replace("┃", " ").split())


@pytest.fixture
def configured(tmp_path):
    """A configuration whose files all lie in the test's folder."""
    path = tmp_path / "mine.yaml"
    settings = {
        "server": {"port": 0},
        "dialogue": {"database_url": f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}"},
        "records": {
            "database_url": f"sqlite+aiosqlite:///{tmp_path / 'records.db'}",
            "recordings": str(tmp_path / "recordings"),
        },
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def test_doctor_finds_a_sound_installation_sound(agent, configured):
    result = agent("doctor", "--config", configured)
    assert result.exit_code == 0, result.output
    text = words(result.stdout)
    for looked_at in ("model tiny.en", "domain", "records database", "business database", "recordings", "port"):
        assert looked_at in text
    assert "CALLAGENT_TOKEN_KEY note" in text


def test_doctor_never_shows_a_secret(agent, configured):
    key = "a-long-enough-secret-of-the-test"
    result = agent("doctor", "--config", configured, CALLAGENT_TOKEN_KEY=key)
    assert key not in result.output
    assert "CALLAGENT_TOKEN_KEY ok" in words(result.stdout)


def test_doctor_says_what_is_bad_and_what_to_do(agent, configured):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = agent(
            "doctor",
            "--config",
            configured,
            CALLAGENT_SERVER__PORT=str(taken.getsockname()[1]),
            CALLAGENT_DIALOGUE__DOMAIN="florist",
            CALLAGENT_RECORDS__RECORDINGS="/proc/nowhere",
            CALLAGENT_TWILIO_AUTH_TOKEN="0123456789abcdef",
        )
    assert result.exit_code == 1
    text = words(result.stdout)
    for bad in ("domain bad", "port bad", "recordings bad", "public address bad"):
        assert bad in text
    assert "--port" in text
    assert "server.public_url" in text


def test_doctor_says_what_a_gateway_still_lacks(agent, configured):
    result = agent(
        "doctor",
        "--config",
        configured,
        CALLAGENT_KEY_TWILIO="0123456789abcdef",
        CALLAGENT_KEY_ASTERISK="asterisk:secret",
        CALLAGENT_KEY_SINCH="secret",
        CALLAGENT_REST_VONAGE="secret",
        CALLAGENT_REST_SIGNALWIRE="secret",
        CALLAGENT_REST_EXOTEL="secret",
        CALLAGENT_GATEWAYS__SIGNALWIRE="{account: project}",
        CALLAGENT_GATEWAYS__TELNYX="{account: any}",
        CALLAGENT_GATEWAYS__SINCH="{enabled: false}",
    )
    assert result.exit_code == 1
    text = words(result.stdout)
    assert "gateway twilio ok its connections are checked against CALLAGENT_KEY_TWILIO" in text
    assert "CALLAGENT_TWILIO_AUTH_TOKEN" not in text
    assert "streams of twilio note set CALLAGENT_TOKEN_KEY" in text
    assert "streams of asterisk" not in text
    assert "gateway sinch note CALLAGENT_KEY_SINCH is set, and gateways.sinch.enabled is off" in text
    assert "REST of vonage bad its secret is set, and no account" in text
    assert "REST of signalwire bad gateways.signalwire.api_url is missing" in text
    assert "REST of exotel note CALLAGENT_REST_EXOTEL is set, and not used" in text
    assert "REST of telnyx note gateways.telnyx.account is set, and CALLAGENT_REST_TELNYX is not" in text
    assert "public address bad signatures and webhooks cover it (twilio); set server.public_url" in text


def test_gateways_that_sign_nothing_need_no_public_address(agent, configured):
    result = agent("doctor", "--config", configured, CALLAGENT_KEY_ASTERISK="asterisk:secret")
    assert result.exit_code == 0, result.output
    assert "public address" not in words(result.stdout)


def test_gateways_shows_addresses_and_which_keys_are_set(agent):
    result = agent(
        "gateways",
        CALLAGENT_KEY_TELNYX="secret",
        CALLAGENT_TOKEN_KEY="a-long-enough-secret",
        CALLAGENT_GATEWAYS__SINCH="{enabled: false}",
        CALLAGENT_AUDIOSOCKET__PORT="9092",
    )
    assert result.exit_code == 0, result.output
    text = words(result.stdout)
    assert "a-long-enough-secret" not in result.stdout
    for shown in (
        "/gateways/telnyx set",
        "/gateways/plain set",
        "/gateways/twilio not set",
        "/gateways/sinch off",
        "TCP 127.0.0.1:9092 set",
        "/gateways/openai, /v1/realtime not set",
    ):
        assert shown in text


def test_doctor_refuses_what_serve_refuses(agent):
    assert agent("doctor", CALLAGENT_SERVER__PORT="many").exit_code == 2


def test_models_lists_each_with_its_licence(agent):
    result = agent("models")
    assert result.exit_code == 0
    for part in ("tiny.en", "silero", "en_US-joe-medium", "MIT"):
        assert part in result.stdout


def test_what_config_prints_can_be_given_back(agent, tmp_path):
    printed = agent("config", CALLAGENT_SERVER__MAX_CALLS="3", CALLAGENT_TOKEN_KEY="a-long-enough-secret")
    assert printed.exit_code == 0
    assert "a-long-enough-secret" not in printed.stdout
    path = tmp_path / "printed.yaml"
    path.write_text(printed.stdout)
    again = load_settings(path, {})
    assert again.server.max_calls == 3
    assert again == Settings(server=again.server)


def make_calls(folder: Path) -> None:
    async def make() -> None:
        url = f"sqlite+aiosqlite:///{folder / 'records.db'}"
        async with SqlRecords.open(url, folder / "recordings", RealClock(), record_audio=False) as records:
            call = await records.open_call(CallOpened("c-1", "plain", "g-1", "shop", "[/wicked]", None))
            mood = {"words": "angry", "voice": "neutral", "anger": 0.2, "activation": 0.4}
            call.turn(TurnRecord(1, "caller", "where is [bold]it", 100, 900, intent="order_status", emotion=mood))
            call.turn(TurnRecord(1, "agent", "On its way to you.", 1500, 2000, heard="On its way"))
            await call.finish(CallFinished("caller_left", "stop", 2500.0))

    asyncio.run(make())


def test_records_are_listed_shown_and_exported(agent, configured, tmp_path):
    make_calls(tmp_path)
    listed = agent("records", "list", "--config", configured)
    assert listed.exit_code == 0, listed.output
    assert "c-1" in listed.stdout
    assert "[/wicked]" in listed.stdout
    shown = agent("records", "show", "c-1", "--config", configured)
    assert shown.exit_code == 0, shown.output
    text = words(shown.stdout)
    assert "where is [bold]it" in text
    assert "words angry, voice neutral" in text
    assert "On its way (meant: On its way to you.)" in text
    exported = agent("records", "export", "c-1", "--config", configured, "--to", tmp_path / "out")
    assert exported.exit_code == 0, exported.output
    (path,) = exported.stdout.splitlines()
    assert json.loads(Path(path).read_text())["call"]["id"] == "c-1"
    assert json.loads(agent("records", "list", "--json", "--config", configured).stdout)[0]["id"] == "c-1"


@pytest.mark.parametrize("command", [("list",), ("show", "c-1"), ("export", "c-1")])
def test_records_say_when_there_is_no_database(agent, configured, command):
    result = agent("records", *command, "--config", configured)
    assert result.exit_code == 1
    assert "make a call first" in result.stderr


def test_records_say_when_there_is_no_such_call(agent, configured, tmp_path):
    make_calls(tmp_path)
    result = agent("records", "show", "c-2", "--config", configured)
    assert result.exit_code == 1
    assert "there is no call 'c-2'" in result.stderr
