"""Readers of labelled texts: each shape from small files in it, and what is wrong by file and line."""

import errno
import os
from pathlib import Path

import pytest
from datafiles import problems, values, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.contracts import OUT_OF_SCOPE
from models.training.examples import DataError, Example, Span
from models.training.readers import read_examples, to_row, unmark, write_jsonl

CPED_HEADER = "TV_ID,Dialogue_ID,Utterance_ID,Sentiment,Emotion,DA,Utterance"
BITEXT_HEADER = "utterance,intent,entity_type,entity_value,start_offset,end_offset,category,tags"
MULTIDOGO_HEADER = "conversationId\tturnNumber\tutteranceId\tutterance\tslot-labels\tintent"


# our JSONL


def test_jsonl_has_every_label_its_line_and_its_split(tmp_path: Path) -> None:
    path = write(
        tmp_path / "labels.jsonl",
        '{"text": "where is order 42719", "intent": "status", "slots": [{"start": 15, "end": 20, "name": "number"}]}',
        "",
        '{"text": "I am furious ", "emotion": ["angry", "sad"], "split": "dev", "weight": 0.5, "about": {"by": "x"}}',
        '{"text": "hello", "intent": "greeting", "emotion": "neutral", "split": "test"}',
    )
    splits = read_examples(path)
    (status,), (furious,), (hello,) = splits.train, splits.validation, splits.test
    assert status == Example("where is order 42719", "status", (Span(15, 20, "number"),), (), f"{path}:1")
    assert furious == Example("I am furious", None, None, ("angry", "sad"), f"{path}:3", 0.5)
    assert hello.emotions == ("neutral",)
    assert splits.sources == ("JSONL: labels.jsonl",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no object"),
        ('{"intent": "status"}', "text is None"),
        ('{"text": "  "}', "no words"),
        ('{"text": "a \\ud800 b"}', "lone surrogate"),
        ('{"text": "hello", "intent": ""}', "intent is ''"),
        ('{"text": "hello", "intent": null}', "intent is None"),
        ('{"text": "hello", "emotion": ""}', "emotion is ''"),
        ('{"text": "hello", "emotion": []}', "emotion is []"),
        ('{"text": "hello", "emotion": [3]}', "emotion is [3]"),
        ('{"text": "hello", "entities": []}', "unknown field 'entities'"),
        ('{"text": "hello", "split": "later"}', "split is 'later'"),
        ('{"text": "hello", "weight": 0}', "weight is 0"),
        ('{"text": "hello", "weight": true}', "weight is True"),
        ('{"text": "hello", "slots": {}}', "slots is {}"),
        ('{"text": "hello", "slots": [{"start": 0}]}', "is not"),
        ('{"text": "hello", "slots": [{"start": 0.0, "end": 2, "name": "x"}]}', "whole numbers"),
        ('{"text": "hello", "slots": [{"start": 0, "end": 6, "name": "x"}]}', "outside the text"),
        ('{"text": "hello", "slots": [{"start": -2, "end": 3, "name": "x"}]}', "outside the text"),
        ('{"text": "hello", "slots": [{"start": 3, "end": 3, "name": "x"}]}', "outside the text"),
        ('{"text": "hello", "slots": [{"start": 0, "end": 2, "name": " "}]}', "give it a name"),
        ('{"text": "hel lo", "slots": [{"start": 3, "end": 4, "name": "x"}]}', "holds no words"),
        ('{"text": "hello", "slots": [{"start": 0, "end": 2, "name": "x", "value": "lo"}]}', "holds 'he'"),
        (
            '{"text": "hello", "slots": [{"start": 2, "end": 4, "name": "y"}, {"start": 0, "end": 3, "name": "x"}]}',
            "overlaps slot 'x' at [0, 3)",
        ),
    ],
)
def test_jsonl_names_the_line_and_what_is_wrong(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path / "labels.jsonl", '{"text": "fine", "intent": "a"}', line)
    (problem,) = problems(path)
    assert problem.startswith(f"{path}:2: ")
    assert said in problem


def test_all_problems_of_a_file_come_together_and_are_capped(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.jsonl", *['{"text": ""}'] * 23)
    found = problems(path)
    assert [line.split(": ")[0] for line in found[:20]] == [f"{path}:{n}" for n in range(1, 21)]
    assert found[20:] == ("... and 3 more problems",)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    examples = [
        Example("two tents ", "order", (Span(4, 9, "product"),), ("happy",), weight=0.25),
        Example("雨が\u2028ふる", OUT_OF_SCOPE, (), ("sad", "angry")),
        Example("hm"),
    ]
    path = tmp_path / "new" / "out.jsonl"
    assert write_jsonl(path, [to_row(example, "train") for example in examples]) == 3
    read = read_examples(path).train
    assert [to_row(example) | {"origin": ""} for example in read] == [to_row(e) | {"origin": ""} for e in examples]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "out.jsonl", '{"text": "old"}')

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"out\.jsonl: cannot be written \(No space left on device\)"):
        write_jsonl(path, [{"text": "new"}])
    assert read_examples(path).train[0].text == "old"
    assert list(tmp_path.iterdir()) == [path]


