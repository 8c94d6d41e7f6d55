"""What is said beside a task: to a caller who has just proven who they are, and after a task is done."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from agent.dialogue.contracts import Part, Say
from agent.dialogue.offers import Occasion, choose_offer
from agent.dialogue.ongoing import Ongoing
from agent.dialogue.profile import Profile, personal
from agent.dialogue.state import Pending
from agent.dialogue.telling import Telling
from agent.dialogue.text import render, sentences


def greeted(on: Ongoing, today: date) -> list[Part]:
    """What may be said to a caller who has just proven who they are."""
    state = on.state
    profile, customer = on.profile, state.customer or {}
    name = customer.get("name")
    if isinstance(name, str) and name:
        theirs = profile.name is None or profile.name.casefold() == name.casefold()
        profile = replace(profile, name=name, known=True) if theirs else Profile(known=True, name=name)
    profile = on.lookup.with_past(profile, on.here.domain)
    upset = state.feelings.raised or state.feelings.sad
    parts: list[Part] = []
    busy = len(state.frames) > 1 or bool(state.wishes)
    for told in personal(profile, verified=True, busy=busy, upset=upset, language=on.here.language):
        parts += on.here.machine.wordings.phrase(state, told.phrase, today, **told.scope)
    return parts


def what_else(on: Ongoing, telling: Telling, today: date) -> list[Part]:
    """After a task: an offer that suits, or the question for anything else."""
    state, machine, manner = on.state, on.here.machine, on.here.domain.manner
    done = state.done[-1]
    occasion = Occasion(
        done.flow,
        machine.wordings.scope(state, today) | done.results,
        all(one.ok for one in telling.acted),
        [frame.flow for frame in state.frames],
        state.intents,
        state.offers_made,
        state.no_offers,
    )
    choice = choose_offer(manner.offers, occasion, on.profile, state.feelings, on.here.emotion)
    if choice.offer is not None:
        telling.facts["offer"] = choice.offer.name
        state.offers_made.append(choice.offer.name)
        if choice.offer.yes is not None:
            target = choice.offer.yes.removeprefix("flow:")
            words = render(choice.offer.say, dict(occasion.scope))
            state.pending = Pending("offer", (target,), words=words)
            return machine.questions.put(state, today)
        remark: list[Part] = [Say(text) for text in sentences(render(choice.offer.say, dict(occasion.scope)))]
        state.pending = Pending("more")
        return [*remark, *machine.questions.put(state, today)]
    if manner.offers:
        telling.facts["no_offer"] = choice.why
    state.pending = Pending("more")
    return machine.questions.put(state, today)
