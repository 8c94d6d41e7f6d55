"""What a server lets be seen of a call: in-band messages, its record, or its voice written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from agent.lab.outcome import Seen

_MOST = 5000
"""Notes kept of one call."""

What = Literal["state", "intent", "caller_said", "agent_said"]


class Watch:
    """The notebook of one call; `seen` in the order it was seen. Times in ms of line time.

    Captions that may still change are not notes: a later one takes their place.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.told_any = False
        """The server said something in-band."""
        self._turns: dict[tuple[int, str], dict[str, Any]] = {}
        self._known: dict[tuple[Any, ...], str] = {}

    def told(self, message: Mapping[str, Any], at_ms: float) -> None:
        """Take a message of the plain protocol's (docs/protocol.md)."""
        self.told_any = True
        match message.get("type"):
            case "state":
                self._note(at_ms, "state", str(message.get("state")).lower())
            case "caption":
                self._caption(message, at_ms)
            case "turn":
                self._turn(message, at_ms)

    def record(self, record: Mapping[str, Any], at_ms: float) -> None:
        """Take the record as it is now; what is new in it is noted, at the time the record gives."""
        for turn in record.get("turns", ()):
            key = (turn.get("number"), turn.get("speaker"))
            agent = turn.get("speaker") == "agent"
            text = str(turn.get("text") or "")
            at = min(at_ms, float(turn.get("started_ms" if agent else "ended_ms") or at_ms))
            if text and self._new((*key, "text"), text):
                self._note(at, "agent_said" if agent else "caller_said", text)
            intent = turn.get("intent")
            if not agent and text and isinstance(intent, str) and self._new((*key, "intent"), intent):
                self._note(at, "intent", intent)
        for event in record.get("events", ()):
            if event.get("kind") == "state" and self._new(("event", event.get("sequence")), "state"):
                phase = (event.get("data") or {}).get("phase")
                self._note(float(event.get("at_ms") or 0.0), "state", str(phase).lower())

    def heard(self, text: str, at_ms: float) -> None:
        """Take what the agent was heard to say in an utterance that began at `at_ms`."""
        if text:
            self._note(at_ms, "agent_said", text)
            number = len(self._turns)
            self._turns[number, "agent"] = _turn(number, "agent", text, at_ms, at_ms)

    def since(self, what: What, since_ms: float) -> list[str]:
        """Every note of that kind from `since_ms` on."""
        return [note.value for note in self.seen if note.what == what and note.at_ms >= since_ms]

    @property
    def state(self) -> str | None:
        """The last state seen."""
        return next((note.value for note in reversed(self.seen) if note.what == "state"), None)

    def observed(self) -> dict[str, Any]:
        """A record made of what was seen, for servers that keep none that can be read."""
        turns = sorted(self._turns.values(), key=lambda turn: float(turn["started_ms"]))
        return {"call": {}, "turns": turns, "actions": [], "handoffs": [], "events": []}

    def _caption(self, message: Mapping[str, Any], at_ms: float) -> None:
        speaker = "caller" if message.get("speaker") == "caller" else "agent"
        number, text = int(message.get("turn") or 0), str(message.get("text") or "")
        if not text:
            return
        turn = self._turns.setdefault((number, speaker), _turn(number, speaker, text, at_ms, at_ms))
        turn |= {"text": text, "ended_ms": at_ms}
        if speaker == "agent":
            turn["heard"] = text
        if self._new((number, speaker, "caption"), text) and (message.get("final") or speaker == "agent"):
            self._note(at_ms, "agent_said" if speaker == "agent" else "caller_said", text)

    def _turn(self, message: Mapping[str, Any], at_ms: float) -> None:
        number = int(message.get("number") or 0)
        caller = self._turns.get((number, "caller"))
        if caller is not None:
            caller |= {name: message[name] for name in ("intent", "slots", "emotion") if name in message}
        agent = self._turns.get((number, "agent"))
        if agent is not None:
            agent |= {name: message[name] for name in ("latency", "reasons") if name in message}
        intent = message.get("intent")
        if isinstance(intent, str) and self._new((number, "caller", "intent"), intent):
            self._note(at_ms, "intent", intent)

    def _new(self, key: tuple[Any, ...], value: str) -> bool:
        if self._known.get(key) == value:
            return False
        self._known[key] = value
        return True

    def _note(self, at_ms: float, what: What, value: str) -> None:
        if len(self.seen) < _MOST:
            self.seen.append(Seen(at_ms, what, value))


def _turn(number: int, speaker: str, text: str, started: float, ended: float) -> dict[str, Any]:
    return {"number": number, "speaker": speaker, "text": text, "started_ms": started, "ended_ms": ended}
