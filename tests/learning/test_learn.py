import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from learnfakes import SAID, THINGS

from agent.config import HOME
from agent.dialogue.domain import Domain
from agent.learning import heldout
from agent.learning import learn as learn_module
from agent.learning.gate import compare, refusals, right
from agent.learning.labels import TurnLabel
from agent.learning.learn import (
    NEW_LABELS,
    Learned,
    LearnError,
    Wanted,
    alone,
    learn,
    make_plan,
)
from agent.learning.opening import Opener
from agent.learning.trainer import HeadTrainer, NetworkTrainer, Task
from models.encoder import normalise
from models.errors import ModelDamaged, ModelError
from models.registry import HEAD, Registry
from models.text_model import Reading
from models.text_model_open import AveragedModel, write_sums
from models.training.examples import Example
from models.training.readers import read_examples
from models.training.understanding.recipe import Recipe

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)
SCRAP = [
    f"{please}scrap {what}{end}"
    for please in ("", "please ", "just ", "can you ")
    for what in ("it", "the parcel", "that purchase")
    for end in ("", " now")
]
TRACK = [text.format(thing) for text in SAID["order_status"] for thing in THINGS]


def labels(texts: Sequence[str], intent: str | None, call: str = "c") -> list[TurnLabel]:
    return [TurnLabel(f"{call}-{n}", 1, "shop", text, intent, NOW, "out_of_scope") for n, text in enumerate(texts)]


class Learning:
    """A domain on which `agent learn` is run as the command does."""

    def __init__(self, folder: Path, domain: Domain, encoder) -> None:
        self.folder = folder
        self.registry = Registry(folder / "versions")
        self.encoder = encoder
        self.set_domain(domain)

    def set_domain(self, domain: Domain) -> None:
        self.opener = Opener(self.registry, domain, self.encoder, self.folder / "cache", self.folder / "no", "words-1")

    def run(self, given: list[TurnLabel], dry_run: bool = False, **wanted) -> Learned:
        choice, _ = self.opener.open_current()
        trainers = {"head": HeadTrainer(self.opener)}
        return learn(self.opener, choice, given, trainers, Wanted(**wanted), NOW, dry_run)

    def promote(self, learned: Learned) -> None:
        assert learned.version is not None
        self.registry.use("shop", learned.version)

    def reads(self, text: str) -> str:
        (reading,) = self.opener.open_current()[0].model.read([text])
        return reading.intent


@pytest.fixture
def learning(tmp_path: Path, domain: Domain, encoder) -> Learning:
    return Learning(tmp_path, domain, encoder)


def test_labels_lift_what_was_misunderstood_and_nothing_is_forgotten(learning: Learning) -> None:
    assert learning.reads("scrap my purchase") != "cancel_order"
    learned = learning.run(labels(SCRAP, "cancel_order"))
    assert learned.refused == ()
    rows = {row.name: row for row in learned.comparisons}
    assert set(rows) == {heldout.DOMAIN_SET, NEW_LABELS}
    assert rows[NEW_LABELS].after > rows[NEW_LABELS].before
    assert rows[NEW_LABELS].low > 0
    assert rows[heldout.DOMAIN_SET].difference >= -0.5
    assert rows[heldout.DOMAIN_SET].n >= 8
    assert learning.reads("scrap my purchase") != "cancel_order"
    learning.promote(learned)
    assert learning.reads("scrap my purchase") == "cancel_order"
    assert learning.registry.rollback("shop").current == "embedded"


def test_poisoned_labels_are_stored_with_their_report_and_refused(learning: Learning) -> None:
    learned = learning.run(labels(TRACK, "cancel_order"))
    assert learned.version is not None
    assert any(f"{heldout.DOMAIN_SET} falls by" in reason for reason in learned.refused)
    assert learning.registry.versions("shop") == [learned.version]
    folder = learning.registry.path("shop", learned.version)
    report = json.loads((folder / "report.json").read_text())
    assert report["learned"]["refused"] == list(learned.refused)
    assert "Kept out: " in (folder / "card.md").read_text()
    assert learning.reads("where is my order") == "order_status"
    assert heldout.read_sets(learning.registry.folder("shop"), learning.opener.domain.intents).keys() == {
        heldout.DOMAIN_SET
    }


