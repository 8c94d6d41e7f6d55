"""What a call writes down as it goes: transcript, record, captions, counters, log lines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.call.outbox import Outbox
from agent.call.playout import HeardUtterance
from agent.call.replying import Reply
from agent.call.services import CallServices
from agent.call.transcript import Transcript
from agent.dialogue.contracts import Acted, CallerTurn
from agent.dialogue.reasons import WITHHELD
from agent.gateways.base import ShowState, ShowTranscript, ShowTurn
from agent.learning.shadow import EVENT as SHADOW_EVENT
from agent.learning.shadow import SettledTurn
from agent.records.contracts import ActionRecord, CallRecord, TurnRecord
from agent.records.muting import REASON, Span
from agent.records.redaction import redact_json
from models.contracts import UnderstandingContext, Understood, VoiceEmotion
from models.fusion import fuse

LOUD = 3
"""Faults of one code logged in full; of more, every hundredth: a hostile client must not fill the disk."""

log = logging.getLogger(__name__)


class Notes:
    """The notebook of one call. `record` is None until the gateway announced the call."""

    def __init__(self, services: CallServices, outbox: Outbox, call_id: str = "") -> None:
        self._services = services
        self._call_id = call_id
        self.standing: Callable[[], Mapping[str, Any]] = dict
        """Who has the call, for the feed."""
        self._clock = services.clock
        self._outbox = outbox
        self.began_ms = services.clock.now_ms()
        self.record: CallRecord | None = None
        self.transcript = Transcript()
        self.counters: dict[str, int] = {}
        self.emotions: list[Mapping[str, Any]] = []
        self.actions: list[Mapping[str, Any]] = []
        self._acted: list[Acted] = []

    def at(self, now_ms: float) -> float:
        """A time of the clock as ms since the call began."""
        return round(now_ms - self.began_ms, 1)

    def event(self, kind: str, /, **data: Any) -> None:
        """Something happened."""
        if self.record is not None:
            self.record.event(kind, self.at(self._clock.now_ms()), data)

    def publish(self, kind: str, **data: Any) -> None:
        """Tell whoever watches at a console; redacted as the record is."""
        if self._services.feed is not None:
            self._services.feed.publish(kind, self._call_id, redact_json(data))

    def fault(self, code: str, detail: str) -> None:
        """Something was wrong: a coded log line, a metric, and an event of the record."""
        count = self.counters[code] = self.counters.get(code, 0) + 1
        self._services.metrics.faults.labels(code).inc()
        if count <= LOUD or count % 100 == 0:
            log.warning("%s: %s", code, detail, extra={"code": code, "count": count})
            self.event("fault", code=code, detail=detail, count=count)

    def decision(self, name: str, **data: Any) -> None:
        """The floor decided something that counts."""
        self.counters[name] = self.counters.get(name, 0) + 1
        self._services.metrics.floor.labels(name).inc()
        self.event(name, **data)

    def state(self, phase: str) -> None:
        """The floor changed hands."""
        self._outbox.put(ShowState(phase))
        self.event("state", phase=phase)
        self.publish("state", phase=phase, **self.standing())

    def caption(self, speaker: str, text: str, turn: int, final: bool) -> None:
        """Show a line to clients that can, and to consoles."""
        self._outbox.put(ShowTranscript("caller" if speaker == "caller" else "agent", text, final, turn))
        self.publish("caption", speaker=speaker, text=text, final=final, turn=turn)

    def person(self, who: str, happened: str, mode: str = "") -> None:
        """Somebody at a console joined, left, took the call over, handed it back or was lost."""
        self.event("human", who=who, event=happened, mode=mode)
        self.publish("human", who=who, event=happened, mode=mode)

    def human(self, number: int, who: str, text: str, started_ms: float, ended_ms: float, **reasons: Any) -> None:
        """A turn of a person at a console is known; times of the clock."""
        self._put(
            TurnRecord(
                number,
                "human",
                text,
                self.at(started_ms),
                self.at(ended_ms),
                heard=text,
                reasons={"who": who, **reasons},
            )
        )
        self.caption("human", text, number, final=True)

    def announced(self, number: int, text: str, started_ms: float, ended_ms: float) -> None:
        """The caller, who waits, was told something; times of the clock."""
        self._put(
            TurnRecord(
                number,
                "agent",
                text,
                self.at(started_ms),
                self.at(ended_ms),
                heard=text,
                reasons={"rule": "announcement"},
            )
        )
        self.caption("agent", text, number, final=True)

    def caller(self, turn: CallerTurn, started_ms: float, withheld: bool = False) -> None:
        """A turn of the caller is settled. withheld: its words and values are neither recorded nor shown."""
        understood = turn.understood
        emotion = feelings(understood, turn.voice)
        self.emotions = [known for known in self.emotions if known["turn"] != turn.number]
        self.emotions.append({"turn": turn.number, **emotion})
        text = turn.text if turn.dtmf is None else f"[keys {turn.dtmf}]"
        if withheld:
            text = f"[{WITHHELD}]"
        self._put(
            TurnRecord(
                turn.number,
                "caller",
                text,
                self.at(started_ms),
                self.at(self._clock.now_ms()),
                intent=understood.intent,
                confidence=round(understood.confidence, 3),
                slots={} if withheld else {slot.name: slot.value for slot in understood.slots},
                emotion=emotion,
                reasons={
                    "ranking": [[name, round(chance, 3)] for name, chance in understood.ranking[:3]],
                    **(
                        {"nearest": [list(near) for near in understood.nearest]}
                        if understood.nearest and not withheld
                        else {}
                    ),
                },
                model=understood.model or None,
            )
        )
        self._services.metrics.turns.labels(understood.intent).inc()
        self.caption("caller", text, turn.number, final=True)

    def private(self, number: int, speaker: str, text: str, spans: Sequence[Span]) -> bool:
        """Where the private words of a turn are in the recording; False where the turn is not what it was."""
        turn = self.transcript.get(number, speaker)
        if turn is None or turn.text != text:
            return False
        self._put(replace(turn, reasons={**turn.reasons, REASON: [span.plain() for span in spans]}))
        return True

    def compare(self, turn: CallerTurn, context: UnderstandingContext) -> None:
        """Let a candidate model, where one runs, read a settled turn in the `context` it was understood in."""
        shadow, record = self._services.shadow, self.record
        if shadow is None or record is None or turn.dtmf is not None:
            return

        def stands() -> bool:
            kept = self.transcript.get(turn.number, "caller")
            return kept is not None and kept.text == turn.text

        def note(outcome: Mapping[str, Any]) -> None:
            record.event(SHADOW_EVENT, self.at(self._clock.now_ms()), outcome)

        shadow.read(SettledTurn(turn.number, turn.text, context, turn.understood, stands, note))

    def take_back(self, number: int) -> None:
        """The caller's turn `number` was only the beginning of one."""
        self.transcript.take_back(number, "caller")

    def supersede(self, number: int) -> None:
        """The caller went on with turn `number`: the next turn has all its words."""
        turn = self.transcript.get(number, "caller")
        if turn is not None:
            self._put(replace(turn, text="", reasons={**turn.reasons, "continued_in": number + 1}))

    def agent(self, reply: Reply) -> None:
        """A reply begins to sound, or more of it is known."""
        now = self._clock.now_ms()
        started = reply.audible_ms if reply.audible_ms is not None else now
        reasons = {**reply.reasons, "tones": sorted(set(reply.tones))}
        self._put(
            TurnRecord(
                reply.turn,
                "agent",
                reply.text,
                self.at(started),
                self.at(now),
                heard="",
                must_hear=reply.must_hear,
                latency=dict(reply.latency),
                reasons=reasons,
            )
        )

    def show_turn(self, reply: Reply) -> None:
        """Show what was understood and decided to clients that can."""
        shown: dict[str, object] = {
            "number": reply.turn,
            "text": reply.text,
            "latency": dict(reply.latency),
            "reasons": dict(reply.reasons),
        }
        caller = self.transcript.get(reply.turn, "caller")
        if caller is not None:
            shown |= {
                "caller": caller.text,
                "intent": caller.intent,
                "confidence": caller.confidence,
                "slots": dict(caller.slots),
                "emotion": dict(caller.emotion),
            }
        self._outbox.put(ShowTurn(shown))

    def heard(self, reply: Reply, heard: list[HeardUtterance], interrupted: bool) -> TurnRecord | None:
        """Fix a reply's turn to what the caller heard; None where nothing was said."""
        if not reply.said:
            return None
        self.agent(reply)
        fixed = self.transcript.fix(reply.turn, heard, interrupted, self.at(self._clock.now_ms()))
        if fixed is not None:
            self._put(fixed)
            self.caption("agent", fixed.heard or "", reply.turn, final=True)
        return fixed

    def acted(self, turn: int, acted: Acted) -> None:
        """An action ran in turn `turn`. Told again, after the turn it ran in was taken back, it counts once."""
        if any(known is acted for known in self._acted):
            return
        self._acted.append(acted)
        self.actions.append({"name": acted.name, "arguments": dict(acted.arguments), "ok": acted.ok})
        self._services.metrics.actions.labels(acted.name, str(acted.ok).lower()).inc()
        self.publish("action", name=acted.name, arguments=acted.arguments, ok=acted.ok, result=acted.result)
        if self.record is not None:
            self.record.action(
                ActionRecord(
                    turn,
                    acted.name,
                    acted.arguments,
                    acted.ok,
                    acted.result,
                    acted.idempotency_key,
                    acted.replayed,
                    acted.took_ms,
                )
            )

    def _put(self, turn: TurnRecord) -> None:
        self.transcript.put(turn)
        if self.record is not None:
            self.record.turn(turn)
        if self._services.feed is not None:
            self.publish(
                "turn",
                number=turn.number,
                speaker=turn.speaker,
                who=turn.reasons.get("who"),
                text=turn.text,
                heard=turn.heard,
                interrupted=turn.interrupted,
                intent=turn.intent,
                confidence=turn.confidence,
                slots=turn.slots,
                emotion=turn.emotion,
                reasons=turn.reasons,
                at_ms=turn.started_ms,
            )


def feelings(understood: Understood, voice: VoiceEmotion | None) -> Mapping[str, Any]:
    """A turn's emotion as recorded: by words, by voice, and by both."""
    both = fuse(understood.emotion, voice)
    found: dict[str, Any] = {"words": understood.emotion.label}
    if voice is not None:
        found |= {"voice": voice.label, "anger": round(voice.anger, 3), "activation": round(voice.activation, 3)}
    return found | {"both": both.label, "both_angry": round(both.anger, 3)}
