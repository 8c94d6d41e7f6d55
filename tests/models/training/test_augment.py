"""Augmentation: what each strategy does to a text, that slot values survive it, and that tables are sound."""

import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.slots.digits import digit_runs
from models.training.augment import RATES, STRATEGIES, Noise, apply, apply_to, augment, back_translate
from models.training.edits import Edit, edited, words
from models.training.examples import DataError, Example, Span
from models.training.mishearings import HOMOPHONES_FILE, homophones, read_rows
from models.training.wordings import FAMILIES, SYNONYMS_FILE

KEEPING = sorted(set(STRATEGIES) - {"casing", "plain", "numbers"})
"""Strategies that leave slot values as they are, letter by letter."""

WORDS = (
    "I", "want", "to", "cancel", "my", "order", "42719", "where", "is", "it", "please", "don't", "the", "boots", "Hi,",
    "can", "you", "return", "four", "two", "seven", "one", "nine", "double", "$42.50", "problem", "a.b@c.com", "for",
    "damaged.", "St. Louis", "İstanbul", "it's", "“quoted”", "你好，", "-", "two-person", "SHOES",
)  # fmt: skip


def variants(name: str, text: str, count: int = 60) -> set[str]:
    return {apply(name, text, Random(seed)) for seed in range(count)}


@st.composite
def examples(draw: st.DrawFn) -> Example:
    """Sentences of the words above or of any characters, with some of their words as slot values."""
    pieces = draw(st.lists(st.sampled_from(WORDS) | st.text(min_size=1, max_size=6), min_size=1, max_size=12))
    text, spans, at = "", [], 0
    for piece in pieces:
        gap = draw(st.sampled_from([" ", " ", " ", "", "  ", ", "])) if text else ""
        at = len(text) + len(gap)
        text += gap + piece
        if piece.strip() and draw(st.booleans()):
            spans.append(Span(at, at + len(piece), draw(st.sampled_from(["number", "thing"]))))
    return Example(text, "intent", tuple(spans), ("sad",), "file:1", 0.5)


def values(example: Example) -> list[tuple[str, str]]:
    return [(span.name, example.text[span.start : span.end]) for span in example.spans or ()]


def canonical(value: str) -> str:
    """A value whatever its case, with its numbers in digits."""
    for run in reversed(digit_runs(value)):
        value = f"{value[: run.start]}{run.digits}{value[run.end :]}"
    return value.lower()


# what must hold for every text


@settings(max_examples=150, deadline=None)
@given(examples(), st.sampled_from(KEEPING), st.integers(0, 1000))
def test_slot_values_keep_their_words(example: Example, name: str, seed: int) -> None:
    changed = apply_to(name, example, Random(seed))
    assert values(changed) == values(example)
    assert changed.text.strip() or not example.text.strip()


@settings(max_examples=150, deadline=None)
@given(examples(), st.sampled_from(["casing", "plain"]), st.integers(0, 1000))
def test_slot_values_lose_at_most_their_case(example: Example, name: str, seed: int) -> None:
    changed = apply_to(name, example, Random(seed))
    lowered = [(slot, value.lower()) for slot, value in values(example)]
    assert [(slot, value.lower()) for slot, value in values(changed)] == lowered


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["order", "42719", "4", "02139", "four", "two", "seven", "oh", "is"]), min_size=1),
    st.integers(0, 99),
)
def test_numbers_stay_the_same_numbers(pieces: list[str], seed: int) -> None:
    spans, text = [], ""
    for piece in pieces:
        start = len(text) + bool(text)
        text = f"{text} {piece}".strip()
        if piece.isdigit() and len(piece) > 1:
            spans.append(Span(start, len(text), "number"))
    changed = apply_to("numbers", Example(text, spans=tuple(spans)), Random(seed))
    assert len(changed.spans or ()) == len(spans)
    for before, after in zip(spans, changed.spans or (), strict=True):
        assert canonical(changed.text[after.start : after.end]) == text[before.start : before.end]


@settings(max_examples=100, deadline=None)
@given(examples(), st.integers(0, 1000))
def test_labels_origin_and_weight_stay_and_spans_stay_in_order(example: Example, seed: int) -> None:
    changed = augment(example, Random(seed), dict.fromkeys(STRATEGIES, 0.5))
    assert (changed.intent, changed.emotions, changed.origin, changed.weight) == ("intent", ("sad",), "file:1", 0.5)
    assert [slot for slot, _ in values(changed)] == [slot for slot, _ in values(example)]
    reached = 0
    for span in changed.spans or ():
        assert reached <= span.start < span.end <= len(changed.text)
        reached = span.end


