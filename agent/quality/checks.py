"""The checks of a rubric: each looks at a call's evidence and says how well a criterion was met, and where. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.dialogue.escalation import Signals, evaluate
from agent.dialogue.manner import matches
from agent.dialogue.text import sentences
from agent.quality.evidence import CallEvidence, Said
from agent.quality.rubric import (
    Criterion,
    Disclosure,
    Empathy,
    Forbidden,
    Greeting,
    Identity,
    Policy,
    Resolution,
    Rule,
    Silence,
    TalkOver,
)

MOST_EVIDENCE = 12
"""Turns named as evidence of one criterion; why says how many there were."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How well one criterion was met: value in [0, 1], None where it does not apply. evidence: the turns that show it,
    in order."""

    value: float | None
    why: str
    evidence: tuple[Said, ...] = ()


def find(criterion: Criterion, call: CallEvidence) -> Finding:
    """Look for one criterion in one call."""
    finding = _CHECKS[type(criterion)](criterion, call)
    return Finding(finding.value, finding.why, finding.evidence[:MOST_EVIDENCE])


def _greeting(criterion: Greeting, call: CallEvidence) -> Finding:
    first = next((turn for turn in call.turns if turn.speaker != "caller"), None)
    if first is None:
        return Finding(0.0, "the agent never spoke")
    if not call.agent or call.agent[0] is not first:
        if call.duration < criterion.within_s * 1000.0:
            return Finding(None, f"the call was over after {_s(call.duration)}")
        return Finding(0.0, "the caller heard nothing of the greeting", (first,))
    if first.started > criterion.within_s * 1000.0:
        return Finding(0.5, f"it began after {_s(first.started)}; {criterion.within_s:g} s are allowed", (first,))
    share = len(first.text) / max(1, len(first.meant))
    if share < criterion.heard:
        return Finding(0.5, f"only {share:.0%} of it was heard", (first,))
    return Finding(1.0, f"it began after {_s(first.started)}", (first,))


def _disclosure(criterion: Disclosure, call: CallEvidence) -> Finding:
    opening = tuple(turn for turn in call.turns if turn.speaker == "agent" and turn.text.strip())
    heard = _plain(" ".join(turn.text for turn in opening))
    shown = tuple(turn for turn in opening if turn.must_hear)[:3] or opening[:1]
    if criterion.phrases:
        missing = [phrase for phrase in criterion.phrases if not matches((phrase,), heard)]
        why = f"not heard: {', '.join(missing)}" if missing else "all of it was heard"
        return Finding(1.0 - len(missing) / len(criterion.phrases), why, shown)
    if call.facts is not None and call.facts.disclosures:
        best = 0.0
        for disclosures in call.facts.disclosures:
            parts = [_plain(part) for line in disclosures for part in sentences(line)]
            best = max(best, sum(part in heard for part in parts) / len(parts))
        return Finding(best, f"{best:.0%} of its sentences were heard whole", shown)
    must = [turn for turn in call.turns if turn.speaker == "agent" and turn.must_hear]
    if not must:
        return Finding(None, "there is nothing that had to be heard")
    cut = tuple(turn for turn in must if _plain(turn.text) != _plain(turn.meant))
    why = f"{len(cut)} of {len(must)} such turns were cut" if cut else "all such turns were heard whole"
    return Finding(1.0 - len(cut) / len(must), why, cut or tuple(must))


def _identity(criterion: Identity, call: CallEvidence) -> Finding:
    facts = call.facts
    if facts is None:
        return Finding(None, "what the domain asks for is not known here")
    if not facts.proofs:
        return Finding(None, "the domain asks for no proof of identity")
    proven, bad = False, []
    guarded = 0
    for action in call.actions:
        proven = proven or any(proof.by(action) for proof in facts.proofs)
        if action["name"] in facts.guarded and action["ok"]:
            guarded += 1
            if not proven:
                bad.append(action)
    last_private = call.proven_in
    before = (turn for turn in call.agent if last_private is None or turn.number < last_private)
    data_before = [turn for turn in before if matches(criterion.data, turn.text)]
    if bad or data_before:
        numbers = {action["turn"] for action in bad}
        wrong = tuple(turn for turn in call.agent if turn.number in numbers or turn in data_before)
        named = ", ".join(dict.fromkeys(str(action["name"]) for action in bad))
        why = f"before the proof: {named}" if bad else "the agent told what looks like a customer's data before a proof"
        return Finding(0.0, why, wrong)
    if not guarded and last_private is None:
        return Finding(None, "nothing was told or done that needs a proof")
    shown = tuple(turn for turn in call.agent if turn.number == last_private)
    return Finding(1.0, f"proven in turn {last_private}, before {guarded} actions that need it", shown)


def _empathy(criterion: Empathy, call: CallEvidence) -> Finding:
    angry = [turn for turn in call.caller if _is_angry(turn, criterion)]
    answerable = [turn for turn in angry if call.answers(turn, criterion.within_turns)]
    if not answerable:
        why = "no anger was heard" if not angry else "the caller left before an answer"
        return Finding(None, why, tuple(angry))

    def kind(reply: Said) -> bool:
        tones = reply.reasons.get("tones")
        toned = isinstance(tones, list) and any(tone in criterion.tones for tone in tones)
        return toned or matches(criterion.words, reply.text)

    missed = []
    for turn in answerable:
        before = (one for one in call.agent if turn.number - criterion.again_turns <= one.number < turn.number)
        after = call.answers(turn, criterion.within_turns)
        if not any(map(kind, after)) and not any(map(kind, before)):
            missed.append(turn)
    met = len(answerable) - len(missed)
    shown = [one for turn in (missed or answerable) for one in (turn, *call.answers(turn, 0)[:1])]
    return Finding(met / len(answerable), f"{met} of {len(answerable)} angry turns were met", tuple(shown))


def _is_angry(turn: Said, criterion: Empathy) -> bool:
    return turn.anger >= (criterion.angry if turn.emotion.get("words") == "angry" else criterion.voice_alone)


def _resolution(criterion: Resolution, call: CallEvidence) -> Finding:
    if call.outcome is None or call.outcome not in criterion.outcomes:
        return Finding(None, f"a call that was {call.outcome} wanted nothing of us")
    value = criterion.outcomes[call.outcome]  # type: ignore[index]
    why = f"the call ended as {call.outcome.replace('_', ' ')}"
    spoke = any(turn.text.strip() for turn in call.caller)
    if call.outcome == "completed" and call.reason == "silence":
        value, why = criterion.silent, "the caller was not heard any more"
    elif call.outcome == "caller_left" and not spoke:
        return Finding(None, "the caller left without a word")
    elif call.outcome == "caller_left" and call.said_goodbye:
        value, why = criterion.outcomes.get("completed", value), "the caller left at the goodbye"
    elif call.outcome == "caller_left" and call.answered_last:
        value, why = criterion.left_answered, "the caller left after an answer"
    elif call.outcome == "completed" and call.transferred is not None and not call.human_ms:
        value = min(value, criterion.outcomes.get("handed_off", value))
        why = "the call ended in order, and a person has to go on"
    elif call.outcome == "completed" and not call.worked:
        value, why = criterion.idle, "it was completed, but nothing was looked up, done or answered"
    if value > 0 and call.repairs >= criterion.repairs:
        value, why = value / 2, f"{why}; {call.repairs:.0%} of the replies only asked again"
    return Finding(value, why, call.turns[-2:])


def _silence(criterion: Silence, call: CallEvidence) -> Finding:
    if not call.spoken:
        return Finding(None, "the caller did not speak aloud")
    share = _falling(call.silence, criterion.good, criterion.bad)
    waits = [gap for gap in call.gaps if gap.before is not None and gap.before.speaker == "agent" and gap.start > 0]
    longest = waits[0] if waits else None
    seconds = longest.length / 1000.0 if longest is not None else 0.0
    wait = _falling(seconds, criterion.good_s, criterion.bad_s)
    long = [gap.before for gap in waits if gap.length >= criterion.good_s * 1000.0 and gap.before is not None]
    why = f"{call.silence:.0%} of the call; the longest wait for the agent {seconds:.1f} s"
    return Finding(min(share, wait), why, tuple(long[:3]))


def _talk_over(criterion: TalkOver, call: CallEvidence) -> Finding:
    if not call.spoken:
        return Finding(None, "the caller did not speak aloud")
    over = [(turn, ms) for turn, ms in call.talked_over if ms >= criterion.least_ms]
    minutes = max(1.0, call.duration / 60_000.0)
    together = sum(ms for _, ms in over)
    why = f"{len(over)} times, {_s(together)} in all" if over else "never"
    return Finding(_falling(len(over) / minutes, criterion.good, criterion.bad), why, tuple(turn for turn, _ in over))


def _forbidden(criterion: Forbidden, call: CallEvidence) -> Finding:
    said = tuple(turn for turn in call.agent if matches(criterion.phrases, turn.text))
    if not call.agent:
        return Finding(None, "the agent never spoke")
    if not said:
        return Finding(1.0, "none was said")
    words = next(match[0] for phrase in criterion.phrases if (match := re.search(phrase, said[0].text, re.IGNORECASE)))
    return Finding(0.0, f"said in {len(said)} turns, as '{words}'", said)


def _policy(criterion: Policy, call: CallEvidence) -> Finding:
    applied, broken, why = 0, list[Said](), list[str]()
    for turn in call.caller:
        asked = [(rule.name, rule.within_turns, _kept(rule, turn, call)) for rule in criterion.rules]
        if criterion.escalation and call.facts is not None:
            asked += [("escalation", 1, _escalated(turn, call))]
        for name, within, kept in asked:
            if kept is None:
                continue
            applied += 1
            if not kept:
                broken += [turn, *call.answers(turn, within)]
                why.append(name)
    if not applied:
        return Finding(None, "no rule applied")
    told = f"broken: {', '.join(dict.fromkeys(why))}" if why else f"{applied} kept"
    return Finding(1.0 - len(why) / applied, told, tuple(dict.fromkeys(broken)) if why else ())


def _escalated(turn: Said, call: CallEvidence) -> bool | None:
    """Whether what the domain calls a person for was followed; None where the words are none of that."""
    assert call.facts is not None
    signals = Signals(turn.text, turn.intent or "", turn.confidence)
    due = {rule.name for rule in call.facts.escalation if evaluate((rule,), signals) is not None}
    answers = call.answers(turn, 1)
    if not due or not answers:
        return None
    if any(one.speaker == "human" for one in call.turns if one.started <= turn.started):
        return None
    known = {rule.name for rule in call.facts.escalation}
    by_rule = any(one.rule in known for one in answers) or any(row["rule"] in due for row in call.handoffs)
    return by_rule or any(
        str(one.reasons.get("decision")).startswith(("hand off", "offer a person")) for one in answers
    )


def _kept(rule: Rule, turn: Said, call: CallEvidence) -> bool | None:
    """Whether a rule of the rubric was kept after a turn; None where it does not apply."""
    if rule.words and not matches(rule.words, turn.text):
        return None
    if rule.intent is not None and (turn.intent != rule.intent or turn.confidence < rule.confidence):
        return None
    answers = call.answers(turn, rule.within_turns)
    if not answers:
        return None
    last = turn.number + rule.within_turns
    did = [row["name"] for row in call.actions if row["ok"] and turn.number <= row["turn"] <= last]
    checks = [
        not rule.said or any(matches(rule.said, one.text) for one in answers),
        not rule.not_said or not any(matches(rule.not_said, one.text) for one in answers),
        rule.rule is None or any(one.rule == rule.rule for one in answers),
        rule.action is None or rule.action in did,
        not rule.handed_off or bool(call.handoffs),
    ]
    return all(checks)


_CHECKS: dict[type[Criterion], Callable[[Any, CallEvidence], Finding]] = {
    Greeting: _greeting,
    Disclosure: _disclosure,
    Identity: _identity,
    Empathy: _empathy,
    Resolution: _resolution,
    Silence: _silence,
    TalkOver: _talk_over,
    Forbidden: _forbidden,
    Policy: _policy,
}


def _falling(value: float, good: float, bad: float) -> float:
    """1 up to `good`, 0 from `bad`, straight between."""
    return min(1.0, max(0.0, (bad - value) / (bad - good)))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _s(ms: float) -> str:
    return f"{ms / 1000.0:.1f} s"


def turns_of(evidence: Sequence[Said]) -> list[int]:
    """The numbers of the turns, each once, in order."""
    return sorted({turn.number for turn in evidence})