def test_what_is_stored_says_what_it_was_made_from(learning: Learning) -> None:
    secret = TurnLabel("c-card", 3, "shop", "scrap the card [card]", "cancel_order", NOW)
    learned = learning.run([*labels(SCRAP, "cancel_order"), secret])
    assert learned.version is not None
    folder = learning.registry.path("shop", learned.version)
    learning.registry.verify("shop", learned.version)
    assert {path.name for path in folder.iterdir()} >= {
        "SHA256SUMS",
        "card.md",
        "examples.npz",
        "intent.npz",
        "labels.jsonl",
        "model.json",
        "report.json",
        "training.jsonl",
    }
    info = learning.registry.info("shop", learned.version)
    assert (info.method, info.created) == ("head", "2031-05-01T12:00:00+00:00")
    assert info.measured
    held = heldout.read_sets(learning.registry.folder("shop"), learning.opener.domain.intents)
    kept_out = {normalise(example.text) for examples in held.values() for example in examples}
    trained = {normalise(example.text) for example in read_examples(folder / "training.jsonl").train}
    assert len(trained) == learned.trained
    assert not trained & kept_out
    assert f"labels held out for {learned.version}" in held
    assert all("[card]" not in text for text in trained)


def test_labels_count_once_until_they_change_or_the_version_is_taken_back(learning: Learning) -> None:
    first = learning.run(labels(SCRAP, "cancel_order"))
    learning.promote(first)
    with pytest.raises(LearnError, match="no new labels for shop; label some turns with `agent label`"):
        learning.run(labels(SCRAP, "cancel_order"))
    learning.registry.rollback("shop")
    assert learning.run(labels(SCRAP, "cancel_order")).labels == len(SCRAP)
    learning.registry.use("shop", str(first.version))
    changed = [*labels(SCRAP, "cancel_order"), *labels(["track it for me"], "order_status", "d")]
    assert learning.run(changed).labels == 1


def test_learning_again_replays_earlier_labels_and_guards_them(learning: Learning) -> None:
    first = learning.run(labels(SCRAP, "cancel_order"))
    learning.promote(first)
    more = [
        f"gimme {what} eta{end}" for what in ("the", "my", "our", "an", "its", "his") for end in ("", " now", " ok")
    ]
    second = learning.run([*labels(SCRAP, "cancel_order"), *labels(more, "order_status", "d")])
    assert {row.name for row in second.comparisons} == {
        heldout.DOMAIN_SET,
        f"labels held out for {first.version}",
        NEW_LABELS,
    }
    assert second.refused == ()
    learning.promote(second)
    assert learning.reads("scrap my purchase") == "cancel_order"
    assert learning.reads("gimme that eta") == "order_status"


