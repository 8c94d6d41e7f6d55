"""What training leaves behind is loaded as others would load it, and says what base and adapter say."""

import json
import math
import resource
from datetime import UTC, datetime

import pytest

from models.errors import ModelError
from models.training.reply.base import open_base
from models.training.reply.checkpoints import SaveFailed
from models.training.reply.dialogues import dialogue_from, digest_of, split_validation
from models.training.reply.export import MOST_REPLY_TOKENS, Source, export, log_probabilities
from models.training.reply.recipe import ReplyRecipe
from models.training.reply.trainer import train

pytestmark = [pytest.mark.train]

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def trained(make_base, documents, tmp_path_factory):
    """Train a tiny model of a kind once: (recipe, base, what came of it, dialogues)."""
    dialogues = [dialogue_from(row, f"documents:{n}") for n, row in enumerate(documents)]
    made = {}

    def make(name):
        if name not in made:
            recipe = ReplyRecipe(base=str(make_base(name)), epochs=2, learning_rate=1e-2, lora_rank=4, max_tokens=256)
            base = open_base(recipe)
            splits = split_validation(dialogues, 0.2, 0)
            made[name] = (recipe, base, train(recipe, base, *splits, tmp_path_factory.mktemp(f"{name}-run")), dialogues)
        return made[name]

    return make


def write(given, out):
    recipe, base, found, dialogues = given
    source = Source("calls.jsonl", len(dialogues), sum(d.targets for d in dialogues), digest_of(dialogues))
    return export(recipe, base, found, [source], out, CREATED)


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5"])
def test_the_merged_model_says_what_base_and_adapter_say(trained, tmp_path, name):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    given = trained(name)
    parity = write(given, tmp_path)
    loader = AutoModelForSeq2SeqLM if name == "t5" else AutoModelForCausalLM
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    merged = loader.from_pretrained(tmp_path / "merged")
    adapted = PeftModel.from_pretrained(loader.from_pretrained(given[0].base), tmp_path / "adapter")
    bare = loader.from_pretrained(given[0].base)
    examples = given[2].run.validation
    says = [log_probabilities(model, examples, name == "t5") for model in (merged, adapted, bare)]
    assert float((says[0] - says[1]).abs().max()) < 1e-3
    assert float((says[0] - says[2]).abs().max()) > 0.1
    assert parity.difference < 1e-3
    assert parity.agreement == 1.0
    assert parity.dtype == "float32"
    assert 0 < parity.tokens == sum(example.learnt for example in examples[:8])
    rows = [{"role": "user", "content": "Where is my tent?"}]
    prompt = tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=True)
    tokens = tokenizer(prompt, add_special_tokens=name == "t5", return_tensors="pt")
    torch.manual_seed(0)
    reply = merged.generate(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    begin = 0 if name == "t5" else tokens["input_ids"].shape[1]
    ends = merged.generation_config.eos_token_id
    assert 0 < reply.shape[1] - begin <= MOST_REPLY_TOKENS + 1
    assert int(reply[0, -1]) in ends or reply.shape[1] - begin >= MOST_REPLY_TOKENS


def test_generation_stops_at_the_end_of_the_template(trained, tmp_path):
    recipe, base, *_ = given = trained("llama")
    write(given, tmp_path)
    config = json.loads((tmp_path / "merged" / "generation_config.json").read_text())
    end = base.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end in config["eos_token_id"]
    assert base.tokenizer.eos_token_id in config["eos_token_id"]
    assert config["max_new_tokens"] == MOST_REPLY_TOKENS
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    assert recipe.base != str(tmp_path / "merged")


def test_the_folder_has_the_template_it_was_trained_with(trained, tmp_path):
    from transformers import AutoTokenizer

    given = trained("gpt2")  # whose tokenizer has none
    write(given, tmp_path)
    for part in ("merged", "adapter"):
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / part)
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": "Hello."}], tokenize=False, add_generation_prompt=True
        )
        assert text == "<|user|>\nHello.</s>\n<|assistant|>\n"


def test_the_card_has_the_figures(trained, tmp_path):
    given = trained("llama")
    parity = write(given, tmp_path)
    progress, run = given[2].progress, given[2].run
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["validation_loss"] == {"before": progress.loss_before, "after": progress.best_loss}
    assert document["perplexity"]["after"] == pytest.approx(math.exp(progress.best_loss))
    assert document["merged"]["largest_difference"] == parity.difference
    assert document["learnt_tokens"] == sum(example.learnt for example in run.train)
    card = (tmp_path / "card.md").read_text()
    assert "| calls.jsonl | 40 |" in card
    assert f"| loss, nats a token | {progress.loss_before:.4f} | {progress.best_loss:.4f} |" in card
    assert "licence and terms hold for this model too" in card
    assert "do not serve it" not in card
    assert str(tmp_path) not in card + json.dumps(document)
    assert given[0].base not in card + json.dumps(document)
    readme = (tmp_path / "README.md").read_text()
    assert "vllm serve merged" in readme
    assert "--max-lora-rank 4" in readme
    assert all(len(line) <= 120 for line in card.splitlines() if not line.startswith("|"))


def test_seq2seq_models_are_not_said_to_run_on_vllm(trained, tmp_path):
    write(trained("t5"), tmp_path)
    readme = (tmp_path / "README.md").read_text()
    assert "vllm serve" not in readme
    assert "AutoModelForSeq2SeqLM" in readme


def test_exports_are_replaced_whole_or_not_at_all(trained, tmp_path):
    given = trained("llama")
    write(given, tmp_path)
    before = (tmp_path / "merged" / "model.safetensors").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))  # as a full disk: the adapter fits, the model does not
    try:
        with pytest.raises(SaveFailed, match=r"could not be written.*checkpoints are kept"):
            write(given, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "merged" / "model.safetensors").read_bytes() == before
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"adapter", "merged", "card.md", "README.md", "run.json"}


def test_a_merged_model_that_differs_is_not_written(trained, tmp_path, monkeypatch):
    import torch
    from transformers import LlamaForCausalLM

    save = LlamaForCausalLM.save_pretrained

    def damaged(model, folder, **options):
        with torch.no_grad():
            model.model.norm.weight.mul_(1.5)
        return save(model, folder, **options)

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", damaged)
    with pytest.raises(ModelError, match=r"differs from base and adapter by .* nats; it is not written"):
        write(trained("llama"), tmp_path)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "merged").exists()


def test_base_models_that_cannot_be_used_are_told(make_base, tmp_path):
    with pytest.raises(ModelError, match=r"kind is seq2seq, but .* is a causal model"):
        open_base(ReplyRecipe(base=str(make_base("gpt2")), kind="seq2seq"))
    with pytest.raises(ModelError, match=r"base model 'nobody/nothing' is not on this machine; name its folder"):
        open_base(ReplyRecipe(base="nobody/nothing"))
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be read"):
        open_base(ReplyRecipe(base=str(tmp_path)))
