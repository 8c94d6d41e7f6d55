"""`agent evaluate understanding`, `turn` and `voice`: reports, comparisons, exit statuses, and what is refused."""

import json
import re

import numpy as np
import pytest

from agent.cli.evaluating import understanding
from models.contracts import OUT_OF_SCOPE
from models.heads import save_head
from models.registry import write_info
from models.text_model import Member, ModelInfo
from models.text_model_open import write_sums
from models.training.heads import generic_out_of_scope, train_intent_head

WORDS = {
    "refund": ("money", "back", "refund", "return"),
    "track": ("where", "parcel", "late", "status"),
    "human": ("person", "agent", "someone", "talk"),
}
NASTY = "<script>alert('&')</script> money"


class Letters:
    """Vectors of how often each letter occurs."""

    width = 26
    identity = "letters"

    def __init__(self, cache_size=0):
        pass

    def encode(self, texts):
        rows = np.array([[text.count(chr(97 + n)) for n in range(26)] for text in texts], dtype=np.float32)
        rows = rows.reshape(len(texts), 26)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


@pytest.fixture(autouse=True)
def letters(monkeypatch):
    """An encoder that is there at once, in place of the sentence encoder."""
    monkeypatch.setattr(understanding, "SentenceEncoder", Letters)


def rows(split, endings=("", "please", "now", "thanks")):
    return [
        {"text": f"{word} {ending}".strip(), "intent": intent, "split": split}
        for intent, words in WORDS.items()
        for word in words
        for ending in endings
    ]


