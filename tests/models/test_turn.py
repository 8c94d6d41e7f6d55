import pytest

from models.contracts import Slot, UnderstandingContext, Understood
from models.turn import LEADING, turn_over

LEADS = frozenset({"complaint", "deny", "greeting"})
YES = Slot("yes_no", True, "yes", (0, 3))
NUMBER = Slot("order_number", "42719", "42719", (0, 5))


@pytest.mark.parametrize(
    ("understood", "context", "expected"),
    [
        (Understood("order_status", 1.0, complete=0.9), UnderstandingContext(), 0.9),
        (Understood("complaint", 1.0, complete=0.9), UnderstandingContext(), LEADING),
        (Understood("complaint", 1.0, complete=0.2), UnderstandingContext(), 0.2),
        (Understood("deny", 1.0, slots=(YES,), complete=0.95), UnderstandingContext(asked_yes_no=True), 0.95),
        (Understood("deny", 1.0, slots=(YES,), complete=0.95), UnderstandingContext(), LEADING),
        (
            Understood("greeting", 1.0, slots=(NUMBER,), complete=0.95),
            UnderstandingContext(expected_slots=("order_number",)),
            0.95,
        ),
    ],
)
def test_leading_sentences_are_seldom_the_whole_turn(
    understood: Understood, context: UnderstandingContext, expected: float
) -> None:
    assert turn_over(understood, context, LEADS) == expected
