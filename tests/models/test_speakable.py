import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.speakable import sentences, speakable
from models.speakable.numbers import cardinal, decimal, grouped, ordinal, year

TABLE = [
    # money
    ("Your total is $18.50.", "Your total is eighteen dollars and fifty cents."),
    ("It costs $1, $0.99 or $1.01.", "It costs one dollar, ninety-nine cents or one dollar and one cent."),
    ("a refund of $1,249.00", "a refund of one thousand two hundred forty-nine dollars"),
    ("$5/month", "five dollars per month"),
    ("$2.5 million", "two point five million dollars"),
    ("$3k", "three thousand dollars"),
    ("-$4.20", "minus four dollars and twenty cents"),
    ("$-5", "minus five dollars"),
    ("€20 or £1.50", "twenty euros or one pound and fifty pence"),
    ("$0.00", "zero dollars"),
    # order numbers and codes
    ("Order 42719 is out for delivery.", "Order number four two seven, one nine is out for delivery."),
    ("Order #42719 is here", "Order number four two seven, one nine is here"),
    ("order number #42731", "order number four two seven, three one"),
    ("Your order number is 42719.", "Your order number is four two seven, one nine."),
    ("#42718", "number four two seven, one eight"),
    ("42718", "four two seven, one eight"),
    ("Orders 42719 and 42718", "Orders four two seven, one nine and four two seven, one eight"),
    ("order 12 tents", "order twelve tents"),
    ("order 1,250 tents", "order one thousand two hundred fifty tents"),
    ("card ending in 4242", "card ending in four two four two"),
    ("return RMA-1042", "return number R M ay, one zero four two"),
    ("HP2231-B", "H P, two two three one, B"),
    ("ticket 1234567", "ticket number one two three, four five six seven"),
    ("#1", "number one"),
    ("room 204", "room two zero four"),
    ("A4 or mp3", "ay four or M P three"),
    # dates
    ("It arrives May 3.", "It arrives May third."),
    ("on May 3rd, 2026", "on May third, twenty twenty-six"),
    ("on 3 May 2026", "on May third, twenty twenty-six"),
    ("the 3rd of May", "the third of May"),
    ("2026-05-03", "May third, twenty twenty-six"),
    ("2026-05-03T18:30", "May third, twenty twenty-six at six thirty p.m."),
    ("Due 5/3.", "Due May third."),
    ("12/31/1999", "December thirty-first, nineteen ninety-nine"),
    ("05/03/26", "May third, twenty twenty-six"),
    ("May 3-5", "May third to fifth"),
    ("Sept. 5", "September fifth"),
    ("May 2026", "May twenty twenty-six"),
    ("May I help?", "May I help?"),
    ("in 2005 and 1900", "in two thousand five and nineteen hundred"),
    ("Mon-Fri", "Monday to Friday"),
    # times
    ("at 6 pm", "at six p.m."),
    ("at 6:30 p.m.", "at six thirty p.m."),
    ("at 18:30", "at six thirty p.m."),
    ("at 9am", "at nine a.m."),
    ("at 12:05 PM.", "at twelve oh five p.m."),
    ("at 00:15", "at twelve fifteen a.m."),
    ("at 10:00", "at ten o'clock"),
    ("9am-5pm", "nine a.m. to five p.m."),
    ("9:00-17:00", "nine to five p.m."),
    ("2-4 pm", "two to four p.m."),
    ("24/7", "twenty-four seven"),
    # addresses and telephone numbers
    ("jane.doe@example.com", "jane dot doe at example dot com"),
    ("j_smith42@mail.example.org", "j underscore smith four two at mail dot example dot org"),
    ("www.example.com/returns", "example dot com slash returns"),
    ("Call 555-0123", "Call five five five, zero one two three"),
    ("(207) 555-0142", "two zero seven, five five five, zero one four two"),
    ("+12075550142", "plus one, two zero seven, five five five, zero one four two"),
    ("1-800-555-0199", "one, eight hundred, five five five, zero one nine nine"),
    ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
    ("12 Oak St. in Portland, ME 04101", "twelve Oak Street in Portland, Maine zero four one zero one"),
    ("1420 Birch Street, Apt. 4", "fourteen twenty Birch Street, apartment four"),
    ("ZIP 04101-1234", "ZIP zero four one zero one, one two three four"),
    # quantities
    ("25%", "twenty-five percent"),
    ("3.5 %", "three point five percent"),
    ("2 lb, 1 kg and 6 ft", "two pounds, one kilogram and six feet"),
    ("-20°C", "minus twenty degrees Celsius"),
    ("5 x 7 ft", "five by seven feet"),
    ("3-5 business days", "three to five business days"),
    ("a 4-person tent", "a four-person tent"),
    ("the 1st, 2nd and 23rd", "the first, second and twenty-third"),
    ("3/4 cup", "three quarters cup"),
    ("1,250 items, 4.5 stars", "one thousand two hundred fifty items, four point five stars"),
    ("2x speed", "two x speed"),
    ("007", "zero zero seven"),
    # words and symbols
    ("Dr. Smith", "Doctor Smith"),
    ("St. James Church", "Saint James Church"),
    ("from St. Louis", "from Saint Louis"),
    ("12 Oak Dr., Portland", "twelve Oak Drive, Portland"),
    ("Acme Inc. We are here.", "Acme Incorporated. We are here."),
    ("Acme Inc. is here.", "Acme Incorporated is here."),
    ("No. 5", "number five"),
    ("No. I did not.", "No. I did not."),
    ("Harbor & Pine", "Harbor and Pine"),
    ("and/or", "and or"),
    ("a/b", "a or b"),
    ("e.g. a tent", "for example, a tent"),
    ("**Great** news — it's here!", "Great news, it's here!"),
    ('say "5" now', 'say "five" now'),
    ("U.S. orders", "U.S. orders"),
    ("", ""),
]


