"""Whether a model and the data it is measured on speak of the same labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from models.contracts import OUT_OF_SCOPE
from models.text_model import ModelInfo
from models.training.examples import DataError, Example, Splits

_NAMED = 12


def choose_split(splits: Splits, split: str, origin: str) -> tuple[Example, ...]:
    """The examples of a split.

    Raises:
        DataError: it is empty; names the splits there are.
    """
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    if split not in parts:
        raise DataError([f"--split is {split!r}; give one of {', '.join(parts)}"])
    if not parts[split]:
        there = [f"{name} ({len(examples)})" for name, examples in parts.items() if examples]
        if not there:
            raise DataError([f"{origin} holds no examples; give labelled texts"])
        raise DataError([f"{origin} has no {split} split; there is {', '.join(there)}: name one with --split"])
    return parts[split]


def known_to(info: ModelInfo, examples: Sequence[Example], ignore: bool) -> tuple[list[Example], list[str]]:
    """The examples with the labels that `info` knows, and what was left out, a note each.

    Kinds of labels that the model does not read at all (no slots, no emotions) are left out with a note. With `ignore`,
    so are examples of an unknown intent, slot values of an unknown name, and unknown emotions.

    Raises:
        DataError: labels are unknown and not to be ignored, or nothing is left to measure.
    """
    kept, notes = list(examples), []
    for kind, known, there in (
        ("intent", info.intents, any(one.intent is not None for one in examples)),
        ("slot", info.slots, any(one.spans for one in examples)),
        ("emotion", info.emotions, any(one.emotions for one in examples)),
    ):
        if there and not known:
            notes.append(f"the model reads no {kind}s: those of the data were left out")
            kept = [_without(one, kind) for one in kept]
    unknown = {
        "intent": _unknown((one.intent for one in kept if one.intent is not None), (*info.intents, OUT_OF_SCOPE)),
        "slot": _unknown((span.name for one in kept for span in one.spans or ()), info.slots),
        "emotion": _unknown((label for one in kept for label in one.emotions), info.emotions),
    }
    problems = [_problem(kind, found, info) for kind, found in unknown.items() if found]
    if problems and not ignore:
        raise DataError(
            [*problems, "correct the labels, give another model, or leave them out: --ignore-unknown-labels"]
        )
    notes += [f"left out: {problem}" for problem in problems]
    kept = [_known(one, info) for one in kept if one.intent not in unknown["intent"]]
    kept = [one for one in kept if one.intent is not None or one.spans is not None or one.emotions]
    if not kept:
        raise DataError([f"no example has a label that {info.name} {info.version} knows; nothing can be measured"])
    return kept, notes


def _unknown(labels: Iterable[str], known: Sequence[str]) -> Counter[str]:
    return Counter(label for label in labels if label not in known)


def _problem(kind: str, found: Counter[str], info: ModelInfo) -> str:
    named = ", ".join(f"{label} ({count})" for label, count in found.most_common(_NAMED))
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{kind}s unknown to {info.name} {info.version}: {named}{more}; {sum(found.values())} labels in all"


def _without(example: Example, kind: str) -> Example:
    if kind == "intent":
        return replace(example, intent=None)
    return replace(example, spans=None) if kind == "slot" else replace(example, emotions=())


def _known(example: Example, info: ModelInfo) -> Example:
    spans = None if example.spans is None else tuple(span for span in example.spans if span.name in info.slots)
    emotions = tuple(label for label in example.emotions if label in info.emotions)
    return replace(example, spans=spans if info.slots else None, emotions=emotions)
