"""Readers of published data sets: each from small files in its shape."""

import json
from pathlib import Path

import pytest
from datafiles import problems, values, write

from models.contracts import OUT_OF_SCOPE
from models.training.readers import read_examples

CPED_HEADER = "TV_ID,Dialogue_ID,Utterance_ID,Sentiment,Emotion,DA,Utterance"
BITEXT_HEADER = "utterance,intent,entity_type,entity_value,start_offset,end_offset,category,tags"
MULTIDOGO_HEADER = "conversationId\tturnNumber\tutteranceId\tutterance\tslot-labels\tintent"


def test_banking77_folder(tmp_path: Path) -> None:
    folder = tmp_path / "banking77" / "banking_data"
    write(
        folder / "train.csv",
        "text,category",
        "Where is it?,card_arrival",
        '"Hi, there',
        'is none",lost',
        "x,card_arrival",
    )
    write(folder / "test.csv", "text,category", '"It says ""no""",lost')
    write(folder / "categories.json", "[]")
    splits = read_examples(tmp_path / "banking77")
    assert [(e.text, e.intent, e.origin) for e in splits.train] == [
        ("Where is it?", "card_arrival", f"{folder}/train.csv:2"),
        ("Hi, there\nis none", "lost", f"{folder}/train.csv:3"),
        ("x", "card_arrival", f"{folder}/train.csv:5"),
    ]
    assert [e.text for e in splits.test] == ['It says "no"']
    assert splits.train[0].spans is None
    assert splits.sources == ("table: banking77/banking_data",)


def test_bitext_entities_are_spans(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(
        folder / "train" / "any_name.csv",
        BITEXT_HEADER,
        "cancel purchase 4587345,cancel_order,order_id,4587345,16,23,ORDER,BL",
        "open a gold account,create_account,account_type,Gold,7,11,ACCOUNT,B",
        "help,contact,,,,,CONTACT,B",
    )
    write(folder / "dev" / "other.csv", BITEXT_HEADER, "hi,contact,,,,,CONTACT,B")
    splits = read_examples(tmp_path)
    assert [values(e) for e in splits.train] == [[("order_id", "4587345")], [("account_type", "gold")], []]
    assert splits.train[2].spans == ()
    assert [e.intent for e in splits.validation] == ["contact"]
    assert splits.sources == (f"Bitext: {tmp_path.name}/data",)


def test_bitext_offsets_must_hold_the_value(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        BITEXT_HEADER,
        "cancel 4587345,cancel_order,order_id,4587345,6,13,ORDER,BL",
        "cancel 4587345,cancel_order,order_id,4587345,,13,ORDER,BL",
    )
    first, second = problems(path)
    assert f"{path}:2: entity_value is '4587345', but the offsets hold ' 458734'" in first
    assert f"{path}:3: offsets are ('', '13')" in second


def test_cped_trains_on_test_where_there_is_no_train_and_says_so(tmp_path: Path) -> None:
    write(tmp_path / "test_split.csv", "\ufeff" + CPED_HEADER, "1,1,1,negative,anger,question,怎么了")
    write(tmp_path / "valid_split.csv", CPED_HEADER, "1,1,1,neutral,neutral,answer,没有")
    splits = read_examples(tmp_path)
    assert [(e.text, e.emotions, e.intent) for e in splits.train] == [("怎么了", ("anger",), None)]
    assert [e.text for e in splits.test] == ["没有"]
    assert splits.validation == ()
    assert "trained on test_split.csv, tested on valid_split.csv" in splits.sources[0]
    write(tmp_path / "train_split.csv", CPED_HEADER, "1,1,1,positive,happy,answer,好")
    whole = read_examples(tmp_path)
    assert [[e.text for e in part] for part in (whole.train, whole.validation, whole.test)] == [
        ["好"],
        ["没有"],
        ["怎么了"],
    ]


def test_multidogo_turns(tmp_path: Path) -> None:
    write(
        tmp_path / "finance" / "train.tsv",
        MULTIDOGO_HEADER,
        "c\t0\tu\tsan jose and 44883\tcity city O zip\tcontentonly",
        'c\t1\tu\t"44883 ',
        ' tiffin oh"\tzip O city O\tcontentonly',
        "c\t2\tu\ti need help\tO O O\toutofdomain",
        "c\t3\tu\tlost my card\tO O O\treportlostcard<div>closeaccount",
        "c\t4\tu\t\tO\toutofdomain",
    )
    write(tmp_path / "finance" / "dev.tsv", MULTIDOGO_HEADER, "c\t0\tu\thi\tO\topeninggreeting")
    splits = read_examples(tmp_path / "finance")
    assert [(e.text, e.intent, values(e)) for e in splits.train] == [
        ("san jose and 44883", "contentonly", [("city", "san jose"), ("zip", "44883")]),
        ("44883 tiffin oh", "contentonly", [("zip", "44883"), ("city", "tiffin")]),
        ("i need help", OUT_OF_SCOPE, []),
        ("lost my card", "reportlostcard", []),
    ]
    assert splits.train[2].origin.endswith("train.tsv:5")
    assert len(splits.validation) == 1
    assert splits.sources == ("MultiDoGO, turn level: finance",)


def test_multidogo_needs_a_label_for_each_word(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", MULTIDOGO_HEADER, "c\t0\tu\tsan jose\tcity\tcontentonly")
    assert problems(path) == (f"{path}:2: 2 words, but slot-labels has 1 labels; give each word one",)


# folders of published shape


def test_clinc150_lines_and_out_of_scope(tmp_path: Path) -> None:
    document = {
        "oos_val": [["a show on broadway", "oos"]],
        "val": [["hi", "greeting"]],
        "train": [['say "hi" [now], ok', "greeting"], ["bye", "goodbye"]],
        "oos_train": [["how tall is it", "oos"]],
        "oos_test": [["why", "oos"]],
        "test": [["ciao", "goodbye"]],
    }
    path = tmp_path / "clinc150" / "data" / "data_full.json"
    write(path, json.dumps(document, indent=1))
    splits = read_examples(tmp_path / "clinc150")
    assert [(e.text, e.intent) for e in splits.train] == [
        ('say "hi" [now], ok', "greeting"),
        ("bye", "goodbye"),
        ("how tall is it", OUT_OF_SCOPE),
    ]
    assert {e.intent for e in splits.validation} == {"greeting", OUT_OF_SCOPE}
    assert {e.text for e in splits.test} == {"why", "ciao"}
    lines = path.read_text().splitlines()
    for example in splits.train + splits.validation + splits.test:
        line = int(example.origin.rsplit(":", 1)[1])
        assert lines[line - 1].strip() == "["
        assert json.dumps(example.text) in lines[line]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "not CLINC150's"),
        ('{"train": [["a", "b"]], "extra": []}', "key 'extra'"),
        ('{"train": [["a"]]}', "is not [text, intent]"),
        ('{"train": 3}', "key 'train'"),
        ('{"train": [[" ", "b"]]}', "no words"),
        ('{"train": ]', "not JSON"),
    ],
)
def test_json_of_another_shape_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (problem,) = problems(write(tmp_path / "data_full.json", content))
    assert problem.startswith(f"{tmp_path}/data_full.json:1: ")
    assert said in problem


