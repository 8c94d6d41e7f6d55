"""Labels of other data in the names of ours, by a YAML file: which intents, slots and emotions fit, and how many."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import yaml

from models.contracts import OUT_OF_SCOPE
from models.training.checks import normalised
from models.training.examples import DataError, Example, Span, Splits
from models.training.reading.source import Problems, shown
from models.training.yaml_nodes import count_in, document, mapping, number_in, text_in

DROP = "drop"
"""Target of labels whose texts, or slot values, are left out."""
ANY = "any"
"""In `exclude`: the pattern is for texts of every label."""
_KEYS = (
    "labels",
    "default",
    "slots",
    "emotions",
    "limit_per_intent",
    "limits",
    "limit_per_emotion",
    "exclude",
    "rarest_word",
    "weight",
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a label becomes, and the line of the map that says so."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class LabelMap:
    """A read map; see `read_map` for what its fields mean."""

    path: Path
    labels: Mapping[str, Target] = field(default_factory=dict)
    default: str = DROP
    slots: Mapping[str, Target] | None = None
    emotions: Mapping[str, Target] | None = None
    limit_per_intent: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    limit_per_emotion: Mapping[str, int] = field(default_factory=dict)
    exclude: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    rarest_word: int = 1
    weight: float = 1.0


def apply_map(splits: Splits, path: Path, *, known: Collection[str] | None = None, seed: int = 0) -> Splits:
    """`splits` with the labels that the map at `path` gives them; what has no label left is left out.

    known: the intents that exist on our side, or None where any may be named. seed: draws what stays within limits;
    limits count training texts, and validation and test keep a share of theirs that is in proportion.

    Raises:
        DataError: the map cannot be used (see `read_map`), names labels that the data lacks or intents that are not
            `known`, or leaves nothing to train or measure on; every problem with `file:line`.
    """
    found = read_map(path)
    _refuse_unknown(found, splits, known)
    common = _common_words(splits, found.rarest_word)
    out = []
    for part in (splits.train, splits.validation, splits.test):
        kept = [mapped for example in part for mapped in _mapped(example, found, common)]
        share = len(part) / len(splits.train) if splits.train else 1.0
        out.append(tuple(_limited(kept, found, min(1.0, share), seed)))
    if not any(out):
        raise DataError([f"{path}:1: no text of {', '.join(splits.sources)} is left; map labels that it has"])
    return Splits(out[0], out[1], out[2], tuple(f"{source} (labels by {path.name})" for source in splits.sources))


def read_map(path: Path) -> LabelMap:
    """The map in a YAML file; every field may be left out.

    labels: {their intent: ours, `out_of_scope` or `drop`}; default: what intents not named become, `drop` or
    `out_of_scope`. slots: {their slot: ours or `drop`}, others hold no value; without it slots count as not labelled.
    emotions: {their emotion: ours}; a text with an emotion not named, or with two of ours, has none; without it
    emotions are left out. limit_per_intent: texts of each of their intents, drawn from different ones; limits:
    {their intent: number}, instead of it. limit_per_emotion: {our emotion: number}. exclude: {their intent or `any`:
    regular expression}, texts it is found in (case does not matter) are left out. rarest_word: a text with a word that
    is in fewer texts of the data than this is left out (typing errors). weight: each text counts as so many.

    Raises:
        DataError: not YAML, or unknown or wrong fields; all of them, as `file:line: problem; remedy`.
    """
    problems = Problems()
    fields = mapping(document(path), path, "the map", problems)
    for key, (_, line) in fields.items():
        if key not in _KEYS:
            problems.add(f"{path}:{line}", f"unknown field {key!r}; known: {', '.join(_KEYS)}")
    at = {key: node for key, (node, _) in fields.items()}
    default = text_in(at.get("default"), path, "default", problems) if "default" in at else DROP
    if default not in {DROP, OUT_OF_SCOPE, None}:
        line = fields["default"][1]
        problems.add(f"{path}:{line}", f"default is {default!r}; write {DROP} or {OUT_OF_SCOPE}, and name the others")
    whole = count_in(at["limit_per_intent"], path, "limit_per_intent", problems) if "limit_per_intent" in at else None
    rarest = count_in(at["rarest_word"], path, "rarest_word", problems) if "rarest_word" in at else 1
    weight = number_in(at["weight"], path, "weight", problems) if "weight" in at else 1.0
    read = LabelMap(
        path=path,
        labels=_targets(at.get("labels"), path, "labels", problems) or {},
        default=default or DROP,
        slots=_targets(at.get("slots"), path, "slots", problems),
        emotions=_targets(at.get("emotions"), path, "emotions", problems),
        limit_per_intent=whole,
        limits=_counts(at.get("limits"), path, "limits", problems),
        limit_per_emotion=_counts(at.get("limit_per_emotion"), path, "limit_per_emotion", problems),
        exclude=_patterns(at.get("exclude"), path, problems),
        rarest_word=rarest or 1,
        weight=weight or 1.0,
    )
    problems.refuse()
    return read


def _targets(node: yaml.Node | None, path: Path, name: str, problems: Problems) -> dict[str, Target] | None:
    if node is None:
        return None
    out = {}
    for key, (value, line) in mapping(node, path, name, problems).items():
        target = text_in(value, path, f"{name}.{key}", problems)
        if target is not None:
            out[key] = Target(target, line)
    return out


def _counts(node: yaml.Node | None, path: Path, name: str, problems: Problems) -> dict[str, int]:
    if node is None:
        return {}
    found = {
        key: count_in(value, path, f"{name}.{key}", problems)
        for key, (value, _) in mapping(node, path, name, problems).items()
    }
    return {key: count for key, count in found.items() if count is not None}


def _patterns(node: yaml.Node | None, path: Path, problems: Problems) -> dict[str, re.Pattern[str]]:
    out: dict[str, re.Pattern[str]] = {}
    if node is None:
        return out
    for key, (value, line) in mapping(node, path, "exclude", problems).items():
        pattern = text_in(value, path, f"exclude.{key}", problems)
        try:
            if pattern is not None:
                out[key] = re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            problems.add(
                f"{path}:{line}", f"exclude.{key} is no regular expression ({error}); correct {shown(pattern)}"
            )
    return out


def _refuse_unknown(found: LabelMap, splits: Splits, known: Collection[str] | None) -> None:
    """Raise where the map names labels that are on neither side."""
    problems = Problems()
    every = splits.train + splits.validation + splits.test
    intents = {example.intent for example in every if example.intent is not None}
    kinds: tuple[tuple[str, Mapping[str, Target], Collection[str]], ...] = (
        ("intent", found.labels, intents),
        ("slot", found.slots or {}, {span.name for example in every for span in example.spans or ()}),
        ("emotion", found.emotions or {}, {label for example in every for label in example.emotions}),
    )
    for kind, targets, theirs in kinds:
        for name, target in targets.items():
            if name not in theirs:
                problems.add(
                    f"{found.path}:{target.line}", f"no text has the {kind} {name!r}; correct its spelling or remove it"
                )
    for key, names in (("limits", found.limits), ("exclude", found.exclude)):
        for name in names:
            if name not in intents and name != ANY:
                problems.add(f"{found.path}:1", f"{key}: no text has the intent {name!r}; correct its spelling")
    if known is not None:
        for target in found.labels.values():
            if target.name not in {*known, OUT_OF_SCOPE, DROP}:
                ours = ", ".join(sorted(known))
                problems.add(
                    f"{found.path}:{target.line}",
                    f"there is no intent {target.name!r}; write {OUT_OF_SCOPE}, {DROP}, or one of {ours}",
                )
    problems.refuse()


def _words(text: str) -> list[str]:
    """The words of `text` that hold letters only; numbers differ from text to text and are no errors."""
    return [word for word in normalised(text).split() if word.isalpha()]


def _common_words(splits: Splits, least: int) -> Collection[str] | None:
    """Words in at least `least` texts, None where that does not matter."""
    if least <= 1:
        return None
    every = splits.train + splits.validation + splits.test
    counts = Counter(word for example in every for word in set(_words(example.text)))
    return {word for word, count in counts.items() if count >= least}


def _mapped(example: Example, found: LabelMap, common: Collection[str] | None) -> Iterable[_Kept]:
    """The example in our labels, or nothing."""
    intent = example.intent
    if intent is not None:
        target = found.labels.get(intent)
        intent = found.default if target is None else target.name
        if intent == DROP:
            return
    for label in (ANY, example.intent or ""):
        if label in found.exclude and found.exclude[label].search(example.text):
            return
    if common is not None and not all(word in common for word in _words(example.text)):
        return
    emotions = _emotions(example.emotions, found.emotions)
    spans = _spans(example.spans, found.slots)
    if intent is None and not emotions and spans is None:
        return
    weight = example.weight * found.weight
    yield _Kept(replace(example, intent=intent, spans=spans, emotions=emotions, weight=weight), example.intent)


@dataclass(frozen=True, slots=True)
class _Kept:
    """An example in our labels, and the intent that was theirs."""

    example: Example
    theirs: str | None


def _spans(spans: Sequence[Span] | None, slots: Mapping[str, Target] | None) -> tuple[Span, ...] | None:
    if spans is None or slots is None:
        return None
    renamed = (replace(span, name=slots[span.name].name) for span in spans if span.name in slots)
    return tuple(span for span in renamed if span.name != DROP)


def _emotions(labels: Sequence[str], emotions: Mapping[str, Target] | None) -> tuple[str, ...]:
    """Ours, if all of `labels` are the same one of ours."""
    if not labels or emotions is None or not all(label in emotions for label in labels):
        return ()
    ours = {emotions[label].name for label in labels}
    return tuple(ours) if len(ours) == 1 and DROP not in ours else ()


def _limited(kept: Sequence[_Kept], found: LabelMap, share: float, seed: int) -> list[Example]:
    """As many of each label as its limit times `share` allows, in the order they had."""
    groups: dict[tuple[str, str], list[int]] = {}
    limits: dict[tuple[str, str], int | None] = {}
    for index, item in enumerate(kept):
        if item.theirs is not None:
            group, limit = ("intent", item.theirs), found.limits.get(item.theirs, found.limit_per_intent)
        else:
            emotion = item.example.emotions[0] if item.example.emotions else ""
            group, limit = ("emotion", emotion), found.limit_per_emotion.get(emotion)
        groups.setdefault(group, []).append(index)
        limits[group] = limit
    chosen: list[int] = []
    for group, members in groups.items():
        limit = limits[group]
        if limit is None:
            chosen += members
            continue
        different = list({normalised(kept[index].example.text): index for index in reversed(members)}.values())
        most = math.ceil(limit * share)
        chosen += Random(f"{seed}:{group}").sample(sorted(different), min(most, len(different)))
    return [kept[index].example for index in sorted(chosen)]
