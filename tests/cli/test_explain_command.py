"""`agent explain` on the shop, and on turns of recorded calls."""

import asyncio
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from agent.cli import explain as command
from agent.clock import RealClock
from agent.config import CONFIGS
from agent.dialogue.loader import load_domain
from agent.learning.opening import HEAD_FILE, examples_of
from agent.records.contracts import CallFinished, CallOpened, TurnRecord
from agent.records.writer import SqlRecords
from models.encoder import Vectors, normalise
from models.explain import ExamplesIndex
from models.heads import save_head
from models.registry import Registry, write_info
from models.text_model import Member, ModelInfo
from models.text_model_open import open_text_model
from models.training.heads import train_intent_head

SHOP = "shop"


class WordEncoder:
    """Words hashed into a unit vector, as wide as the sentence encoder's; needs no weights."""

    width = 512
    identity = "words-1"

    def encode(self, texts: Sequence[str]) -> Vectors:
        out = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in normalise(text).split():
                out[row, zlib.crc32(word.encode()) % self.width] += 1.0
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


@pytest.fixture(autouse=True)
def words(monkeypatch, request):
    if "slow" not in request.keywords:
        monkeypatch.setattr(command, "SentenceEncoder", WordEncoder)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with settings, where heads are used, fitted once: what ships needs another encoder."""
    folder = tmp_path_factory.mktemp("home")
    Registry(folder / "versions").use("shop", "head")
    (folder / "settings.yaml").write_text(
        f"understanding:\n  cache: {folder}/cache\n  versions: {folder}/versions\n"
        f"records:\n  database_url: sqlite:///{folder}/records.db\n",
        encoding="utf-8",
    )
    return folder


def run(home: Path, *arguments: object):
    app = typer.Typer()
    app.command()(command.explain)
    given = [*map(str, arguments), "--config", str(home / "settings.yaml")]
    return CliRunner().invoke(app, given, env={"COLUMNS": "160"})


def as_json(home: Path, *arguments: object):
    result = run(home, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def version(home):
    """A trained version of the shop: a head of fewer intents' examples, with its index."""
    encoder = WordEncoder()
    intents, outside = examples_of(load_domain(CONFIGS / "domains" / SHOP))
    kept = {name: list(texts)[:6] for name, texts in intents.items()}
    head = train_intent_head(kept, list(outside)[:20], encoder)
    with Registry(home / "versions").draft(SHOP, "0123abcd") as draft:
        save_head(draft.folder / HEAD_FILE, head.head, head.threshold)
        info = ModelInfo(
            SHOP, draft.version, "head", encoder.identity, members=(Member(HEAD_FILE),), intents=head.labels,
            content="0123abcd", threshold=head.threshold,
        )  # fmt: skip
        write_info(draft.folder, info)
        model = open_text_model(draft.folder, encoder, verify=False)
        ExamplesIndex.of(model, [(text, name) for name, texts in kept.items() for text in texts]).save(draft.folder)
    return draft.version


def record(home: Path, call_id: str, turns: Sequence[TurnRecord]) -> None:
    async def write() -> None:
        url = f"sqlite:///{home}/records.db"
        async with SqlRecords.open(url, home, RealClock(), record_audio=False) as records:
            call = await records.open_call(CallOpened(call_id, "plain", call_id, SHOP))
            for turn in turns:
                call.turn(turn)
            await call.finish(CallFinished("completed", "goodbye", 900.0))

    asyncio.run(write())


def turn(number: int, text: str, model: str | None, intent: str = "order_status", **rest) -> TurnRecord:
    return TurnRecord(number, "caller", text, 0.0, 9.0, intent=intent, confidence=0.9, model=model, **rest)


@pytest.mark.slow
@pytest.mark.aside
def test_the_real_encoder_finds_examples_of_other_words(home):
    found = as_json(home, "has my purchase been dispatched")
    assert found["intent"] == "order_status"
    assert found["nearest"][0][1] == "order_status"
    assert [label for _, label, _ in found["nearest"]].count("order_status") >= 4
    assert found["nearest"][0][2] > 0.5