def test_unlabelled_slots_stay_unlabelled() -> None:
    assert augment(Example("cancel my order"), Random(1), {"fillers": 1.0}).spans is None


# edits


def test_edits_move_the_values_after_them() -> None:
    text, spans = edited(
        "get two tents now", [Edit(0, 3, "please send"), Edit(14, 14, "right ")], (Span(8, 13, "what"),)
    )
    assert text == "please send two tents right now"
    assert text[spans[0].start : spans[0].end] == "tents"


def test_edits_beside_a_value_are_made_and_edits_in_it_are_not() -> None:
    span = (Span(2, 5, "x"),)
    made = [Edit(2, 2, "<"), Edit(3, 4, "?"), Edit(5, 5, ">"), Edit(1, 3, "?")]
    assert edited("a bcd e", made, span) == ("a <bcd> e", (Span(3, 6, "x"),))
    assert edited("a bcd e", [Edit(3, 4, "??", within=True)], span) == ("a b??d e", (Span(2, 6, "x"),))
    assert edited("a bcd e", [Edit(2, 7, "?", within=True)], span) == ("a bcd e", span)


def test_of_edits_that_overlap_the_first_is_made() -> None:
    assert edited("abcd", [Edit(1, 3, "x"), Edit(0, 2, "y")])[0] == "ycd"


def test_a_text_is_never_edited_away() -> None:
    assert edited("um", [Edit(0, 2, " ")]) == ("um", ())


def test_words_are_not_found_in_addresses_and_codes() -> None:
    found = [word.text for word in words("Mail a.b@c.com, (don't) use $5 or two-person: ok?")]
    assert found == ["Mail", "don't", "use", "or", "ok"]


# strategies


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Where's my order? It cost $3.50, I think.", "where's my order it cost $3.50 i think"),
        ("“Hello” - is e-mail a.b@c.com ok?!", "hello is e mail a.b@c.com ok"),
        ("Stop... Now", "stop now"),
        ("你好，我要退货。", "你好 我要退货"),
        ("?!", "?!"),
    ],
)
def test_plain_is_lower_case_without_marks(text: str, expected: str) -> None:
    assert variants("plain", text) == {expected}


def test_casing_has_several_ways() -> None:
    assert variants("casing", "Where is it?") == {"where is it", "where is it?", "Where is it", "Where is it?"}
    assert "Where is it." in variants("casing", "where is it")


def test_dropped_words_keep_negations_and_most_words() -> None:
    text = "I do not want to cancel the order, and you can't do that to me"
    found = variants("dropped_words", text, 300)
    assert len(found) > 20
    for shorter in found:
        left = [word.lower for word in words(shorter)]
        assert "not" in left
        assert "can't" in left
        assert len(left) >= 12
        it = iter(word.lower for word in words(text))
        assert all(word in it for word in left), "the words left are in their order"
        assert shorter == shorter.strip()


def test_short_texts_lose_no_word() -> None:
    assert variants("dropped_words", "cancel it now") == {"cancel it now"}


def test_fillers_add_only_fillers() -> None:
    found = variants("fillers", "cancel my order", 200)
    assert "cancel my order" not in found
    assert any(re.fullmatch("cancel uh my order", text) for text in found)
    for text in found:
        assert re.fullmatch(r"(?:.* )?cancel (?:.* )?my (?:.* )?order", text)


def test_repeated_words_stammer_restart_and_break_off() -> None:
    found = variants("repeated_words", "cancel order", 100)
    assert {"cancel cancel order", "cancel order cancel order", "cancel order order", "can- cancel order"} <= found
    assert apply_to("repeated_words", Example("42719", spans=(Span(0, 5, "n"),)), Random(0)).text == "42719"


def test_typos_are_one_slip_in_long_words() -> None:
    found = variants("typos", "cancel my order")
    assert "cancel my order" not in found
    for text in found:
        first, middle, last = text.split(" ")
        assert middle == "my"
        assert (first == "cancel") != (last == "order")
        assert abs(len(text) - len("cancel my order")) <= 1
        assert first[0] == "c"
    assert variants("typos", "it is 42719 ok") == {"it is 42719 ok"}


def test_homophones_sound_alike_and_keep_their_case() -> None:
    assert variants("homophones", "Where to?") == {"Wear to?", "Were to?", "Ware to?", "Where too?", "Where two?"}
    assert variants("homophones", "my xylophone") == {"my xylophone"}
    assert variants("homophones", "No.") == {"No."}, "a word alone is all that tells what was meant"
    assert homophones("wear.site.com", Random(0)) == []


