"""Fine-tuning tiny models for real: the loss falls, a killed run goes on, and what goes wrong loses nothing."""

import contextlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import DeviceUnavailable, ModelError
from models.training.examples import DataError
from models.training.reply.base import open_base
from models.training.reply.checkpoints import OtherRun, SaveFailed
from models.training.reply.dialogues import dialogue_from, split_validation
from models.training.reply.recipe import ReplyRecipe
from models.training.reply.trainer import CHECKPOINTS, TrainingStopped, Watch, plan, rate_at, train

pytestmark = [pytest.mark.train]

ROOT = Path(__file__).parents[4]
QUICK = {"epochs": 2, "batch_size": 4, "accumulate": 2, "learning_rate": 1e-2, "lora_rank": 4, "max_tokens": 256}


@pytest.fixture(scope="module")
def splits(documents):
    return split_validation([dialogue_from(row, f"documents:{n}") for n, row in enumerate(documents)], 0.2, 0)


class Seen(Watch):
    def __init__(self):
        self.steps, self.held_out, self.rates, self.start = [], [], [], None

    def began(self, step, steps):
        self.start = (step, steps)

    def stepped(self, step, figures):
        self.steps.append(figures["loss"])
        self.rates.append(figures["learning_rate"])

    def validated(self, step, loss):
        self.held_out.append((step, loss))


def run(base, splits, out, watch=None, restart=False, **settings):
    recipe = ReplyRecipe(base=str(base), **QUICK | settings)
    return train(recipe, open_base(recipe), *splits, out, watch, restart)


def adapter(trained):
    from safetensors.torch import load_file

    return load_file(trained.adapter / "adapter_model.safetensors")


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5"])
def test_the_loss_falls(make_base, splits, tmp_path, name):
    seen = Seen()
    trained = run(make_base(name), splits, tmp_path, seen, epochs=4)
    steps = math.ceil(len(trained.run.train) / 8)
    assert trained.steps == 4 * steps == trained.progress.step == len(seen.steps)
    assert [step for step, _ in seen.held_out] == [steps * n for n in range(5)]
    assert trained.progress.loss_before == seen.held_out[0][1] == pytest.approx(seen.steps[0], rel=0.1)
    assert trained.progress.best_loss == min(loss for _, loss in seen.held_out) < 0.6 * trained.progress.loss_before
    assert trained.progress.finished
    assert any("lora_B" in key and tensor.abs().max() > 0 for key, tensor in adapter(trained).items())


def test_only_adapters_are_trained(make_base, splits, tmp_path):
    trained = run(make_base("llama"), splits, tmp_path, epochs=1, lora_targets=("q_proj", "v_proj"))
    assert trained.trainable == 2 * 2 * 4 * (32 + 32)  # layers, targets, rank, in + out
    assert all("q_proj" in key or "v_proj" in key for key in adapter(trained))


def test_layers_that_are_not_there_are_refused(make_base, splits, tmp_path):
    with pytest.raises(ModelError, match="--lora-target nothing does not fit"):
        run(make_base("llama"), splits, tmp_path, lora_targets=("nothing",))


def test_the_rate_rises_and_falls_as_a_cosine(make_base, splits, tmp_path):
    seen = Seen()
    run(make_base("gpt2"), splits, tmp_path, seen, epochs=4, warm_up=0.25)
    top = seen.rates.index(max(seen.rates))
    assert seen.rates[:top] == sorted(seen.rates[:top])
    assert seen.rates[top:] == sorted(seen.rates[top:], reverse=True)
    assert top == round(0.25 * len(seen.rates))
    assert max(seen.rates) == 1e-2
    assert rate_at(0, 100, 0.0) == 1.0
    assert rate_at(55, 100, 0.1) == pytest.approx(0.5)


def test_a_plan_has_every_example_once_an_epoch():
    first = plan(21, 8, 0, 5)
    assert sorted(n for step in first for n in step) == list(range(21))
    assert [len(step) for step in first] == [8, 8, 5]
    assert plan(21, 8, 0, 5) == first
    assert plan(21, 8, 1, 5) != first


