"""Make the turns that the turn-end model learns from and is measured on: recorded and read speech, whole and cut.

    python -m agent.lab.measuring.turn_cuts --data DIR --out FOLDER [--seed 0] [--readings 360] [--set NAME ...]

Every turn goes through an 8 kHz mu-law line. It is cut at gaps between two words as the lab parts lines for its pauses,
and the recognizer hears the cut as it would in a call. Read speech needs the extra `lab`.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from agent.config import CONFIGS
from agent.lab.caller_voice import RATE as VOICE_RATE
from agent.lab.caller_voice import CallerVoice
from agent.lab.cues import RATE as LINE_RATE
from agent.lab.cues import silence
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.pauses import trimmed, word_gap
from agent.lab.measuring.recordings import Recording, cue_lines, read_folder
from audio import g711
from audio.codec import Pcm16
from audio.resample import resample, to_float, to_pcm16
from models.contracts import Recognizer, Samples
from models.recognizer import WhisperRecognizer
from models.training.turn_cuts import SILENCE_MS, Cut, save_cuts
from models.training.turn_texts import Split, dictation, read_texts
from models.voice import PiperVoice

_RATE = 16_000
_CONTEXT_S = 15.0
_LEARNT_VOICES = ("jf_alpha", "jf_gongitsune", "jf_nezumi")
_HEARD_VOICES = ("jm_kumo", "jf_tebukuro")
"""Voices that are only measured."""
_OWN_SHARE = 0.75
"""Part of the readings to learn from that the agent's own voice reads, since it is ten times as fast."""
_DICTATED = 0.1
_TALK_PAUSE_S = (0.3, 1.5)
_SAVE_EVERY = 30
"""Turns after which what there is is kept; a smaller number of readings is the beginning of a larger one."""
_TWO_SENTENCES = 0.2
_SETS = {
    "goemotions": 0.35,
    "sgd_banks_payment": 0.17,
    "banking77": 0.16,
    "multidogo": 0.14,
    "clinc150": 0.1,
    "snips": 0.08,
}
"""How often each set is read: what people write most freely comes first."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn to be cut: int16 samples[n] at 8 kHz, the words of it, and the slot the agent had `asked` for."""

    source: str
    speaker: str
    said: str
    samples: Pcm16
    asked: str | None = None
    gap: int | None = None
    """Where it is cut, where that is known; else gaps are looked for."""


def _line(samples: Samples, rate: int, random: np.random.Generator | None = None) -> Pcm16:
    """samples[n] at `rate` through a mu-law line at 8 kHz; with `random`, at a level and with a noise drawn from it."""
    narrow = resample(samples.astype(np.float32), rate, LINE_RATE) if rate != LINE_RATE else samples
    if random is not None:
        narrow = narrow * np.float32(10 ** (random.uniform(-9.0, 5.0) / 20))
        if random.random() < 0.5:
            level = float(np.sqrt(np.mean(narrow**2))) * 10 ** (-random.uniform(22.0, 40.0) / 20)
            narrow = narrow + random.normal(0.0, level, size=len(narrow)).astype(np.float32)
    return g711.decode_mulaw(g711.encode_mulaw(to_pcm16(narrow)))


def _readings(data: Path, split: Split, count: int, seed: int) -> Iterator[tuple[str, str | None]]:
    """(text, slot asked for) of `count` turns to be read out."""
    random = np.random.default_rng(seed)
    texts = {
        name: [text for text in found if len(text.split()) <= 22] for name, found in read_texts(data, split).items()
    }
    for _ in range(count):
        if random.random() < _DICTATED:
            (text,) = dictation(1, random)
            yield text, "email" if " at " in text else "order_number" if any(map(str.isdigit, text)) else None
            continue
        pool = texts[str(random.choice(list(_SETS), p=list(_SETS.values())))]
        text = pool[int(random.integers(len(pool)))]
        if len(text.split()) < 3 and random.random() < 0.6:
            text = pool[int(random.integers(len(pool)))]
        if random.random() < _TWO_SENTENCES:
            text = f"{text.rstrip('.!?, ')}. {pool[int(random.integers(len(pool)))]}"
        yield text, None


def read_learnt(data: Path, count: int, seed: int) -> Iterator[Turn]:
    """Readings of the dev splits by the agent's own voice, at several pitches, and by three others."""
    random = np.random.default_rng(seed)
    own = PiperVoice()
    others = {name: CallerVoice(name) for name in _LEARNT_VOICES}
    for text, asked in _readings(data, "dev", count, seed):
        try:
            if random.random() < _OWN_SHARE:
                pitch = float(random.uniform(0.88, 1.25))
                samples = resample(own.synthesize(text), round(own.rate * pitch), own.rate)
                yield Turn("read", f"own*{pitch:.1f}", text, _line(samples, own.rate, random), asked)
            else:
                name = str(random.choice(_LEARNT_VOICES))
                samples = others[name].read(text, speed=float(random.uniform(0.85, 1.15)))
                yield Turn("read", name, text, _line(samples, VOICE_RATE, random), asked)
        except ValueError:
            continue