@pytest.fixture
def data(tmp_path):
    """Write labelled texts; gives the file."""

    def write(*parts, name="texts.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for part in parts for row in part))
        return path

    return write


@pytest.fixture
def version(tmp_path):
    """The folder of a version that is a head over letters, trained on the intents of `WORDS`."""
    examples = {intent: [f"{word} {n}" for word in words for n in ("", "hi")] for intent, words in WORDS.items()}
    outside = ["zzz xyzzy quux", "qqq", "zaz", "xqz", "vvv"]
    head = train_intent_head(examples, outside, Letters())
    folder = tmp_path / "v0001-00000000"
    folder.mkdir()
    save_head(folder / "intent.npz", head.head, head.threshold)
    info = ModelInfo("shop", folder.name, "head", "letters", members=(Member("intent.npz"),), intents=head.labels)
    write_info(folder, info)
    write_sums(folder)
    return folder


TEST = rows("test", ("today", "sir"))


def test_frozen_heads_are_trained_and_reported(agent, data, tmp_path):
    path = data(rows("train"), TEST, [{"text": NASTY, "intent": "human", "split": "test"}])
    page, out = tmp_path / "deep" / "page.html", tmp_path / "deep" / "out.json"
    result = agent("evaluate", "understanding", "--data", path, "--method-head", "--html", page, "--json", out)
    assert result.exit_code == 0, result.stderr
    document = json.loads(out.read_text())
    assert {"command", "at", "seed", "split", "n", "machine", "versions", "model", "data", "figures"} <= set(document)
    assert (document["split"], document["n"], document["seed"]) == ("test", len(TEST) + 1, 0)
    assert document["model"]["method"] == "head"
    accuracy = document["figures"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert {"accuracy_typos", "accuracy_homophones", "latency_p50", "ece"} <= set(document["figures"])
    mistakes = next(table for table in document["tables"] if table["title"].startswith("Mistakes"))
    assert [row[1] for row in mistakes["rows"] if row[0] == NASTY] == ["human"]
    html = page.read_text()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r"(?:src|href)=|https?://|url\(|@import", html)
    assert html.count("<svg") >= 3
    assert "seed 0" in html


def test_markdown_has_the_tables_with_command_and_hardware(agent, data):
    path = data(rows("train"), TEST)
    words = ("evaluate", "understanding", "--data", path, "--method-head", "--no-robustness", "--markdown")
    result = agent(*words)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("`agent ")
    assert "| intent accuracy |" in result.stdout
    assert "split test, n 24, seed 0" in result.stdout
    assert "Robustness" not in result.stdout


def test_a_fall_against_an_earlier_report_ends_with_status_1(agent, data, tmp_path):
    good = data(rows("train"), TEST)
    old = tmp_path / "old.json"
    common = ("evaluate", "understanding", "--method-head", "--no-robustness", "--data")
    assert agent(*common, good, "--json", old).exit_code == 0
    same = agent(*common, good, "--against", old, "--fail-on", "accuracy:0,macro_f1:0")
    assert same.exit_code == 0, same.stderr
    assert "within noise" in same.stdout
    swapped = {"refund": "track", "track": "human", "human": "refund"}
    poisoned = data([{**row, "intent": swapped[row["intent"]]} for row in rows("train")], TEST)
    worse = agent(*common, poisoned, "--against", old, "--fail-on", "accuracy:0.5")
    assert worse.exit_code == 1
    assert "worse: intent accuracy:" in worse.stderr
    assert "more than the 0.5 allowed" in worse.stderr


def test_a_version_stands_beside_frozen_heads(agent, data, version):
    path = data(rows("train"), TEST)
    result = agent("evaluate", "understanding", "--data", path, "--model", version, "--method-head", "--markdown")
    assert result.exit_code == 0, result.stderr
    assert "Frozen heads and shop v0001-00000000" in result.stdout
    assert "model: name shop, version v0001-00000000" in result.stdout


def test_a_domain_is_cross_validated(agent, tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    intents = {
        intent: {"examples": [f"{word} {ending}" for word in words for ending in ("a", "b", "c")]}
        for intent, words in WORDS.items()
    }
    (folder / "intents.yaml").write_text(json.dumps({"intents": intents, "out_of_scope": {"examples": ["zzz"] * 2}}))
    out = tmp_path / "out.json"
    result = agent("evaluate", "understanding", "--domain", folder, "--json", out)
    assert result.exit_code == 0, result.stderr
    assert "split train, 5 folds" in result.stdout
    document = json.loads(out.read_text())
    classes = next(table for table in document["tables"] if table["title"] == "Intents, class by class")
    supports = {row[0]: int(row[4]) for row in classes["rows"]}
    assert supports == {"human": 12, "refund": 12, "track": 12, OUT_OF_SCOPE: 2 + len(generic_out_of_scope())}
    assert document["n"] == sum(supports.values())


def damaged(folder):
    (folder / "intent.npz").write_bytes(b"nothing")
    return folder


@pytest.mark.parametrize(
    ("parts", "more", "why"),
    [
        ((), (), "texts.jsonl holds no examples"),
        ((rows("train"),), ("--method-head",), "has no test split; there is train (48)"),
        ((TEST,), ("--method-head",), "has no train split for --method-head"),
        ((TEST,), ("--split", "validation"), "there is test (24)"),
        ((TEST,), ("--model", "VERSION", "--split", "dev"), "give one of train, validation, test"),
        (([{"text": "hm", "intent": "sing", "split": "test"}], TEST), ("--model", "VERSION"), "sing (1)"),
        ((TEST,), ("--model", "DAMAGED"), "SHA-256"),
        ((TEST,), ("--model", "v9999-00000000"), "no version"),
        ((TEST,), ("--domain", "nowhere"), "neither a folder nor one of"),
        ((TEST,), ("--model", "VERSION", "--fail-on", "accuracy:1"), "--against"),
    ],
)
def test_what_cannot_be_measured_is_refused(agent, data, version, tmp_path, parts, more, why):
    paths = {"VERSION": version}
    more = [paths.get(word, word) for word in more]
    if "DAMAGED" in more:
        more = ["--model", damaged(version)]
    result = agent("evaluate", "understanding", "--data", data(*parts), *more)
    assert result.exit_code == 2, result.stdout
    assert why in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr


def test_unknown_labels_may_be_left_out(agent, data, version):
    path = data([{"text": "hm", "intent": "sing", "split": "test"}], TEST)
    words = ("evaluate", "understanding", "--data", path, "--model", version, "--ignore-unknown-labels", "--markdown")
    result = agent(*words)
    assert result.exit_code == 0, result.stderr
    assert "left out: intents unknown to shop v0001-00000000: sing (1)" in result.stdout


def test_limits_on_unmeasured_figures_and_other_reports_are_refused(agent, data, version, tmp_path):
    old = tmp_path / "old.json"
    common = ("evaluate", "understanding", "--data", data(TEST), "--model", version, "--no-robustness")
    assert agent(*common, "--json", old).exit_code == 0
    result = agent(*common, "--against", old, "--fail-on", "slot_f1:1")
    assert result.exit_code == 2
    assert "was not measured" in result.stderr
    old.write_text('{"measure": "voice", "version": 1}')
    result = agent(*common, "--against", old)
    assert result.exit_code == 2
    assert "is a report of 'voice'" in result.stderr


def test_a_model_is_not_measured_on_what_a_domain_taught_it(agent, version):
    result = agent("evaluate", "understanding", "--model", version)
    assert result.exit_code == 2
    assert "give them with --data" in result.stderr


def test_a_report_that_cannot_be_written_is_told(agent, data, version, tmp_path):
    path = data(TEST)
    result = agent("evaluate", "understanding", "--data", path, "--model", version, "--html", path / "page.html")
    assert result.exit_code == 2
    assert "It could not be measured" in result.stderr


def test_turns_need_cuts(agent, tmp_path):
    result = agent("evaluate", "turn", "--cuts", tmp_path)
    assert result.exit_code == 2
    assert "make them: python -m agent.lab.measuring.turn_cuts" in result.stderr.replace("\n", " ")
    result = agent("evaluate", "turn", "--cuts", tmp_path, "--set", "read")
    assert "'read' is not measured" in result.stderr
    np.savez(tmp_path / "harvard.npz", nothing=np.zeros(1))
    result = agent("evaluate", "turn", "--cuts", tmp_path, "--set", "harvard")
    assert result.exit_code == 2
    assert "cannot be used" in result.stderr


def test_sentences_must_be_there(agent, tmp_path):
    empty = tmp_path / "none.txt"
    empty.write_text("# nothing\n")
    result = agent("evaluate", "voice", "--sentences", empty)
    assert result.exit_code == 2
    assert "holds no sentence" in result.stderr


@pytest.mark.slow
@pytest.mark.aside
def test_the_embedded_voice_is_understood_by_the_embedded_recognizer(agent, tmp_path):
    sentences, out = tmp_path / "three.txt", tmp_path / "out.json"
    sentences.write_text("[plain]\nIs there anything else I can do for you?\n[numbers]\nYour order number is 42719.\n")
    result = agent("evaluate", "voice", "--sentences", sentences, "--json", out)
    assert result.exit_code == 0, result.stderr
    figures = json.loads(out.read_text())["figures"]
    # Two sentences of 16 words: each rendering draws its own noise, so a word or four may be lost; a voice or a
    # recognizer that does not work loses nearly all of them.
    assert figures["wer_mulaw"]["value"] <= 40.0
    assert figures["synthesis_p50"]["value"] > 0


def test_emotion_is_of_clips_or_of_texts(agent, tmp_path):
    for words in ((), ("--data", tmp_path, "--text", tmp_path)):
        result = agent("evaluate", "emotion", *words)
        assert result.exit_code == 2
        assert "one of the two" in result.stderr


def test_the_emotion_of_words_is_measured_with_the_embedded_head(agent, data, tmp_path):
    said = {
        "I am so happy with this, thank you so much": "happy",
        "this is outrageous, I am furious": "angry",
        "I am so sad and disappointed": "sad",
        "where is my parcel": "neutral",
    }
    path = data([{"text": text, "emotion": label, "split": "test"} for text, label in said.items()])
    out = tmp_path / "out.json"
    result = agent("evaluate", "emotion", "--text", path, "--json", out)
    assert result.exit_code == 0, result.stderr
    document = json.loads(out.read_text())
    assert document["measure"] == "emotion"
    assert document["figures"]["emotion_accuracy"]["value"] >= 75.0
    assert document["n"] == 4
    strange = data([{"text": "hm", "emotion": "fear", "split": "test"}])
    result = agent("evaluate", "emotion", "--text", strange)
    assert result.exit_code == 2
    assert "fear (1)" in result.stderr


def test_clips_need_a_list_and_heads_a_file(agent, tmp_path):
    result = agent("evaluate", "emotion", "--data", tmp_path)
    assert result.exit_code == 2
    assert "metadata.tsv" in result.stderr
    heads = tmp_path / "heads.npz"
    heads.write_bytes(b"nothing")
    result = agent("evaluate", "emotion", "--data", tmp_path, "--heads", heads)
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
