"""What a person at a console wants of an answer: said before it by rules, or worded into it by a language model."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import date
from functools import partial

from agent.dialogue.contracts import Part, Say
from agent.dialogue.following import done, planned, remaining
from agent.dialogue.instructing import sorry
from agent.dialogue.knowledge import Found
from agent.dialogue.ongoing import Ongoing
from agent.dialogue.state import Pending
from agent.dialogue.telling import Telling
from agent.dialogue.text import sentences
from agent.dialogue.writing.questions import is_question


async def instructed(
    on: Ongoing, telling: Telling, reply: AsyncGenerator[Part, None], today: date
) -> AsyncGenerator[Part, None]:
    """The answer, with what was asked for before it; a transfer goes in place of it. What no rule covers is left to
    `followed`.

    Raises:
        NotForeseeable: this is a preview; an instruction is followed once.
    """
    if not on.instructions:
        async with aclosing(reply) as parts:
            async for part in parts:
                yield part
        return
    if on.previewing:
        await reply.aclose()
        on.must_be_over()
    asked, on.instructions = on.instructions, []
    telling.asked = [one for one in asked if one.kind == "model"]
    telling.facts["instructed"] = done([one for one in asked if one.kind != "model"])
    first: list[Part] = []
    for one in asked:
        if one.kind == "apologise":
            first.insert(0, Say(sorry(on.here.language), "calm"))
        elif one.kind != "model" and one.words:
            first += [Say(text) for text in sentences(one.words)]
    if any(one.kind == "transfer" for one in asked):
        telling.facts["instructed"] = done(asked, "transferred")
        await reply.aclose()
        machine = on.here.machine
        says = machine.wordings.phrase(on.state, "handing_over", today)
        leaving = machine.leave(on.state, "a person at a console asked for it", "instructed", 1)
        for part in telling.planned([*first, *says, leaving]):
            yield part
        return
    for part in telling.planned(first, more=True):
        yield part
    async with aclosing(reply) as parts:
        async for part in parts:
            yield part


async def followed(on: Ongoing, telling: Telling, parts: list[Part]) -> AsyncGenerator[Part, None]:
    """The end of an answer, `parts`, as a language model words it by `telling.asked`; else as it is planned."""
    state, here, why = on.state, on.here, list[str]()
    asked = [one.words for one in telling.asked]
    for text in asked:
        found: Found | None = await on.run(partial(here.knowledge.find, text))
        if found is not None and found.fact not in telling.sections:
            telling.sections.append(found.fact)
    plan = planned(parts, state.reply.question)
    first = plan.changeable[0] if plan.changeable else Say("")
    wording: list[str] = []
    own: Say | None = None
    written = on.phrasing.instructed(
        asked,
        [say.text for say in plan.changeable],
        " ".join(say.text for say in plan.asked),
        telling.sections,
        state,
        here.language,
        why,
    )
    async with aclosing(written) as stream:
        async for text in stream:
            wording.append(text)
            say = replace(first, text=text, optional=False)
            if is_question(text):
                own = say
                continue
            for part in telling.planned([say], more=True):
                yield part
    telling.facts["instructed"] = [
        *telling.facts["instructed"],
        *done(telling.asked, None if wording else why[-1]),
    ]
    expect = None
    if own is not None and state.pending is not None and state.pending.kind == "more":
        # the caller answers the question that was wanted, not whether there is anything else
        state.pending, state.reply.question = Pending("asked", words=own.text), own.text
        expect = here.machine.questions.expecting(state)
    rest = remaining(plan, wording, asked, own, expect) if wording else parts
    for part in telling.planned(rest):
        yield part
