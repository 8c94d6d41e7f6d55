"""What a dialogue remembers of the caller's feelings: plain data that can be copied and taken back."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.dialogue.manner import Stance


@dataclass
class Reading:
    """How the caller sounded in a turn; anger, sadness are the smoothed series, `reading` this turn's anger alone."""

    turn: int
    label: str
    reading: float
    anger: float
    activation: float
    sadness: float = 0.0


@dataclass
class Feelings:
    """The emotion series of a call, and how it was met.

    anger, sadness: smoothed, in [0, 1]. angry_turns, sad_turns: turns in a row above the domain's thresholds. raised,
    sad: whether the caller counts as angry or sad, which they stay until well below the threshold. due: an apology is
    owed; apologised: turn of the last one. stance, since: how the last reply met the caller, and the turn in which that
    was last called for. said, opened: the opening sentences said so far, and the turn of the last one.
    """

    series: list[Reading] = field(default_factory=list)
    anger: float = 0.0
    sadness: float = 0.0
    angry_turns: int = 0
    sad_turns: int = 0
    raised: bool = False
    sad: bool = False
    due: bool = False
    apologised: int | None = None
    stance: Stance = "plain"
    since: int = 0
    said: list[str] = field(default_factory=list)
    opened: int | None = None
