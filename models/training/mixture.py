"""Mix data of others, in a domain's labels, into one file that the domain's model is trained on beside its examples.

    python -m models.training.mixture --data DIR --out FILE.jsonl [--mixture configs/training/shop/mixture.yaml]

`agent train understanding --domain shop --data FILE.jsonl --drop-leaks` trains on it. The mixture file names the
sources and the map of each (`models.training.mapping`). A share of the domain's own examples goes into the file as
validation data, which --drop-leaks takes out of the training: what is watched in training are the domain's wordings.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import yaml

from models.contracts import OUT_OF_SCOPE
from models.training.checks import normalised, split_validation
from models.training.examples import DataError, Example, Splits
from models.training.heads import generic_out_of_scope
from models.training.mapping import apply_map
from models.training.readers import read_examples, to_row, write_jsonl
from models.training.reading.emotion_lines import read_emotion_lines
from models.training.reading.source import Problems
from models.training.yaml_nodes import Fields, count_in, document, items, line_of, mapping, number_in, text_in

DEFAULT = Path("configs/training/shop/mixture.yaml")
_KEYS = (
    "domain",
    "hold_out",
    "measured",
    "borrowed_weight",
    "emotions",
    "most_intents",
    "most_emotions",
    "sources",
)
_SOURCE_KEYS = ("data", "map", "emotion_lines", "weight")


@dataclass(frozen=True, slots=True)
class Source:
    """Data below the data folder with its map, or a file of emotion lines with their weight."""

    data: str | None
    map: Path | None
    lines: Path | None
    weight: float
    line: int


@dataclass(frozen=True, slots=True)
class Mixture:
    """What is mixed. domain: folder of a domain; measured: files of texts that are never learnt; emotions: how many
    ordinary training rows of each emotion are drawn, of others all."""

    path: Path
    domain: Path
    sources: tuple[Source, ...]
    hold_out: float = 0.15
    measured: tuple[Path, ...] = ()
    borrowed_weight: float = 1.0
    emotions: Mapping[str, int] = field(default_factory=dict)
    most_intents: int | None = None
    most_emotions: int | None = None


def read_mixture(path: Path) -> Mixture:
    """The mixture of a YAML file; paths in it are relative to its folder, `data` to the data folder.

    Fields: domain; sources, a list of {data, map} or {emotion_lines, weight?}; hold_out, the share of the domain's
    examples that becomes validation data; measured, files whose texts are left out everywhere; borrowed_weight, of rows
    with an intent from a source (those below 1 neither fit heads nor validate); emotions, rows to draw of each emotion;
    most_intents and most_emotions, training rows that are not exceeded.

    Raises:
        DataError: not YAML, or unknown, missing or wrong fields; all of them, as `file:line: problem; remedy`.
    """
    problems = Problems()
    fields = mapping(document(path), path, "the mixture", problems)
    _known(fields, _KEYS, path, problems)
    at = {key: node for key, (node, _) in fields.items()}
    domain = text_in(at.get("domain"), path, "domain", problems)
    hold_out = number_in(at["hold_out"], path, "hold_out", problems) if "hold_out" in at else 0.15
    if hold_out is not None and hold_out >= 1:
        problems.add(
            f"{path}:{fields['hold_out'][1]}", f"hold_out is {hold_out:g}; give a number below 1, such as 0.15"
        )
    borrowed = number_in(at["borrowed_weight"], path, "borrowed_weight", problems) if "borrowed_weight" in at else 1.0
    drawn = mapping(at["emotions"], path, "emotions", problems) if "emotions" in at else {}
    emotions = {name: count_in(node, path, f"emotions.{name}", problems) or 0 for name, (node, _) in drawn.items()}
    listed = items(at["measured"], path, "measured", problems) if "measured" in at else []
    measured = [text_in(node, path, "measured", problems) for node in listed]
    sources = (
        [_source(node, path, problems) for node in items(at["sources"], path, "sources", problems)]
        if ("sources" in at)
        else []
    )
    if "sources" not in at:
        problems.add(f"{path}:1", "sources is missing; list what is mixed")
    most = {
        key: count_in(at[key], path, key, problems) if key in at else None for key in ("most_intents", "most_emotions")
    }
    problems.refuse()
    return Mixture(
        path=path,
        domain=path.parent / str(domain),
        sources=tuple(source for source in sources if source is not None),
        hold_out=hold_out or 0.15,
        measured=tuple(path.parent / str(name) for name in measured),
        borrowed_weight=borrowed or 1.0,
        emotions=emotions,
        most_intents=most["most_intents"],
        most_emotions=most["most_emotions"],
    )


def _known(fields: Fields, keys: Sequence[str], path: Path, problems: Problems) -> None:
    for key, (_, line) in fields.items():
        if key not in keys:
            problems.add(f"{path}:{line}", f"unknown field {key!r}; known: {', '.join(keys)}")


def _source(node: yaml.Node, path: Path, problems: Problems) -> Source | None:
    fields = mapping(node, path, "a source", problems)
    _known(fields, _SOURCE_KEYS, path, problems)
    at = {key: value for key, (value, _) in fields.items()}
    if ("emotion_lines" in at) == ("data" in at) or ("data" in at) != ("map" in at):
        problems.add(f"{path}:{line_of(node)}", "a source has data and map, or emotion_lines; write one of these")
        return None
    data = text_in(at["data"], path, "data", problems) if "data" in at else None
    labels = text_in(at["map"], path, "map", problems) if "map" in at else None
    lines = text_in(at["emotion_lines"], path, "emotion_lines", problems) if "emotion_lines" in at else None
    weight = number_in(at["weight"], path, "weight", problems) if "weight" in at else 1.0
    return Source(
        data,
        None if labels is None else path.parent / labels,
        None if lines is None else path.parent / lines,
        weight or 1.0,
        line_of(node),
    )


def mix(mixture: Mixture, data: Path, seed: int = 0) -> Splits:
    """Train and validation data of the mixture; test data of others stays with them.

    Where two sources disagree about a text the domain's label holds, then that of the source named first; a text is
    there once for its intent and once for its emotion. Validation texts are in no other split.

    Raises:
        DataError: a source cannot be read or mapped, or there are more rows than the mixture allows.
    """
    own = read_examples(mixture.domain).train
    own += tuple(Example(text, OUT_OF_SCOPE, origin="generic out of scope") for text in generic_out_of_scope())
    known = {example.intent for example in own if example.intent is not None}
    _, held = split_validation(own, mixture.hold_out, seed)
    found = [_read(source, mixture, data, known, seed) for source in mixture.sources]
    shut = {normalised(example.text) for path in mixture.measured for example in _every(read_examples(path))}
    taken = shut | {normalised(example.text) for example in own}
    if mixture.borrowed_weight < 1:
        found = [_lighter(part, mixture.borrowed_weight) for part in found]
    validation = [*held, *_different((e for part in found for e in part.validation), taken)]
    watched = taken | {normalised(example.text) for example in validation}
    train = tuple(_different((e for part in found for e in part.train), watched))
    train = _drawn(train, mixture.emotions)
    for name, most, count in (
        ("most_intents", mixture.most_intents, sum(e.intent is not None for e in train)),
        ("most_emotions", mixture.most_emotions, sum(e.intent is None for e in train)),
    ):
        if most is not None and count > most:
            raise DataError([f"{mixture.path}:1: {count} rows are more than {name} ({most}); lower limits in the maps"])
    return Splits(
        train=tuple(_placed(example, data) for example in train),
        validation=tuple(_placed(example, data) for example in validation if normalised(example.text) not in shut),
        sources=tuple(source for part in found for source in part.sources),
    )


def _lighter(splits: Splits, weight: float) -> Splits:
    """Rows with an intent at `weight`, and none of them in validation data."""
    train = tuple(replace(e, weight=weight) if e.intent is not None else e for e in splits.train)
    return replace(splits, train=train, validation=tuple(e for e in splits.validation if e.intent is None))


def _drawn(examples: Sequence[Example], limits: Mapping[str, int]) -> tuple[Example, ...]:
    """At most so many ordinary rows of each emotion, drawn by chance; rows that weigh more than 1 all stay."""
    groups: dict[str, list[Example]] = {}
    kept = []
    for example in examples:
        if limits and example.intent is None and example.weight <= 1:
            groups.setdefault(example.emotions[0], []).append(example)
        else:
            kept.append(example)
    rng = Random(0)
    for name, group in groups.items():
        rng.shuffle(group)
        kept += group[: limits.get(name, len(group))]
    return tuple(kept)


def _every(splits: Splits) -> tuple[Example, ...]:
    return splits.train + splits.validation + splits.test


def _read(source: Source, mixture: Mixture, data: Path, known: Collection[str], seed: int) -> Splits:
    if source.lines is not None:
        return read_emotion_lines(source.lines, source.weight)
    assert source.data is not None
    assert source.map is not None
    return apply_map(read_examples(data / source.data), source.map, known=known, seed=seed)


def _different(examples: Iterable[Example], taken: Collection[str]) -> Iterator[Example]:
    """The first example of each text and kind of label whose text is not `taken`."""
    seen: set[tuple[str, bool]] = set()
    for example in examples:
        key = normalised(example.text)
        if key not in taken and (key, example.intent is None) not in seen:
            seen.add((key, example.intent is None))
            yield example


def _placed(example: Example, data: Path) -> Example:
    """The example with an origin below the data folder."""
    return replace(example, origin=example.origin.removeprefix(f"{data}/"))


def rows(splits: Splits) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL file, each with its split."""
    for name, part in (("train", splits.train), ("validation", splits.validation)):
        for example in part:
            yield to_row(example, name)