def read_held_out(data: Path, count: int, seed: int) -> Iterator[Turn]:
    """Readings of the test splits by two voices that are in no other set."""
    voices = [CallerVoice(name) for name in _HEARD_VOICES]
    for n, (text, asked) in enumerate(_readings(data, "test", count, seed + 1)):
        try:
            yield Turn("read", _HEARD_VOICES[n % 2], text, _line(voices[n % 2].read(text), VOICE_RATE), asked)
        except ValueError:
            continue


def ravdess(data: Path, count: int, seed: int) -> Iterator[Turn]:
    """`count` clips of the actors of RAVDESS, each of whom says two sentences with eight emotions."""
    with (data / "ravdess" / "metadata.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    recordings = read_folder(data / "ravdess")
    random = np.random.default_rng(seed)
    for at in random.permutation(len(rows))[:count]:
        actor, recording = rows[int(at)]["actor"], recordings[int(at)]
        yield Turn("ravdess", f"actor{int(actor):02}", recording.text, _line(recording.samples(), _RATE))


def librispeech(data: Path) -> Iterator[Turn]:
    """The utterances of the LibriSpeech sample."""
    for recording in read_folder(data / "librispeech_snip"):
        yield Turn(
            "librispeech", str(recording.sound).split("/")[-3], recording.text, _line(recording.samples(), _RATE)
        )


def harvard(data: Path) -> Iterator[Turn]:
    """The ten sentences of the Harvard recording, parted at the pauses between them."""
    (recording,) = read_folder(data / "osr_harvard_8k")
    samples = _line(recording.samples(), _RATE)
    sentences = [part.strip() + "." for part in recording.text.split(".") if part.strip()]
    for text, (start, end) in zip(sentences, _parted(samples, len(sentences)), strict=True):
        yield Turn("harvard", "reader", text, samples[start:end])


def scenarios(folder: Path) -> Iterator[Turn]:
    """The callers' lines of the demo and of the latency scenario."""
    for sheet in (folder / "demo-caller.json", folder / "latency.json"):
        for recording in cue_lines(sheet):
            yield Turn("scenarios", sheet.stem, recording.text, _line(to_float(np.asarray(recording.sound)), LINE_RATE))


def digits(data: Path, count: int, seed: int) -> Iterator[Turn]:
    """Five-digit numbers put together from single digits of one speaker of FSDD, each cut once between two digits."""
    with (data / "fsdd" / "metadata.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    random = np.random.default_rng(seed)
    recordings = {row["file"]: found for row, found in zip(rows, read_folder(data / "fsdd"), strict=True)}
    speakers = sorted({row["speaker"] for row in rows})
    for n in range(count):
        own = [row for row in rows if row["speaker"] == speakers[n % len(speakers)]]
        chosen = [own[int(at)] for at in random.choice(len(own), 5, replace=False)]
        pieces = [trimmed(_line(recordings[row["file"]].samples(), _RATE)) for row in chosen]
        parts = list(itertools.chain.from_iterable((piece, silence(90)) for piece in pieces))[:-1]
        at = sum(len(part) for part in parts[: 2 * int(random.integers(1, 5))]) - len(silence(45))
        said = " ".join(row["digit"] for row in chosen)
        yield Turn("digits", own[0]["speaker"], said, np.concatenate(parts), "order_number", at)


def talk(data: Path, recognizer: Recognizer) -> Iterator[Cut]:
    """The recordings of the TEN VAD test set up to each silence that their labels mark inside the talk; nothing whole.

    Silences of 0.3 to 1.5 s after a second of talk or more count; at most 12 s before one are heard.
    """
    folder = data / "ten_vad_testset" / "testset"
    for path in sorted(folder.glob("*.flac")):
        fields = path.with_suffix(".scv").read_text(encoding="utf-8").strip().split(",")[1:]
        spans = [(float(start), float(end), mark == "1") for start, end, mark in zip(*[iter(fields)] * 3, strict=True)]
        samples = _line(Recording("", path).samples(), _RATE)
        for start, end, voiced in spans[1:-1]:
            if voiced or not _TALK_PAUSE_S[0] <= end - start <= _TALK_PAUSE_S[1] or start < 1.0:
                continue
            part = samples[int(max(0.0, start - 12.0) * LINE_RATE) : int(start * LINE_RATE)]
            turn = Turn("talk", path.stem, "", part)
            heard = recognizer.recognize(resample(to_float(_waited(part)), LINE_RATE, _RATE))
            if heard.text:
                yield _cut(turn, part, False, "paused", heard.text, heard.closing, heard.average_log_probability)


def cuts_of(turn: Turn, recognizer: Recognizer, random: np.random.Generator, every: bool) -> Iterator[Cut]:
    """`turn` whole, and cut at its quietest gap and at one other quiet gap, or at `every` quiet gap.

    Gaps lie in the middle three fifths of a turn and are as quiet as `pauses.word_gap` wants them.
    """
    samples = trimmed(turn.samples)
    if len(samples) < LINE_RATE // 5:
        return
    heard = recognizer.recognize(resample(to_float(_waited(samples)), LINE_RATE, _RATE))
    yield _cut(turn, samples, True, "end", heard.text, heard.closing, heard.average_log_probability)
    between = [(one.end + other.start) * 500.0 for one, other in itertools.pairwise(heard.words)]
    best = turn.gap if turn.gap is not None else word_gap(samples, between)
    if best is None:
        return
    gaps = {} if turn.gap is not None else {gap for at in between if (gap := word_gap(samples, [at])) is not None}
    others = sorted(gap for gap in gaps if abs(gap - best) > LINE_RATE // 20)
    if not every and others:
        others = [others[int(random.integers(len(others)))]]
    for chosen, gap in [("quietest", best), *(("any", other) for other in others)]:
        part = trimmed(samples[:gap])
        if len(part) < LINE_RATE // 10:
            continue
        heard = recognizer.recognize(resample(to_float(_waited(part)), LINE_RATE, _RATE))
        yield _cut(turn, part, False, chosen, heard.text, heard.closing, heard.average_log_probability)


def _cut(
    turn: Turn, samples: Pcm16, whole: bool, chosen: str, text: str, closing: float | None, confidence: float
) -> Cut:
    ended = _waited(samples)
    return Cut(turn.source, turn.speaker, turn.said, whole, chosen, text, closing, confidence, ended, turn.asked)


def _waited(samples: Pcm16) -> Pcm16:
    return np.concatenate([samples, silence(SILENCE_MS)])


def _parted(samples: Pcm16, pieces: int) -> list[tuple[int, int]]:
    """Start and end of the `pieces` stretches of samples[n] at 8 kHz that its longest silences part."""
    size = LINE_RATE // 100
    count = len(samples) // size
    power = np.square(samples[: count * size].astype(np.float64).reshape(count, size)).mean(axis=1)
    loud = np.flatnonzero(power > np.percentile(power, 95) * 3e-3)
    longest = np.sort(np.argsort(np.diff(loud))[len(loud) - pieces :]) + 1
    return [(max(0, int(part[0]) - 5) * size, min(count, int(part[-1]) + 8) * size) for part in np.split(loud, longest)]


@dataclass(frozen=True, slots=True)
class Cutting:
    """What cuts are made of: `data` holds the published sets, `scenarios` our own; so many turns are read out."""

    data: Path
    scenarios: Path = CONFIGS / "scenarios"
    readings: int = 360
    held_out: int = 120
    seed: int = 0


_ALL_GAPS = ("librispeech", "harvard", "scenarios")
"""Small sets, which are cut at every quiet gap."""


def turns_of(name: str, cutting: Cutting) -> Iterable[Turn]:
    """The turns of a set.

    Raises:
        MeasureFailed: there is no such set, or its data is not there.
    """
    data, seed = cutting.data, cutting.seed
    makers: dict[str, Callable[[], Iterable[Turn]]] = {
        "librispeech": lambda: librispeech(data),
        "harvard": lambda: harvard(data),
        "scenarios": lambda: scenarios(cutting.scenarios),
        "digits": lambda: digits(data, 48, seed),
        "ravdess": lambda: ravdess(data, 300, seed),
        "read_held_out": lambda: read_held_out(data, cutting.held_out, seed),
        "read": lambda: read_learnt(data, cutting.readings, seed),
    }
    if name not in makers:
        raise MeasureFailed(f"there is no set of turns {name!r}; there is talk, {', '.join(makers)}")
    return makers[name]()


SETS = ("talk", "librispeech", "harvard", "scenarios", "digits", "ravdess", "read_held_out", "read")
"""Sets of turns, in the order in which they are made."""


def make_cuts(name: str, cutting: Cutting, out: Path, recognizer: Recognizer) -> list[Cut]:
    """Make the set `name` and keep it as `out`/NAME.npz; the turns so far are kept as it goes.

    Raises:
        MeasureFailed: as `turns_of`.
    """
    path = out / f"{name}.npz"
    if name == "talk":
        found = list(talk(cutting.data, recognizer))
        save_cuts(path, found)
        return found
    random = np.random.default_rng(cutting.seed)
    found = []
    for count, turn in enumerate(track(turns_of(name, cutting), description=name), start=1):
        found += cuts_of(turn, recognizer, random, name in _ALL_GAPS)
        if count % _SAVE_EVERY == 0:
            save_cuts(path, found)
    save_cuts(path, found)
    return found


def ear() -> WhisperRecognizer:
    """The recognizer that hears the cuts, as calls do."""
    return WhisperRecognizer(context_s=_CONTEXT_S, words=True)


def main() -> None:
    """Make the sets asked for, or all, one file each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--readings", type=int, default=360)
    parser.add_argument("--held-out", type=int, default=120)
    parser.add_argument("--scenarios", type=Path, default=CONFIGS / "scenarios")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="sets", action="append")
    given = parser.parse_args()
    cutting = Cutting(given.data, given.scenarios, given.readings, given.held_out, given.seed)
    recognizer = ear()
    for name in given.sets or SETS:
        found = make_cuts(name, cutting, given.out, recognizer)
        print(f"{name}: {sum(cut.whole for cut in found)} whole, {sum(not cut.whole for cut in found)} cut")


if __name__ == "__main__":
    main()