def test_accumulation_and_batches_weigh_tokens_alike(make_base, splits, tmp_path):
    """Four batches of two are the same step as one of eight, though dialogues differ in length."""
    import torch

    whole = run(make_base("llama"), splits, tmp_path / "a", epochs=1, lora_dropout=0.0, batch_size=8, accumulate=1)
    parts = run(make_base("llama"), splits, tmp_path / "b", epochs=1, lora_dropout=0.0, batch_size=2, accumulate=4)
    assert parts.steps == whole.steps
    for key, tensor in adapter(whole).items():
        torch.testing.assert_close(adapter(parts)[key], tensor, rtol=0, atol=1e-4)


def test_it_stops_early_and_keeps_the_best(make_base, splits, tmp_path):
    seen = Seen()
    trained = run(
        make_base("gpt2"), splits, tmp_path, seen,
        epochs=40, learning_rate=0.2, evaluate_every=2, patience=2, warm_up=0.0, keep_checkpoints=1,
    )  # fmt: skip
    assert trained.progress.stopped_early
    assert trained.progress.step < trained.steps
    best = min(seen.held_out[1:], key=lambda row: row[1])
    assert (trained.progress.best_step, trained.progress.best_loss) == best
    assert seen.held_out[-3] == best
    assert trained.adapter.is_dir()
    kept = sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir())
    assert kept == [f"step-{trained.progress.best_step:08d}", f"step-{trained.progress.step:08d}"]


def test_bfloat16_works_on_processors(make_base, splits, documents, tmp_path):
    """In a process of its own: a process has one precision."""
    recipe = {"base": str(make_base("llama")), **QUICK, "precision": "bfloat16"}
    child = start({"recipe": recipe, "documents": documents, "out": str(tmp_path), "pause": 0})
    _, errors = child.communicate(timeout=300)
    assert json.loads((tmp_path / "done-0.json").read_text()) == [8, 1, True], errors
    figures = json.loads((tmp_path / CHECKPOINTS / "step-00000008" / "progress.json").read_text())
    assert figures["best_loss"] < 0.9 * figures["loss_before"]


def test_float16_needs_a_gpu(make_base, splits, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceUnavailable, match="needs a GPU"):
        run(make_base("llama"), splits, tmp_path, precision="float16")


def test_what_is_finished_is_not_trained_again(make_base, splits, tmp_path):
    first = run(make_base("gpt2"), splits, tmp_path, epochs=1)
    seen = Seen()
    again = run(make_base("gpt2"), splits, tmp_path, seen, epochs=1)
    assert seen.steps == []
    assert seen.start == (first.steps, first.steps)
    assert again.progress == first.progress


def test_checkpoints_of_another_run_are_refused_or_deleted(make_base, splits, tmp_path):
    run(make_base("gpt2"), splits, tmp_path, epochs=1)
    with pytest.raises(OtherRun, match=r"other data or settings.*--restart"):
        run(make_base("gpt2"), splits, tmp_path, epochs=1, seed=1)
    assert run(make_base("gpt2"), splits, tmp_path, restart=True, epochs=1, seed=1).progress.finished


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(make_base, splits, tmp_path):
    class Poison(Watch):
        """Makes the weights infinite after three steps, as a rate that is far too high would."""

        def stepped(self, step, figures):
            if step == 3:
                import gc

                import torch

                for thing in gc.get_objects():
                    if type(thing).__name__ == "PeftModelForCausalLM":
                        with torch.no_grad():
                            next(p for p in thing.parameters() if p.requires_grad).fill_(float("inf"))

    with pytest.raises(TrainingStopped, match=r"became nan at step 4 of \d+; the checkpoint of step 2 is kept.*lower"):
        run(make_base("gpt2"), splits, tmp_path, Poison(), checkpoint_every=2)
    seen = Seen()
    assert run(make_base("gpt2"), splits, tmp_path, seen, checkpoint_every=2).progress.finished
    assert seen.start[0] == 2
    assert all(math.isfinite(loss) for loss in seen.steps)


