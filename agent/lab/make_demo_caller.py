"""Write a scenario's lines into one WAV and its cue sheet, and check that a recognizer hears them right.

    python -m agent.lab.make_demo_caller [configs/scenarios/demo.yaml] [--out configs/scenarios/demo-caller] [--check]

The lines come from the pack, or are rendered. With `--check` nothing is written: the WAV that is there is heard and
compared with what it should say. The check runs what the agent runs (Whisper tiny.en, int8) over a mu-law line.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.lab.cues import RATE, Cue, CueSheet, read_cues, silence, write_cues
from agent.lab.scenario import Scenario, read_scenario
from agent.lab.speech import CallerSpeech, speech_of
from audio import g711
from audio.codec import Pcm16
from audio.resample import resample, to_float
from audio.wav import write_wav
from models.contracts import Recognizer

_GAP_MS = 200
"""Silence between lines in the WAV."""
_DEFAULT = Path(__file__).resolve().parents[2] / "configs" / "scenarios" / "demo.yaml"
_DIGITS = dict(zip("zero one two three four five six seven eight nine".split(), "0123456789", strict=True))


def render(scenario: Scenario, speech: CallerSpeech) -> tuple[Pcm16, list[Cue]]:
    """Speak every line: the whole caller, int16 samples[n] at 8 kHz, and where each line lies; raises FileError."""
    pieces: list[Pcm16] = []
    cues: list[Cue] = []
    at = 0
    for line in track(scenario.script.lines, description="Speaking", transient=True):
        audio = speech.line(scenario, line).samples
        audio = audio[: len(audio) * 1000 // RATE * RATE // 1000]
        cues.append(Cue(line.id, line.text, at * 1000 // RATE, (at + len(audio)) * 1000 // RATE))
        pieces += [audio, silence(_GAP_MS)]
        at += len(audio) + len(pieces[-1])
    return np.concatenate(pieces), cues


def heard(sheet: CueSheet, recognizer: Recognizer) -> Iterator[tuple[Cue, str]]:
    """What the recognizer hears of each cue after a mu-law telephone line, 300 ms of silence around it."""
    for cue in sheet.cues.values():
        line = g711.decode_mulaw(g711.encode_mulaw(sheet.audio(cue.id)))
        padded = np.concatenate([silence(300), line, silence(300)])
        yield cue, recognizer.recognize(resample(to_float(padded), RATE, 16_000)).text.strip()


def same_words(one: str, other: str) -> bool:
    """The two say the same, however digits, case and punctuation are written."""
    return _words(one) == _words(other)


def _words(text: str) -> str:
    words = re.findall(r"[a-z']+|\d", text.lower())
    return "".join(_DIGITS.get(word, word) for word in words)


def main() -> None:
    from models.recognizer import WhisperRecognizer

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scenario", nargs="?", type=Path, default=_DEFAULT)
    parser.add_argument("--out", type=Path, default=_DEFAULT.with_name("demo-caller"), help="path without its suffix")
    parser.add_argument("--check", action="store_true", help="hear the WAV that is there; write nothing")
    options = parser.parse_args()
    scenario = read_scenario(options.scenario)
    wav, sheet = options.out.with_suffix(".wav"), options.out.with_suffix(".json")
    console = Console()
    if not options.check:
        samples, cues = render(scenario, speech_of([scenario]))
        write_wav(wav, samples, RATE)
        write_cues(sheet, scenario.script.voice, cues)
        console.print(f"{wav}: {len(samples) / RATE:.1f} s, {wav.stat().st_size // 1024} KiB")
    table = Table("line", "s", "said", "heard", "")
    wrong = 0
    for cue, text in heard(read_cues(sheet, wav), WhisperRecognizer()):
        right = same_words(cue.text, text)
        wrong += not right
        table.add_row(cue.id, f"{(cue.end_ms - cue.start_ms) / 1000:.2f}", cue.text, text, "ok" if right else "WRONG")
    console.print(table)
    if wrong:
        raise SystemExit(f"{wrong} lines are heard wrongly; change their wording, speed or seed in {options.scenario}")


if __name__ == "__main__":
    main()
