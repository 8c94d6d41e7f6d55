"""The commands that learn from calls: on a real database, with a domain and an encoder of the tests."""

import asyncio
import errno
import json
import logging
from pathlib import Path

import pytest
import typer
from learnfakes import SAID, THINGS, Said, WordEncoder, recorded, small, url_of
from typer.testing import CliRunner

from agent.cli import domains, label, learn, models
from agent.config import CONFIGS
from agent.dialogue.loader import load_domain
from agent.learning.labels import labels_of
from agent.learning.shadow import EVENT
from agent.records.database import Database
from models.registry import Registry, write_info
from models.text_model import Member, ModelInfo

SCRAP = [
    f"{please}scrap {what}" for please in ("", "please ", "just ", "now ") for what in ("it", "that", "the parcel")
]


@pytest.fixture
def agent(monkeypatch, tmp_path):
    """Run `agent ARGUMENTS` in an empty folder, without sentence encoder weights; text is what is typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("CALLAGENT_RECORDS__DATABASE_URL", url_of(tmp_path))
    domain = small(load_domain(CONFIGS / "domains" / "shop"))
    for module in (domains, label, models):
        monkeypatch.setattr(module, "load_domain", lambda path: domain)
    monkeypatch.setattr(domains, "SentenceEncoder", lambda cache_size: WordEncoder())
    app = typer.Typer()
    app.command()(label.label)
    app.command()(learn.learn)
    app.add_typer(models.app, name="models")
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def run(*arguments: object, text: str | None = None):
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)

    yield run
    root.handlers[:], root.level = before


def keep(folder: Path, calls: dict[str, list[Said]], **more) -> None:
    async def write() -> None:
        async with recorded(folder, calls, **more):
            pass

    asyncio.run(write())


def kept(folder: Path) -> dict[tuple[str, int], str | None]:
    async def read() -> dict[tuple[str, int], str | None]:
        async with Database.open(url_of(folder)) as database:
            return {label.id: label.intent for label in await labels_of(database, "shop")}

    return asyncio.run(read())


def three_calls(folder: Path) -> None:
    unsure = (("order_status", 0.42), ("cancel_order", 0.40))
    calls = {
        "c-handed": [Said("I want my money", "cancel_order"), Said("a person", "human", decision="hand off")],
        "c-again": [Said("um the other thing", decision="clarify")],
        "c-unsure": [Said("the thing with the parcel", ranking=unsure)],
    }
    keep(folder, calls)


def save(folder: Path) -> str:
    registry = Registry(folder / "var/models/understanding")
    with registry.draft("shop", "00000000") as draft:
        write_info(draft.folder, ModelInfo("shop", draft.version, "full", "", members=(Member("m"),)))
        (draft.folder / "m").write_bytes(b"weights")
    return draft.version


def test_turns_are_labelled_key_by_key_and_each_is_kept(agent, tmp_path) -> None:
    three_calls(tmp_path)
    result = agent("label", text="1" + "x" + "s")
    assert result.exit_code == 0, result.output
    assert "1 of 3" in result.stdout
    assert "agent:  How can I help?" in result.stdout
    assert "a person took the call over after it" in result.stdout
    assert "1 cancel_order   2 wait" in result.stdout
    assert "2 labels kept, 1 turns skipped" in result.stdout
    assert kept(tmp_path) == {
        ("c-handed", 1): "cancel_order",
        ("c-again", 1): "out_of_scope",
        ("c-unsure", 1): None,
    }
    assert "No turn waits for a label" in agent("label").stdout


def test_an_answer_can_be_undone(agent, tmp_path) -> None:
    three_calls(tmp_path)
    result = agent("label", text="u" + "1" + "u" + "x" + "q")
    assert "There is nothing to undo." in result.stdout
    assert kept(tmp_path) == {("c-handed", 1): "out_of_scope"}


def test_other_intents_are_named_by_their_beginning_and_new_ones_in_full(agent, tmp_path) -> None:
    three_calls(tmp_path)
    result = agent("label", text="i" + "r\n" + "n" + "not a name\n" + "n" + "gift_card\n" + "i" + "gift\n")
    assert kept(tmp_path) == {
        ("c-handed", 1): "return_order",
        ("c-again", 1): "gift_card",
        ("c-unsure", 1): "gift_card",
    }
    assert "New intents: gift_card" in result.stdout


def test_what_was_answered_is_kept_when_the_command_is_ended(agent, tmp_path, monkeypatch) -> None:
    three_calls(tmp_path)
    keys = iter("1")

    def key(self) -> str:
        try:
            return next(keys)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(label.Keyboard, "key", key)
    result = agent("label")
    assert result.exit_code == 0
    assert "what was answered is kept" in result.stdout
    assert kept(tmp_path) == {("c-handed", 1): "cancel_order"}


def test_the_end_of_the_input_ends_it(agent, tmp_path) -> None:
    three_calls(tmp_path)
    assert agent("label", text="9 \n1").exit_code == 0
    assert kept(tmp_path) == {("c-handed", 1): "cancel_order"}


def test_a_team_labels_in_a_file(agent, tmp_path) -> None:
    three_calls(tmp_path)
    result = agent("label", "--export", "out.jsonl", "--limit", "2")
    assert "2 turns written to out.jsonl" in result.stdout
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for row in rows:
        row["intent"] = "refund"
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    refused = agent("label", "--import", "in.jsonl")
    assert refused.exit_code == 1
    assert "in.jsonl:1: intent 'refund' is not of this domain" in refused.stderr
    assert kept(tmp_path) == {}
    taken = agent("label", "--import", "in.jsonl", "--new-intents")
    assert "2 labels taken: refund 2" in taken.stdout
    assert set(kept(tmp_path)) == {("c-handed", 1), ("c-again", 1)}
    assert agent("label", "--import", "a", "--export", "b").exit_code == 2


def test_groups_get_a_name_and_turns_the_present_reading(agent, tmp_path) -> None:
    keep(tmp_path, {f"c-{n}": [Said(f"do you sell gift cards {n}", "out_of_scope")] for n in ("a", "b", "c")})
    agent("label", "--export", "out.jsonl", "--auto-suggest")
    (row,) = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert "one of 3 alike turns" in row["why"]
    assert "it might be called sell_gift_cards" in row["why"]
    assert len(row["suggested"]) == 3
    assert row["about"]["alike"] == 3


def test_labels_without_a_database_say_what_to_do(agent) -> None:
    for command in ("label", "learn"):
        result = agent(command)
        assert result.exit_code == 1
        assert "make a call first, or give --database" in result.stderr


def labelled(agent, folder: Path, texts: list[str], intent: str) -> None:
    keep(folder, {f"c-{n}": [Said(text, "out_of_scope")] for n, text in enumerate(texts)})
    rows = [{"call": f"c-{n}", "turn": 1, "intent": intent} for n in range(len(texts))]
    (folder / "labels.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert agent("label", "--import", "labels.jsonl").exit_code == 0


def test_labels_are_learnt_compared_and_used(agent, tmp_path) -> None:
    labelled(agent, tmp_path, SCRAP, "cancel_order")
    dry = agent("learn", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "the gate lets it pass" in dry.stdout
    registry = Registry(tmp_path / "var/models/understanding")
    assert registry.versions("shop") == []
    asked = agent("learn", text="n\n")
    assert "not used; later: agent models use v0001-" in asked.stdout
    assert registry.state("shop").current == "embedded"
    used = agent("learn", "--yes")
    (_, version) = registry.versions("shop")
    assert f"{version} is used now; `agent models rollback` goes back to embedded" in used.stdout
    assert "new labels" in used.stdout
    assert registry.state("shop").current == version
    again = agent("learn", "--yes")
    assert again.exit_code == 1
    assert "there are no new labels for shop" in again.stderr


def test_without_an_answer_nothing_is_used(agent, tmp_path) -> None:
    labelled(agent, tmp_path, SCRAP, "cancel_order")
    result = agent("learn", text="")
    assert result.exit_code == 0
    assert "not used; later: agent models use" in result.stdout


def test_a_candidate_reads_in_the_shadow(agent, tmp_path) -> None:
    labelled(agent, tmp_path, SCRAP, "cancel_order")
    result = agent("learn", "--canary", "--yes", "--train", "head")
    state = Registry(tmp_path / "var/models/understanding").state("shop")
    assert (state.current, state.shadow) == ("embedded", "v0001-" + str(state.shadow)[6:])
    assert "reads in the shadow" in result.stdout


def test_labels_that_harm_are_refused(agent, tmp_path) -> None:
    texts = [text.format(thing) for text in SAID["order_status"] for thing in THINGS]
    labelled(agent, tmp_path, texts, "cancel_order")
    result = agent("learn", "--yes")
    assert result.exit_code == 1
    assert "refused: examples of the domain falls by" in result.stdout
    state = Registry(tmp_path / "var/models/understanding").state("shop")
    assert state.current == "embedded"
    assert len(Registry(tmp_path / "var/models/understanding").versions("shop")) == 1


def test_a_method_that_is_not_there_is_refused(agent, tmp_path) -> None:
    labelled(agent, tmp_path, SCRAP, "cancel_order")
    result = agent("learn", "--train", "magic")
    assert result.exit_code == 1
    assert "method 'magic' is not there; choose --train" in result.stderr


def test_further_test_sets_guard_too(agent, tmp_path) -> None:
    labelled(agent, tmp_path, SCRAP, "cancel_order")
    (tmp_path / "bench.csv").write_text("text,intent\nscrap the parcel,order_status\nwhere is my tent,order_status\n")
    result = agent("learn", "--yes", "--test", "bench.csv")
    assert "bench.csv" in result.stdout


def test_versions_are_listed_chosen_and_taken_back(agent, tmp_path) -> None:
    first, second = save(tmp_path), save(tmp_path)
    assert f"shop: {first} is used now, embedded was before" in agent("models", "use", first).stdout
    agent("models", "use", second)
    assert f"shop: {first} is used again, {second} was before" in agent("models", "rollback").stdout
    assert f"{second} reads turns beside {first}" in agent("models", "shadow", second).stdout
    listed = agent("models", "versions").stdout
    rows = {line.split("│")[1].strip(): line for line in listed.splitlines() if line.startswith("│")}
    assert "current" in rows[first]
    assert "before, shadow" in rows[second]
    assert "what ships" in rows["embedded"]
    assert "agent models use" in listed
    assert "no version reads" in agent("models", "shadow", "--off").stdout
    (Registry(tmp_path / "var/models/understanding").path("shop", second) / "model.json").write_text("{")
    assert "damaged" in agent("models", "versions").stdout


def test_wrong_versions_are_refused_with_those_there_are(agent, tmp_path) -> None:
    version = save(tmp_path)
    result = agent("models", "use", "v9")
    assert result.exit_code == 1
    assert f"shop has no version 'v9' with a folder; there are: embedded, head, {version}" in result.stderr
    (Registry(tmp_path / "var/models/understanding").path("shop", version) / "m").write_bytes(b"other")
    damaged = agent("models", "use", version)
    assert damaged.exit_code == 1
    assert "SHA-256" in damaged.stderr
    assert agent("models", "rollback").exit_code == 1
    assert agent("models", "shadow").exit_code == 2
    assert agent("models", "shadow", "v1", "--off").exit_code == 2


def test_domain_and_database_are_chosen_and_a_full_disk_is_told(agent, tmp_path, monkeypatch) -> None:
    three_calls(tmp_path)
    elsewhere = agent("label", "--domain", "shop", "--database", f"sqlite:///{tmp_path}/none.db")
    assert elsewhere.exit_code == 1
    assert "there is no database at" in elsewhere.stderr

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("models.registry.os.fsync", full)
    result = agent("models", "use", "head", "--domain", "shop")
    assert result.exit_code == 1
    assert "No space left on device; free some space: nothing was changed" in result.stderr


def test_a_version_out_of_use_is_removed(agent, tmp_path) -> None:
    version = save(tmp_path)
    agent("models", "use", version)
    assert agent("models", "remove", version).exit_code == 1
    agent("models", "use", "head")
    agent("models", "use", "embedded")
    assert f"{version} is gone" in agent("models", "remove", version).stdout


def test_a_version_trained_elsewhere_is_installed(agent, tmp_path) -> None:
    source = Registry(tmp_path / "var/models/understanding").path("shop", save(tmp_path))
    result = agent("models", "install", source)
    assert result.stdout.startswith("v0002-")


def test_the_shadow_reports_how_often_it_agreed(agent, tmp_path) -> None:
    said = [Said("where is it", candidate="order_status"), Said("stop the [b]parcel", candidate="cancel_order")]
    keep(tmp_path, {"c-1": said, "c-2": [Said("stop it", candidate="cancel_order")]})
    result = agent("models", "shadow", "--report")
    assert "v0001-a0000000 agreed with head on 1 of 3 turns, 33.3 %" in result.stdout
    row = next(line for line in result.stdout.splitlines() if "cancel_order" in line)
    assert [cell.strip() for cell in row.split("│")[1:4]] == ["order_status", "cancel_order", "2"]
    assert EVENT == "shadow"


def test_no_turn_in_the_shadow_is_said(agent, tmp_path) -> None:
    keep(tmp_path, {})
    assert "No turn was read in the shadow yet" in agent("models", "shadow", "--report").stdout