# tables


def test_a_table_may_name_the_split_and_an_emotion(tmp_path: Path) -> None:
    path = write(
        tmp_path / "data.tsv",
        "Text\tLabel\tEmotion\tSplit\tWeight",
        "hello\tgreet\thappy|calm\ttrain\t2",
        "",
        "bye\tleave\tsad\tval\t1",
    )
    splits = read_examples(path)
    assert splits.train == (Example("hello", "greet", None, ("happy", "calm"), f"{path}:2", 2.0),)
    assert [e.intent for e in splits.validation] == ["leave"]


def test_a_file_named_after_a_split_is_that_split(tmp_path: Path) -> None:
    assert [e.text for e in read_examples(write(tmp_path / "test.csv", "text;intent", "a, b;c")).test] == ["a, b"]


def test_a_byte_order_mark_and_crlf_are_no_part_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"\xef\xbb\xbftext,intent\r\nhello,greet\r\n")
    assert read_examples(path).train == (Example("hello", "greet", origin=f"{path}:2"),)


@pytest.mark.parametrize(
    ("lines", "where", "said"),
    [
        ((), 1, "empty"),
        (("hello,greet",), 1, "names no column of texts"),
        (("text,speaker,intent", "a,b,c"), 1, "unknown column 'speaker'"),
        (("text,intent,category", "a,b,c"), 1, "both give the intent"),
        (("text,utterance,intent", "a,b,c"), 1, "both give the text"),
        (("text,split", "a,train"), 1, "no column of labels"),
        (("text,intent", "a,b", "c"), 3, "1 cells, the header has 2"),
        (("text,intent", "a,b,c"), 2, "3 cells, the header has 2"),
        (("text,intent", ",greet"), 2, "text is ''"),
        (("text,intent", "hello, "), 2, "intent is ' '"),
        (("text,intent,emotion", "hello,greet,"), 2, "emotion is ''"),
        (("text,intent,split", "hello,greet,never"), 2, "split is 'never'"),
        (("text,intent,weight", "hello,greet,heavy"), 2, "weight is 'heavy'"),
        (("text,intent,weight", "hello,greet,nan"), 2, "weight is nan"),
        (("text,intent", "a,b", '"never closed,greet', "x,y"), 3, "close its quotes"),
    ],
)
def test_a_table_names_the_line_and_what_is_wrong(
    tmp_path: Path, lines: tuple[str, ...], where: int, said: str
) -> None:
    path = write(tmp_path / "data.csv", *lines)
    (problem,) = problems(path)
    assert problem.startswith(f"{path}:{where}: ")
    assert said in problem


def test_bytes_that_are_no_utf8_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("text,intent\nhello,greet\ncafé,order\n".encode("latin-1"))
    assert problems(path) == (f"{path}:3: byte 0xe9 is not UTF-8; save the file with UTF-8 encoding",)


# domains and marks


def test_a_domain_gives_intents_out_of_scope_and_marked_values(tmp_path: Path) -> None:
    path = write(
        tmp_path / "intents.yaml",
        "intents:",
        "  order:",
        "    description: buys something",
        "    examples:",
        "      - I want [the big tent](product)",
        '      - "yes: [two](count:2) [lamps](product)"',
        "  greeting: {examples: [hello]}",
        "out_of_scope:",
        "  examples:",
        "    - what is [this]",
        "slots:",
        "  product: {type: choice}",
        "  count: {type: digits}",
    )
    for place in (path, tmp_path):
        splits = read_examples(place)
        assert [(e.text, e.intent, values(e)) for e in splits.train] == [
            ("I want the big tent", "order", [("product", "the big tent")]),
            ("yes: two lamps", "order", [("count", "two"), ("product", "lamps")]),
            ("hello", "greeting", []),
            ("what is [this]", OUT_OF_SCOPE, []),
        ]
        assert [e.origin for e in splits.train] == [f"{path}:{line}" for line in (5, 6, 7, 10)]
        assert splits.train[2].spans == ()


def test_a_domain_without_marks_says_nothing_of_slots(tmp_path: Path) -> None:
    path = write(tmp_path / "intents.yaml", "intents:", "  a: {examples: [one, two]}")
    assert {e.spans for e in read_examples(path).train} == {None}


