"""`agent call`: what it says when no call can be made."""

import socket

import pytest

from audio.devices import DeviceError


@pytest.fixture
def nowhere():
    """The address of a port where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("ways", [(), ("--text", "--mic"), ("--mic", "--wav", "in.wav")])
def test_exactly_one_way_to_talk_must_be_chosen(agent, tmp_path, ways):
    (tmp_path / "in.wav").write_bytes(b"")
    result = agent("call", *ways)
    assert result.exit_code == 2
    assert "exactly one" in result.output


def test_a_server_that_is_not_there_is_said(agent, nowhere):
    result = agent("call", "--text", "--url", nowhere)
    assert result.exit_code == 2
    assert "cannot be reached" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_said(agent, url):
    result = agent("call", "--text", "--url", url)
    assert result.exit_code == 2
    assert "give an address such as" in result.output


def test_a_configuration_needs_a_server_of_ones_own(agent, nowhere, tmp_path):
    (tmp_path / "mine.yaml").write_text("")
    result = agent("call", "--text", "--url", nowhere, "--config", "mine.yaml")
    assert result.exit_code == 2
    assert "--config is for the server started here" in result.output


def test_a_file_that_is_not_there_is_said(agent):
    result = agent("call", "--wav", "missing.wav")
    assert result.exit_code == 2
    assert "missing.wav" in result.output


def test_a_file_that_is_no_wav_is_said(agent, nowhere, tmp_path):
    (tmp_path / "in.wav").write_bytes(b"nothing")
    result = agent("call", "--wav", "in.wav", "--url", nowhere)
    assert result.exit_code == 2
    assert "not a WAV file" in result.output


def test_a_machine_without_sound_says_so(agent, nowhere, monkeypatch):
    def none():
        raise DeviceError("no sound system; install PortAudio, or use --wav or --text")

    monkeypatch.setattr("agent.lab.conversation.list_devices", none)
    monkeypatch.setattr("agent.cli.call.list_devices", none)
    for arguments in (("--mic", "--url", nowhere), ("--list-devices",)):
        result = agent("call", *arguments)
        assert result.exit_code == 2
        assert "install PortAudio" in result.output
