"""Word error rate and time of the recognizer by context length and beam, clean and through a telephone line.

Run with `python -m models.training.measure_recognizer --data DIR`, where DIR holds the reference sets named in
`load_material`; sets that are not there are left out and said so. Every setting is measured on every utterance. The
recognizer's second pass and the digit prompt were chosen after seeing errors on these dictated digits, so the digit
column is no held-out figure.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
from faster_whisper import decode_audio

from audio import g711, resample
from models.contracts import RecognitionHints, Samples
from models.recognizer import WhisperRecognizer
from models.speakable.numbers import cardinal
from models.stretches import RATE

SEED = 7
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, slots=True)
class Utterance:
    """samples[n] at 16 kHz and the words said."""

    samples: Samples
    text: str


def telephone(samples: Samples) -> Samples:
    """samples[n] at 16 kHz as they come through 8 kHz mu-law."""
    narrow = resample.to_pcm16(resample.resample(samples, RATE, 8000))
    return resample.resample(resample.to_float(g711.decode_mulaw(g711.encode_mulaw(narrow))), 8000, RATE)


def normalise(text: str) -> str:
    """Lower-case words without punctuation; digits and small numbers as words, digit groups digit by digit."""
    text = text.lower().replace("-", " ").replace("counselled", "counseled").replace("neighbour", "neighbor")

    def spell(found: re.Match[str]) -> str:
        digits = found.group()
        if len(digits) > 2 or digits.startswith("0"):
            return " ".join(DIGITS[int(digit)] for digit in digits)
        return cardinal(int(digits)).replace("-", " ")

    text = re.sub(r"(?<=\d),(?=\d)", "", text)
    text = re.sub(r"\d+", lambda found: f" {spell(found)} ", text)
    return " ".join(re.sub(r"[^a-z' ]", " ", text).split())


def load_material(data: Path) -> dict[str, list[Utterance]]:
    """Set name -> utterances: LibriSpeech clips, Harvard sentences (8 kHz), RAVDESS neutral clips, dictated digits."""
    loaders: dict[str, Callable[[Path], Iterator[Utterance]]] = {
        "librispeech_snip": _librispeech,
        "osr_harvard_8k": _harvard,
        "ravdess": _ravdess,
        "fsdd": _digits,
    }
    found = {}
    for name, load in loaders.items():
        if (data / name).is_dir():
            found[name] = list(load(data / name))
        else:
            print(f"{data / name}: not there, left out")
    return found


def _read(path: Path, rate: int = RATE) -> Samples:
    decoded = decode_audio(str(path), sampling_rate=rate)
    assert isinstance(decoded, np.ndarray)  # a pair only where the channels are asked for apart
    return decoded.astype(np.float32, copy=False)


def _librispeech(folder: Path) -> Iterator[Utterance]:
    for listing in sorted(folder.rglob("*.trans.txt")):
        for line in listing.read_text("utf-8").splitlines():
            name, _, text = line.partition(" ")
            yield Utterance(_read(listing.parent / f"{name}.flac"), text)


def _harvard(folder: Path) -> Iterator[Utterance]:
    for listing in sorted(folder.rglob("test_samples.json")):
        for sample in json.loads(listing.read_text("utf-8")):
            yield Utterance(_read(listing.parent / sample["filename"]), sample["transcription"])


def _ravdess(folder: Path) -> Iterator[Utterance]:
    with (folder / "metadata.tsv").open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows, delimiter="\t"):
            if row["emotion"] == "neutral" and row["repetition"] == "1":
                yield Utterance(_read(folder / row["file"]), row["text"])


def _digits(folder: Path) -> Iterator[Utterance]:
    """Sixty dictations of five digits by one speaker each, 150 to 350 ms between the digits."""
    chance = random.Random(SEED)
    clips: dict[tuple[str, str], list[str]] = {}
    with (folder / "metadata.tsv").open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows, delimiter="\t"):
            clips.setdefault((row["speaker"], row["digit"]), []).append(row["file"])
    speakers = sorted({speaker for speaker, _ in clips})
    for number in range(60):
        speaker = speakers[number % len(speakers)]
        said = [str(chance.randrange(10)) for _ in range(5)]
        pieces = []
        for digit in said:
            pieces.append(_read(folder / chance.choice(clips[speaker, digit])))
            pieces.append(np.zeros(round(chance.uniform(0.15, 0.35) * RATE), dtype=np.float32))
        yield Utterance(np.concatenate(pieces), " ".join(DIGITS[int(digit)] for digit in said))


def measure(
    recognizer: WhisperRecognizer, utterances: Sequence[Utterance], hints: RecognitionHints
) -> tuple[int, int, list[float]]:
    """Word errors, words and the milliseconds of each utterance."""
    errors = words = 0
    times = []
    for utterance in utterances:
        started = time.perf_counter()
        heard = recognizer.recognize(utterance.samples, hints).text
        times.append((time.perf_counter() - started) * 1000)
        counts = jiwer.process_words(normalise(utterance.text), normalise(heard))
        errors += counts.substitutions + counts.deletions + counts.insertions
        words += counts.substitutions + counts.deletions + counts.hits
    return errors, words, times


def main() -> None:
    """Print a Markdown table: a row for each setting, errors / words for each set, then the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "auto"])
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--contexts", type=float, nargs="+", default=[30, 20, 15, 12])
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--digit-prompt", help="prompt for the dictated digits, as a call gives when it asked for them")
    options = parser.parse_args()
    material = load_material(options.data)
    digits = RecognitionHints(prompt=options.digit_prompt)
    lines = {
        "clean": material,
        "mu-law 8 kHz": {
            name: [Utterance(telephone(one.samples), one.text) for one in utterances]
            for name, utterances in material.items()
        },
    }
    print(f"model {options.model}, {options.compute_type}, 1 thread, seed {SEED}")
    print("| line | context s | beam | " + " | ".join(material) + " | WER % | ms p50 | ms p95 |")
    print("|" + "-|" * (len(material) + 6))
    for context in options.contexts:
        for beam in options.beams:
            recognizer = WhisperRecognizer(
                options.model,
                device=options.device,
                compute_type=options.compute_type,
                context_s=context,
                beam_size=beam,
            )
            for line, sets in lines.items():
                results = [
                    measure(recognizer, utterances, digits if name == "fsdd" else RecognitionHints())
                    for name, utterances in sets.items()
                ]
                cells = " | ".join(f"{errors}/{words}" for errors, words, _ in results)
                rate = 100 * sum(result[0] for result in results) / sum(result[1] for result in results)
                times = sorted(one for *_, each in results for one in each)
                p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
                p50 = statistics.median(times)
                print(f"| {line} | {context:g} | {beam} | {cells} | {rate:.1f} | {p50:.0f} | {p95:.0f} |", flush=True)


if __name__ == "__main__":
    main()