def test_a_full_disk_keeps_the_checkpoint_before(make_base, splits, tmp_path):
    """The limit on a file's size makes real writes fail half-way, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Full(Watch):
        def stepped(self, step, figures):
            if step == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))

    try:
        with pytest.raises(SaveFailed, match=r"step 4 could not be written.*the one of step 2 is kept.*Free space"):
            run(make_base("gpt2"), splits, tmp_path, Full(), checkpoint_every=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir()) == ["step-00000000", "step-00000002"]
    seen = Seen()
    assert run(make_base("gpt2"), splits, tmp_path, seen, checkpoint_every=2).progress.finished
    assert seen.start[0] == 2


def test_a_damaged_checkpoint_is_told(make_base, splits, tmp_path):
    first = run(make_base("gpt2"), splits, tmp_path, epochs=1)
    (tmp_path / CHECKPOINTS / f"step-{first.steps:08d}" / "state.pt").write_bytes(b"PK")
    with pytest.raises(ModelError, match=r"cannot be read.*delete it, or give --restart"):
        run(make_base("gpt2"), splits, tmp_path, epochs=1)


def test_dialogues_that_never_fit_are_told(make_base, splits, tmp_path):
    with pytest.raises(DataError, match="no training dialogue fits into 16 tokens; raise --max-tokens"):
        run(make_base("gpt2"), splits, tmp_path, max_tokens=16)


CHILD = """
import json, os, sys, time
from pathlib import Path
from models.training.reply.base import open_base
from models.training.reply.dialogues import dialogue_from, split_validation
from models.training.reply.recipe import ReplyRecipe
from models.training.reply.trainer import Watch, train

given = json.loads(sys.argv[1])
class Slow(Watch):
    def stepped(self, step, figures):
        print("step", step, flush=True)
        time.sleep(given["pause"])
recipe = ReplyRecipe(**given["recipe"])
splits = split_validation([dialogue_from(row, "x") for row in given["documents"]], 0.2, 0)
trained = train(recipe, open_base(recipe), *splits, Path(given["out"]), Slow())
said = [trained.progress.step, trained.processes, trained.main]
Path(given["out"], f"done-{os.environ.get('RANK', 0)}.json").write_text(json.dumps(said), encoding="utf-8")
"""


def start(arguments, *launcher):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(launcher or ("-c", CHILD)), json.dumps(arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


def test_a_killed_run_goes_on_to_the_same_weights(make_base, documents, splits, tmp_path):
    import torch

    recipe = {"base": str(make_base("llama")), "checkpoint_every": 3, **QUICK}
    arguments = {"recipe": recipe, "documents": documents, "out": str(tmp_path / "killed"), "pause": 0.3}
    child = start(arguments)
    try:
        for line in child.stdout:
            if line.split() == ["step", "5"]:
                break
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    seen = Seen()
    resumed = train(ReplyRecipe(**recipe), open_base(ReplyRecipe(**recipe)), *splits, tmp_path / "killed", seen)
    assert seen.start[0] in (3, 4)  # 4 is the end of the first epoch, where it validates
    straight = train(ReplyRecipe(**recipe), open_base(ReplyRecipe(**recipe)), *splits, tmp_path / "straight")
    assert resumed.progress == straight.progress
    for key, tensor in adapter(straight).items():
        torch.testing.assert_close(adapter(resumed)[key], tensor, rtol=0, atol=1e-6)


def test_two_processes_share_the_steps(make_base, documents, splits, tmp_path):
    """As `torchrun` and `accelerate launch` start them: half of the batches each, the same weights as one alone."""
    import torch

    script = tmp_path / "child.py"
    script.write_text(CHILD, encoding="utf-8")
    recipe = {"base": str(make_base("llama")), **QUICK, "lora_dropout": 0.0, "batch_size": 2}
    arguments = {"recipe": recipe, "documents": documents, "out": str(tmp_path / "two"), "pause": 0}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script))
    child = start(arguments, *launcher)
    try:
        _, errors = child.communicate(timeout=150)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # the launcher's processes outlive it
    done = [json.loads((tmp_path / "two" / f"done-{rank}.json").read_text()) for rank in (0, 1)]
    assert done == [[8, 2, True], [8, 2, False]], errors
    alone = ReplyRecipe(**recipe | {"batch_size": 4})
    trained = train(alone, open_base(alone), *splits, tmp_path / "one")
    from safetensors.torch import load_file

    together = load_file(
        tmp_path / "two" / CHECKPOINTS / trained.adapter.parent.name / "adapter/adapter_model.safetensors"
    )
    for key, tensor in adapter(trained).items():
        torch.testing.assert_close(together[key], tensor, rtol=0, atol=1e-4)
