"""A domain's examples as training data, with values that are marked and values that parsers find."""

from dataclasses import replace

from agent.dialogue.domain import Domain, SlotSpec
from agent.learning.domain_examples import domain_examples
from models.contracts import OUT_OF_SCOPE
from models.training.examples import Span

MARKED = "where is the blue tent I bought for 20 dollars"
PLAIN = "where is the parcel for order 12345"


def taught(domain: Domain, marks: tuple[Span, ...]) -> dict[str, tuple[Span, ...] | None]:
    intent = domain.intents["order_status"].model_copy(
        update={"examples": (MARKED, PLAIN), "marks": {MARKED: marks} if marks else {}}
    )
    slots = {**domain.slots, "thing": SlotSpec("thing", "text", {})}
    changed = replace(domain, intents={**domain.intents, "order_status": intent}, slots=slots)
    return {example.text: example.spans for example in domain_examples(changed).train}


def test_marks_win_over_what_parsers_find_and_leave_the_rest_to_them(domain: Domain) -> None:
    start = MARKED.index("the blue")
    marked = Span(start, start + len("the blue tent"), "thing")
    parsed = taught(domain, ())
    found = taught(domain, (marked,))
    amount = next(span for span in parsed[MARKED] or () if span.name == "amount")
    assert [span.name for span in parsed[MARKED] or ()] == ["product", "amount"]
    assert found[MARKED] == (marked, amount)
    assert found[PLAIN] == parsed[PLAIN] != ()


def test_texts_of_no_intent_have_no_values(domain: Domain) -> None:
    rows = [row for row in domain_examples(domain).train if row.intent == OUT_OF_SCOPE]
    assert len(rows) > 50
    assert all(row.spans == () for row in rows)