def test_synonyms_fit_their_article() -> None:
    found = variants("synonyms", "a package is late")
    assert "a parcel is late" in found
    assert "a package is delayed" in found
    assert "an article is here" in variants("synonyms", "an item is here")
    assert "a article is here" not in variants("synonyms", "a item is here")


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("can you cancel it", "please cancel it"),
        ("Can you cancel it?", "Please cancel it?"),
        ("hi um I want to cancel it", "hi um I'd like to cancel it"),
        ("i want to cancel it", "i'd like to cancel it"),
        ("how do I reset it", "what's the way to reset it"),
        ("track my parcel now", "can you track my parcel now"),
        ("Track my parcel now", "Could you track my parcel now"),
        ("where is my blue lamp?", "where's my blue lamp please?"),
    ],
)
def test_requests_are_opened_in_other_ways(text: str, one: str) -> None:
    assert one in variants("paraphrase", text, 400)


def test_what_is_no_request_keeps_its_words() -> None:
    assert variants("paraphrase", "order status") == {"order status"}
    assert variants("paraphrase", "return policy") == {"return policy"}
    assert variants("paraphrase", "my tent is torn") == {
        "my tent is torn", "my tent is torn thanks", "my tent is torn thank you",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("order 42719 please", "order four two seven one nine please"),
        ("order four two seven one nine please", "order 42719 please"),
        ("it was $42.50", "it was forty two dollars and fifty cents"),
        ("double four one two", "4412"),
        ("room 12", "room twelve"),
        ("one of them", "one of them"),
        ("send it to joe99@example.com", "send it to joe99@example.com"),
        ("5GB", "5GB"),
    ],
)
def test_numbers_are_written_the_other_way(text: str, expected: str) -> None:
    assert variants("numbers", text) == {expected}


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    with pytest.raises(DataError, match="'shouting' is not known; choose among paraphrase, synonyms"):
        apply("shouting", "x", Random(0))
    with pytest.raises(DataError, match="'shouting' is not known"):
        augment(Example("x"), Random(0), {"shouting": 0.5})
    with pytest.raises(DataError, match=r"rate of typos is 1\.5"):
        Noise(rates={"typos": 1.5})


# noise


def test_noise_depends_on_seed_draw_and_example_alone() -> None:
    rows = [Example(f"I want to cancel the order number {n} please", origin=f"f:{n}") for n in range(40)]
    noise = Noise(3)
    first = noise.examples(rows)
    assert Noise(3).examples(rows) == first
    assert [noise.example(row) for row in reversed(rows)] == first[::-1]
    assert noise.examples(rows, draw=1) != first
    assert Noise(4).examples(rows) != first
    assert sum(a.text != b.text for a, b in zip(first, rows, strict=True)) > 20
    assert noise.text("where is it") == Noise(3).text("where is it")


def test_without_rates_nothing_changes() -> None:
    assert Noise(rates={}).text("Where is it?") == "Where is it?"
    assert set(RATES) <= set(STRATEGIES)


# tables


def test_homophones_are_pairs_once_and_read_both_ways() -> None:
    rows = read_rows(HOMOPHONES_FILE, 2)
    pairs = {frozenset(cell.lower() for cell in row) for row in rows}
    assert len(rows) == len(pairs) >= 250
    assert all(
        len(row) == 2 and len(pair) == 2 for row, pair in zip(rows, [set(map(str.lower, r)) for r in rows], strict=True)
    )
    for one, other in rows[::25]:
        assert f"xx {other} xx".lower() in {text.lower() for text in variants("homophones", f"xx {one} xx")}
        assert f"xx {one} xx".lower() in {text.lower() for text in variants("homophones", f"xx {other} xx")}


def test_synonyms_have_each_wording_once() -> None:
    rows = read_rows(SYNONYMS_FILE, 2)
    keys = [row[0].lower() for row in rows]
    assert len(set(keys)) == len(keys) >= 150
    assert all(len({cell.lower() for cell in row}) == len(row) for row in rows)


def test_openings_are_in_one_family_only() -> None:
    openings = [opening.lower() for family in FAMILIES for opening in family]
    assert len(set(openings)) == len(openings)


def test_back_translation_says_what_it_needs(tmp_path: object) -> None:
    with pytest.raises(DataError, match=r"install the extra `train`|cannot be loaded"):
        back_translate(["hello"], f"{tmp_path}/no-model", f"{tmp_path}/none")
