"""`agent train reply` from the command line to folders that others load."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agent.cli import train_reply as command
from agent.clock import RealClock
from agent.records.contracts import CallFinished, CallOpened, TurnRecord
from agent.records.writer import SqlRecords

pytestmark = [pytest.mark.train]

ROOT = Path(__file__).parents[2]
QUICK = ("--epochs", 2, "--learning-rate", 0.01, "--lora-rank", 4, "--batch-size", 4, "--accumulate", 2)


def run(*arguments: object):
    app = typer.Typer()
    app.command()(command.train_reply)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny random Llama with a tokenizer of single bytes and no chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: n for n, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=512, initializer_range=0.2, eos_token_id=fast.eos_token_id, bos_token_id=0,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("base")
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "calls.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": f"Where is {n}?"}, {"role": "assistant", "content": f"{n} is here."}]}
        for n in range(20)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]), encoding="utf-8")
    return path


def test_from_dialogues_to_a_model_that_loads(base, data, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "out"
    result = run("--data", data, "--base", base, "--out", out, "--system", "Be kind.", *QUICK)
    assert result.exit_code == 0, result.output
    assert "1 repeated dialogues left out" in result.stdout
    assert "18 dialogues to train on, 2 held out" in result.stdout
    assert {path.name for path in out.iterdir()} == {
        "adapter", "card.md", "checkpoints", "logs", "merged", "README.md", "run.json",
    }  # fmt: skip
    figures = json.loads((out / "run.json").read_text())
    assert figures["validation_loss"]["after"] < figures["validation_loss"]["before"]
    assert figures["steps"] == {"done": 6, "planned": 6, "best": 6}
    assert figures["data"][0] | {"sha256": ""} == {
        "name": "calls.jsonl", "dialogues": 21, "agent_turns": 21, "sha256": "",
    }  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(out / "merged")
    model = AutoModelForCausalLM.from_pretrained(out / "merged")
    rows = [{"role": "user", "content": "Where is 3?"}]
    tokens = tokenizer.apply_chat_template(rows, add_generation_prompt=True, return_tensors="pt")
    assert model.generate(**tokens).shape[1] > tokens["input_ids"].shape[1]


def test_figures_go_to_tensorboard(base, data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run("--data", data, "--base", base, "--out", tmp_path / "out", *QUICK).exit_code == 0
    events = EventAccumulator(str(tmp_path / "out" / "logs" / "reply"))
    events.Reload()
    losses = events.Scalars("train/loss")
    assert [scalar.step for scalar in losses] == [1, 2, 3, 4, 5, 6]
    assert [scalar.step for scalar in events.Scalars("validation/loss")] == [0, 3, 6]
    assert set(events.Tags()["scalars"]) >= {"train/learning_rate", "train/gradient", "validation/perplexity"}


def test_from_recorded_calls(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def make() -> None:
        url = f"sqlite:///{tmp_path}/records.db"
        async with SqlRecords.open(url, tmp_path, RealClock(), record_audio=False) as records:
            for n in range(4):
                call = await records.open_call(CallOpened(f"c{n}", "plain", f"c{n}", "shop"))
                for number in (1, 2):
                    call.turn(TurnRecord(number, "caller", f"where is {n}{number}", number * 100.0, number * 100.0 + 9))
                    heard = f"It is here, {n}."
                    call.turn(TurnRecord(number, "agent", heard, number * 100.0 + 10, number * 100.0 + 50, heard=heard))
                await call.finish(CallFinished("completed" if n else "failed", "goodbye", 900.0))

    asyncio.run(make())
    given = ("--from-records", "--database", f"sqlite:///{tmp_path}/records.db")
    result = run(*given, "--base", base, "--out", tmp_path / "out", "--epochs", 1)
    assert result.exit_code == 0, result.output
    assert "recorded calls left out: 1 ended as failed" in result.stdout
    assert json.loads((tmp_path / "out" / "run.json").read_text())["data"][0]["name"] == "recorded calls"
    result = run(*given, "--base", base, "--out", tmp_path / "other", "--outcome", "handed_off")
    assert result.exit_code == 1
    assert "there are no dialogues" in result.stderr


def test_what_cannot_be_used_is_told_in_one_line(base, data, tmp_path):
    out = ("--out", tmp_path / "out")
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(data.read_bytes() + b'{"messages": []}\n')
    for arguments, said in (
        (("--data", damaged, "--base", base), "damaged.jsonl:22: 0 messages; a dialogue has at least two"),
        (("--data", tmp_path / "gone.jsonl", "--base", base), "gone.jsonl: cannot be read"),
        (("--data", data, "--base", tmp_path / "gone"), "is not on this machine"),
        (("--data", data, "--base", base, "--kind", "seq2seq"), "is a causal model"),
        (("--data", data, "--base", base, "--lora-rank", 0), "lora_rank is 0"),
        (("--data", data, "--base", base, "--max-tokens", 16), "no training dialogue fits into 16 tokens"),
        (("--data", data, "--base", base, "--validation", data), "every dialogue of --data is in --validation too"),
        (("--data", data, "--base", base, "--chat-template", "none.jinja"), "give auto, plain, or a UTF-8 file"),
        (("--base", base), "there are no dialogues; give --data FILE"),
    ):
        result = run(*arguments, *out)
        assert result.exit_code == 1, result.output
        assert said in result.stderr.replace("\n", " ")
        assert "Traceback" not in result.output


def test_a_killed_command_goes_on_where_it_was(base, data, tmp_path):
    out = tmp_path / "out"
    given = [
        "--data", data, "--base", base, "--out", out, "--epochs", 8, "--checkpoint-every", 2, "--batch-size", 1,
        "--accumulate", 2, "--lora-rank", 4,
    ]  # fmt: skip
    script = "import typer; from agent.cli.train_reply import train_reply as command; typer.run(command)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-c", script, *map(str, given)], env=environment, cwd=tmp_path)
    try:
        while child.poll() is None and not (out / "checkpoints" / "step-00000004").is_dir():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.01)
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert not (out / "merged").exists()
    result = run(*given)
    assert result.exit_code == 0, result.output
    assert "Going on from the checkpoint of step" in result.stdout
    assert json.loads((out / "run.json").read_text())["steps"]["done"] == 72