def test_snips_spans_come_from_bio_labels(tmp_path: Path) -> None:
    folder = tmp_path / "snips"
    write(folder / "train" / "seq.in", "play  allergic on google music ", "rate it")
    write(folder / "train" / "seq.out", "O B-album O B-service I-service ", "I-verb B-verb")
    write(folder / "train" / "label", "PlayMusic", "RateBook")
    for name in ("seq.in", "seq.out", "label"):
        write(folder / "valid" / name, {"seq.in": "hi", "seq.out": "O", "label": "Greet"}[name])
    splits = read_examples(tmp_path)
    assert [(e.text, e.intent, values(e)) for e in splits.train] == [
        ("play allergic on google music", "PlayMusic", [("album", "allergic"), ("service", "google music")]),
        ("rate it", "RateBook", [("verb", "rate"), ("verb", "it")]),
    ]
    assert splits.train[1].origin == f"{folder}/train/seq.in:2"
    assert [e.intent for e in splits.validation] == ["Greet"]


def test_snips_files_must_agree(tmp_path: Path) -> None:
    write(tmp_path / "train" / "seq.in", "a b", "c", "d")
    write(tmp_path / "train" / "seq.out", "O", "X-y", "O")
    write(tmp_path / "train" / "label", "L", "L", "L")
    first, second = problems(tmp_path)
    assert first == f"{tmp_path}/train/seq.in:1: 2 words, but seq.out has 1 labels; give each word one"
    assert "seq.in:2: label 'X-y' is not O, B-name or I-name" in second
    write(tmp_path / "train" / "label", "L")
    assert "seq.in 3, seq.out 3, label 1 lines" in problems(tmp_path)[0]
    (tmp_path / "train" / "seq.out").unlink()
    assert "seq.out: cannot be read" in problems(tmp_path)[0]


def test_goemotions_labels_have_names(tmp_path: Path) -> None:
    write(tmp_path / "labels.txt", "anger", "joy", "neutral")
    write(tmp_path / "train.tsv", 'He said "no\t0,2\tabc', "Nice!\t1\tdef")
    write(tmp_path / "dev.tsv", "Hm\t2\tghi")
    splits = read_examples(tmp_path)
    assert [(e.text, e.emotions) for e in splits.train] == [('He said "no', ("anger", "neutral")), ("Nice!", ("joy",))]
    assert splits.train[0].intent is None
    assert len(splits.validation) == 1
    assert read_examples(tmp_path / "train.tsv").train == splits.train
    write(tmp_path / "train.tsv", "a\t3\tx", "b\t\tx", "c\t1")
    found = problems(tmp_path)
    assert [line.split(": ", 1)[1].split(";")[0] for line in found] == [
        "label '3' is no line of labels.txt",
        "label '' is no line of labels.txt",
        "2 cells",
    ]
