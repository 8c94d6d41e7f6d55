from pathlib import Path

import pytest

from models.errors import ModelDamaged, ModelMissing
from models.turn_text import WEIGHTS, TextEnd, plain_end

WHOLE = [
    "I'd like to know where my package is",
    "can you tell me when it will arrive",
    "she called me yesterday about the invoice",
    "we never go out on Sundays",
]
CUT = ["I'd like to know where my", "can you tell me when it will", "she called me yesterday about the", "we never go"]


@pytest.fixture(scope="module")
def net() -> TextEnd:
    return TextEnd()


@pytest.mark.parametrize(("whole", "cut"), list(zip(WHOLE, CUT, strict=True)))
def test_whole_sentences_score_above_cut_ones(net: TextEnd, whole: str, cut: str) -> None:
    assert net.log_odds(whole) > net.log_odds(cut) + 1.0


def test_marks_at_the_end_and_case_make_no_difference(net: TextEnd) -> None:
    plain = net.log_odds("where is my order")
    assert net.log_odds("Where is my order?") == pytest.approx(plain)
    assert net.log_odds("WHERE is my order...") == pytest.approx(plain)


@pytest.mark.parametrize("text", ["", "  ", "?!"])
def test_no_words_say_nothing(net: TextEnd, text: str) -> None:
    assert net.log_odds(text) == 0.0


@pytest.mark.parametrize("text", ["漢字です", "\x00", "a" * 5000, "no " * 400])
def test_odd_texts_give_a_number(net: TextEnd, text: str) -> None:
    assert abs(net.log_odds(text)) < 50


def test_only_the_end_of_a_long_text_is_read(net: TextEnd) -> None:
    end = " ".join(["we waited for it all day long"] * 8)
    assert net.log_odds("nobody ever told me why " + end) == pytest.approx(net.log_odds(end))


def test_plain_end_keeps_what_is_inside() -> None:
    assert plain_end("No, wait. It's J-A...") == "no, wait. it's j-a"


def test_missing_and_damaged_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"turn_text\.onnx"):
        TextEnd(tmp_path)
    (tmp_path / "turn_text.onnx").write_bytes(b"nothing")
    (tmp_path / "turn_text.json").write_text((WEIGHTS / "turn_text.json").read_text(encoding="utf-8"))
    with pytest.raises(ModelDamaged, match="train it again"):
        TextEnd(tmp_path)
