"""What a simulated caller says where the agent asks back: what is wanted, whether it heard right, what was said.

A conversation tells what its caller says where everything is heard as it was said. By voice the agent may have to ask
once more, as it may have to ask anybody; a caller who knows what he said answers that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from agent.dialogue.domain import Domain
from agent.dialogue.formats import spoken_value
from agent.dialogue.steps import AskStep
from agent.lab.conversations import Turn
from agent.lab.unmet import contains
from models.contracts import Slot
from models.languages import written_in
from models.slots.find import find_slots
from models.slots.spec import SlotContext, SlotSpec

READ_BACK = ("read_back", "did_you_mean")
"""Phrases that ask whether a value was heard right."""
_SHORTEST = 6
"""A piece of a template that a question is known by has so many characters at least."""

Reply = tuple[str, tuple[str, ...]]
"""The caller's words, and the texts in an answer of which one makes him say them."""


def values_said(turn: Turn, domain: Domain, today: date) -> Mapping[str, Slot]:
    """The values in the words of a turn, by slot: those that the caller means, of every type with a parser of its own.

    Whether yes or no was meant is not among them.
    """
    if turn.say is None:
        return {}
    context = SlotContext(today, language=written_in(turn.say))
    specs = tuple(
        SlotSpec(name, one.type, {k: v for k, v in one.options.items() if k != "description"})
        for name, one in domain.slots.items()
    )
    found = find_slots(turn.say, specs, context)
    return {slot.name: slot for slot in found if slot.confidence > 0 and domain.slots[slot.name].type != "yes_no"}


def about_the_task(turn: Turn, domain: Domain) -> Iterator[Reply]:
    """What the caller says where the agent asks whether this turn's task is what is wanted."""
    wanted = turn.expect
    name = None if wanted is None else domain.flow_of(wanted.intent or "") or wanted.flow
    flow = domain.flows.get(name or "")
    if turn.say is None or flow is None:
        return
    phrases = domain.manner.phrases
    one = tuple(text.replace("{first}", flow.offer) for text in phrases["clarify_one"].text)
    two = phrases["clarify_two"].text
    among = tuple(text.partition("{second}")[0].replace("{first}", flow.offer) for text in two)
    among += tuple(text.partition("{first}")[2].replace("{second}", flow.offer) for text in two)
    yield "Yes, please.", one
    yield f"I'd like to {flow.offer}.", among


def about_a_value(turn: Turn, domain: Domain, today: date) -> Iterator[Reply]:
    """Yes where the agent reads back a value of this turn; no, and the same again, where it reads back another one."""
    if turn.say is None:
        return
    language, right, asked = written_in(turn.say), [], []
    for name, slot in values_said(turn, domain, today).items():
        value = spoken_value(slot.value, domain.slots[name].type, today, language)
        texts = [text for key in READ_BACK for text in domain.manner.phrases[key].text]
        texts += [step.read_back for step in _asks(domain, name) if step.read_back]
        right += [text.replace("{value}", value) for text in texts]
        asked += [piece for text in texts if len(piece := text.partition("{")[0].strip()) >= _SHORTEST]
    if right:
        yield "Yes.", tuple(dict.fromkeys(right))
        yield f"No. {turn.say}", tuple(dict.fromkeys(asked))


def said_before(turns: Sequence[Turn], number: int, domain: Domain, today: date) -> Iterator[Reply]:
    """The value again where the agent, after turn `number` from 0, asks for one that the caller said with his task.

    A question that is expected there, or that the next turn answers, is left to the conversation.
    """
    wanted = turns[number].expect
    pieces = wanted.says if wanted is not None else ()
    following = values_said(turns[number + 1], domain, today) if number + 1 < len(turns) else {}
    for name, slot in _with_a_task(turns[: number + 1], domain, today).items():
        texts = [step.text for step in _asks(domain, name)]
        if name in following or any(contains(text, piece) for text in texts for piece in pieces):
            continue
        asked = tuple(piece for text in texts if len(piece := _piece(text)) >= _SHORTEST)
        if asked:
            yield _sentence(slot.raw), asked


def _with_a_task(turns: Sequence[Turn], domain: Domain, today: date) -> Mapping[str, Slot]:
    """The last value of each slot that the caller said together with a task whose flow would ask for it."""
    found: dict[str, Slot] = {}
    for turn in turns:
        flow = None if turn.expect is None else domain.flow_of(turn.expect.intent or "")
        if flow is not None:
            asked = domain.asked(flow)
            found |= {name: slot for name, slot in values_said(turn, domain, today).items() if name in asked}
    return found


def _asks(domain: Domain, slot: str) -> Sequence[AskStep]:
    steps = (step for flow in domain.flows.values() for step in flow.steps)
    return [step for step in steps if isinstance(step, AskStep) and step.ask == slot]


def _piece(template: str) -> str:
    """The longest part of `template` between its holes."""
    return max(re.split(r"\{[^{}]*\}", template), key=len).strip()


def _sentence(words: str) -> str:
    words = words.strip().rstrip(".,;:")
    return f"{words[:1].upper()}{words[1:]}."
