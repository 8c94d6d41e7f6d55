"""Log lines: human or JSON, redacted, with the call's id, one line each whatever a caller put into them."""

import asyncio
import json
import logging

import pytest

from agent import logs


class Written:
    """What went to standard error so far."""

    def __init__(self, capsys) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def stream(capsys):
    """Where logs go; the loggers are put back afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    names = ("httpx", "httpcore", "aiosqlite", "alembic", "faster_whisper", "asyncio")
    levels = {name: logging.getLogger(name).level for name in names}
    yield Written(capsys)
    root.handlers[:], root.level = before[0], before[1]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def lines(stream) -> list[str]:
    return stream.getvalue().splitlines()


def test_a_json_line_has_all_there_is_to_know(stream):
    logs.set_up_logs("INFO", "json")
    token = logs.call_id.set("c-1")
    logging.getLogger("agent.x").warning("%s: bad", "field", extra={"code": "bad_field", "count": 2})
    logs.call_id.reset(token)
    (line,) = lines(stream)
    told = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "warning",
        "logger": "agent.x",
        "call_id": "c-1",
        "message": "field: bad",
        "code": "bad_field",
        "count": 2,
    }


def test_a_human_line_names_the_call_and_the_code(stream):
    logs.set_up_logs("INFO", "human")
    token = logs.call_id.set("c-1")
    logging.getLogger("agent.x").warning("bad", extra={"code": "bad_field"})
    logs.call_id.reset(token)
    logging.getLogger("agent.x").info("no call")
    first, second = lines(stream)
    assert first[8:] == " warning c-1: bad code=bad_field"
    assert second[8:] == " info    no call"


def test_not_on_a_terminal_auto_means_json(stream):
    logs.set_up_logs("INFO", "auto")
    logging.getLogger("agent.x").info("hello")
    assert json.loads(lines(stream)[0])["message"] == "hello"


@pytest.mark.parametrize("form", ["human", "json"])
def test_nothing_a_caller_says_can_forge_a_line_or_steer_a_terminal(stream, form):
    logs.set_up_logs("INFO", form)
    wicked = "x\n12:00:00 info all is well\r\x1b[2J\u2028end\x9b0m"
    logging.getLogger("agent.x").info("call from %s", wicked, extra={"code": wicked})
    assert len(lines(stream)) == 1
    assert not {"\r", "\x1b", "\u2028", "\x9b"} & set(stream.getvalue())
    assert "all is well" in stream.getvalue()


@pytest.mark.parametrize("form", ["human", "json"])
def test_everything_in_a_line_is_redacted(stream, form):
    logs.set_up_logs("INFO", form)
    log = logging.getLogger("agent.x")
    log.info("mail %s", "dana@mail.example", extra={"card": {"number": "4111 1111 1111 1111"}})
    try:
        raise ValueError("card 4111 1111 1111 1111 of dana@mail.example")
    except ValueError:
        log.exception("it failed")
    text = stream.getvalue()
    assert "dana" not in text
    assert "1111" not in text
    assert "ValueError" in text
    assert "Traceback" in text


def test_a_message_whose_arguments_do_not_fit_is_still_a_line(stream):
    logs.set_up_logs("INFO", "json")
    logging.getLogger("agent.x").info("%d calls", "many")
    assert "arguments do not fit" in json.loads(lines(stream)[0])["message"]


def test_what_cannot_be_written_as_json_is_written_as_text(stream):
    logs.set_up_logs("INFO", "json")
    logging.getLogger("agent.x").info("x", extra={"what": {1, 2}, "loop": object})
    assert json.loads(lines(stream)[0])["message"] == "x"


def test_chatty_libraries_are_quiet_unless_asked_for(stream):
    logs.set_up_logs("INFO", "json")
    logging.getLogger("httpx").info("GET https://example.com/?token=1")
    assert lines(stream) == []
    logging.getLogger("httpx").warning("slow")
    assert len(lines(stream)) == 1


async def test_each_task_has_its_own_call():
    async def one(name: str) -> str:
        logs.call_id.set(name)
        await asyncio.sleep(0)
        return logs.call_id.get()

    assert await asyncio.gather(one("a"), one("b")) == ["a", "b"]
    assert logs.call_id.get() == ""
