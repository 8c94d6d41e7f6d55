"""From settings to a writer: what is opened, what is hidden from whom, and what is refused at the start."""

from __future__ import annotations

import logging

import pytest
from llmfakes import ManualClock, scripted

from agent.config import load_settings
from agent.dialogue.writing.contracts import Written
from agent.dialogue.writing.opening import open_writer
from agent.yamlfile import FileError
from models.errors import ModelError
from models.pool import Pool


class OneEncoder:
    """Everything means the same."""

    width = 1

    def encode(self, texts):
        import numpy as np

        return np.ones((len(texts), 1), np.float32)


class Section:
    source, heading, text = "a.md#b", "How long is the warranty?", "Tents have a warranty of two years."


@pytest.fixture
def pool():
    pool = Pool(1)
    yield pool
    pool.close()


def from_environment(**variables: str):
    return load_settings(None, {f"CALLAGENT_{name}": value for name, value in variables.items()})


def test_without_a_backend_there_is_no_writer(pool):
    assert open_writer(from_environment(), ManualClock(), pool, encoder=OneEncoder()) is None


@pytest.mark.parametrize(("redact", "hidden"), [("auto", False), ("always", True)])
async def test_a_configured_server_words_answers(pool, redact, hidden):
    async def script(exchange):
        await exchange.begin()
        await exchange.text("Tents come with a warranty of 2 years.")
        await exchange.end()

    counted = []
    async with scripted(script) as server:
        settings = from_environment(
            LLM__BACKEND="openai",
            LLM__MODEL="small",
            LLM__BASE_URL=server.base_url,
            LLM__MAX_TOKENS="99",
            LLM__REDACT=redact,
            LLM__OPTIONS="{top_k: 1}",
            LLM_KEY="k-1",
        )
        writer = open_writer(
            settings,
            ManualClock(),
            pool,
            encoder=OneEncoder(),
            business="Pine Outfitters",
            count=lambda *outcome: counted.append(outcome),
        )
        assert writer is not None
        said = [one async for one in writer.answer("I'm at 206 555 0142, how long is it", [Section], ["Two years."])]
        await writer.aclose()
    assert said == [Written("Tents come with a warranty of 2 years.", "model", "a.md#b")]
    assert counted == [("answer", "used", "")]
    body = server.requests[0].body
    assert (body["max_tokens"], body["temperature"], body["top_k"]) == (99, 0.2, 1)
    assert server.requests[0].headers["authorization"] == "Bearer k-1"
    assert ("0142" in body["messages"][-1]["content"]) is not hidden
    assert (writer.does("answer"), writer.does("rephrase"), writer.does("instruct")) == (True, False, True)


async def test_an_outside_model_sees_no_private_data_unless_that_is_wanted(pool, caplog):
    outside = {"LLM__BACKEND": "openai", "LLM__MODEL": "m", "LLM__BASE_URL": "https://api.models.example/v1"}
    writer = open_writer(from_environment(**outside), ManualClock(), pool, encoder=OneEncoder())
    assert writer is not None
    assert writer._hide is True
    await writer.aclose()
    with caplog.at_level(logging.WARNING):
        open_settings = from_environment(**outside, LLM__REDACT="never")
        writer = open_writer(open_settings, ManualClock(), pool, encoder=OneEncoder())
    assert writer is not None
    assert writer._hide is False
    assert "go to https://api.models.example/v1 as they are" in caplog.text
    await writer.aclose()


def test_a_model_of_this_machine_that_cannot_be_opened_is_told(pool, tmp_path):
    settings = from_environment(LLM__BACKEND="transformers", LLM__MODEL=str(tmp_path / "none"), LLM__DEVICE="cpu")
    with pytest.raises(ModelError, match=r"not on this machine|pip install 'callagent\[train\]'"):
        open_writer(settings, ManualClock(), pool, encoder=OneEncoder())


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"LLM__BACKEND": "openai"}, r"llm\.backend needs llm\.model"),
        ({"LLM__BACKEND": "openai", "LLM__MODEL": "m", "LLM__BASE_URL": "http://api.models.example/v1"}, "use https"),
        ({"LLM__BACKEND": "openai", "LLM__MODEL": "m", "LLM__ADAPTER": "x"}, r"llm\.adapter goes with"),
        ({"LLM__BACKEND": "gpt"}, "'none', 'openai' or 'transformers'"),
        ({"LLM__USES": "[sing]"}, "'answer'"),
        ({"LLM__FIRST_TOKEN_S": "0"}, "greater than 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(variables, message):
    with pytest.raises(FileError, match=message):
        from_environment(**variables)


def test_the_key_is_no_setting_of_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("llm:\n  backend: openai\n  model: m\n  key: k-1\n", encoding="utf-8")
    with pytest.raises(FileError, match=r"mine\.yaml:4: unknown key 'llm\.key'"):
        load_settings(path, {})
