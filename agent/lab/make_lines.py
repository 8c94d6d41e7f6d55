"""Render what the scenarios of a folder need said, into one pack: lines.wav and lines.json.

    python -m agent.lab.make_lines configs/scenarios [--hear]

Needs the extra `lab` where something is new. What is in the pack already is kept as it is; what no scenario uses goes.
With `--hear` nothing is written: a recognizer hears every line over a mu-law line and both are shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.lab.measuring.word_errors import WordErrors, word_errors
from agent.lab.scenario import Scenario, read_scenario
from agent.lab.speech import CallerSpeech, Pack, Piece, needed
from agent.lab.spoken import RATE, spoken
from agent.yamlfile import FileError
from audio import g711
from audio.codec import Pcm16
from audio.resample import resample, to_float
from models.contracts import Recognizer

_AROUND = np.zeros(RATE * 300 // 1000, dtype=np.int16)
"""Silence before and after a line that is heard."""


def make_pack(listing: Path, scenarios: Sequence[Scenario], speech: CallerSpeech) -> dict[Piece, Pcm16]:
    """Write the pack that `scenarios` need at `listing`; returns what is in it.

    Raises:
        FileError: something must be rendered and cannot be. OSError: the pack cannot be written.
    """
    wanted = sorted({piece for scenario in scenarios for piece in needed(scenario)}, key=lambda piece: piece.key)
    sounds = {}
    for piece in track(wanted, description="Speaking", transient=True, console=Console(stderr=True)):
        said = spoken([speech.sound(piece)])
        if said.end <= said.start:
            raise FileError([f"{piece.text!r} by {piece.voice} is silent; word it otherwise or change its seed"])
        sounds[piece] = said.samples
    Pack.write(listing, sounds)
    return sounds


def hear(scenario: Scenario, speech: CallerSpeech, recognizer: Recognizer) -> list[tuple[str, str, str]]:
    """Each line of a scenario as it is meant and as it is heard: (id, text, heard); `recognizer` takes 16 kHz."""
    found = []
    for line in scenario.spoken_lines():
        sound = g711.decode_mulaw(g711.encode_mulaw(speech.line(scenario, line).samples))
        padded = np.concatenate([_AROUND, sound, _AROUND])
        heard = recognizer.recognize(resample(to_float(padded), RATE, 16_000)).text.strip()
        found.append((line.id, line.text, heard))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hear", action="store_true", help="hear the lines there are; write nothing")
    options = parser.parse_args()
    console, listing = Console(), options.folder / "lines.json"
    try:
        scenarios = [read_scenario(path) for path in sorted(options.folder.glob("*.yaml"))]
        if not scenarios:
            raise FileError([f"{options.folder} holds no scenario; give a folder of .yaml files"])
        speech = CallerSpeech((listing,))
        if options.hear:
            _show(console, scenarios, speech)
            return
        sounds = make_pack(listing, scenarios, speech)
    except (FileError, OSError) as error:
        raise SystemExit(str(error)) from error
    seconds = sum(len(samples) for samples in sounds.values()) / RATE
    size = sum(path.stat().st_size for path in (listing, listing.with_suffix(".wav"))) // 1024
    console.print(f"{listing}: {len(sounds)} pieces for {len(scenarios)} scenarios, {seconds:.0f} s, {size} KiB")


def _show(console: Console, scenarios: Sequence[Scenario], speech: CallerSpeech) -> None:
    from models.recognizer import WhisperRecognizer

    recognizer, errors = WhisperRecognizer(), WordErrors()
    table = Table("scenario", "said", "heard", "word errors")
    for scenario in track(scenarios, description="Hearing", transient=True, console=Console(stderr=True)):
        for _, text, heard in hear(scenario, speech, recognizer):
            each = word_errors(text, heard)
            errors += each
            table.add_row(scenario.name, text, heard, f"{each.errors or ''}")
    console.print(table)
    console.print(f"{errors.errors} of {errors.words} words heard wrongly, {errors.percent:.1f} %")


if __name__ == "__main__":
    main()
