"""Scenarios made of people's recorded speech: sentences with pauses inside, and dictated digits."""

from __future__ import annotations

import itertools
import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.pauses import PAUSE_MS, gap_of, parted
from agent.lab.measuring.recordings import RATE as RECORDED_RATE
from agent.lab.measuring.recordings import Recording, read_folder
from agent.lab.scenario import Line, Scenario, Script
from agent.lab.simulation import Job
from agent.lab.spoken import RATE, Spoken, audible, levelled, spoken
from agent.lab.steps import AnswerExpected, Step, WaitFor
from audio.codec import Pcm16
from audio.resample import resample, to_pcm16
from models.contracts import Recognizer
from models.recognizer import WhisperRecognizer

UTTERANCES = 3
"""Said in one call; a caller who talks about other things is soon handed to a person."""
LONGEST_S = 15.0
"""Longer recordings are no turns of a call."""
DIGIT_PAUSE_MS = (300, 1500)
"""Between two digits of a dictation."""
DIGITS = 5
"""In an order number of the demo shop."""
_SENTENCE_GAP_MS = 500.0
"""Between two sentences of one recording."""
_LIFE_S = 300.0

Progress = Callable[[int, int], None]


def speech_scenarios(
    folder: Path,
    calls: int,
    *,
    utterances: int = UTTERANCES,
    seed: int = 0,
    paused_share: float = 0.5,
    longest_s: float = LONGEST_S,
    recognizer: Recognizer | None = None,
    on_progress: Progress = lambda done, total: None,
) -> list[Job]:
    """Calls that say recorded utterances, one a turn, and wait for each answer; blocks.

    The folder is one that `agent.lab.measuring.recordings.read_folder` knows. Utterances are drawn by `seed`, none
    again before all were said. `paused_share` of them get a pause of 250 to 700 ms between two words, where there is a
    gap. A longer recording is taken apart into its sentences where there are silences between them. recognizer: gives
    word times; one is loaded where none is given.

    Raises:
        MeasureFailed: the folder holds no speech that can be used.
    """
    chance = random.Random(seed)
    sayings = [saying for recording in read_folder(folder) for saying in _sayings(recording, longest_s)]
    if not sayings:
        raise MeasureFailed(f"{folder} has no utterance of at most {longest_s:g} s")
    if recognizer is None and paused_share > 0:
        recognizer = WhisperRecognizer(words=True)
    gaps: dict[int, int | None] = {}
    order: list[int] = []
    jobs = []
    for call in range(calls):
        lines, sounds = [], {}
        for turn in range(min(utterances, len(sayings))):
            if not order:
                order = chance.sample(range(len(sayings)), len(sayings))
            which = order.pop()
            text, sound = sayings[which]
            wanted, ms = chance.random() < paused_share, chance.randint(*PAUSE_MS)
            if wanted and recognizer is not None:
                if which not in gaps:
                    gaps[which] = gap_of(sound, recognizer)
                gap = gaps[which]
                sound = sound if gap is None else parted(sound, gap, ms)
            line = Line(id=f"{which}_{turn}", text=text)
            lines.append(line)
            sounds[line.id] = sound
            on_progress(call * utterances + turn + 1, calls * utterances)
        jobs.append(Job(_talk(folder, call, lines, sounds), chance.randrange(1 << 30)))
    return jobs