@pytest.mark.parametrize(
    ("lines", "where", "said"),
    [
        (("intents: [",), 2, "not valid YAML"),
        (("flows: {}",), 1, "no intents"),
        (("intents:", "  a: {examples: [true]}"), 2, "is no text"),
        (("intents:", "  a: {examples: {b: c}}"), 2, "are no list"),
        (("intents:", "  a: {examples: ['[tent]()']}"), 2, "names no slot"),
        (("intents:", "  a: {examples: ['[ ](product)']}"), 2, "holds no value"),
        (("intents:", "  a: {examples: ['[x](y)']}", "slots: {z: {}}"), 2, "'y' is not declared"),
        (("intents:", "  a: {examples: ['']}"), 2, "no words"),
    ],
)
def test_a_domain_names_the_line_and_what_is_wrong(
    tmp_path: Path, lines: tuple[str, ...], where: int, said: str
) -> None:
    path = write(tmp_path / "intents.yaml", *lines)
    (problem,) = problems(path)
    assert problem.startswith(f"{path}:{where}: ")
    assert said in problem


@given(st.lists(st.tuples(st.text(alphabet="ab c.!'", max_size=6), st.text("xyz 1", min_size=1, max_size=5))))
def test_marks_are_taken_out_and_remembered(parts: list[tuple[str, str]]) -> None:
    parts = [(before, value) for before, value in parts if value.strip()]
    plain, spans = unmark("".join(f"{before}[{value}](name)" for before, value in parts))
    assert plain == "".join(before + value for before, value in parts)
    assert [plain[span.start : span.end] for span in spans] == [value for _, value in parts]


# folders of ours


def test_a_folder_of_label_files_is_all_training_data(tmp_path: Path) -> None:
    write(tmp_path / "monday.jsonl", '{"text": "a", "intent": "x"}')
    write(tmp_path / "tuesday.jsonl", '{"text": "b", "intent": "y", "split": "test"}')
    splits = read_examples(tmp_path)
    assert [e.text for e in splits.train + splits.test] == ["a", "b"]
    assert len(splits.test) == 1


def test_problems_of_all_files_of_a_folder_come_together(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", '{"text": ""}')
    (tmp_path / "validation.csv").write_bytes(b"text,intent\n\xff,x\n")
    write(tmp_path / "test.jsonl", '{"text": "a", "split": "train"}')
    found = problems(tmp_path)
    assert len(found) == 3
    assert any("test.jsonl:1: split is 'train' in a file of 'test'" in line for line in found)
    assert any("validation.csv:2: byte 0xff" in line for line in found)


def test_two_files_of_one_split_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", '{"text": "a"}')
    write(tmp_path / "train.csv", "text,intent", "a,b")
    assert "train.csv and train.jsonl both are train; keep one" in problems(tmp_path)[0]


def test_what_is_no_data_set_is_refused_with_what_would_be(tmp_path: Path) -> None:
    assert "not there; name a .jsonl" in problems(tmp_path / "missing.jsonl")[0]
    assert "'.xlsx' is not known" in problems(write(tmp_path / "table.xlsx", "x"))[0]
    (tmp_path / "empty").mkdir()
    assert "holds no labelled texts" in problems(tmp_path / "empty")[0]
    for name in ("airline", "media"):
        write(tmp_path / "several" / name / "train.csv", "text,intent", "a,b")
    assert f"holds 2 data sets; name one of {tmp_path}/several/airline" in problems(tmp_path / "several")[0]


# anything at all

NAMES = ("a.jsonl", "a.csv", "a.tsv", "intents.yaml", "data_full.json", "a.txt")
PIECES = (
    b"text,intent\n", b"text\tlabel\tsplit\n", BITEXT_HEADER.encode() + b"\n", MULTIDOGO_HEADER.encode() + b"\n",
    CPED_HEADER.encode() + b"\n", b'{"text": "a", ', b'"slots": [{"start": 1, "end": ', b"9" * 5000, b'"name": "x"}]}',
    b"intents:\n  a:\n    examples:\n      - ", b"&a [*a]", b"!!python/object:os.system {}", b"2001-13-45", b"? [1]: 2",
    b'{"train": [["a", "b"]]}', b'"', b"\n", b"\r", b"\t", b",", b"[x](y)", b"\x00", b"\xff", b"\\ud800",
    b"1,2\tO\tz\n",
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(NAMES),
    content=st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=8).map(b"".join),
    labels=st.none() | st.binary(max_size=5),
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, name: str, content: bytes, labels: bytes | None) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    (tmp_path / name).write_bytes(content)
    if labels is not None:
        (tmp_path / "labels.txt").write_bytes(labels)
    for place in (tmp_path / name, tmp_path):
        try:
            splits = read_examples(place)
        except DataError:
            continue
        for example in splits.train + splits.validation + splits.test:
            assert example.text.strip()
            assert example.origin.startswith(str(tmp_path))
            assert all(0 <= span.start < span.end <= len(example.text) for span in example.spans or ())
