"""Bytes to events, events to deltas, thoughts left out, and where a server is: all without a network."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.llm.addresses import check_address, is_private
from models.llm.contracts import Finished, TextPiece, ToolCall
from models.llm.errors import LanguageModelError
from models.llm.events import EventReader
from models.llm.protocol import MOST_CALLS, AnswerReader, Thoughts

STREAM = 'data: {"a": "ü…"}\r\n\r\n: ping\n\ndata: one\rdata:two\r\revent: x\nid: 3\n\ndata: 三\n\ndata: last'.encode()
EVENTS = ['{"a": "ü…"}', "one\ntwo", "三", "last"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_events_are_the_same_wherever_the_bytes_are_cut(cuts):
    reader = EventReader(10_000)
    edges = [0, *sorted(cuts), len(STREAM)]
    found = [data for low, high in pairwise(edges) for data in reader.feed(STREAM[low:high])]
    assert found + reader.end() == EVENTS


def test_a_stream_may_not_be_larger_than_allowed():
    reader = EventReader(100)
    reader.feed(b"x" * 100)
    with pytest.raises(LanguageModelError) as caught:
        reader.feed(b"x")
    assert caught.value.code == "too_large"


def chunk(delta, finish=None):
    return json.dumps({"choices": [{"delta": delta, "finish_reason": finish}]})


def deltas(*chunks):
    reader = AnswerReader()
    return [delta for one in chunks for delta in reader.read(one)] + reader.end()


def test_tools_without_an_index_are_told_apart_by_their_names():
    found = deltas(
        chunk({"tool_calls": [{"id": "a", "function": {"name": "one", "arguments": '{"x":'}}]}),
        chunk({"tool_calls": [{"function": {"arguments": " 1}"}}]}),
        chunk({"tool_calls": [{"function": {"name": "two", "arguments": {"y": 2}}}]}, "stop"),
    )
    assert found == [ToolCall("a", "one", '{"x": 1}'), ToolCall("call-2", "two", '{"y": 2}'), Finished("tools")]


def test_a_flood_of_tool_calls_is_cut():
    flood = [{"index": n, "id": str(n), "function": {"name": f"t{n}", "arguments": "{}"}} for n in range(100)]
    found = deltas(chunk({"tool_calls": flood}, "tool_calls"))
    assert [one.id for one in found[:-1]] == [str(n) for n in range(MOST_CALLS)]


def test_what_comes_after_the_end_is_not_read():
    reader = AnswerReader()
    assert reader.read(chunk({"content": "Yes."})) == [TextPiece("Yes.")]
    assert reader.read("[DONE]") == [Finished("stop")]
    assert reader.read(chunk({"content": "And more."})) == []
    assert reader.end() == []


@pytest.mark.parametrize("document", [[], 7, "text", {"choices": "x"}, {"choices": {"a": 1}}, None])
def test_documents_of_another_shape_are_no_answer(document):
    reader = AnswerReader()
    assert reader.read(json.dumps(document)) == []
    with pytest.raises(LanguageModelError, match="nothing that is a chat completion"):
        reader.end()


@given(st.lists(st.integers(0, 60), max_size=10))
@settings(max_examples=60, deadline=None)
def test_thoughts_are_left_out_wherever_they_are_cut(cuts):
    text = "a <b> <think>They ask < 5? </thin </think>Yes, <thi"
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    thoughts = Thoughts()
    spoken = "".join(thoughts.feed(text[low:high]) for low, high in pairwise(edges))
    assert spoken + thoughts.end() == "a <b> Yes, <thi"


def test_a_thought_that_never_ends_is_never_spoken():
    thoughts = Thoughts()
    assert thoughts.feed("<think>I should say that") + thoughts.end() == ""


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("10.1.2.3", True),
        ("fd00::1", True),
        ("169.254.1.1", True),
        ("vllm", True),
        ("gpu.lan", True),
        ("GPU.Internal.", True),
        ("api.example.com", False),
        ("8.8.8.8", False),
        ("2606:4700::1111", False),
        ("localhost.example.com", False),
    ],
)
def test_where_a_server_is(host, private):
    assert is_private(host) is private


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:8000/v1", "write it as http://"),
        ("ftp://host/v1", "write it as http://"),
        ("http://", "write it as http://"),
        ("http://h:99999/v1", "cannot be read"),
        ("https://u:p@api.example.com/v1", "CALLAGENT_LLM_KEY"),
        ("https://api.example.com/v1?key=1", "leave out what follows"),
        ("http://api.example.com/v1", "use https"),
    ],
)
def test_addresses_that_are_refused(url, message):
    with pytest.raises(ValueError, match=message):
        check_address(url)
