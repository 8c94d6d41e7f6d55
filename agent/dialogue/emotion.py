"""How the caller feels, as a smoothed series, and how a reply meets it: stance, tone, pace, opening words. Pure.

Voice readings are noisy: at 5 % false alarms and 3 % angry turns most alarms of a single turn would be false, so the
voice alone never raises anger in one turn; words can, and both together over turns. For the same reason a stance is
entered at one threshold, left at a lower one, and kept for some turns. docs/emotion.md has the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from agent.dialogue.contracts import Acted, Part, Say
from agent.dialogue.feelings import Feelings, Reading
from agent.dialogue.manner import EmotionSettings, Stance
from models.contracts import TextEmotion, Tone, VoiceEmotion
from models.fusion import fuse

VOICE_MOST = 0.4
"""Most that a voice can add where the words are not angry, of what they leave: less than the default `apologise`."""
SAD_VOICE_MOST = 0.6
"""The same for sadness: with the default smoothing a sad voice alone counts from its second turn on."""
LONGEST_SERIES = 200
"""Turns kept; older ones have no influence and only lengthen the record."""
STUCK = 2
"""Failed turns in a row from which a caller is encouraged."""

STRENGTH: Mapping[Stance, int] = {
    "plain": 0, "celebrate": 0, "encourage": 1, "soothe": 1, "brief": 2, "apologise": 3,
}  # fmt: skip
"""A stronger stance replaces a weaker one at once, a weaker one only after `hold_turns`."""

_HELD: Mapping[Stance, Stance] = {"apologise": "brief", "celebrate": "plain"}
"""What is left of a stance that lasts one reply."""

PACES: Mapping[Stance, float] = {"soothe": 0.9, "encourage": 0.95, "brief": 1.05}
"""Speaking rate by stance, 1 being the voice's own. Listeners notice a change of tempo from about 5 % (Quené 2007,
Journal of Phonetics 35), so these are the smallest steps that can be heard."""
SLOW = 0.9
"""Rate for a caller whose last turn went wrong."""
SLOWEST, FASTEST, PACE_STEP = 0.7, 1.3, 0.05
"""Rates are rounded to steps, so that a sentence has few variants to cache."""


@dataclass(frozen=True, slots=True)
class TurnFacts:
    """What this turn brought: whether its actions worked, whether that is good or bad news, and how many turns in a row
    were not understood.
    """

    outcome: Literal["done", "failed"] | None = None
    news: Literal["good", "bad"] | None = None
    stuck: int = 0


def reading(words: TextEmotion, voice: VoiceEmotion | None) -> float:
    """Anger of one turn in [0, 1]: what `models.fusion` makes of words and voice."""
    return _limited("angry", VOICE_MOST, words, voice)


def feel(
    feelings: Feelings, settings: EmotionSettings, turn: int, words: TextEmotion, voice: VoiceEmotion | None
) -> bool:
    """Add a turn to the series. True where this turn deserves an apology: anger rose, and none was said lately."""
    now = reading(words, voice)
    before = feelings.anger
    feelings.anger = settings.smoothing * now + (1.0 - settings.smoothing) * before
    feelings.angry_turns = feelings.angry_turns + 1 if feelings.anger >= settings.upset else 0
    feelings.raised = feelings.anger >= (settings.calm if feelings.raised else settings.upset)
    sad = _limited("sad", SAD_VOICE_MOST, words, voice)
    feelings.sadness = settings.smoothing * sad + (1.0 - settings.smoothing) * feelings.sadness
    feelings.sad_turns = feelings.sad_turns + 1 if feelings.sadness >= settings.sad else 0
    feelings.sad = feelings.sadness >= (settings.consoled if feelings.sad else settings.sad)
    both = fuse(words, voice)
    label = "angry" if feelings.anger >= settings.upset else "neutral" if both.label == "angry" else both.label
    activation = round(voice.activation, 3) if voice else 0.0
    feelings.series.append(
        Reading(turn, label, round(now, 3), round(feelings.anger, 3), activation, round(feelings.sadness, 3))
    )
    del feelings.series[:-LONGEST_SERIES]
    rose = feelings.anger > before and (now >= settings.apologise or feelings.anger >= settings.apologise)
    lately = feelings.apologised is not None and turn - feelings.apologised < settings.apologise_again_turns
    feelings.due = rose and not lately
    return feelings.due


def upset(feelings: Feelings, settings: EmotionSettings) -> bool:
    """Whether the caller is upset or sad now."""
    return feelings.raised or feelings.anger >= settings.upset or feelings.sad


def facts_of(parts: Sequence[Part], acted: Sequence[Acted] = (), stuck: int = 0) -> TurnFacts:
    """What a turn brought, from its actions and from the tones its texts were written in.

    A text written as `sorry` is bad news; one written as `warm` after an action that worked is good news.
    """
    outcome: Literal["done", "failed"] | None = None
    if acted:
        outcome = "done" if all(one.ok for one in acted) else "failed"
    tones = {part.tone for part in parts if isinstance(part, Say)}
    if "sorry" in tones or outcome == "failed":
        return TurnFacts(outcome, "bad", stuck)
    return TurnFacts(outcome, "good" if outcome == "done" and "warm" in tones else None, stuck)


def choose(feelings: Feelings, settings: EmotionSettings, facts: TurnFacts, turn: int) -> Stance:
    """How to meet the caller in this reply; remembers it in `feelings`. The same again within a turn.

    An apology lasts one reply and leaves a brief stance behind; joy lasts one reply. Everything else is kept for
    `hold_turns` after the last turn that called for it.
    """
    due = _called_for(feelings, settings, facts)
    held: Stance = _HELD.get(feelings.stance, feelings.stance)
    if STRENGTH[due] < STRENGTH[held] and turn - feelings.since < settings.hold_turns:
        feelings.stance = held
    else:
        feelings.stance, feelings.since = due, turn
    return feelings.stance


def opener(feelings: Feelings, settings: EmotionSettings, turn: int) -> str | None:
    """The sentence that opens a reply in the stance of `feelings`, and takes note of it; None where none is fit.

    None is said twice in a call, nor within `opener_turns` of the last one. An apology does not wait for that, but is
    said only where one is due.
    """
    stance = feelings.stance
    apart = 1 if stance == "apologise" else settings.opener_turns
    lately = feelings.opened is not None and turn - feelings.opened < apart
    text = None if lately or (stance == "apologise" and not feelings.due) else _unsaid(feelings, settings, stance)
    if text is not None:
        feelings.said.append(text)
        feelings.opened = turn
    return text


def shape(
    parts: Sequence[Part],
    feelings: Feelings,
    settings: EmotionSettings,
    turn: int,
    facts: TurnFacts | None = None,
    pace: float = 1.0,
    *,
    more: bool = False,
) -> list[Part]:
    """The parts of a reply, or of a piece of it, as they are given to this caller: opened, toned, paced and shortened.

    An upset caller is spared sentences marked optional, unless nothing else would be said. No opening is put before a
    text that is itself an apology, nor where nothing is said. `facts` are by default those of `parts`; `pace` is the
    speaking rate this caller likes. `more` says that other pieces of the reply follow. Changes `feelings`.
    """
    brought = facts or facts_of(parts)
    before = feelings.stance
    stance = choose(feelings, settings, brought, turn)
    worded = more or any(isinstance(part, Say) and not part.optional for part in parts)
    short = stance in ("brief", "apologise") and worded
    kept = [part for part in parts if not (short and isinstance(part, Say) and part.optional)]
    rate = _rate(stance, brought, pace)
    shaped: list[Part] = []
    opening = stance != before or feelings.due
    for part in kept:
        if isinstance(part, Say):
            if opening:
                shaped += _opening(part, feelings, settings, turn, rate)
                opening = False
            part = toned(part, feelings, settings)
            part = replace(part, pace=min(rate, 1.0) if part.must_hear else rate)
        shaped.append(part)
    return shaped


def toned(say: Say, feelings: Feelings, settings: EmotionSettings) -> Say:
    """`say` in the tone that suits: calm for an upset or sad caller, never cheerful; an apology stays one."""
    tone: Tone = say.tone
    if upset(feelings, settings) or feelings.stance == "soothe":
        tone = "calm" if say.tone in ("neutral", "warm") else say.tone
    elif feelings.stance == "celebrate" and say.tone == "neutral":
        tone = "warm"
    return say if tone == say.tone else replace(say, tone=tone)


def is_complaint(names: Sequence[str], settings: EmotionSettings) -> bool:
    """Whether any of these intents or flows is a complaint, by its name."""
    return any(mark in name for name in names for mark in settings.complaints)


def _limited(label: str, most: float, words: TextEmotion, voice: VoiceEmotion | None) -> float:
    """The fused probability of `label`; where the words do not say it, the voice adds at most `most` of the rest."""
    both = fuse(words, voice).scores[label]
    if words.label == label:
        return both
    return min(both, 1.0 - (1.0 - fuse(words, None).scores[label]) * (1.0 - most))


def _unsaid(feelings: Feelings, settings: EmotionSettings, stance: Stance) -> str | None:
    return next((text for text in settings.say.get(stance, ()) if text not in feelings.said), None)


def _called_for(feelings: Feelings, settings: EmotionSettings, facts: TurnFacts) -> Stance:
    if feelings.due and _unsaid(feelings, settings, "apologise") is not None:
        return "apologise"
    if feelings.raised or feelings.anger >= settings.upset:
        return "brief"
    worked = facts.outcome == "done" and facts.news != "bad"
    if feelings.sad:
        return "encourage" if worked else "soothe"
    if facts.news == "bad":
        return "soothe"
    if facts.stuck >= STUCK:
        return "encourage"
    glad = bool(feelings.series) and feelings.series[-1].label == "happy"
    return "celebrate" if glad and facts.news == "good" else "plain"


def _opening(first: Say, feelings: Feelings, settings: EmotionSettings, turn: int, rate: float) -> list[Say]:
    """What is said before `first`, and what that means for the apology that is due."""
    sorry = first.tone == "sorry"
    text = None if sorry else opener(feelings, settings, turn)
    if feelings.due and (sorry or text is not None):
        feelings.apologised = turn
    feelings.due = False
    tones: Mapping[Stance, Tone] = {"apologise": "sorry", "celebrate": "warm"}
    return [] if text is None else [Say(text, tones.get(feelings.stance, "calm"), pace=rate)]


def _rate(stance: Stance, facts: TurnFacts, liked: float) -> float:
    own = min(PACES.get(stance, 1.0), SLOW) if facts.stuck else PACES.get(stance, 1.0)
    return round(min(max(own * liked, SLOWEST), FASTEST) / PACE_STEP) * PACE_STEP