def dictation_scenarios(
    folder: Path, calls: int, *, seed: int = 0, digits: int = DIGITS, pause_ms: tuple[int, int] = DIGIT_PAUSE_MS
) -> list[Job]:
    """Callers who ask for their order and dictate its number, digit by digit as one speaker recorded them; blocks.

    The folder has a metadata.tsv with the columns file, digit and speaker. The question is a synthesized voice's.

    Raises:
        MeasureFailed: the folder holds no digits, or a recording cannot be read.
    """
    chance = random.Random(seed)
    spoken_by: dict[str, dict[str, list[Recording]]] = defaultdict(lambda: defaultdict(list))
    for recording in read_folder(folder):
        if recording.speaker is None or not re.fullmatch(r"\d", recording.text):
            raise MeasureFailed(f"{folder}: dictation needs single digits with the columns file, digit and speaker")
        spoken_by[recording.speaker][recording.text].append(recording)
    speakers = sorted(name for name, known in spoken_by.items() if len(known) == 10)
    if not speakers:
        raise MeasureFailed(f"{folder} has no speaker with all ten digits")
    jobs = []
    for call in range(calls):
        speaker = chance.choice(speakers)
        number = "".join(chance.choice("0123456789") for _ in range(digits))
        said = [levelled(_narrow(chance.choice(spoken_by[speaker][digit]))) for digit in number]
        pauses = [chance.randint(*pause_ms) for _ in number[1:]]
        jobs.append(Job(_dictation(folder, call, speaker, number, spoken(said, pauses)), chance.randrange(1 << 30)))
    return jobs


def _talk(folder: Path, call: int, lines: Sequence[Line], sounds: dict[str, Spoken]) -> Scenario:
    done = Step(wait_for=WaitFor(agent_done=True), silence_ms=1000.0)
    steps = [done, *(step for line in lines for step in (Step(say=line.id), done)), Step(hang_up=True)]
    name = folder.resolve().name
    script = Script(
        description=f"Recorded speech from {name}.",
        tags=("speech", name),
        life_s=_LIFE_S,
        lines=tuple(lines),
        steps=tuple(steps),
    )
    return Scenario(f"{name}-{call:03d}", script, folder, sounds)


def _dictation(folder: Path, call: int, speaker: str, number: str, sound: Spoken) -> Scenario:
    done = Step(wait_for=WaitFor(agent_done=True), silence_ms=1000.0)
    name = folder.resolve().name
    steps = (
        *(done, Step(say="Hi, where is my order?"), done, Step(say="number"), done),
        Step(expect=AnswerExpected(slot={"order_number": number})),
        Step(hang_up=True),
    )
    script = Script(
        description=f"{speaker} dictates an order number.",
        tags=("dictation", "digits", name),
        life_s=_LIFE_S,
        lines=(Line(id="number", text=" ".join(number)),),
        steps=steps,
    )
    return Scenario(f"{name}-{call:03d}", script, folder, {"number": sound})


def _sayings(recording: Recording, longest_s: float) -> list[tuple[str, Spoken]]:
    samples = levelled(_narrow(recording))
    if len(samples) <= longest_s * RATE:
        found = [(recording.text, spoken([samples]))]
    else:
        sentences = re.findall(r"[^.?!]+[.?!]?", recording.text)
        parts = _sentences(samples, len(sentences))
        found = [(text.strip(), spoken([part])) for text, part in zip(sentences, parts, strict=False)]
    return [(text, sound) for text, sound in found if 0 < sound.end - sound.start <= longest_s * RATE]


def _sentences(samples: Pcm16, count: int) -> list[Pcm16]:
    """samples[n] cut in the longest silences into `count` parts; none where they are too short to lie between."""
    step = RATE // 100
    heard = [n for n in range(len(samples) // step) if audible(samples[n * step : (n + 1) * step]) != (0, 0)]
    gaps = sorted(itertools.pairwise(heard), key=lambda gap: gap[0] - gap[1])[: count - 1]
    if len(gaps) < count - 1 or any((end - start) * 10.0 < _SENTENCE_GAP_MS for start, end in gaps):
        return []
    cuts = [0, *sorted((start + end) * step // 2 for start, end in gaps), len(samples)]
    return [samples[start:end] for start, end in itertools.pairwise(cuts)]


def _narrow(recording: Recording) -> Pcm16:
    return to_pcm16(resample(recording.samples(), RECORDED_RATE, RATE))
