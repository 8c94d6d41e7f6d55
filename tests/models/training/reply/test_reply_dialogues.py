"""Dialogue files: what is read, and what is refused with its line."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.examples import DataError
from models.training.reply.dialogues import (
    MOST_PROBLEMS,
    Dialogue,
    Message,
    dialogue_from,
    read_dialogues,
    split_validation,
    with_system,
    without_repeats,
)

GOOD = {"messages": [{"role": "user", "content": " Where is it? "}, {"role": "assistant", "content": "On its way."}]}


def write(path, *rows):
    path.write_bytes(b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows))
    return path


def dialogue(*turns: str) -> Dialogue:
    sides = ("user", "assistant")
    return Dialogue(tuple(Message(sides[n % 2], turn) for n, turn in enumerate(turns)))


def test_reads_roles_knowledge_and_weight(tmp_path):
    row = {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "One moment.", "weight": 0},
            {"role": "tool", "content": '{"ok": true}'},
            {"role": "assistant", "content": "Done."},
        ],
        "knowledge": ["Refunds take 5 days. "],
    }
    [found] = read_dialogues([write(tmp_path / "d.jsonl", b"\xef\xbb\xbf", row, b"\n")])
    assert [message.role for message in found.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert [message.learn for message in found.messages if message.role == "assistant"] == [False, True]
    assert found.targets == 1
    assert found.knowledge == ("Refunds take 5 days.",)
    assert found.origin == f"{tmp_path / 'd.jsonl'}:1"


def test_space_around_words_goes():
    assert dialogue_from(GOOD, "x").messages[0].content == "Where is it?"


def test_reads_folders_and_refuses_empty_ones(tmp_path):
    write(tmp_path / "b.jsonl", GOOD)
    write(tmp_path / "a.jsonl", GOOD, GOOD)
    assert [d.origin.rpartition("/")[2] for d in read_dialogues([tmp_path])] == ["a.jsonl:1", "a.jsonl:2", "b.jsonl:1"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: there is no \.jsonl file"):
        read_dialogues([tmp_path / "empty"])


USER = {"role": "user", "content": "Hello"}
AGENT = {"role": "assistant", "content": "Hi."}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": [AGENT]}, "1 message; a dialogue has at least two"),
        ({"messages": [USER, {"role": "assistant", "content": "  "}]}, "message 2: this agent turn is empty"),
        (
            {"messages": [{"role": "caller", "content": "Hello"}, AGENT]},
            "message 1: role is 'caller'; use",
        ),
        ({"messages": [{"role": "user"}, AGENT]}, "message 1: content is None; give a text"),
        ({"messages": [USER, USER]}, "no turn of the role 'assistant'"),
        ({"messages": [USER, AGENT | {"weight": 0}]}, "no turn of the role 'assistant' to learn"),
        ({"messages": [USER, AGENT | {"weight": 2}]}, "message 2: weight is 2; give 1"),
        ({"messages": [USER, AGENT | {"name": "Ann"}]}, "message 2: unknown key 'name'"),
        ({"messages": [USER, AGENT, {"role": "system", "content": "Stop."}]}, "message 3 is a system message"),
        ({"messages": [USER, AGENT], "facts": []}, "unknown key 'facts'"),
        ({"messages": [USER, AGENT], "knowledge": "one"}, "knowledge is 'one'; give a list"),
        ({"messages": [USER, {"role": "assistant", "content": "\ud800"}]}, "message 2: content is"),
        ({"messages": "hello"}, "messages is 'hello'"),
        ([USER, AGENT], "is not an object"),
        (b"{'messages': []}\n", "not JSON"),
        (b"[" * 100_000 + b"\n", "nested too deeply|not JSON"),
        (b'{"messages": "\xff"}\n', r"byte 15 \(ff 22 7d\) is not UTF-8"),
    ],
)
def test_refuses_with_line(tmp_path, row, said):
    path = write(tmp_path / "d.jsonl", GOOD, row)
    with pytest.raises(DataError, match=rf"d\.jsonl:2: .*({said})"):
        read_dialogues([path])


def test_tells_all_problems_up_to_a_limit(tmp_path):
    path = write(tmp_path / "d.jsonl", *[{"messages": []}] * (MOST_PROBLEMS + 3))
    with pytest.raises(DataError) as raised:
        read_dialogues([path, tmp_path / "gone.jsonl"])
    assert len(raised.value.problems) == MOST_PROBLEMS + 1
    assert raised.value.problems[-1] == "and 4 more problems"


def test_refuses_an_empty_file(tmp_path):
    with pytest.raises(DataError, match="there is no dialogue in it"):
        read_dialogues([write(tmp_path / "d.jsonl", b"\n")])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_dialogues([path])


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["messages", "knowledge", "role", "content", "weight", "x"]), x), max_leaves=12))  # fmt: skip
def test_any_document_is_a_dialogue_or_refused(document):
    with contextlib.suppress(DataError):
        assert dialogue_from(document, "here").targets >= 1


def test_repeats_go_whatever_their_origin():
    first, second = dialogue("a", "b"), dialogue("a", "c")
    again = Dialogue(first.messages, (), "elsewhere")
    assert without_repeats([first, second, again]) == ([first, second], 1)


def test_a_split_holds_whole_dialogues_and_follows_the_seed():
    dialogues = [dialogue("a", str(n)) for n in range(20)]
    train, held = split_validation(dialogues, 0.25, 3)
    assert len(held) == 5
    assert sorted((*train, *held), key=lambda d: int(d.messages[1].content)) == dialogues
    assert split_validation(dialogues, 0.25, 3) == (train, held)
    assert split_validation(dialogues, 0.25, 4)[1] != held
    assert [len(part) for part in split_validation(dialogues[:2], 0.5, 0)] == [1, 1]
    with pytest.raises(DataError, match="at least two"):
        split_validation(dialogues[:1], 0.1, 0)


def test_a_system_message_is_given_to_those_without_one():
    own = Dialogue((Message("system", "Mine."), *dialogue("a", "b").messages))
    given_one, kept = with_system([dialogue("a", "b"), own], " Be kind. ")
    assert given_one.messages[0] == Message("system", "Be kind.")
    assert kept is own
