"""What the record of a call shows, made ready for the checks of a rubric. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agent.dialogue.domain import Domain
from agent.dialogue.manner import EscalationRule
from agent.dialogue.steps import BranchStep, CallStep, VerifiedStep
from agent.records.dialogues import REPAIRS

SMALL = frozenset(
    "affirm deny greeting goodbye thanks give_information wait repeat out_of_scope human small_talk question".split()
)
"""Intents that say nothing of what a call is about."""
NO_TOPIC = "none"
GOODBYES = frozenset({"goodbye", "nothing else", "survey"})
"""Decisions after which our side ends the call."""
TYPED_MS = 50.0
"""A caller's turn that took less was typed or keyed in."""
ANGRY_WORDS = 0.75
"""The anger of a turn whose record only says that its words were angry."""
LONGEST_EXCERPT = 200
_TO_A_PERSON = frozenset(
    "accepted briefing bridged human_dropped handed_back ended wrapped_up callback calling_back".split()
)
"""Outcomes and states of a handoff from which on it is a person's."""


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """One turn of a call. text: what sounded; for the agent, what the caller heard. Times in ms from its start."""

    number: int
    speaker: str
    text: str
    meant: str
    started: float
    ended: float
    interrupted: bool = False
    must_hear: bool = False
    intent: str | None = None
    confidence: float = 0.0
    emotion: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, Any] = field(default_factory=dict)
    latency: Mapping[str, Any] = field(default_factory=dict)

    @property
    def anger(self) -> float:
        """How angry the turn was, in [0, 1]."""
        both = self.emotion.get("both_angry")
        if isinstance(both, int | float):
            return min(1.0, max(0.0, float(both)))
        return ANGRY_WORDS if self.emotion.get("words") == "angry" else 0.0

    @property
    def feeling(self) -> str:
        """Its feeling in a word."""
        return str(self.emotion.get("both") or self.emotion.get("words") or "neutral")

    @property
    def repair(self) -> bool:
        """Whether this reply only asked again."""
        return str(self.reasons.get("decision") or "").startswith(REPAIRS)

    @property
    def rule(self) -> str | None:
        """The escalation rule that decided it, if one did."""
        rule = self.reasons.get("rule")
        return rule if isinstance(rule, str) else None


