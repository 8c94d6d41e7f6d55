"""Chinese on the multilingual encoder: text kept whole, its own emotion head, readers of the data it is trained on."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models.encoder import SentenceEncoder, normalise
from models.heads import features
from models.text_emotion import LABELS, WEIGHTS, WEIGHTS_OF, TextEmotionModel, weights_of
from models.training.examples import DataError
from models.training.multilingual import (
    CONFIGS,
    CPED_FOUR,
    in_four,
    read_acts,
    read_cped,
    read_lines,
    read_sentences,
    score,
)


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder()


@pytest.fixture(scope="module")
def chinese(encoder: SentenceEncoder) -> TextEmotionModel:
    return TextEmotionModel(encoder, language="zh-CN")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("我想退货,请帮我处理一下。", "我想退货 请帮我处理一下"),
        ("「您好」", "您好"),
        ("你们太差劲了!!!", "你们太差劲了"),
        ("Wi-Fi 很慢……", "wi fi 很慢"),
    ],
)
def test_chinese_keeps_its_characters(text: str, plain: str) -> None:
    assert normalise(text) == plain


def test_chinese_sentences_lie_near_what_they_mean(encoder: SentenceEncoder) -> None:
    english = encoder.encode(["I want to return this", "where is my order", "you are rude"])
    for row, text in enumerate(("我想退货", "我的订单在哪里", "你们没礼貌")):
        assert int((english @ encoder.encode([text])[0]).argmax()) == row


class _Flat:
    width = 2

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.ones((len(texts), 2), np.float32) / np.sqrt(2)


def test_chinese_texts_share_features_by_their_characters() -> None:
    rows = features(["我要退货", "我想退货", "天气很好"], _Flat())[:, 2:]
    assert rows[0] @ rows[1] > 2 * abs(rows[0] @ rows[2])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("你们太差劲了", "angry"),
        ("我要投诉你们", "angry"),
        ("太好了,谢谢你", "happy"),
        ("我想查一下订单", "neutral"),
        ("我很难过", "sad"),
    ],
)
def test_what_chinese_callers_say(chinese: TextEmotionModel, text: str, label: str) -> None:
    emotion = chinese.read(text)
    assert emotion.label == label
    assert set(emotion.scores) == set(LABELS)


def test_held_out_chinese_lines_stay_as_good_as_the_card_says(chinese: TextEmotionModel) -> None:
    lines = read_lines("held")
    assert np.mean([chinese.read(text).label == label for text, label in lines]) >= 0.75
    assert not {text for text, _ in lines} & {text for text, _ in read_lines("train")}


def test_language_chooses_the_head() -> None:
    assert weights_of("zh") == weights_of("zh-CN") == weights_of("ZH_tw") == WEIGHTS_OF["zh"]
    assert weights_of("en-US") == weights_of("de") == WEIGHTS
    assert WEIGHTS_OF["zh"].stat().st_size < 100_000


def test_shop_sentences_are_of_the_shop_and_not_training_lines() -> None:
    import yaml

    rows = read_sentences(CONFIGS / "evaluation" / "zh_shop.tsv")
    intents = yaml.safe_load((CONFIGS / "domains" / "shop" / "intents.yaml").read_text(encoding="utf-8"))["intents"]
    assert len(rows) == len({text for text, _ in rows}) == 48
    assert {intent for _, intent in rows} == {*intents, "out_of_scope"}


def test_bad_sentences_are_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.tsv"
    path.write_text("intent\ttext\ngreeting\t你好\n你好\nthanks\t \n", encoding="utf-8")
    with pytest.raises(DataError, match=r"lines\.tsv:3: .* is not intent, tab, text") as caught:
        read_sentences(path)
    assert len(caught.value.problems) == 2
    path.write_bytes("intent\ttext\ngreeting\t你好".encode("gb18030"))
    with pytest.raises(DataError, match="cannot be read as UTF-8"):
        read_sentences(path)


def test_cped_is_read_and_mapped(tmp_path: Path) -> None:
    folder = tmp_path / "cped_zh_emotion" / "data" / "CPED"
    folder.mkdir(parents=True)
    path = folder / "test_split.csv"
    path.write_text(
        '﻿TV_ID,Emotion,Utterance\n1,anger,"走开,快点"\n1,worried,怎么办\n1,relaxed,好吧\n', encoding="utf-8"
    )
    rows = read_cped(tmp_path, "test")
    assert rows == [("走开,快点", "anger"), ("怎么办", "worried"), ("好吧", "relaxed")]
    assert in_four(rows) == [("走开,快点", "angry"), ("好吧", "happy")]
    assert set(CPED_FOUR) == set(LABELS)
    path.write_text("Emotion\nanger\n", encoding="utf-8")
    with pytest.raises(DataError, match="column 'Utterance' is missing"):
        read_cped(tmp_path, "test")
    with pytest.raises(DataError, match=r"valid_split\.csv: there is no such file"):
        read_cped(tmp_path, "valid")


def test_crosswoz_turns_of_one_act_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "crosswoz" / "data" / "crosswoz"
    folder.mkdir(parents=True)

    def turn(role: str, text: str, *acts: list[str]) -> dict[str, object]:
        return {"role": role, "content": text, "dialog_act": list(acts)}

    phone, rating = ["Request", "酒店", "电话", ""], ["Request", "酒店", "评分", ""]
    messages = [
        turn("usr", "电话是多少", phone),
        turn("sys", "是123", ["Inform", "酒店", "电话", "123"]),
        turn("usr", "电话和评分呢", phone, rating),
        turn("usr", "谢谢", ["General", "thank", "none", "none"]),
        turn("usr", "嗯"),
    ]
    with zipfile.ZipFile(folder / "test.json.zip", "w") as archive:
        archive.writestr("test.json", json.dumps({"1": {"messages": messages}}, ensure_ascii=False))
    assert read_acts(tmp_path, "test", slots=True) == [
        ("电话是多少", "Request 酒店 电话"),
        ("谢谢", "General thank none"),
    ]
    assert read_acts(tmp_path, "test", slots=False) == [
        ("电话是多少", "Request 酒店"),
        ("电话和评分呢", "Request 酒店"),
        ("谢谢", "General thank"),
    ]
    (folder / "val.json.zip").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"val\.json\.zip: cannot be read as CrossWOZ"):
        read_acts(tmp_path, "train", slots=False)


def test_scores_know_their_interval_and_rare_classes() -> None:
    found = score("half", ["a"] * 90 + ["b"] * 10, ["a"] * 100)
    assert found.accuracy == pytest.approx(0.9)
    assert found.macro_f1 == pytest.approx(0.5 * (180 / 190))
    assert found.interval[0] < 0.9 < found.interval[1]
    assert "90.0" in found.row()
