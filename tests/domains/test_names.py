"""Names as recognizers write them are found, others are not taken for them."""

import pytest

from agent.domains.names import same_name


@pytest.mark.parametrize(
    ("heard", "written"),
    [
        ("my name is Daniel Harper", "Daniel Harper"),
        ("Then you'll hopper.", "Daniel Harper"),
        ("on a book strum", "Anna Bergstrom"),
        ("Priyaraman", "Priya Raman"),
        ("N O V O T N Y", "Emil Novotny"),
    ],
)
def test_a_name_is_known_by_its_letters_or_by_its_sound(heard, written):
    assert same_name(heard, written)


@pytest.mark.parametrize(
    ("heard", "written"),
    [("Samuel Ortiz", "Daniel Harper"), ("Emily Watson", "Anna Bergstrom"), ("the one I told you", "Daniel Harper")],
)
def test_another_name_is_not_taken_for_it(heard, written):
    assert not same_name(heard, written)


def test_the_owner_of_the_line_need_not_be_heard_as_well():
    assert not same_name("Emo Novakne.", "Emil Novotny")
    assert same_name("Emo Novakne.", "Emil Novotny", own_line=True)
    assert not same_name("I don't know", "Emil Novotny", own_line=True)
