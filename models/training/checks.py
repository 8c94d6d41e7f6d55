"""Whether labelled texts can be trained and measured on: labels too few, unknown or contradictory, and leaks."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from models.contracts import OUT_OF_SCOPE
from models.training.examples import DataError, Example, Splits
from models.training.reading.source import LISTED

SHOWN = 5
"""Cases of a kind that a message names; more are only counted."""
_LEAST_HELD_OUT = 4
"""Different texts of a label from which at least one is held out: three are left to train on."""

_Labels = Callable[[Example], Iterable[str]]


def normalised(text: str) -> str:
    """`text` as two are compared: compatible characters made one, lower case, words and digits with single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(char if _in_word(char) else "" if char in "'’" else " " for char in folded)
    return " ".join(kept.split()) or " ".join(folded.split())


def _in_word(char: str) -> bool:
    """Letters, digits, and the marks that some scripts write vowels with."""
    return char.isalnum() or unicodedata.category(char).startswith("M")


def check(splits: Splits, allow_leak: bool = False, *, few_shot: bool = False, allow_unseen: bool = False) -> list[str]:
    """Warnings about `splits`; raises what they cannot be trained or measured with.

    allow_leak: the same text in two splits is a warning. few_shot: so is an intent with one example. allow_unseen: so
    is a label in validation or test that train lacks (a model cannot get it right; published splits may hold one).
    Out-of-scope texts may be in test alone, since a threshold can reject them.

    Raises:
        DataError: nothing to train on, one intent or emotion only, and, unless allowed, the above; all that applies.
    """
    if not splits.train:
        source = f" in {', '.join(splits.sources)}" if splits.sources else ""
        raise DataError([f"no examples to train on{source}; give a file with labelled texts, or a split named train"])
    problems, warnings = _too_few(splits.train), []
    for allowed, found, remedy in (
        (few_shot, _single(splits.train), "give at least two, or train few-shot"),
        (allow_unseen, _unseen(splits), "add it to train, or leave it out there"),
        (allow_leak, _leaks(splits), "drop them from train (--drop-leaks), or keep them with --allow-leak"),
    ):
        if allowed:
            warnings += found
        else:
            problems += [f"{line}; {remedy}" for line in found]
    if problems:
        raise DataError(_capped(problems))
    if _only_tested_outside(splits):
        warnings.append("test has out-of-scope texts, train has none: only a threshold can turn them away")
    return _capped(warnings + _contradictions(splits.train))


