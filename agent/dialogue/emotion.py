"""How the caller feels, as a smoothed series, and what that changes. Pure.

Voice readings are noisy: at 5 % false alarms and 3 % angry turns most alarms of a single turn would be false, so the
voice alone never raises anger in one turn; words can, and both together over turns.
"""

from __future__ import annotations

from agent.dialogue.contracts import Say
from agent.dialogue.manner import EmotionSettings
from agent.dialogue.state import Feelings, Reading
from models.contracts import TextEmotion, Tone, VoiceEmotion
from models.fusion import fuse

VOICE_MOST = 0.4
"""Most that a voice can add where the words are not angry, of what they leave: less than the default `apologise`."""
SAD = 0.5
"""P(sad) from which a caller is spoken to as one."""
LONGEST_SERIES = 200
"""Turns kept; older ones have no influence and only lengthen the record."""


def reading(words: TextEmotion, voice: VoiceEmotion | None) -> float:
    """Anger of one turn in [0, 1]: what `models.fusion` makes of words and voice."""
    both = fuse(words, voice).anger
    if words.label == "angry":
        return both
    return min(both, 1.0 - (1.0 - fuse(words, None).anger) * (1.0 - VOICE_MOST))


def feel(
    feelings: Feelings, settings: EmotionSettings, turn: int, words: TextEmotion, voice: VoiceEmotion | None
) -> bool:
    """Add a turn to the series. True where this turn deserves an apology: anger rose, and none was said lately."""
    now = reading(words, voice)
    before = feelings.anger
    feelings.anger = settings.smoothing * now + (1.0 - settings.smoothing) * before
    feelings.angry_turns = feelings.angry_turns + 1 if feelings.anger >= settings.upset else 0
    both = fuse(words, voice)
    feelings.sad = both.scores["sad"] >= SAD
    label = "angry" if feelings.anger >= settings.upset else "neutral" if both.label == "angry" else both.label
    feelings.series.append(
        Reading(turn, label, round(now, 3), round(feelings.anger, 3), round(voice.activation, 3) if voice else 0.0)
    )
    del feelings.series[:-LONGEST_SERIES]
    rose = feelings.anger > before and (now >= settings.apologise or feelings.anger >= settings.apologise)
    lately = feelings.apologised is not None and turn - feelings.apologised < settings.apologise_again_turns
    return rose and not lately


def toned(say: Say, feelings: Feelings, settings: EmotionSettings) -> Say:
    """`say` in the tone that suits: calm for an upset or sad caller, never cheerful; an apology stays one."""
    tone: Tone = "calm" if say.tone in ("neutral", "warm") and upset(feelings, settings) else say.tone
    return say if tone == say.tone else Say(say.text, tone, say.must_hear)


def upset(feelings: Feelings, settings: EmotionSettings) -> bool:
    """Whether the caller is upset or sad now."""
    return feelings.anger >= settings.upset or feelings.sad
