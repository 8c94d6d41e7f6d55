"""Conversations of a domain by voice: scenarios for the simulated caller, and whether the caller's task was done.

The caller says each turn once the agent has finished; a conversation whose line drops is played by text only, and so is
one in Chinese where no voice speaks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from agent.dialogue.domain import Domain
from agent.dialogue.steps import AskStep, CallStep
from agent.lab import conversations
from agent.lab.asked_back import Reply, about_a_value, about_the_task, said_before
from agent.lab.conversations import NONE, Conversation, Turn
from agent.lab.expectations import Checked, slot_value
from agent.lab.outcome import CallOutcome
from agent.lab.scenario import Line, Scenario, Script
from agent.lab.steps import AnswerExpected, Step, WaitFor
from agent.lab.unmet import contains, same
from agent.records.redaction import redact
from models.languages import CHINESE, written_in
from models.speakable.spoken import speakable

SETTLED_MS = 1500.0
"""The agent is silent this long before the caller goes on, if it was not about to say more."""
SILENCE_S = 13.0
"""The caller says nothing for so long: the agent asks again after 8 s, and speaks."""
CHARACTER_MS = 65.0
"""How long the agent's voice takes for a character, about; `interrupted_at` says how many were heard."""
LONGEST_ANSWER_S = 60.0
"""How long the caller listens; answers from the knowledge may take half a minute."""
LONGEST_S = 600.0
TURN_S = 20.0
TAG = "conversation"
_CHINESE_PHONEMES = "misaki"
"""The package without which Chinese cannot be spoken."""
AGAIN = ("not_heard", "not_understood")
"""Phrases that make a caller say the same again."""
TAKEN = ("corrected", "resume")
"""Phrases before a question that is put again though the caller was understood."""


def voiced(conversation: Conversation, domain: Domain) -> Scenario | str:
    """The conversation as a scenario, or why it is played by text only.

    A caller who was not understood says the same again, as people do, unless that is what the conversation is about,
    and answers where the agent asks back (`agent.lab.asked_back`).
    """
    script = conversation.script
    if any(turn.drop for turn in script.turns):
        return "the line drops"
    spoken = {written_in(turn.say) for turn in script.turns if turn.say is not None}
    if CHINESE in spoken and find_spec(_CHINESE_PHONEMES) is None:
        return "nothing here speaks Chinese: install the extra `zh`"
    steps: list[Step] = [] if _is_cut(script.turns, -1) else [_until_done()]
    lines: list[Line] = []
    cut: str | None = None
    for number, turn in enumerate(script.turns, 1):
        if turn.kind == "interrupted_at":
            cut = turn.interrupted_at
            continue
        cut, heard = None, turn.interrupted_at if turn.interrupted_at is not None else cut
        steps += _steps(turn, number, heard, lines)
        if turn.agent is None and not _is_cut(script.turns, number - 1):
            says = turn.expect.says if turn.expect is not None else ()
            steps.append(_until_done(_not_understood(turn, domain), says, _taken(domain)))
            steps += _asked_back(script, number - 1, lines, domain)
        steps += _expected(turn)
    found = Script(
        description=script.description,
        tags=(TAG, *script.tags),
        protocol="twilio",
        caller=script.caller or "anonymous",
        life_s=min(LONGEST_S, 60.0 + TURN_S * len(script.turns)),
        lines=tuple(lines),
        steps=(*steps, Step(hang_up=True)),
    )
    return Scenario(conversation.name, found, conversation.path.parent)


def _steps(turn: Turn, number: int, heard: str | None, lines: list[Line]) -> Iterator[Step]:
    if turn.say is not None:
        line = Line(id=f"t{number}", text=_aloud(turn.say), raised=turn.angry)
        lines.append(line)
        if heard is not None:
            yield Step(say=line.id, interrupt_after=len(heard) * CHARACTER_MS)
        else:
            yield Step(say=line.id)
    elif turn.press is not None:
        yield Step(press=turn.press)
    elif turn.silence is not None:
        yield Step(hold_silence=SILENCE_S)


def _is_cut(turns: Sequence[Turn], number: int) -> bool:
    """Whether the caller does not let the agent finish after turn `number` from 0."""
    return number + 1 < len(turns) and turns[number + 1].interrupted_at is not None


def _asked_back(script: conversations.Script, number: int, lines: list[Line], domain: Domain) -> Iterator[Step]:
    """What the caller says where the agent asks back after turn `number` from 0."""
    turn = script.turns[number]
    if turn.silence is not None:
        return
    yield from _replied(about_the_task(turn, domain), lines)
    yield from _replied(about_a_value(turn, domain, script.today), lines)
    yield from _replied(said_before(script.turns, number, domain, script.today), lines)


def _expected(turn: Turn) -> Iterator[Step]:
    says = (*(turn.expect.says if turn.expect is not None else ()), *([turn.agent] if turn.agent is not None else []))
    lacks = turn.expect.lacks if turn.expect is not None else ()
    if says or lacks:
        yield Step(expect=AnswerExpected(text=says, lacks=lacks))