def test_a_version_is_compared_with_the_next_as_it_is(learning: Learning, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[str] = []
    train = HeadTrainer.__call__

    def counted(self: HeadTrainer, task: Task) -> None:
        tasks.append(task.version)
        train(self, task)

    monkeypatch.setattr(HeadTrainer, "__call__", counted)
    first = learning.run(labels(SCRAP, "cancel_order"))
    assert tasks == [first.version, "reference"]
    learning.promote(first)
    tasks.clear()
    second = learning.run(labels(["track it for me"], "order_status", "d"))
    assert tasks == [second.version]


def test_a_dry_run_leaves_nothing_behind(learning: Learning) -> None:
    learned = learning.run(labels(SCRAP, "cancel_order"), dry_run=True)
    assert learned.version is None
    assert learned.comparisons
    assert learning.registry.versions("shop") == []
    assert not learning.registry.folder("shop").exists()


def test_a_full_disk_leaves_the_old_version_and_no_partial_one(
    learning: Learning, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(learn_module, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        learning.run(labels(SCRAP, "cancel_order"))
    assert learning.registry.versions("shop") == []
    assert [path for path in learning.registry.folder("shop").iterdir() if path.name.startswith(".draft")] == []
    assert learning.reads("where is my order") == "order_status"


def test_no_labels_and_skipped_turns_are_nothing_to_learn(learning: Learning) -> None:
    for given in ([], labels(SCRAP, None)):
        with pytest.raises(LearnError, match="no new labels"):
            learning.run(given)


def test_labels_of_one_class_need_old_data(learning: Learning) -> None:
    with pytest.raises(LearnError, match="all cancel_order; label other intents too, or keep --replay above 0"):
        learning.run(labels(SCRAP, "cancel_order"), replay=0.0)
    with pytest.raises(LearnError, match="replay is 2"):
        learning.run(labels(SCRAP, "cancel_order"), replay=2.0)


def test_intents_that_the_domain_lacks_are_left_out_with_a_remedy(learning: Learning) -> None:
    with pytest.raises(LearnError, match="no new labels"):
        learning.run(labels(SCRAP, "gift_card"))
    learned = learning.run([*labels(SCRAP, "cancel_order"), *labels(["a gift card"], "gift_card", "d")])
    assert "1 labels name gift_card, which intents.yaml lacks: left out; add it there" in learned.notes[0]


def test_an_unknown_method_lists_those_there_are(learning: Learning) -> None:
    with pytest.raises(LearnError, match="method 'full' is not there; choose --train head"):
        learning.run(labels(SCRAP, "cancel_order"), method="full")


def test_two_labels_of_one_text_the_later_counts(learning: Learning) -> None:
    choice, _ = learning.opener.open_current()
    given = [*labels(["scrap it"], "order_status"), *labels(["Scrap it."], "cancel_order", "d")]
    plan = make_plan(learning.opener, choice, [*given, *labels(["where is my order"], "order_status", "e")], Wanted())
    mine = {example.text: example.intent for example in (*plan.train, *plan.new)}
    assert mine["Scrap it."] == "cancel_order"
    assert "scrap it" not in mine
    assert plan.notes[0] == "'Scrap it.' is labelled order_status and cancel_order: the later label counts"


def test_a_label_outweighs_an_example_of_the_domain(learning: Learning) -> None:
    choice, _ = learning.opener.open_current()
    examples = learning.opener.domain.intents["order_status"].examples
    text = next(text for text in examples if heldout.place(text) >= heldout.LABEL_SHARE)
    plan = make_plan(learning.opener, choice, labels([text], "cancel_order"), Wanted())
    assert [example.intent for example in plan.train if normalise(example.text) == normalise(text)] == ["cancel_order"]
    assert plan.notes == (f"{text!r} was order_status and is labelled cancel_order: the label counts",)


def test_replay_keeps_some_of_every_intent(learning: Learning) -> None:
    choice, _ = learning.opener.open_current()
    whole = make_plan(learning.opener, choice, labels(SCRAP, "cancel_order"), Wanted())
    half = make_plan(learning.opener, choice, labels(SCRAP, "cancel_order"), Wanted(replay=0.5))
    least = make_plan(learning.opener, choice, labels(SCRAP, "cancel_order"), Wanted(replay=0.01))
    assert len(whole.train) > len(half.train) > len(least.train)
    assert {example.intent for example in least.train} == {example.intent for example in whole.train}


def test_given_test_sets_guard_too(learning: Learning) -> None:
    wrong = {"bench": (Example("scrap my purchase", "order_status"), Example("where is my order", "order_status"))}
    learned = learning.run(labels(SCRAP, "cancel_order"), tests=wrong)
    assert "bench" in {row.name for row in learned.comparisons}
    kept = heldout.read_sets(learning.registry.folder("shop"), learning.opener.domain.intents)
    assert "bench" not in kept


def test_an_edited_domain_learns_all_labels_again(learning: Learning) -> None:
    learning.promote(learning.run(labels(SCRAP, "cancel_order")))
    spec = learning.opener.domain.intents["return_order"]
    more = spec.model_copy(update={"examples": (*spec.examples, "zurück damit")})
    learning.set_domain(
        replace(learning.opener.domain, intents={**learning.opener.domain.intents, "return_order": more})
    )
    assert learning.opener.open_current()[0].version == HEAD
    learned = learning.run(labels(SCRAP, "cancel_order"))
    assert learned.labels == len(SCRAP)
    learning.promote(learned)
    assert learning.opener.open_current()[0].version == learned.version
    assert learning.reads("scrap my purchase") == "cancel_order"


def test_damaged_test_sets_are_named(learning: Learning) -> None:
    folder = learning.registry.folder("shop")
    folder.mkdir(parents=True)
    (folder / heldout.FILE).write_text('{"text": "x", "intent": "return_order", "note": "n"}\nnot json\n')
    with pytest.raises(ModelDamaged, match=r"heldout.jsonl:2: not a held-out example"):
        learning.run(labels(SCRAP, "cancel_order"))


def test_test_sets_that_cannot_be_read_or_written_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heldout.write_sets(tmp_path, {"kept": (Example("a", "x"), Example("b", "gone"))})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(heldout.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            heldout.write_sets(tmp_path, {})
    assert heldout.read_sets(tmp_path, ["x"]) == {"kept": (Example("a", "x"),)}
    assert [path.name for path in tmp_path.iterdir()] == [heldout.FILE]
    (tmp_path / heldout.FILE).write_bytes(b"caf\xe9")
    with pytest.raises(ModelDamaged, match="not UTF-8; restore it"):
        heldout.read_sets(tmp_path, ["x"])


def test_without_a_trainer_of_its_method_the_version_in_force_is_the_measure(learning: Learning) -> None:
    choice, _ = learning.opener.open_current()
    info = replace(choice.model.info, method="full")
    other = replace(choice, model=AveragedModel(info, (), ((choice.head.head, 1.0),), learning.encoder))
    with pytest.raises(LearnError, match="method 'full' is not there"):
        learn(learning.opener, other, labels(SCRAP, "cancel_order"), {}, Wanted(), NOW)
    trainers = {"head": HeadTrainer(learning.opener)}
    learned = learn(learning.opener, other, labels(SCRAP, "cancel_order"), trainers, Wanted(method="head"), NOW, True)
    row = next(row for row in learned.comparisons if row.name == heldout.DOMAIN_SET)
    examples = make_plan(learning.opener, choice, labels(SCRAP, "cancel_order"), Wanted()).old[heldout.DOMAIN_SET]
    assert row.before == pytest.approx(100 * sum(right(choice.model, examples)) / len(examples))


HOLD = """
import sys
from pathlib import Path
from agent.learning.learn import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_at_once_are_kept_apart(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HOME) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LearnError, match=rf"\(process {other.pid}\) is at work"), alone(tmp_path):
            pass
        other.communicate("")
    with alone(tmp_path):
        assert (tmp_path / ".learn.lock").read_text() == str(os.getpid())
    with alone(tmp_path):
        pass


def test_the_gate_guards_old_sets_and_new_labels() -> None:
    same = compare("old", True, [True] * 200, [True] * 200)
    one_lost = compare("old", True, [True] * 200, [False] + [True] * 199)
    two_lost = compare("old", True, [True] * 200, [False] * 2 + [True] * 198)
    gained = compare(NEW_LABELS, False, [False] * 10, [True] * 10)
    lost = compare(NEW_LABELS, False, [True] * 10, [True] * 9 + [False])
    assert refusals([same, gained]) == []
    assert refusals([one_lost, gained]) == []
    assert refusals([two_lost, gained]) == ["old falls by 1.0 points (2 of 200 texts); 0.5 allowed"]
    assert refusals([two_lost, gained], allowed_drop=1.0) == []
    assert refusals([same, lost]) == ["new labels falls by 10.0 points (1 of 10 texts); new labels must not fall"]
    assert "no old test set" in refusals([gained])[0]
    assert (gained.low, gained.high) == (100.0, 100.0)
    assert two_lost.low < -1.0 < two_lost.high <= 0.0


def test_held_out_examples_are_the_same_in_every_run_and_leave_enough(domain: Domain) -> None:
    intents = {name: spec.examples for name, spec in domain.intents.items()}
    first = heldout.of_domain(intents, domain.out_of_scope)
    assert set(first) == set(heldout.of_domain(dict(reversed(intents.items())), domain.out_of_scope))
    assert 0.05 < len(first) / sum(map(len, intents.values())) < 0.3
    assert heldout.of_domain({"few": [f"text {n}" for n in range(5)]}, []) == ()
    trained = [Example(text, "x") for text in map(str, range(100)) if heldout.place(text) >= heldout.LABEL_SHARE]
    assert heldout.of_labels(trained[:3]) == ()
    assert heldout.of_labels(trained[:4]) == (min(trained[:4], key=lambda example: heldout.place(example.text)),)


def test_what_a_model_gets_right_is_counted_in_order() -> None:
    class Echo:
        info = None

        def read(self, texts: Sequence[str]) -> list[Reading]:
            return [Reading((), text, 1.0, (), {}, None) for text in texts]  # type: ignore[arg-type]

    examples = [Example("a" if n % 3 else "b", "a") for n in range(150)]
    assert right(Echo(), examples) == [bool(n % 3) for n in range(150)]  # type: ignore[arg-type]


def test_too_few_examples_are_named_by_the_head_trainer(learning: Learning, tmp_path: Path) -> None:
    trainer = HeadTrainer(learning.opener)
    train = [Example(f"yes {n}", "affirm") for n in range(6)] + [Example("no", "deny")]
    with pytest.raises(ModelError, match=r"intent deny has 1 examples; give it 5 at least"):
        trainer(Task("shop", "v", tmp_path, train, ""))
    with pytest.raises(ModelError, match="all of affirm; a model needs two"):
        trainer(Task("shop", "v", tmp_path, train[:6], ""))


def test_examples_of_a_version_trained_on_files_are_replayed(learning: Learning, tmp_path: Path) -> None:
    first = learning.run(labels(SCRAP, "cancel_order"))
    folder = learning.registry.path("shop", str(first.version))
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    for name in ("training.jsonl", "labels.jsonl"):
        (elsewhere / name).unlink()
    write_sums(elsewhere)
    learning.registry.use("shop", learning.registry.install("shop", elsewhere))
    second = learning.run(labels(["track it for me"], "order_status", "d"))
    texts = {
        example.text
        for example in read_examples(learning.registry.path("shop", str(second.version)) / "training.jsonl").train
    }
    assert texts & set(SCRAP)
    assert "track it for me" in texts


@pytest.mark.train
def test_networks_are_learnt_and_compared_too(learning: Learning, tmp_path: Path) -> None:
    recipe = Recipe(method="full", epochs=2, batch_size=16, freeze_embeddings=True, few_shot=False)
    stages: list[str] = []
    trainer = NetworkTrainer(
        learning.opener, recipe, tmp_path / "work", lambda: NOW, lambda stage, done, figures: stages.append(stage)
    )
    choice, _ = learning.opener.open_current()
    trainers = {"head": HeadTrainer(learning.opener), "full": trainer}
    wanted = Wanted(method="full", allowed_drop=100.0)
    learned = learn(learning.opener, choice, labels(SCRAP, "cancel_order"), trainers, wanted, NOW)
    assert learned.version is not None
    info = learning.registry.info("shop", learned.version)
    assert (info.method, info.version, info.name) == ("full", learned.version, "shop")
    assert info.slots
    learning.registry.use("shop", learned.version)
    assert learning.opener.open_current()[0].version == learned.version
    assert stages
    assert list((tmp_path / "work").iterdir()) == []
