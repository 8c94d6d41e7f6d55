"""Pauses put inside what simulated callers say, between two words, where a scenario asks for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from agent.lab.measuring.pauses import PAUSE_MS, gap_of, parted
from agent.lab.scenario import Scenario
from agent.lab.spoken import Spoken
from models.contracts import Recognizer
from models.recognizer import WhisperRecognizer


class Gaps:
    """Where the words of scenarios with a `paused_share` can be parted; blocking, each found once."""

    def __init__(self, make: Callable[[], Recognizer] = lambda: WhisperRecognizer(words=True)) -> None:
        """`make` loads a recognizer that gives word times, when it is first needed; it takes 16 kHz."""
        self._make = make
        self._recognizer: Recognizer | None = None
        self._found: dict[int, dict[int, int]] = {}

    def find(self, scenario: Scenario, sounds: Mapping[int, Spoken]) -> None:
        """Find the gaps of what the scenario's steps `say`."""
        if not scenario.script.paused_share:
            return
        self._recognizer = self._recognizer or self._make()
        said = {n: sounds[n] for n, step in enumerate(scenario.script.steps) if step.say is not None}
        gaps = {n: gap_of(sound, self._recognizer) for n, sound in said.items()}
        self._found[id(scenario)] = {n: gap for n, gap in gaps.items() if gap is not None}

    def paused(self, scenario: Scenario, seed: int, sounds: Mapping[int, Spoken]) -> dict[int, Spoken]:
        """The sounds of a call, some of them with a pause inside, drawn by its seed."""
        chance, changed = random.Random(seed), dict(sounds)
        for n, gap in self._found.get(id(scenario), {}).items():
            wanted, ms = chance.random() < scenario.script.paused_share, chance.randint(*PAUSE_MS)
            if wanted:
                changed[n] = parted(sounds[n], gap, ms)
        return changed
