"""Files that change while calls go on, and the commands that change them."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from conversation import ManualClock, WordEncoder
from typer.testing import CliRunner

from agent.cli.knowledge import app
from agent.dialogue.knowledge import KnowledgeBase
from agent.dialogue.knowledge.opening import open_knowledge
from agent.dialogue.knowledge.watch import KnowledgeWatch, LiveKnowledge
from agent.dialogue.manner import KnowledgeSettings

HOURS = "## When are you open?\nFrom nine to five.\n"
PARKING = "## Is there parking?\nBehind the house.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "knowledge").mkdir()
    (tmp_path / "knowledge" / "a.md").write_text(HOURS)
    return tmp_path


class Watched:
    """A watch on a folder, and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.live = LiveKnowledge(self.build(folder))
        self.counted: list[str] = []
        self.watch = KnowledgeWatch(folder, lambda: self.build(folder), self.live, self.clock, 2.0, self.counted.append)

    def build(self, folder: Path) -> KnowledgeBase:
        return open_knowledge(folder, WordEncoder(), KnowledgeSettings(), None)

    def source(self, question: str) -> str | None:
        found = self.live.find(question)
        return found.source if found is not None else None


async def test_a_changed_file_is_taken_up_once_it_keeps_still(folder: Path) -> None:
    watched = Watched(folder)
    await watched.watch.look()
    (folder / "knowledge" / "b.md").write_text(PARKING)
    await watched.watch.look()
    assert watched.live.sections == 1
    await watched.watch.look()
    assert watched.source("is there parking") == "b.md#is-there-parking"
    assert watched.counted == ["swapped"]
    await watched.watch.look()
    assert watched.counted == ["swapped"]


async def test_a_broken_file_leaves_what_there_was(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(folder)
    (folder / "knowledge" / "a.md").write_text("## When are you open?\n")
    with caplog.at_level(logging.ERROR):
        for _ in range(4):
            await watched.watch.look()
    assert watched.source("when are you open") == "a.md#when-are-you-open"
    assert watched.watch.report() == {"sections": 1, "problem": watched.watch.problem}
    assert "says nothing" in (watched.watch.problem or "")
    assert len([record for record in caplog.records if "stays in force" in record.message]) == 1
    (folder / "knowledge" / "a.md").write_text(HOURS + PARKING)
    for _ in range(2):
        await watched.watch.look()
    assert watched.watch.problem is None
    assert watched.live.sections == 2
    assert watched.counted == ["failed", "swapped"]


async def test_a_removed_file_is_forgotten_by_the_running_watch(folder: Path) -> None:
    (folder / "knowledge" / "b.md").write_text(PARKING)
    watched = Watched(folder)
    task = asyncio.create_task(watched.watch.run())
    (folder / "knowledge" / "b.md").unlink()
    for _ in range(200):
        watched.clock.move(2000)
        await asyncio.sleep(0.005)
        if watched.live.sections == 1:
            break
    assert watched.live.sections == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
def domain(folder: Path) -> list[str]:
    return ["--domain", str(folder)]


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


def test_adds_lists_and_removes(folder: Path, domain: list[str], tmp_path: Path) -> None:
    new = tmp_path / "prices.csv"
    new.write_text("question,answer\nHow much is it?,Five dollars.\n")
    assert run("add", str(new), *domain) == (0, "prices.csv: 1 section\n")
    assert sorted(path.name for path in (folder / "knowledge").iterdir()) == ["a.md", "prices.csv"]
    code, shown = run("list", *domain)
    assert code == 0
    assert "prices.csv#how-much-is-it" in shown
    assert "2 sections" in shown
    code, said = run("add", str(new), *domain)
    assert code == 1
    assert "is there already; give --replace" in said
    assert run("add", str(new), "--as", "costs", *domain) == (0, "costs.csv: 1 section\n")
    assert run("remove", "prices.csv", "costs.csv", *domain)[0] == 0
    code, said = run("remove", "prices.csv", *domain)
    assert code == 1
    assert "there is no such file; there are a.md" in said


def test_adds_all_or_none(folder: Path, domain: list[str], tmp_path: Path) -> None:
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text(PARKING)
    bad.write_text("## Nothing?\n")
    code, said = run("add", str(good), str(bad), *domain)
    assert code == 1
    assert "bad.md:1: section 'Nothing?' says nothing" in said
    assert [path.name for path in (folder / "knowledge").iterdir()] == ["a.md"]


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b"])
def test_keeps_files_in_the_folder(domain: list[str], tmp_path: Path, name: str) -> None:
    new = tmp_path / "new.md"
    new.write_text(PARKING)
    code, said = run("add", str(new), "--as", name, *domain)
    assert code == 1
    assert "is no plain file name" in said