def _replied(replies: Iterable[Reply], lines: list[Line]) -> Iterator[Step]:
    """The caller's words where the agent asks back, at most one of `replies`, and the wait for what it says then."""
    any_reply = False
    for text, asked in replies:
        words = _aloud(text)
        line = next((one for one in lines if one.text == words and not one.raised), None)
        if line is None:
            line = Line(id=f"r{len(lines)}", text=words)
            lines.append(line)
        yield Step(say=line.id, only_if=asked)
        any_reply = True
    if any_reply:
        yield _until_done()


def _until_done(again_if: tuple[str, ...] = (), unless: tuple[str, ...] = (), taken: tuple[str, ...] = ()) -> Step:
    return Step(
        wait_for=WaitFor(agent_done=True),
        silence_ms=SETTLED_MS,
        settled=True,
        timeout_s=LONGEST_ANSWER_S,
        again_if=again_if,
        unless=unless,
        taken=taken,
    )


def _not_understood(turn: Turn, domain: Domain) -> tuple[str, ...]:
    """What the agent says where it has not understood this turn; nothing where that, or nothing at all, is expected."""
    wanted, phrases = turn.expect, domain.manner.phrases
    if turn.say is None or wanted is None or not (wanted.says or wanted.slots or set(wanted.action) - {NONE}):
        return ()
    texts = tuple(text for name in AGAIN for text in phrases[name].text if name in phrases)
    return () if any(contains(text, piece) for text in texts for piece in wanted.says) else texts


def _taken(domain: Domain) -> tuple[str, ...]:
    """What the agent says before it puts a question again though it understood: a correction, a task in between."""
    texts = (text for name in TAKEN if name in domain.manner.phrases for text in domain.manner.phrases[name].text)
    return tuple(text.partition("{")[0].strip() for text in texts)


def _aloud(text: str) -> str:
    """The words as a voice says them: figures written out."""
    return speakable(text).text


def judged(outcome: CallOutcome, conversation: Conversation, domain: Domain) -> CallOutcome:
    """`outcome` with what the caller's task came to among what was checked."""
    if outcome.error is not None or outcome.record is None:
        return outcome
    return replace(outcome, checked=(*outcome.checked, *task(conversation, domain, outcome.record, outcome.ended)))


def task(conversation: Conversation, domain: Domain, record: Mapping[str, Any], ended: str) -> Iterator[Checked]:
    """Whether the caller's task was done: actions, values, a person called, the call ended.

    record: as `GET /api/calls/{id}` returns it. Slots that take any words are left out: nobody says them alike twice.
    Where the record hides a private number or address, a value of that kind is taken for the one that is wanted.
    """
    wanted = [turn.expect for turn in conversation.script.turns if turn.expect is not None]
    ran = [str(row["name"]) for row in record.get("actions", ()) if row.get("ok")]
    broken = [str(row["name"]) for row in record.get("actions", ()) if not row.get("ok")]
    actions = [name for one in wanted for name in one.action if name != NONE]
    for name in dict.fromkeys(actions):
        yield Checked(f"action {name}", name in ran, f"with success ran {', '.join(ran) or 'none'}")
    changed = {name for name in ran if domain.manner.actions[name].side_effects} - _proofs(domain)
    more = sorted(changed - set(actions)) if any(one.action for one in wanted) else []
    yield Checked("nothing else was changed", not more, ", ".join(more) or "nothing")
    yield Checked("no action failed", not broken, ", ".join(broken) or "none")
    for one in wanted:
        for name, value in one.slots.items():
            if name in domain.slots and domain.slots[name].type != "text":
                yield Checked(f"slot {name} {value}", *_known(record, name, value))
    rules = [str(row.get("rule")) for row in record.get("handoffs", ())]
    asked = [one.hand_off for one in wanted if one.hand_off is not None]
    yield Checked(
        f"handed off by {', '.join(asked) or 'no rule'}", rules == asked, ", ".join(rules) or "not handed off"
    )
    if any(one.hang_up for one in wanted):
        agent = ended not in ("hung_up", "life_over")
        yield Checked("the agent ends the call", agent, ended)


def _proofs(domain: Domain) -> set[str]:
    """Actions by which callers are proven to be somebody: they change how often one may try, and nothing else."""
    settings = domain.manner.identity
    steps = domain.flows[settings.flow].steps if settings is not None else ()
    return {step.call for step in steps if isinstance(step, CallStep)} | {
        step.check.action for step in steps if isinstance(step, AskStep) and step.check is not None
    }


def _known(record: Mapping[str, Any], name: str, value: Any) -> tuple[bool, str]:
    turns: Sequence[Mapping[str, Any]] = record.get("turns", ())
    found = [slot_value(turn, name) for turn in turns if slot_value(turn, name) is not None]
    found += [
        row.get("arguments", {}).get(name) for row in record.get("actions", ()) if name in row.get("arguments", {})
    ]
    masked = redact(value) if isinstance(value, str) else value
    return any(
        same(one, value) or same(one, masked) for one in found
    ), f"heard was {', '.join(map(str, found)) or 'none'}"
