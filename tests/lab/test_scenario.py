"""Scenarios: read whole, or refused with file and line."""

from pathlib import Path

import numpy as np
import pytest

from agent.lab.scenario import read_scenario
from agent.lab.steps import Step
from agent.yamlfile import FileError
from audio.wav import write_wav

GOOD = """\
description: A short call.
tags: [short]
line:
  noise: {kind: pink, snr_db: 15}
lines:
  - {id: hello, text: Hello there.}
steps:
  - wait_for: agent_done
  - say: hello
  - expect: {text: hi}
  - hang_up: true
expect:
  - {name: It is understood, cue: hello, intent: greeting}
"""


def write(folder: Path, old: str = "", new: str = "") -> Path:
    assert old in GOOD
    path = folder / "short_call.yaml"
    path.write_text(GOOD.replace(old, new, 1) if old else GOOD, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("description: A", "colour: red\ndescription: A", 1, "unknown key 'colour'"),
        ("pink", "purple", 4, "purple"),
        ("kind: pink", "kind: rain.wav", 4, "rain.wav is not there"),
        ("noise: {kind: pink, snr_db: 15}", "nois: 3", 4, "unknown key"),
        ("noise: {kind: pink, snr_db: 15}", "loss_percent: 99", 4, "less than or equal to 50"),
        ("  - say: hello", "  - sey: hello", 9, "unknown key 'steps.1.sey'"),
        ("  - say: hello", "  - say: goodbye", 9, "no line 'goodbye'; use one of hello"),
        ("  - say: hello", "  - say: my_number", 9, "no line 'my_number'"),
        ("  - say: hello", "  - {say: hello, press: '1'}", 9, "exactly one of"),
        ("  - say: hello", "  - {}", 9, "this one has none"),
        ("  - say: hello", "  - {say: hello, after_ms: 5}", 9, "'after_ms' belongs to backchannel and noise"),
        ("  - say: hello", "  - {say: hello, interrupt_after: 5, hang_up_after: 5}", 9, "not both"),
        ("  - say: hello", "  - {hold_silence: -1}", 9, "greater than 0"),
        ("  - say: hello", "  - {press: 'x'}", 9, "pattern"),
        ("  - say: hello", "  - {spell: 'ü'}", 9, "pattern"),
        ("  - say: hello", "  - {noise: thunder}", 9, "use one of cough"),
        ("  - say: hello", "  - {noise: thunder.wav}", 9, "thunder.wav is not there"),
        ("  - say: hello", "  - {dictate: '4 2', level_db: 3}", 9, "'level_db' belongs to noise"),
        ("wait_for: agent_done", "wait_for: forever", 8, "agent_done"),
        ("wait_for: agent_done", "wait_for: {text: a, intent: b}", 8, "exactly one"),
        ("wait_for: agent_done", "wait_for: {mood: a}", 8, "unknown key"),
        ("expect: {text: hi}", "expect: {}", 10, "at least one"),
        ("expect: {text: hi}", "expect: {latency: 3}", 10, "unknown key"),
        ("text: Hello there.", "text: Hello., wav: no.wav", 6, "no.wav is not there"),
        ("text: Hello there.", "text: Hello., voice: tarzan", 6, "jm_kumo"),
        ("cue: hello, intent", "cue: nobody, intent", 13, "no line 'nobody'"),
        ("cue: hello, intent: greeting", "intent: greeting", 13, "exactly one of"),
        ("  - {id: hello, text: Hello there.}", "  - {id: hello, text: a}\n  - {id: hello, text: b}", 5, "same id"),
    ],
)
def test_a_wrong_scenario_is_refused_with_its_line(tmp_path, old, new, line, words):
    path = write(tmp_path, old, new)
    with pytest.raises(FileError) as caught:
        read_scenario(path)
    assert any(problem.startswith(f"{path}:{line}:") and words in problem for problem in caught.value.problems), (
        caught.value.problems
    )


def test_a_good_scenario_is_read(tmp_path):
    scenario = read_scenario(write(tmp_path))
    assert scenario.name == "short_call"
    assert scenario.folder == tmp_path
    assert [str(step) for step in scenario.script.steps] == [
        "wait_for agent_done",
        "say hello",
        "expect text hi",
        "hang_up True",
    ]
    assert [line.text for line in scenario.spoken_lines()] == ["Hello there."]


def test_words_need_no_line_of_their_own(tmp_path):
    scenario = read_scenario(
        write(tmp_path, "  - say: hello", "  - say: Yes.\n  - backchannel: uh-huh\n  - say: hello")
    )
    assert [(line.id, line.text) for line in scenario.spoken_lines()] == [
        ("Yes.", "Yes."),
        ("uh-huh", "uh-huh"),
        ("hello", "Hello there."),
    ]


def test_files_beside_the_scenario_are_found(tmp_path):
    write_wav(tmp_path / "rain.wav", np.zeros(800, dtype=np.int16), 8000)
    read_scenario(write(tmp_path, "kind: pink", "kind: rain.wav"))
    read_scenario(write(tmp_path, "text: Hello there.", "text: Hello., wav: rain.wav"))
    read_scenario(write(tmp_path, "say: hello", "noise: rain.wav\n  - say: hello"))


def test_every_step_of_the_language_is_known():
    steps = [
        {"say": "A b.", "interrupt_after": 1500, "timeout_s": 3},
        {"say": "A b.", "hang_up_after": 600},
        {"backchannel": "uh-huh", "after_ms": 1200},
        {"noise": "cough", "after_ms": 1000, "level_db": -3},
        {"dictate": "4 2 719", "pause_ms": 1500},
        {"spell": "Jane", "pause_ms": 400},
        {"press": "42719#"},
        {"hold_silence": 9},
        {"wait_for": "agent_done", "silence_ms": 900, "timeout_s": 5},
        {"wait_for": {"text": "order number"}},
        {"wait_for": {"intent": "order_status"}},
        {"wait_for": {"state": "listening"}},
        {"wait_for": {"silence_ms": 900}},
        {
            "expect": {
                "text": "delivered",
                "lacks": ["sorry"],
                "intent": "x",
                "slot": {"order_number": "42719"},
                "emotion": "angry",
                "handoff": {"rule": "asked_for_person"},
                "latency_ms": 1500,
                "interrupted": True,
                "resumed": False,
            }
        },
        {"hang_up": True},
    ]
    read = [Step.model_validate(step) for step in steps]
    assert [step.action for step in read] == [
        *("say", "say", "backchannel", "noise", "dictate", "spell", "press", "hold_silence"),
        *("wait_for",) * 5,
        *("expect", "hang_up"),
    ]