def test_a_text_is_explained(home):
    found = as_json(home, "where is my parcel")
    assert found["intent"] == found["explained"] == "order_status"
    assert found["confidence"] > found["threshold"] > 0
    assert found["ranking"][0][0] == "order_status"
    assert max(found["words"], key=lambda word: word["share"])["word"] in ("parcel", "where")
    assert found["nearest"][0][1] == "order_status"
    assert [label for _, label, _ in found["nearest"]].count("order_status") >= 4
    assert "threshold" in found["reason"]
    assert found["emotion"]
    assert found["notes"] == []


def test_what_was_asked_counts(home):
    found = as_json(home, "four two seven one nine", "--expects", "order_number")
    assert found["intent"] == "give_information"
    assert found["slots"] == {"order_number": "42719"}
    result = run(home, "42719", "--expects", "shoe_size")
    assert result.exit_code == 1
    assert "shop has no such slot; there are: " in result.stderr


def test_the_terminal_shows_all_of_it(home):
    result = run(home, "where is my parcel [x]", "--nearest", 2)
    assert result.exit_code == 0, result.output
    shown = ("order_status", "what each word counts", "nearest training examples", "parcel", "[x]", "█", "model head")
    assert [part for part in shown if part not in result.stdout] == []


def test_a_version_is_explained_by_its_own_examples(home, version):
    found = as_json(home, "where is my parcel", "--model", version)
    assert found["model"] == {"version": version, "method": "head"}
    known = load_domain(CONFIGS / "domains" / SHOP).intents["order_status"].examples[:6]
    assert {text for text, label, _ in found["nearest"] if label == "order_status"} <= set(known)
    by_folder = as_json(home, "where is my parcel", "--model", home / "versions" / SHOP / version)
    assert by_folder | {"notes": []} == found | {"notes": []}
    result = run(home, "where is my parcel", "--model", "v0099-00000000")
    assert result.exit_code == 1
    assert f"there are: embedded, head, {version}" in result.stderr.replace("\n", " ")


def test_a_recorded_turn_is_explained_by_the_version_that_served_it(home, version):
    agent = TurnRecord(0, "agent", "Hello.", 0.0, 5.0, heard="Hello.")
    slots = {"order_number": "42719"}
    bare = turn(2, "42719", version, "give_information", slots=slots, emotion={"words": "sad"})
    record(home, "c1", [agent, turn(1, "where is my parcel", version), bare])
    found = as_json(home, "--call", "c1", "--turn", 1)
    assert found["model"]["version"] == version
    assert (found["text"], found["confidence"]) == ("where is my parcel", 0.9)
    assert found["notes"] == []
    found = as_json(home, "--call", "c1", "--turn", 2)
    assert (found["intent"], found["slots"], found["emotion"]) == ("give_information", slots, {"sad": 1.0})
    result = run(home, "--call", "c1", "--turn", 0)
    assert result.exit_code == 1
    assert "the caller said nothing in turn 0 of c1; turns with words: 1, 2" in result.stderr
    result = run(home, "--call", "nobody", "--turn", 1)
    assert "there is no call 'nobody'" in result.stderr


def test_a_version_that_is_gone_is_told_and_another_explains(home):
    record(home, "c2", [turn(1, "cancel [phone]", "v0009-deadbeef"), turn(2, "cancel it", None), turn(3, "hi", "head")])
    found = as_json(home, "--call", "c2", "--turn", 1)
    assert found["model"]["version"] == "head"
    assert "v0009-deadbeef served this turn and is gone" in found["notes"][0]
    assert "redacted" in found["notes"][1]
    assert "the record does not say which version" in as_json(home, "--call", "c2", "--turn", 2)["notes"][0]
    assert "its examples may have changed" in as_json(home, "--call", "c2", "--turn", 3)["notes"][0]


@pytest.mark.parametrize(
    "arguments", [(), ("text", "--call", "c1", "--turn", 1), ("--call", "c1"), ("text", "--turn", 1)]
)
def test_a_text_or_a_turn(home, arguments):
    result = run(home, *arguments)
    assert result.exit_code == 2
    assert "give a text, or --call with --turn" in result.output


def test_a_domain_that_is_not_there(home):
    result = run(home, "hello", "--domain", "bakery")
    assert result.exit_code == 1
    assert "bakery: there is no such folder" in result.stderr