@dataclass(frozen=True, slots=True)
class Gap:
    """Nobody spoke from `start` to `end` (ms); `before` is the turn that ended it, None at the call's end."""

    start: float
    end: float
    before: Said | None

    @property
    def length(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Proof:
    """An action that proves who calls: its result has `value` in `field`; any result where that is None."""

    action: str
    field: str | None = None
    value: str | None = None

    def by(self, action: Mapping[str, Any]) -> bool:
        """Whether a recorded action is this proof."""
        if action["name"] != self.action or not action["ok"]:
            return False
        return self.field is None or _as_case(action["result"].get(self.field)) == self.value


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """What of a domain its calls are measured by. disclosures: one tuple a language. guarded: actions that need a
    proof of identity. escalation: the rules that look at one turn alone, by its words or its intent."""

    name: str
    disclosures: tuple[tuple[str, ...], ...] = ()
    guarded: frozenset[str] = frozenset()
    proofs: tuple[Proof, ...] = ()
    escalation: tuple[EscalationRule, ...] = ()

    @classmethod
    def of(cls, domain: Domain) -> DomainFacts:
        """What matters of `domain` in all its languages."""
        every = (domain, *domain.localized.values())
        rules = tuple(rule for one in every for rule in one.manner.escalation if _by_one_turn(rule))
        identity = domain.manner.identity
        return cls(
            domain.name,
            tuple(one.manner.disclosures for one in every if one.manner.disclosures),
            frozenset(name for name, spec in domain.manner.actions.items() if spec.identity == "verified"),
            tuple(_proofs(domain, identity.flow)) if identity is not None else (),
            rules,
        )


def _by_one_turn(rule: EscalationRule) -> bool:
    return all(value is None for value in (rule.failures, rule.angry_turns, rule.sad_turns, rule.silences))


def _proofs(domain: Domain, flow: str) -> Iterator[Proof]:
    steps = domain.flows[flow].steps if flow in domain.flows else ()
    ids = {step.id: n for n, step in enumerate(steps) if step.id}
    for place, step in enumerate(steps):
        if not isinstance(step, VerifiedStep):
            continue
        result = step.verified.partition(".")[0]
        calls = [one.call for one in steps if isinstance(one, CallStep) and one.into == result]
        leads = [
            (one.branch.partition(".")[2], value)
            for one in steps
            if isinstance(one, BranchStep) and one.branch.partition(".")[0] == result
            for value, target in one.cases.items()
            if ids.get(target) == place
        ]
        for action in dict.fromkeys(calls):
            yield from (Proof(action, name, value.lower()) for name, value in leads)
            if not leads:
                yield Proof(action)


def _as_case(value: Any) -> str:
    return "none" if value is None else str(value).lower()


@dataclass(frozen=True)
class CallEvidence:
    """A finished call as the checks see it."""

    call_id: str
    domain: str
    outcome: str
    reason: str
    duration: float
    turns: tuple[Said, ...]
    actions: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...]
    handoffs: tuple[Mapping[str, Any], ...]
    facts: DomainFacts | None = None

    @classmethod
    def of(cls, loaded: Mapping[str, Any], facts: DomainFacts | None = None) -> CallEvidence:
        """From what `agent.records.queries.load_call` gives."""
        call = loaded["call"]
        turns = tuple(_in_time([_said(row) for row in loaded["turns"] if (row["text"] or "").strip()]))
        last = max((turn.ended for turn in turns), default=0.0)
        duration = float(call["duration_ms"] or 0.0) or last
        return cls(
            call["id"], call["domain"], call["outcome"] or "failed", call["reason"] or "", duration, turns,
            tuple(loaded["actions"]), tuple(loaded["events"]), tuple(loaded["handoffs"]), facts,
        )  # fmt: skip

    @cached_property
    def caller(self) -> tuple[Said, ...]:
        """What the caller said."""
        return tuple(turn for turn in self.turns if turn.speaker == "caller")

    @cached_property
    def agent(self) -> tuple[Said, ...]:
        """What our side said, a person at our console included, and the caller heard."""
        return tuple(turn for turn in self.turns if turn.speaker != "caller" and turn.text.strip())

    def answers(self, turn: Said, within: int) -> tuple[Said, ...]:
        """What our side said to a caller's turn, in it and in the next `within` turns."""
        said = (one for one in self.agent if one.started >= turn.started)
        return tuple(one for one in said if turn.number <= one.number <= turn.number + within)

    @cached_property
    def proven_in(self) -> int | None:
        """The turn in which the caller had proven who they are."""
        proofs = self.facts.proofs if self.facts is not None else ()
        return next((row["turn"] for row in self.actions if any(proof.by(row) for proof in proofs)), None)

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """Where nobody spoke, while the call was ours, the longest first."""
        end = self.duration
        if self.outcome == "handed_off" and self.turns:
            end = max(turn.ended for turn in self.turns)
        gaps, quiet_from = [], 0.0
        for turn in sorted(self.turns, key=lambda one: one.started):
            # Waiting for a person is no silence: there is music or the place in the queue.
            if turn.started > quiet_from and turn.speaker != "human":
                gaps.append(Gap(quiet_from, min(turn.started, end), turn))
            quiet_from = max(quiet_from, turn.ended)
        if end > quiet_from:
            gaps.append(Gap(quiet_from, end, None))
        return tuple(sorted(gaps, key=lambda gap: -gap.length))

    @cached_property
    def silence(self) -> float:
        """The share of the call in which nobody spoke."""
        if self.duration <= 0 or not self.spoken:
            return 0.0
        return min(1.0, sum(gap.length for gap in self.gaps) / self.duration)

    @cached_property
    def talked_over(self) -> tuple[tuple[Said, float], ...]:
        """Replies of the agent that began while the caller spoke, and for how many ms that went on."""
        return tuple(
            (reply, min(turn.ended, reply.ended) - reply.started)
            for reply in self.agent
            for turn in self.caller
            if reply.speaker == "agent" and turn.started < reply.started < turn.ended
        )

    @property
    def spoken(self) -> bool:
        """Whether the caller spoke: typed turns take no time, so theirs tell nothing of silence."""
        return any(turn.ended - turn.started >= TYPED_MS for turn in self.caller)

    @cached_property
    def anger(self) -> float:
        """The highest anger as the agent took it, smoothed over turns; of single turns where it did not say."""
        told = [
            turn.reasons["emotion"].get("anger")
            for turn in self.agent
            if isinstance(turn.reasons.get("emotion"), Mapping)
        ]
        smoothed = [float(value) for value in told if isinstance(value, int | float)]
        return min(1.0, max(smoothed or [turn.anger for turn in self.caller], default=0.0))

    @cached_property
    def said_goodbye(self) -> bool:
        """Whether our side had come to its goodbye."""
        return any(one.reasons.get("decision") in GOODBYES for one in self.agent[-1:])

    @cached_property
    def repairs(self) -> float:
        """The share of replies that only asked again."""
        replies = [turn for turn in self.agent if turn.speaker == "agent" and turn.number > 0]
        return sum(turn.repair for turn in replies) / len(replies) if replies else 0.0

    @cached_property
    def emotion(self) -> str:
        """The strongest feeling heard: anger where any turn was angry, else the most frequent that is not neutral."""
        counts = Counter(turn.feeling for turn in self.caller if turn.feeling != "neutral")
        return "angry" if counts["angry"] else next((name for name, _ in counts.most_common(1)), "neutral")

    @cached_property
    def topic(self) -> str:
        """What the call was about: the flow of its verdict, or the intent that says most."""
        for event in self.events:
            topic = event["data"].get("topic") if event["kind"] == "verdict" else None
            if isinstance(topic, str) and topic != NO_TOPIC:
                return topic
        for handoff in self.handoffs:
            if handoff["intent"] and handoff["intent"] not in SMALL:
                return str(handoff["intent"])
        counts = Counter(turn.intent for turn in self.caller if turn.intent and turn.intent not in SMALL)
        return str(counts.most_common(1)[0][0]) if counts else NO_TOPIC

    @cached_property
    def transferred(self) -> str | None:
        """Why the call became a person's: the rule; None where it did not."""
        for handoff in self.handoffs:
            if {handoff["outcome"], handoff["state"]} & _TO_A_PERSON:
                return str(handoff["rule"] or handoff["reason"] or "unknown")
        by_hand = self.outcome == "handed_off" or any(turn.speaker == "human" for turn in self.turns)
        return "unknown" if by_hand else None

    @cached_property
    def answered_last(self) -> bool:
        """Whether the last reply did, looked up or answered something, and was heard to its end."""
        last = self.agent[-1] if self.agent else None
        return last is not None and not last.interrupted and not last.repair and _worked(last)

    @cached_property
    def worked(self) -> bool:
        """Whether anything was done, looked up or answered."""
        return any(row["ok"] for row in self.actions) or any(_worked(turn) for turn in self.agent)

    @property
    def contained(self) -> bool:
        """Whether the call was settled without a person: ended in order, or left after an answer, and not handed on."""
        left = self.outcome == "caller_left" and (self.answered_last or self.said_goodbye)
        settled = left or (self.outcome == "completed" and self.reason != "silence")
        return settled and self.transferred is None

    @cached_property
    def human_ms(self) -> float:
        """How long a person spoke with the caller on our line."""
        spoken = [turn for turn in self.turns if turn.speaker == "human"]
        return max(turn.ended for turn in spoken) - min(turn.started for turn in spoken) if spoken else 0.0


