"""Training again with what people labelled: old data is replayed, old test sets are guarded, a gate decides.

A version never trains on what is held out, so it can be compared with the next one. What ships, and fitted heads, did:
the first time, the old side of the comparison is trained anew by its method on the old data less what is held out.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.learning import heldout
from agent.learning.domain_examples import domain_examples
from agent.learning.gate import ALLOWED_DROP, Comparison, compare, refusals, right
from agent.learning.labels import TurnLabel
from agent.learning.opening import Choice, Opener, content_key, examples_of
from agent.learning.trainer import Task, Trainer
from models.contracts import OUT_OF_SCOPE
from models.encoder import normalise
from models.errors import ModelError, ModelMissing
from models.explain import ExamplesIndex
from models.registry import BUILT_IN, Draft, write_info, write_json
from models.text_model import CARD_FILE, TextModel, read_info
from models.text_model_open import open_text_model
from models.training.examples import Example
from models.training.heads import LEAST_EXAMPLES
from models.training.readers import read_examples
from models.training.reading.jsonl import to_row, write_jsonl

TRAINING_FILE = "training.jsonl"
LABELS_FILE = "labels.jsonl"
REPORT_FILE = "report.json"
NEW_LABELS = "new labels"
FILLED = {"[card]": "4000123412341234", "[phone]": "2025550143", "[digits]": "12345678", "[email]": "name@example.com"}
"""What stands for redacted values in training, so that a model reads what callers say and not the placeholder."""


class LearnError(ModelError):
    """Nothing can be learnt as asked; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. method None: that of the version in force. replay: share of the old data trained on again."""

    method: str | None = None
    replay: float = 1.0
    allowed_drop: float = ALLOWED_DROP
    seed: int = 0
    tests: Mapping[str, Sequence[Example]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is trained on and measured.

    train: replayed and new examples. before: the old data without what is held out. old: the old test sets, of which
    kept are those of this installation. new: held-out new labels. used: the labels that count now, and whether each is
    held out. notes: what a person should know.
    """

    train: tuple[Example, ...]
    before: tuple[Example, ...]
    old: heldout.TestSets
    kept: heldout.TestSets
    new: tuple[Example, ...]
    used: tuple[tuple[TurnLabel, bool], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of it. version: as it is stored, None after a dry run. refused: why the gate keeps it out."""

    version: str | None
    method: str
    comparisons: tuple[Comparison, ...]
    refused: tuple[str, ...]
    notes: tuple[str, ...]
    trained: int
    labels: int


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second `agent learn` off the versions in `folder`; the system frees the lock if this process dies.

    Raises:
        LearnError: another one is at work; names its process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".learn.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            process = lock.read().strip() or "unknown"
            raise LearnError(f"another `agent learn` (process {process}) is at work here; wait until it ends") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
        lock.truncate(0)


def make_plan(opener: Opener, current: Choice, labels: Sequence[TurnLabel], wanted: Wanted) -> Plan:
    """Put old data, new labels and test sets together.

    Raises:
        LearnError: there is no new label, or what is left to train on has a single intent.
        ModelError: files of the version in force, or the test sets, cannot be read.
    """
    if not 0.0 <= wanted.replay <= 1.0:
        raise LearnError(f"replay is {wanted.replay:g}; give the share of old data, 0 to 1")
    domain, notes = opener.domain, list[str]()
    folder = _folder(opener, current)
    done = set() if folder is None else _used(folder)
    fresh = [label for label in labels if label.intent is not None and (*label.id, label.intent) not in done]
    known = {*domain.intents, OUT_OF_SCOPE}
    unknown = Counter(label.intent for label in fresh if label.intent not in known)
    for intent, count in sorted(unknown.items(), key=str):
        remedy = "add it there, with a flow, and learn again"
        notes.append(f"{count} labels name {intent}, which intents.yaml lacks: left out; {remedy}")
    fresh = [label for label in fresh if label.intent in known]
    if not fresh:
        raise LearnError(f"there are no new labels for {opener.name}; label some turns with `agent label`")
    newest: dict[str, TurnLabel] = {}
    for label in fresh:
        key = normalise(label.text)
        other = newest.get(key)
        if other is not None and other.intent != label.intent:
            notes.append(f"{label.text!r} is labelled {other.intent} and {label.intent}: the later label counts")
        newest[key] = label
    new = {key: _example(label) for key, label in newest.items() if key}
    held = {normalise(example.text) for example in heldout.of_labels(list(new.values()))}
    before = _old_data(opener, folder)
    for example in before:
        corrected = newest.get(normalise(example.text))
        if corrected is not None and corrected.intent != example.intent:
            notes.append(f"{example.text!r} was {example.intent} and is labelled {corrected.intent}: the label counts")
    kept = _kept_sets(opener)
    old = {**kept, **{name: tuple(examples) for name, examples in wanted.tests.items()}}
    kept_out = held | {normalise(example.text) for examples in old.values() for example in examples}
    in_tests = sum(key in kept_out - held for key in new)
    if in_tests:
        notes.append(f"{in_tests} new labels are of texts that are held out already: not trained on")
    replayed = _replayed([e for e in before if normalise(e.text) not in kept_out | set(new)], wanted)
    train = (*replayed, *(example for key, example in new.items() if key not in kept_out))
    if len({example.intent for example in train}) < 2:
        only = next(iter({example.intent for example in train}), "nothing")
        raise LearnError(f"what is left to train on is all {only}; label other intents too, or keep --replay above 0")
    return Plan(
        train,
        tuple(example for example in before if normalise(example.text) not in kept_out),
        old,
        kept,
        tuple(example for key, example in new.items() if key in held),
        tuple((label, normalise(label.text) in held) for label in fresh),
        tuple(notes),
    )


def learn(
    opener: Opener,
    current: Choice,
    labels: Sequence[TurnLabel],
    trainers: Mapping[str, Trainer],
    wanted: Wanted,
    now: datetime,
    dry_run: bool = False,
) -> Learned:
    """Train on new labels and old data, compare with the version in force, and store the result; promotes nothing.

    The version is stored with its report whether the gate lets it or not, except in a dry run. What is held out of new
    labels joins the test sets once the gate has let a version pass that was trained on the others.

    Raises:
        LearnError, ModelError: the labels, the test sets or the method cannot be used.
        OSError: the disk is full or gone; there is no partial version, and the one in force stays.
    """
    method = wanted.method or current.model.info.method
    if method not in trainers:
        remedy = f"choose --train {' or '.join(sorted(trainers))}, or pip install 'callagent[train]' for the others"
        raise LearnError(f"method {method!r} is not there; {remedy}")
    plan = make_plan(opener, current, labels, wanted)
    task = Task(opener.name, "", Path(), plan.train, content_key(opener.domain), _folder(opener, current), wanted.seed)
    if dry_run:
        with tempfile.TemporaryDirectory() as folder:
            draft = Draft(Path(folder), "dry-run")
            found = _train(
                opener, current, trainers, method, replace(task, folder=draft.folder, version="dry-run"), plan
            )
        return _outcome(None, method, found, plan, wanted)
    with opener.registry.draft(opener.name, _digest(plan, method, wanted.seed)) as draft:
        task = replace(task, folder=draft.folder, version=draft.version)
        comparisons = _train(opener, current, trainers, method, task, plan)
        learned = _outcome(draft.version, method, comparisons, plan, wanted)
        _describe(opener, draft, learned, plan, now)
    sets = dict(plan.kept)
    if not learned.refused and plan.new:
        sets[f"labels held out for {draft.version}"] = plan.new
    heldout.write_sets(opener.registry.folder(opener.name), sets)
    return learned


def _train(
    opener: Opener, current: Choice, trainers: Mapping[str, Trainer], method: str, task: Task, plan: Plan
) -> tuple[Comparison, ...]:
    trainers[method](task)
    after = open_text_model(task.folder, opener.encoder, verify=False)
    reference = _reference(opener, current, trainers, task, plan)
    rows = [
        compare(name, True, right(reference, examples), right(after, examples), task.seed)
        for name, examples in plan.old.items()
        if examples
    ]
    if plan.new:
        rows.append(compare(NEW_LABELS, False, right(current.model, plan.new), right(after, plan.new), task.seed))
    return tuple(rows)


def _reference(opener: Opener, current: Choice, trainers: Mapping[str, Trainer], task: Task, plan: Plan) -> TextModel:
    """What the new version is compared with on old test sets: the one in force, or where that may have seen them, one
    trained by its method on the old data without them."""
    folder = _folder(opener, current)
    seen = None if folder is None else _training(folder)
    held = {normalise(example.text) for examples in plan.old.values() for example in examples}
    if seen and not any(normalise(example.text) in held for example in seen):
        return current.model
    trainer = trainers.get(current.model.info.method)
    if trainer is None:
        return current.model
    with tempfile.TemporaryDirectory() as temporary:
        trainer(replace(task, folder=Path(temporary), version="reference", train=plan.before, start_from=None))
        return open_text_model(Path(temporary), opener.encoder, verify=False)


def _outcome(
    version: str | None, method: str, comparisons: tuple[Comparison, ...], plan: Plan, wanted: Wanted
) -> Learned:
    notes = list(plan.notes)
    if not plan.new:
        notes.append(f"fewer than {heldout.LEAST_LABELS} new labels: none is held out, so nothing shows what they gain")
    refused = tuple(refusals(comparisons, wanted.allowed_drop))
    return Learned(version, method, comparisons, refused, tuple(notes), len(plan.train), len(plan.used))


def _describe(opener: Opener, draft: Draft, learned: Learned, plan: Plan, now: datetime) -> None:
    """Write what the version was trained on and how it did."""
    info = read_info(draft.folder)
    measured = {f"accuracy, {row.name} (n {row.n})": round(row.after, 2) for row in learned.comparisons}
    write_info(draft.folder, replace(info, created=now.isoformat(timespec="seconds"), measured=measured))
    taught = {example.origin for example in domain_examples(opener.domain).train}
    write_jsonl(draft.folder / TRAINING_FILE, (_row(example, example.origin in taught) for example in plan.train))
    rows = (
        {
            "text": label.text,
            "intent": label.intent,
            "split": "test" if held else "train",
            "call": label.call_id,
            "turn": label.turn,
            "at": label.labelled_at.isoformat(),
            "by": label.source,
        }
        for label, held in plan.used
    )
    write_jsonl(draft.folder / LABELS_FILE, rows)
    write_json(draft.folder / REPORT_FILE, {"learned": asdict(learned), "at": now.isoformat(timespec="seconds")})
    (draft.folder / CARD_FILE).write_text(_card(learned, info.base, plan), encoding="utf-8")


_TAUGHT = "domain: "
"""How the origin of a domain's example begins in `TRAINING_FILE`."""


def _row(example: Example, taught: bool) -> dict[str, Any]:
    return to_row(replace(example, origin=_TAUGHT + example.origin) if taught else example)


def _card(learned: Learned, base: str, plan: Plan) -> str:
    counts = Counter(example.intent or "" for example in plan.train)
    table = [
        f"| {row.name} | {row.n} | {row.before:.1f} % | {row.after:.1f} % | {row.low:+.1f} to {row.high:+.1f} |"
        for row in learned.comparisons
    ]
    verdict = "The gate let it pass." if not learned.refused else "Kept out: " + "; ".join(learned.refused) + "."
    lines = [
        f"# {learned.version}",
        "",
        f"Learnt from calls by `agent learn`, method {learned.method}, on {base}.",
        "",
        f"- trained on {learned.trained} texts of {len(counts)} intents: examples of the domain, and caller turns that",
        "  people labelled, with private numbers and addresses replaced",
        f"- {learned.labels} labels of caller turns are new; those held out are not trained on",
        "- for caller turns of this domain only; licence: that of your own data and of the encoder",
        "",
        "| test set | n | before | after | change, 95 % interval |",
        "|---|---|---|---|---|",
        *table,
        "",
        verdict,
        "",
    ]
    return "\n".join(lines)


def _old_data(opener: Opener, folder: Path | None) -> tuple[Example, ...]:
    """The domain's examples as they are now, then what the version in force was trained on besides.

    What a version kept of the domain's examples is left out: the domain may have dropped it since.
    """
    taught = domain_examples(opener.domain).train
    found = {normalise(example.text): example for example in taught}
    known = {*opener.domain.intents, OUT_OF_SCOPE}
    for example in () if folder is None else _training(folder):
        if example.intent in known and not example.origin.startswith(_TAUGHT):
            found[normalise(example.text)] = example
    return tuple(found.values())


def _kept_sets(opener: Opener) -> dict[str, tuple[Example, ...]]:
    """The test sets of this installation, with those of the domain's examples that belong to them by now."""
    sets = heldout.read_sets(opener.registry.folder(opener.name), opener.domain.intents)
    intents, _ = examples_of(opener.domain)
    chosen = heldout.of_domain(intents, opener.domain.out_of_scope)
    held = {normalise(example.text): example for example in (*sets.get(heldout.DOMAIN_SET, ()), *chosen)}
    return {**sets, heldout.DOMAIN_SET: tuple(held.values())} if held else sets


def _replayed(examples: Sequence[Example], wanted: Wanted) -> list[Example]:
    """The share of the old data that is trained on again: of every intent, `LEAST_EXAMPLES` at least unless it is 0."""
    if wanted.replay in (0.0, 1.0):
        return list(examples) if wanted.replay else []
    groups: dict[str | None, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.intent, []).append(example)
    kept: list[Example] = []
    for group in groups.values():
        group.sort(key=lambda example: hashlib.sha256(f"{wanted.seed} {example.text}".encode()).digest())
        kept += group[: max(LEAST_EXAMPLES, round(wanted.replay * len(group)))]
    return kept


def _example(label: TurnLabel) -> Example:
    text = label.text
    for placeholder, value in FILLED.items():
        text = text.replace(placeholder, value)
    return Example(text, label.intent, origin=f"call {label.call_id} turn {label.turn}")


def _folder(opener: Opener, current: Choice) -> Path | None:
    return None if current.version in BUILT_IN else opener.registry.path(opener.name, current.version)


def _training(folder: Path) -> tuple[Example, ...]:
    """What a version was trained on: as `agent learn` keeps it, else the examples kept for explanations."""
    path = folder / TRAINING_FILE
    if not path.is_file():
        try:
            index = ExamplesIndex.load(folder)
        except ModelMissing:
            return ()
        named = zip(index.texts, index.labels, strict=True)
        return tuple(Example(text, label, origin=f"examples of {folder.name}") for text, label in named if label)
    origins = [str(row.get("origin", "")) for row in _json_lines(path)]
    examples = read_examples(path).train
    return tuple(replace(example, origin=origin) for example, origin in zip(examples, origins, strict=True))


def _used(folder: Path) -> set[tuple[str, int, str]]:
    """The labels that a version knows: (call id, turn, intent)."""
    path = folder / LABELS_FILE
    if not path.is_file():
        return set()
    return {(str(row["call"]), int(row["turn"]), str(row["intent"])) for row in _json_lines(path)}


def _json_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def _digest(plan: Plan, method: str, seed: int) -> str:
    content = [method, seed, sorted((example.text, example.intent or "") for example in plan.train)]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()
