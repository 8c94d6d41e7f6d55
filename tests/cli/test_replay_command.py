"""`agent replay`: what it says and how it ends where a call cannot be replayed. Replays are in tests/lab."""

import numpy as np
import pytest

from audio.wav import write_wav


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["c-none"], "there is no call 'c-none'"),
        (["none.wav"], "there is no recording none.wav"),
        (["."], "has no recordings"),
        (["c-none", "--compute", "fast"], "--compute fast: give measured, instant, or a factor"),
        (["c-none", "--set", "recognizer.beam_size=lots"], "--set recognizer.beam_size=lots:"),
        (["c-none", "--recognizer", ""], "there is no call"),
    ],
)
def test_a_wrong_command_says_what_to_do(agent, arguments, words):
    result = agent("replay", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not result.stdout


def test_a_configuration_that_is_wrong_is_named(agent, tmp_path):
    (tmp_path / "mine.yaml").write_text("recognizer: {modell: x}\n")
    result = agent("replay", "c-1", "--config", tmp_path / "mine.yaml")
    assert result.exit_code == 2
    assert "mine.yaml:1" in result.stderr


@pytest.mark.slow
def test_a_recognizer_that_is_not_here_is_named(agent, tmp_path):
    write_wav(tmp_path / "call.wav", np.full((800, 2), 900, dtype=np.int16), 8000)
    result = agent("replay", tmp_path / "call.wav", "--recognizer", "no-such-model", "--compute", "instant")
    assert result.exit_code == 2
    assert "no-such-model" in result.stderr