def counts(splits: Splits) -> list[str]:
    """A line for each intent and emotion with its rows in train and validation."""
    out = []
    for kind in ("intent", "emotion"):
        train, validation = (Counter(_labels(part, kind)) for part in (splits.train, splits.validation))
        out.append(f"{kind:20s} {'train':>8s} {'validation':>10s}")
        labels = sorted({*train, *validation})
        out += [f"  {label:18s} {train[label]:8d} {validation[label]:10d}" for label in labels]
        out.append(f"  {'all':18s} {train.total():8d} {validation.total():10d}")
    return out


def _labels(part: Iterable[Example], kind: str) -> Iterator[str]:
    for example in part:
        if kind == "intent" and example.intent is not None:
            yield example.intent
        if kind == "emotion":
            yield from example.emotions


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file and show what is in it; status 2 with the problems where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m models.training.mixture", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets")
    parser.add_argument("--out", type=Path, required=True, help="JSONL file to write")
    parser.add_argument("--mixture", type=Path, default=DEFAULT)
    parser.add_argument("--seed", type=int, default=0, help="draws what stays within limits")
    chosen = parser.parse_args(arguments)
    try:
        splits = mix(read_mixture(chosen.mixture), chosen.data, chosen.seed)
        written = write_jsonl(chosen.out, rows(splits))
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(counts(splits)))
    print(f"{written} rows in {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