def _capped(lines: Sequence[str]) -> list[str]:
    more = [f"... and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return [*lines[:LISTED], *more]


def _too_few(examples: Sequence[Example]) -> list[str]:
    """A line for each kind of label that has fewer than two values."""
    intents = {example.intent for example in examples if example.intent is not None}
    emotions = {label for example in examples for label in example.emotions}
    out = []
    if not intents and not emotions and not any(example.spans for example in examples):
        out.append(
            f"{examples[0].origin}: neither this nor another example has an intent, a slot or an emotion; label them"
        )
    if intents and len(intents - {OUT_OF_SCOPE}) < 2:
        named = " and ".join(repr(intent) for intent in sorted(intents))
        out.append(f"{examples[0].origin}: no intents but {named}; give examples of at least two that are in scope")
    if len(emotions) == 1:
        out.append(f"{examples[0].origin}: no emotion but {min(emotions)!r}; give examples of at least two")
    return out


def _single(examples: Sequence[Example]) -> list[str]:
    """A line for each intent with one example."""
    counts = Counter(example.intent for example in examples if example.intent is not None)
    return [
        f"{example.origin}: intent {example.intent!r} has 1 example"
        for example in examples
        if counts[example.intent or ""] == 1
    ]


def _only_tested_outside(splits: Splits) -> bool:
    train, test = (any(example.intent == OUT_OF_SCOPE for example in part) for part in (splits.train, splits.test))
    return test and not train


def _unseen(splits: Splits) -> list[str]:
    """A line for each label in validation or test that train lacks."""
    kinds: tuple[tuple[str, _Labels], ...] = (
        ("intent", lambda example: () if example.intent in (None, OUT_OF_SCOPE) else (str(example.intent),)),
        ("emotion", lambda example: example.emotions),
        ("slot", lambda example: tuple(dict.fromkeys(span.name for span in example.spans or ()))),
    )
    out = []
    for kind, labels in kinds:
        known = {label for example in splits.train for label in labels(example)}
        if not known:
            continue
        for name, part in (("validation", splits.validation), ("test", splits.test)):
            missing: dict[str, list[Example]] = {}
            for example in part:
                for label in labels(example):
                    if label not in known:
                        missing.setdefault(label, []).append(example)
            for label, examples in sorted(missing.items()):
                where = f"{examples[0].origin}: {kind} {label!r} ({len(examples)} in {name})"
                out.append(f"{where} is not in train")
    return out


def find_leaks(splits: Splits) -> list[tuple[Example, Example]]:
    """(first, again) of each example whose normalised text is in a split before its own: train, validation, test."""
    first: dict[str, tuple[int, Example]] = {}
    out = []
    for number, part in enumerate((splits.train, splits.validation, splits.test)):
        for example in part:
            known = first.setdefault(normalised(example.text), (number, example))
            if known[0] != number:
                out.append((known[1], example))
    return out


def _leaks(splits: Splits) -> list[str]:
    """A line with the count of leaks and the first `SHOWN`, or none."""
    leaks = find_leaks(splits)
    if not leaks:
        return []
    listed = ", ".join(f"{again.text!r} at {first.origin} and {again.origin}" for first, again in leaks[:SHOWN])
    count = f"{len(leaks)} texts are" if len(leaks) > 1 else "1 text is"
    return [f"{count} in more than one split: {listed}{', ...' if len(leaks) > SHOWN else ''}"]


def remove_leaks(splits: Splits) -> tuple[Splits, tuple[Example, ...]]:
    """`splits` without leaks, and the examples removed for it.

    A text of test goes from validation and train, a text of validation goes from train; test stays as it is.
    """
    tested = {normalised(example.text) for example in splits.test}
    validation = tuple(example for example in splits.validation if normalised(example.text) not in tested)
    held = tested | {normalised(example.text) for example in validation}
    train = tuple(example for example in splits.train if normalised(example.text) not in held)
    removed = [example for example in splits.train if normalised(example.text) in held]
    removed += [example for example in splits.validation if normalised(example.text) in tested]
    return replace(splits, train=train, validation=validation), tuple(removed)


def _contradictions(examples: Iterable[Example]) -> list[str]:
    """A warning for each text that has two intents, the first `SHOWN` of them, and how many more there are."""
    first: dict[str, Example] = {}
    out: dict[str, str] = {}
    for example in examples:
        if example.intent is None:
            continue
        key = normalised(example.text)
        known = first.setdefault(key, example)
        if known.intent != example.intent and key not in out:
            out[key] = (
                f"{example.text!r} is {known.intent!r} at {known.origin} and {example.intent!r} at {example.origin}; "
                "keep the right one"
            )
    listed = list(out.values())
    more = [f"{len(listed) - SHOWN} more texts have two intents"] if len(listed) > SHOWN else []
    return listed[:SHOWN] + more


def split_validation(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """(train, validation): about `share` of each intent's examples held out, the same for the same seed.

    Stratified by intent, else by the first emotion. Examples of the same normalised text stay on one side. A label with
    fewer than four different texts is not held out.

    Raises:
        DataError: share is not above 0 and below 1.
    """
    if not 0 < share < 1:
        raise DataError([f"share of validation is {share!r}; give a number above 0 and below 1, such as 0.1"])
    groups: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(normalised(example.text), []).append(index)
    strata: dict[tuple[str, str], list[list[int]]] = {}
    for members in groups.values():
        strata.setdefault(_stratum(examples[members[0]]), []).append(members)
    held: set[int] = set()
    for key, members_of in sorted(strata.items()):
        held.update(_held_out(members_of, share, random.Random(f"{seed}:{key}")))
    return (
        tuple(example for index, example in enumerate(examples) if index not in held),
        tuple(example for index, example in enumerate(examples) if index in held),
    )


def _stratum(example: Example) -> tuple[str, str]:
    return example.intent or "", example.emotions[0] if example.intent is None and example.emotions else ""


def _held_out(groups: Sequence[Sequence[int]], share: float, rng: random.Random) -> list[int]:
    """The members of groups drawn until about `share` of all members are held out; never of all groups."""
    if len(groups) < _LEAST_HELD_OUT:
        return []
    wanted = max(1, round(share * sum(len(group) for group in groups)))
    out: list[int] = []
    for group in rng.sample(groups, len(groups))[:-1]:
        if len(out) >= wanted:
            break
        if not out or len(out) + len(group) <= wanted:
            out += group
    return out