def excerpt(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= LONGEST_EXCERPT else text[: LONGEST_EXCERPT - 1].rstrip() + "…"


def _worked(turn: Said) -> bool:
    knowledge = turn.reasons.get("knowledge")
    answered = isinstance(knowledge, Mapping) and bool(knowledge.get("answers"))
    return answered or bool(turn.reasons.get("actions"))


def _said(row: Mapping[str, Any]) -> Said:
    heard = row["heard"]
    text = row["text"] if row["speaker"] == "caller" or heard is None else heard
    return Said(
        row["number"], row["speaker"], text, row["text"], float(row["started_ms"]), float(row["ended_ms"]),
        bool(row["interrupted"]), bool(row["must_hear"]), row["intent"], float(row["confidence"] or 0.0),
        row["emotion"] or {}, row["reasons"] or {}, row["latency"] or {},
    )  # fmt: skip


def _in_time(turns: Sequence[Said]) -> Iterator[Said]:
    """The turns as they sounded. A caller's turn is written down when it is settled, after a pause: where the reply's
    latency is known, it ended that much before the reply."""
    replies = {turn.number: turn for turn in turns if turn.speaker == "agent"}
    for turn in turns:
        reply = replies.get(turn.number) if turn.speaker == "caller" else None
        total = reply.latency.get("total") if reply is not None else None
        if reply is not None and isinstance(total, int | float) and reply.started - total < turn.ended:
            ended = max(turn.started, reply.started - float(total))
            turn = Said(**{name: getattr(turn, name) for name in Said.__slots__} | {"ended": ended})
        yield turn
