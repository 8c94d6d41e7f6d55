"""What a call that is only listened to writes down: who said what, and what the caller meant."""

from __future__ import annotations

from typing import Any

from agent.call.ears import Turn
from agent.call.notes import Notes, feelings
from agent.records.contracts import TurnRecord
from models.contracts import Understood, VoiceEmotion


class Minutes(Notes):
    """Notes of a call between two people."""

    def said(
        self,
        turn: Turn,
        text: str,
        confidence: float | None,
        understood: Understood | None = None,
        voice: VoiceEmotion | None = None,
    ) -> None:
        """A turn is known. confidence: of its words; understood, voice: of a caller's turn, where they are known."""
        reasons: dict[str, Any] = {"audio_ms": [round(turn.begin_ms), round(turn.end_ms)]}
        if confidence is not None:
            reasons["heard"] = round(confidence, 3)
        if turn.cut:
            reasons["cut"] = True
        if understood is not None:
            reasons["ranking"] = [[name, round(chance, 3)] for name, chance in understood.ranking[:3]]
            if understood.nearest:
                reasons["nearest"] = [list(near) for near in understood.nearest]
        self._put(
            TurnRecord(
                turn.number,
                turn.speaker,
                text,
                self.at(turn.started_ms),
                self.at(turn.started_ms + turn.end_ms - turn.begin_ms),
                heard=text if turn.speaker == "agent" else None,
                intent=None if understood is None else understood.intent,
                confidence=None if understood is None else round(understood.confidence, 3),
                slots={} if understood is None else {slot.name: slot.value for slot in understood.slots},
                emotion={} if understood is None else feelings(understood, voice),
                reasons=reasons,
                model=None if understood is None else understood.model or None,
            )
        )

    def lost(self, turn: Turn, why: str) -> None:
        """The words of a turn are not known, but for those shown early: the record and the count of faults say so."""
        self.fault("transcript_lost", f"{turn.speaker} turn {turn.number}: {why}")
        self._put(
            TurnRecord(
                turn.number,
                turn.speaker,
                turn.early,
                self.at(turn.started_ms),
                self.at(turn.started_ms + turn.end_ms - turn.begin_ms),
                heard=turn.early if turn.speaker == "agent" else None,
                reasons={"audio_ms": [round(turn.begin_ms), round(turn.end_ms)], "lost": why},
            )
        )
