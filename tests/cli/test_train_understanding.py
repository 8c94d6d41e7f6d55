"""`agent train understanding` from the command line to versions that open without torch."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import tinybase
import typer
from learnfakes import SAID, THINGS, WordEncoder, small
from typer.testing import CliRunner

from agent.cli import train_understanding as command
from agent.config import CONFIGS
from agent.dialogue.domain import SlotSpec
from agent.dialogue.loader import load_domain
from agent.learning.opening import content_key, up_to_date
from models.encoder import SentenceEncoder
from models.registry import Registry
from models.slots import slot_specs
from models.text_emotion import TextEmotionModel
from models.text_model import read_info
from models.text_model_open import check_sums, open_text_model
from models.training.examples import Span
from models.training.readers import read_examples
from models.understanding import TurnUnderstanding

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "batch_size": 16, "learning_rate": 0.003, "head_learning_rate": 0.02, "few_shot": "false", "workers": 1, "noise": 0,
    "precision": "float32", "validation_share": 0.2,
}  # fmt: skip


def settings(**more: object) -> list[object]:
    return [part for key, value in {**SETTINGS, **more}.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tinybase.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def data(tmp_path) -> Path:
    return tinybase.write(tmp_path / "turns.jsonl", tinybase.rows())


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command in an empty folder, with an encoder that needs no weights; gives the result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "SentenceEncoder", lambda cache_size: WordEncoder())
    app = typer.Typer()
    app.command()(command.train_understanding)

    def invoke(*arguments: object):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_head_needs_no_torch_and_is_a_version(run, data, tmp_path):
    result = run("--data", data, "--method", "head")
    assert result.exit_code == 0, result.output
    registry = Registry(tmp_path / "var" / "models" / "understanding")
    (version,) = registry.versions("turns")
    assert f"turns: version {version} in" in result.output.replace("\n", "")
    assert f"`agent models use {version}` makes it current" in result.output
    folder = registry.path("turns", version)
    check_sums(folder)
    reading = open_text_model(folder, WordEncoder()).read(["refund my mat"])[0]
    assert reading.intent == "return"
    card = (folder / "card.md").read_text()
    assert "Heads over the frozen sentence encoder" in card
    assert "ONNX" not in card
    assert not (tmp_path / "var" / "models" / "understanding" / "turns" / "work" / "version").exists()


def test_a_version_can_be_used_at_once_or_written_elsewhere(run, data, tmp_path):
    assert run("--data", data, "--method", "head", "--name", "desk", "--use").exit_code == 0
    registry = Registry(tmp_path / "var" / "models" / "understanding")
    current = registry.state("desk").current
    assert read_info(registry.path("desk", current)).name == "desk"
    out = tmp_path / "out"
    result = run("--data", data, "--method", "head", "--out", out, "--set", "seed=3")
    assert "written to" in result.output
    assert read_info(out).method == "head"
    assert registry.versions("desk") == [current]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "epochs"], "--set epochs: write NAME=VALUE"),
        (["--set", "epochs=none"], "recipe: epochs = 'none': Input should be a valid integer"),
        (["--set", "networks=2"], "recipe: networks = 2 needs a network, method is head"),
        (["--recipe", "recipe.yaml"], "recipe.yaml: speed = 9: Extra inputs are not permitted"),
        (["--recipe", "list.yaml"], "list.yaml: the file must hold settings such as 'epochs: 5'"),
        (["--recipe", "broken.yaml"], "broken.yaml:2: not valid YAML: "),
        (["--recipe", "latin.yaml"], "latin.yaml:1: "),
        (["--set", "base=[x"], "--set base=[x: '[x' is not YAML; put quotes around text"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--search", "2"], "--method head has none; choose full or lora"),
    ],
)
def test_bad_input_ends_with_a_reason(run, data, tmp_path, arguments, message):
    (tmp_path / "recipe.yaml").write_text("speed: 9\n")
    (tmp_path / "list.yaml").write_text("- epochs\n")
    (tmp_path / "broken.yaml").write_text("epochs: [\n")
    (tmp_path / "latin.yaml").write_bytes(b"base: caf\xe9\n")
    result = run("--data", data, "--method", "head", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr.replace("\n", " ")
    assert not (tmp_path / "var").exists()


def test_without_domain_and_data_there_is_nothing_to_train_on(run):
    result = run("--method", "head")
    assert result.exit_code != 0
    assert "--domain" in result.output
    assert "--data" in result.output


def test_leaks_are_refused_unless_allowed_or_dropped(run, tmp_path):
    rows = tinybase.rows()
    for number, row in enumerate(rows):
        row["split"] = "test" if number % 6 == 0 else "train"
    rows.append({**rows[0], "split": "train"})
    data = tinybase.write(tmp_path / "leaky.jsonl", rows)
    refused = run("--data", data, "--method", "head")
    assert refused.exit_code == 1
    assert "1 text is in more than one split: 'cancel my tent' at " in refused.stderr.replace("\n", " ")
    assert "--drop-leaks" in refused.stderr
    allowed = run("--data", data, "--method", "head", "--allow-leak")
    assert allowed.exit_code == 0
    assert "1 text is in more than one split" in allowed.output
    dropped = run("--data", data, "--method", "head", "--drop-leaks")
    assert dropped.exit_code == 0
    assert "1 training texts that are also in validation or test were left out" in dropped.output


def test_shots_and_texts_outside(run, data, tmp_path):
    (tmp_path / "chat.txt").write_text("\n".join(f"my dog number {n} likes snow" for n in range(12)) + "\n")
    out = tmp_path / "out"
    result = run("--data", data, "--method", "head", "--shots", 4, "--outside", "chat.txt", "--out", out, *settings())
    assert result.exit_code == 0, result.output
    card = (out / "card.md").read_text()
    assert "chat.txt (out of scope)" in card
    assert open_text_model(out, WordEncoder()).read(["my dog number 3 likes snow"])[0].intent == "out_of_scope"


def test_unlabelled_texts_are_labelled_by_a_first_model(run, data, tmp_path):
    texts = [text.format(word) for said in tinybase.SAID.values() for text in said for word in ("bottle", "hammock")]
    (tmp_path / "heard.txt").write_text("\n".join(texts) + "\n")
    out = tmp_path / "out"
    result = run("--data", data, "--method", "head", "--unlabelled", "heard.txt", "--floor", 0.5, "--out", out)
    assert result.exit_code == 0, result.output
    count = int(result.output.split(f" of {len(texts)} unlabelled texts")[0].split()[-1])
    assert 0 < count <= len(texts)
    assert "heard.txt (labelled by a first model)" in (out / "card.md").read_text()
    sure = run("--data", data, "--method", "head", "--unlabelled", "heard.txt", "--floor", 1.0, "--out", out)
    assert f"0 of {len(texts)} unlabelled texts" in sure.output


@pytest.mark.train
@pytest.mark.parametrize("method", ["full", "lora", "adalora", "prefix"])
def test_every_method_ends_in_a_version_that_opens_without_torch(run, base, data, tmp_path, method):
    out = tmp_path / "out"
    result = run("--data", data, "--base", base, "--method", method, "--out", out, *settings(epochs=6))
    assert result.exit_code == 0, result.output
    assert "on validation data: accuracy " in result.output
    assert names(out) == {
        "model.onnx", "head.npz", "tokenizer.json", "model.json", "training.json", "card.md", "examples.npz",
        "SHA256SUMS",
    }  # fmt: skip
    assert read_info(out).method == method
    # Another process, in which torch, transformers and peft cannot be imported, as where calls are served.
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'peft', 'accelerate'): sys.modules[name] = None\n"
        f"sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
        "from pathlib import Path\n"
        "from learnfakes import WordEncoder\n"
        "from models.text_model_open import open_text_model\n"
        f"model = open_text_model(Path({str(out)!r}), WordEncoder())\n"
        "readings = model.read(['please stop the boots', 'order pizza number 4'])\n"
        "print([reading.intent for reading in readings], [span.name for span in readings[0].spans])\n"
    )
    opened = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert opened.stdout.startswith("['cancel', 'out_of_scope']")
    assert json.loads((out / "training.json").read_text())["parity"]["texts"] > 0
    work = tmp_path / "var" / "models" / "understanding" / "turns" / "work"
    assert not list(work.rglob("checkpoint.pt")), "a finished run leaves no checkpoint"


@pytest.mark.train
def test_values_of_text_slots_are_learnt_from_marks(run, base, tmp_path, monkeypatch):
    shop = small(load_domain(CONFIGS / "domains" / "shop"))
    forms = [(said.format(thing), thing) for said in SAID["order_status"] for thing in THINGS]
    held = forms[3::7]
    texts = {text: (Span(text.index(thing), text.index(thing) + len(thing), "item"),) for text, thing in forms}
    kept = tuple(text for text, thing in forms if (text, thing) not in held)
    asked = shop.intents["order_status"].model_copy(update={"examples": kept, "marks": texts})
    domain = replace(
        shop,
        intents={**shop.intents, "order_status": asked},
        slots={"item": SlotSpec("item", "text", {})},
    )
    monkeypatch.setattr(command, "load_domain", lambda path: domain)
    out = tmp_path / "out"
    result = run("--domain", "shop", "--base", base, "--out", out, *settings(epochs=12, slot_weight=5, head_member=0.2))
    assert result.exit_code == 0, result.output
    info = read_info(out)
    assert (info.slots, info.content) == (("item",), content_key(domain))
    assert up_to_date(info, domain)
    model = open_text_model(out, WordEncoder())
    reads = TurnUnderstanding(
        model, slot_specs({"item": {"type": "text"}}), TextEmotionModel(SentenceEncoder()), lambda: date(2026, 5, 6)
    )
    found = [[slot.value for slot in reads.understand(text).slots] for text, _ in held]
    right = sum(values == [thing] for values, (_, thing) in zip(found, held, strict=True))
    assert right >= len(held) - 1, found


@pytest.mark.train
def test_teachers_and_searches_from_the_command_line(run, base, data, tmp_path):
    teacher = tmp_path / "teacher"
    assert run("--data", data, "--method", "head", "--out", teacher, *settings()).exit_code == 0
    (tmp_path / "recipe.yaml").write_text(f"teachers: [{teacher}]\nepochs: 2\nhead_member: 0\n")
    common = ("--data", data, "--base", base, "--recipe", "recipe.yaml", *settings())
    taught = run(*common, "--out", tmp_path / "taught")
    assert taught.exit_code == 0, taught.output
    assert "teachers" in (tmp_path / "taught" / "card.md").read_text()
    searched = run(*common, "--search", 2, "--out", tmp_path / "searched")
    assert searched.exit_code == 0, searched.output
    assert "best recipe: {" in searched.output
    assert (tmp_path / "var/models/understanding/turns/work/study.db").is_file()
    other = tinybase.write(tmp_path / "other.jsonl", [row for row in tinybase.rows() if row["intent"] != "where"])
    refused = run("--data", other, "--base", base, "--recipe", "recipe.yaml", "--out", tmp_path / "no", *settings())
    assert refused.exit_code == 1
    assert "differs in the intents where" in refused.stderr
    assert not (tmp_path / "no").exists()


@pytest.mark.train
def test_networks_learn_from_texts_that_a_first_one_labelled(run, base, data, tmp_path):
    texts = [
        text.format(thing) for said in tinybase.SAID.values() for text in said for thing in ("mat and rope", "hat")
    ]
    (tmp_path / "heard.txt").write_text("\n".join(texts) + "\n")
    options = ("--unlabelled", "heard.txt", "--floor", 0.5, "--out", tmp_path / "out")
    result = run("--data", data, "--base", base, *options, *settings(epochs=4))
    assert result.exit_code == 0, result.output
    labelled = int(result.output.split(f" of {len(texts)} unlabelled texts")[0].split()[-1])
    assert labelled > 0
    rows = len(tinybase.rows()) + labelled
    card = (tmp_path / "out" / "card.md").read_text()
    train, held = (int(part) for part in re.search(r"(\d+) training and (\d+) validation texts", card).groups())
    assert train + held == rows
    assert not (tmp_path / "var/models/understanding/turns/work/first").exists()


@pytest.mark.train
def test_a_run_that_diverges_leaves_a_message_and_the_version_there_was(run, base, data, tmp_path):
    out = tmp_path / "out"
    assert run("--data", data, "--method", "head", "--out", out).exit_code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    result = run("--data", data, "--base", base, "--out", out, *settings(learning_rate=1e30, head_learning_rate=1e30))
    assert result.exit_code == 1
    assert "agent train understanding: the loss is not a number in epoch 1" in result.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def started(folder: Path, *arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    line = [sys.executable, *launcher, "-m", "agent.cli.main", "train", "understanding", *map(str, arguments)]
    return subprocess.Popen(
        line, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.train
def test_a_killed_run_goes_on_where_it_stopped(run, base, data, tmp_path):
    common = ("--data", data, "--base", base, *settings(epochs=40, patience=0, head_member=0, dropout=0.1))
    whole = run(*common, "--name", "whole", "--out", tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    cut = started(tmp_path, *common, "--name", "cut", "--out", tmp_path / "cut")
    checkpoint = tmp_path / "var/models/understanding/cut/work/checkpoint.pt"
    while not checkpoint.exists():
        assert cut.poll() is None
        time.sleep(0.02)
    cut.send_signal(signal.SIGKILL)
    cut.communicate()
    assert not (tmp_path / "cut").exists()
    import torch

    reached = torch.load(checkpoint, weights_only=False)["numbers"][1]
    assert 0 < reached < 40
    rest = started(tmp_path, *common, "--name", "cut", "--out", tmp_path / "cut")
    said, _ = rest.communicate(timeout=200)
    assert rest.returncode == 0, said
    first, second = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("whole", "cut"))
    assert first["history"] == second["history"]
    assert len(second["history"]) == 40
    texts = [example.text for example in read_examples(data).train[::7]]
    one, two = (open_text_model(tmp_path / name).log_probabilities(texts) for name in ("whole", "cut"))
    assert abs(one - two).max() < 1e-3
    assert not list(tmp_path.glob(".*.partial")), "what the killed process began to write is gone"


@pytest.mark.train
def test_two_processes_train_one_version(base, data, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    common = ("--data", data, "--base", base, "--name", "pair", *settings(epochs=8, head_member=0, batch_size=8))
    running = started(tmp_path, *common, launcher=launcher)
    said, _ = running.communicate(timeout=200)
    assert running.returncode == 0, said
    registry = Registry(tmp_path / "var" / "models" / "understanding")
    (version,) = registry.versions("pair")
    folder = registry.path("pair", version)
    model = open_text_model(folder)
    rows = read_examples(data).train
    right = [
        reading.intent == row.intent for reading, row in zip(model.read([r.text for r in rows]), rows, strict=True)
    ]
    assert sum(right) / len(right) > 0.9
    assert not list((tmp_path / "var/models/understanding/pair").glob("**/.*partial"))
