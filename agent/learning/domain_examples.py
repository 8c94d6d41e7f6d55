"""A domain's own examples as training data: intents, out of scope, and slot values as marked or parsed."""

from __future__ import annotations

from datetime import date

from agent.dialogue.domain import Domain
from models.contracts import OUT_OF_SCOPE
from models.slots import SlotContext, SlotSpec, find_slots
from models.training.examples import Example, Span, Splits
from models.training.heads import generic_out_of_scope

_ANY_DAY = date(2026, 1, 15)
"""What "last Tuesday" is read against; only where it stands in the text matters here."""


def domain_examples(domain: Domain) -> Splits:
    """Every example of the domain's intents with the slot values in it, and what is out of scope.

    Values are those that are marked in the examples and, where none is marked, those that the parsers find. A model
    taught so finds values in wordings and mishearings that the parsers do not know, and those of `text` slots at all.
    """
    specs = tuple(SlotSpec(name, slot.type, slot.options) for name, slot in domain.slots.items())
    at = SlotContext(_ANY_DAY)
    rows = [
        Example(text, name, _spans(text, specs, at, intent.marks.get(text, ())), origin=f"{domain.name}: {name}")
        for name, intent in domain.intents.items()
        for text in intent.examples
    ]
    rows += [Example(text, OUT_OF_SCOPE, (), origin=f"{domain.name}: out of scope") for text in domain.out_of_scope]
    rows += [Example(text, OUT_OF_SCOPE, (), origin="generic out of scope") for text in generic_out_of_scope()]
    seen: dict[tuple[str, str | None], Example] = {}
    for row in rows:
        seen.setdefault((row.text, row.intent), row)
    return Splits(train=tuple(seen.values()), sources=(f"domain {domain.name} (yours)",))


def _spans(text: str, specs: tuple[SlotSpec, ...], at: SlotContext, marks: tuple[Span, ...]) -> tuple[Span, ...]:
    """Marks, and beside them what parsers find, longest first where that overlaps; yes and no are no values."""
    kinds = {spec.name: spec.type for spec in specs}
    found = [s for s in find_slots(text, specs, at) if kinds.get(s.name) != "yes_no" and s.span[1] > s.span[0]]
    kept = list(marks)
    for slot in sorted(found, key=lambda s: s.span[0] - s.span[1]):
        start, end = slot.span
        if all(end <= span.start or span.end <= start for span in kept):
            kept.append(Span(start, end, slot.name))
    return tuple(sorted(kept, key=lambda span: span.start))
