"""The model card of a trained version, written by the program from what it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.contracts import OUT_OF_SCOPE
from models.text_model import CARD_FILE, ModelInfo
from models.training.examples import Example
from models.training.understanding.recipe import Recipe

LICENCES = {
    "banking77": "Banking77: CC BY 4.0 (PolyAI)",
    "clinc": "CLINC150: CC BY 3.0 (Clinc)",
    "snips": "SNIPS NLU benchmark: CC0 1.0",
    "multidogo": "MultiDoGO: CDLA-Permissive 1.0 (Amazon)",
    "goemotions": "GoEmotions: Apache-2.0 / CC BY 4.0 (Google Research)",
    "bitext": "Bitext customer support: CDLA-Sharing 1.0",
    "cped": "CPED: Apache-2.0 (SCUT)",
}
"""Licences of the published sets we know, by what their path is called."""


def licences_of(sources: Sequence[str]) -> tuple[str, ...]:
    """The licences of `sources` as far as they are known by name; of others, a reminder to look."""
    found = [next((text for key, text in LICENCES.items() if key in s.lower()), f"{s}: look it up") for s in sources]
    return tuple(dict.fromkeys(found))


def interval(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share seen in n cases."""
    if not n:
        return 0.0, 1.0
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * ((share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5)
    return centre - half, centre + half


def write_card(
    folder: Path,
    info: ModelInfo,
    recipe: Recipe,
    report: Mapping[str, Any],
    train: Sequence[Example],
    validation: Sequence[Example],
    sources: Sequence[str],
    licences: Sequence[str],
    command: str,
) -> None:
    """Write `card.md`: purpose, data, licences, figures with intervals, recipe, limits."""
    texts = "\n".join(
        [
            f"# {info.name}",
            "",
            _what(info),
            "",
            "## Data",
            "",
            *_data(train, validation, sources),
            "",
            "Licences of the data: " + ("; ".join(licences or licences_of(sources)) or "yours") + ".",
            "",
            "## Figures",
            "",
            *_figures(report, validation),
            "",
            "Figures are of the validation part, which chose the epoch and set temperature and threshold: they flatter",
            "a little. `agent evaluate understanding` measures a test set.",
            "",
            *_parity(report),
            "## How it was made",
            "",
            *([f"    {command}", ""] if command else []),
            *(f"- {key}: {value}" for key, value in recipe.model_dump(mode="json").items() if _telling(key, value)),
            f"- seed {recipe.seed}, {info.created}",
            "",
            "## Use and limits",
            "",
            "For routing what callers say to the flows of a domain, with clarifying questions where it is unsure. Not",
            "for judging people, and not grounds on its own for a decision about a caller. It knows the intents above",
            "and the wording of its data; other wordings, other languages and recognizer errors lower its accuracy.",
            "Texts of training are kept in `examples.npz` for explanations: treat the folder as the data itself.",
            "",
        ]
    )
    (folder / CARD_FILE).write_text(texts, encoding="utf-8")


def _what(info: ModelInfo) -> str:
    heads = []
    inside = [name for name in info.intents if name != OUT_OF_SCOPE]
    if inside:
        heads.append(f"{len(inside)} intents" + (" and out of scope" if OUT_OF_SCOPE in info.intents else ""))
    if info.slots:
        heads.append(f"{len(info.slots)} slots ({', '.join(info.slots)})")
    if info.emotions:
        heads.append(f"{len(info.emotions)} emotions ({', '.join(info.emotions)})")
    made = (
        "Heads over the frozen sentence encoder"
        if info.method == "head"
        else f"{info.base}, fine-tuned ({info.method})"
    )
    runs = "" if info.method == "head" else "; int8 ONNX on one thread"
    networks = sum(member.file.endswith(".onnx") for member in info.members)
    joined = f", {networks} networks averaged" if networks > 1 else ""
    if networks and networks < len(info.members):
        joined += ", averaged with a head over the frozen sentence encoder"
    return f"Reads {', '.join(heads)} off one caller turn ({info.language}). {made}{joined}{runs}."


def _data(train: Sequence[Example], validation: Sequence[Example], sources: Sequence[str]) -> list[str]:
    lines = [f"- {source}" for source in sources]
    lines.append(f"- {len(train)} training and {len(validation)} validation texts")
    counts = Counter(e.intent for e in train if e.intent is not None)
    if counts:
        rare = min(counts, key=lambda name: counts[name])
        lines.append(
            f"- {sum(counts.values())} with an intent: {len(counts)} labels, from {counts[rare]} ({rare}) to "
            f"{max(counts.values())} texts; {counts.get(OUT_OF_SCOPE, 0)} out of scope"
        )
    slots = sum(e.spans is not None for e in train)
    if slots:
        lines.append(f"- {slots} labelled for slots, {sum(len(e.spans or ()) for e in train)} values")
    felt = sum(bool(e.emotions) for e in train)
    if felt:
        lines.append(f"- {felt} with an emotion")
    return lines


def _figures(report: Mapping[str, Any], validation: Sequence[Example]) -> list[str]:
    inside = sum(e.intent not in {None, OUT_OF_SCOPE} for e in validation)
    lines = ["| figure | % | 95 % interval | n |", "|---|---|---|---|"]
    for name, value in dict(report.get("figures", {})).items():
        low, high = interval(float(value), inside)
        between = f"{100 * low:.1f}-{100 * high:.1f}" if name == "accuracy" else ""
        lines.append(f"| {name} | {100 * float(value):.1f} | {between} | {inside} |")
    for name, value in dict(report.get("parity", {}).get("int8", {})).items():
        if name not in dict(report.get("figures", {})):
            lines.append(f"| {name} | {100 * float(value):.1f} | | {report['parity']['texts']} texts |")
    return lines


def _parity(report: Mapping[str, Any]) -> list[str]:
    found = report.get("parity")
    if not found:
        return []
    return [
        "## int8 against float32",
        "",
        f"On {found['texts']} texts: an intent's probability differs by at most "
        f"{found['largest_probability_difference']:.3f}; "
        f"the most that a figure fell is {100 * found['lost']:.2f} points.",
        "",
    ]


def _telling(key: str, value: object) -> bool:
    """Whether a setting differs from its default or is one that a reader looks for."""
    default = Recipe.model_fields[key].default
    return value != default or key in {"method", "epochs", "learning_rate", "batch_size"}