@pytest.mark.parametrize(("written", "spoken"), TABLE)
def test_written_text_is_spoken(written: str, spoken: str) -> None:
    assert speakable(written).text == spoken


LIKELY = st.text(alphabet=string.ascii_letters + string.digits + " $.,-:/#@%&'()+\n", max_size=60)
BITS = st.lists(st.sampled_from([written for written, _ in TABLE]), max_size=4).map(" ".join)


@given(st.one_of(LIKELY, BITS, st.text(max_size=40)))
def test_segments_cover_both_texts_in_order(text: str) -> None:
    spoken = speakable(text)
    assert "".join(text[part.start : part.end] for part in spoken.segments) == text
    assert "".join(spoken.text[part.spoken_start : part.spoken_end] for part in spoken.segments) == spoken.text
    for part in spoken.segments:
        if part.same:
            assert text[part.start : part.end] == spoken.text[part.spoken_start : part.spoken_end]


@example("$0A0")
@given(st.one_of(LIKELY, BITS))
def test_no_digit_is_left_to_the_voice(text: str) -> None:
    assert not any(character in string.digits for character in speakable(text).text)


def test_a_span_of_the_spoken_text_leads_back_to_the_original() -> None:
    text = "Pay $18.50 for order 42719."
    spoken = speakable(text)

    def back(piece: str) -> str:
        start = spoken.text.index(piece)
        return text[slice(*spoken.original_span(start, start + len(piece)))]

    assert back("Pay") == "Pay"
    assert back("eighteen dollars and fifty cents") == "$18.50"
    assert back("dollars") == "$18.50"
    assert back("for order") == "for order"
    assert back("one nine.") == "42719."
    assert spoken.original_span(0, len(spoken.text)) == (0, len(text))
    with pytest.raises(IndexError):
        spoken.segment_at(len(spoken.text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there. How are you?", ["Hello there.", "How are you?"]),
        ("Dr. J. Smith called at 6 p.m. about it. Fine!", ["Dr. J. Smith called at 6 p.m. about it.", "Fine!"]),
        ("We close at 6 p.m. Call again.", ["We close at 6 p.m.", "Call again."]),
        (
            "It costs $18.50. Write to jane.doe@example.com. Bye.",
            ["It costs $18.50.", "Write to jane.doe@example.com.", "Bye."],
        ),
        ("U.S. orders ship free. Yes.", ["U.S. orders ship free.", "Yes."]),
        ("One line\nanother line", ["One line", "another line"]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("Really?! Yes...", ["Really?!", "Yes..."]),
        ("  spaces  ", ["spaces"]),
        ("... !", []),
        ("", []),
        ("4.5 stars", ["4.5 stars"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == expected


def test_a_long_first_sentence_is_cut_at_a_clause_so_that_speech_starts_early() -> None:
    text = (
        "You can return anything within thirty days of delivery, unused and in its packaging, and we will send you a "
        "prepaid label by e-mail."
    )
    pieces = [text[start:end] for start, end in sentences(text)]
    assert len(pieces) == 2
    assert pieces[0].endswith(",")
    assert len(pieces[0]) <= 90
    assert " ".join(pieces) == text


def test_a_number_is_never_cut() -> None:
    text = "The parcel that you asked about has the tracking number 427190011223344556677 and it comes tomorrow to you"
    assert [text[start:end] for start, end in sentences(text)] == [text]


@given(st.one_of(LIKELY, BITS))
def test_sentences_are_in_order_and_leave_out_nothing_that_can_be_said(text: str) -> None:
    spans = sentences(text)
    position = 0
    for start, end in spans:
        assert position <= start < end <= len(text)
        assert not any(character.isalnum() for character in text[position:start])
        position = end
    assert not any(character.isalnum() for character in text[position:])


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (342, "three hundred forty-two"),
        (1_000_001, "one million one"),
        (-7, "minus seven"),
        (10**15, " ".join(["one"] + ["zero"] * 15)),
    ],
)
def test_cardinal(number: int, words: str) -> None:
    assert cardinal(number) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "first"),
        (12, "twelfth"),
        (20, "twentieth"),
        (23, "twenty-third"),
        (100, "one hundredth"),
        (31, "thirty-first"),
    ],
)
def test_ordinal(number: int, words: str) -> None:
    assert ordinal(number) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(1998, "nineteen ninety-eight"), (1905, "nineteen oh five"), (2000, "two thousand"), (2010, "twenty ten")],
)
def test_year(number: int, words: str) -> None:
    assert year(number) == words


def test_decimal_and_groups() -> None:
    assert decimal(".50") == "zero point five zero"
    assert decimal("1,000.5") == "one thousand point five"
    assert grouped("12345678") == "one two three, four five six, seven eight"
    assert grouped("0000") == "zero zero zero zero"
