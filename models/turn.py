"""Whether the caller's turn is over: the words so far, what was asked, the recognizer's ear and the voice itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from models.contracts import Recognition, Samples, UnderstandingContext, Understood
from models.emotion import VoiceEncoder
from models.languages import ENGLISH, base
from models.turn_voice import VoiceEnd
from models.turn_weights import WEIGHTS, TurnWeights, bounded, chance, log_odds, read_out

LEADING = 0.88
"""Most that a sentence of a leading kind can reach: "This is ridiculous." is finished, the turn seldom is."""
HANGING_ODDS = -2.7
"""Log-odds of words that end in the middle of something: "my number is", "and", "um"."""
HANGING = 0.2
"""Most that such words can reach, however they sound: 6 of 360 ends of read dev turns and 88 of 639 pauses had them."""
FOREIGN_VOICE = 0.5
"""Weight of the voice's log-odds beside the words' in a language that the voice model was not taught."""
_UNMARKED = re.compile(r"\w\s*$")


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How likely the turn is over, and from what.

    parts are log-odds: words, closing (`Recognition.closing`), voice; and ruled, 1 where a rule about the words or
    what was asked decided, leading, 1 where the intent is one after which callers go on. What was not there is left
    out.
    """

    probability: float
    parts: Mapping[str, float] = field(default_factory=dict)


class TurnModel:
    """P(turn over) at a pause; see weights/turn.md. Stateless and safe to share between threads."""

    def __init__(self, path: Path = WEIGHTS, encoder: VoiceEncoder | None = None) -> None:
        """Read the weights at `path`; `encoder` may be that of voice emotion, else it is loaded again.

        Raises:
            ModelMissing: there is no such file.
            ModelDamaged: the file holds no such weights.
        """
        self._weights = TurnWeights.load(path)
        self._voice = VoiceEnd(encoder)

    def probability(
        self,
        understood: Understood,
        context: UnderstandingContext = UnderstandingContext(),  # noqa: B008
        *,
        recognition: Recognition | None = None,
        samples: Samples | None = None,
        leading: Set[str] = frozenset(),
    ) -> TurnEnd:
        """P(the turn is over), blocking for some milliseconds.

        `recognition` and `samples` (the turn up to the pause, float32[n] at 16 kHz) are None where text was typed or a
        recognizer says nothing of how a sentence closes. `leading` names intents after which callers often go on:
        greetings, complaints, a "no" that nobody asked for. An answer to what was asked is never leading.
        """
        words = log_odds(understood.complete)
        parts = {"words": words}
        result = words
        if understood.ruled:
            parts["ruled"] = 1.0
        elif recognition is not None and base(recognition.language) != ENGLISH:
            # how words and marks end a turn was learnt on English; the voice falls in other languages, too
            features = None if samples is None else self._voice.features(samples)
            if features is not None:
                parts["voice"] = bounded(read_out(self._weights.voice, features))
                result = words + FOREIGN_VOICE * parts["voice"]
        elif recognition is not None and recognition.closing is not None:
            inputs = heard_inputs(words, recognition)
            parts["closing"] = inputs[1]
            features = None if samples is None else self._voice.features(samples)
            if features is None:
                result = read_out(self._weights.heard, inputs)
            else:
                parts["voice"] = bounded(read_out(self._weights.voice, features))
                result = read_out(self._weights.sound, [*inputs, parts["voice"]])
        probability = chance(result)
        if words <= HANGING_ODDS:
            probability = min(probability, HANGING)
        if leads(understood, context, leading):
            parts["leading"] = 1.0
            probability = min(probability, LEADING)
        return TurnEnd(probability, parts)


def heard_inputs(words: float, recognition: Recognition) -> list[float]:
    """`models.turn_weights.HEARD` of a recognition whose words alone give the log-odds `words`."""
    closing = bounded(recognition.closing if recognition.closing is not None else 0.0)
    unmarked = float(_UNMARKED.search(recognition.text) is not None)
    return [words, closing, max(recognition.average_log_probability, -2.0), unmarked]


def leads(understood: Understood, context: UnderstandingContext, leading: Set[str]) -> bool:
    """Whether the intent is one of `leading` and what was said answers nothing that was asked."""
    answers = context.asked_yes_no and any(slot.name == "yes_no" for slot in understood.slots)
    answers = answers or any(understood.slot(name) is not None for name in context.expected_slots)
    return understood.intent in leading and not answers
