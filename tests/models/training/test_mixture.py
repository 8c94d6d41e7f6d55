"""A mixture: whose label holds, what is held out and never learnt, and what a wrong file is told."""

import json
from pathlib import Path

import pytest

from agent.dialogue.loader import load_domain
from models.contracts import OUT_OF_SCOPE
from models.training.checks import normalised, remove_leaks
from models.training.examples import DataError, Splits
from models.training.heads import generic_out_of_scope
from models.training.mapping import read_map
from models.training.mixture import counts, main, mix, read_mixture
from models.training.readers import read_examples
from models.training.reading.emotion_lines import read_emotion_lines

SHOP = Path("configs/training/shop")
EVALUATION = Path("configs/evaluation/shop.jsonl")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    domain = tmp_path / "domain"
    domain.mkdir()
    hello = "".join(f"      - hello number {n}\n" for n in range(20))
    bye = "".join(f"      - bye number {n}\n" for n in range(20))
    (domain / "intents.yaml").write_text(
        f"intents:\n  greeting:\n    examples:\n{hello}  goodbye:\n    examples:\n{bye}", encoding="utf-8"
    )
    write(
        tmp_path / "data" / "a.jsonl",
        [
            {"text": "Hello number 3!", "intent": "leave"},
            {"text": "see you", "intent": "leave"},
            {"text": "measured only", "intent": "leave"},
            {"text": "play jazz", "intent": "music"},
            {"text": "so long", "intent": "leave", "split": "validation"},
        ],
    )
    write(
        tmp_path / "data" / "b.jsonl",
        [{"text": "See you.", "intent": "hi"}, {"text": "so long", "intent": "hi"}, {"text": "yo", "intent": "hi"}],
    )
    write(tmp_path / "measured.jsonl", [{"text": "Measured only", "intent": "goodbye"}])
    (tmp_path / "a.yaml").write_text("labels: {leave: goodbye}\ndefault: out_of_scope\nslots: {}\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("labels: {hi: greeting}\n", encoding="utf-8")
    (tmp_path / "lines.tsv").write_text(
        "split\tlabel\ttext\ntrain\tangry\tsee you in court\nheld\tsad\talas\n", encoding="utf-8"
    )
    (tmp_path / "mixture.yaml").write_text(
        "domain: domain\nhold_out: 0.2\nmeasured: [measured.jsonl]\nsources:\n  - {data: a.jsonl, map: a.yaml}\n"
        "  - {data: b.jsonl, map: b.yaml}\n  - {emotion_lines: lines.tsv, weight: 12}\n",
        encoding="utf-8",
    )
    return tmp_path


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def mixed(folder: Path) -> Splits:
    return mix(read_mixture(folder / "mixture.yaml"), folder / "data")


def test_the_domain_decides_then_the_source_named_first(folder: Path) -> None:
    found = mixed(folder)
    assert [(e.text, e.intent, e.emotions, e.weight) for e in found.train] == [
        ("see you", "goodbye", (), 1.0),
        ("play jazz", OUT_OF_SCOPE, (), 1.0),
        ("yo", "greeting", (), 1.0),
        ("see you in court", None, ("angry",), 12.0),
    ]
    assert found.train[0].origin == "a.jsonl:2"


def test_a_share_of_the_domain_is_validation_data(folder: Path) -> None:
    held = [e for e in mixed(folder).validation if " number " in e.text]
    assert [e.intent for e in held] == ["greeting"] * 4 + ["goodbye"] * 4
    assert ("so long", "goodbye") in [(e.text, e.intent) for e in mixed(folder).validation]
    assert sum(e.origin == "generic out of scope" for e in mixed(folder).validation) > 10


def test_the_file_is_read_back_and_taken_out_of_the_domains_training(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out.jsonl"
    assert main(["--data", str(folder / "data"), "--out", str(out), "--mixture", str(folder / "mixture.yaml")]) == 0
    assert "rows in" in capsys.readouterr().out
    file, domain = read_examples(out), read_examples(folder / "domain")
    assert [e.text for e in file.train] == [e.text for e in mixed(folder).train]
    kept, removed = remove_leaks(domain + file)
    assert len(removed) == 8
    assert kept.validation == file.validation


def test_counts_name_every_label(folder: Path) -> None:
    assert [line.split() for line in counts(mixed(folder)) if line.startswith("  g")] == [
        ["goodbye", "1", "5"],
        ["greeting", "1", "4"],
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("domain: domain\n", "", "mixture.yaml:1: domain is no word"),
        ("hold_out: 0.2", "hold_out: 2", "mixture.yaml:2: hold_out is 2; give a number below 1"),
        ("hold_out: 0.2", "held: 0.2", "mixture.yaml:2: unknown field 'held'"),
        ("{data: a.jsonl, map: a.yaml}", "{data: a.jsonl}", "mixture.yaml:5: a source has data and map, or"),
        ("{data: a.jsonl, map: a.yaml}", "{data: no.jsonl, map: a.yaml}", "no.jsonl: not there"),
        ("measured: [measured.jsonl]", "most_intents: 2", "4 rows are more than most_intents (2)"),
    ],
)
def test_a_wrong_mixture_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, problem: str
) -> None:
    path = folder / "mixture.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    out = folder / "out.jsonl"
    assert main(["--data", str(folder / "data"), "--out", str(out), "--mixture", str(path)]) == 2
    assert problem in capsys.readouterr().err
    assert not out.exists()


def test_emotion_lines_are_train_or_held(folder: Path) -> None:
    found = read_emotion_lines(folder / "lines.tsv", 12)
    assert [(e.text, e.emotions, e.weight) for e in found.test] == [("alas", ("sad",), 12.0)]
    (folder / "lines.tsv").write_text("split\tlabel\ttext\nlater\tsad\talas\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"lines.tsv:2: .* is not train or held"):
        read_emotion_lines(folder / "lines.tsv")


def test_the_shops_maps_name_its_intents() -> None:
    known = {*load_domain(Path("configs/domains/shop")).intents, OUT_OF_SCOPE, "drop"}
    mixture = read_mixture(SHOP / "mixture.yaml")
    maps = {source.map for source in mixture.sources if source.map is not None}
    assert len(maps) == 6
    for path in maps:
        assert {target.name for target in read_map(path).labels.values()} <= known, path
    assert all(path.is_file() for path in mixture.measured)


def test_the_shops_held_out_texts_cover_every_intent_and_contradict_no_example() -> None:
    rows = read_examples(EVALUATION).train
    known = {*load_domain(Path("configs/domains/shop")).intents, OUT_OF_SCOPE}
    assert {e.intent for e in rows} == known
    assert min(sum(e.intent == name for e in rows) for name in known) >= 8
    assert sum(e.intent == OUT_OF_SCOPE for e in rows) >= 60
    assert len({normalised(e.text) for e in rows}) == len(rows)
    ours = {normalised(text): OUT_OF_SCOPE for text in generic_out_of_scope()}
    ours |= {normalised(e.text): e.intent or "" for e in read_examples(Path("configs/domains/shop")).train}
    assert all(ours.get(normalised(e.text), e.intent) == e.intent for e in rows)
