"""Tiny models with random weights, and tokenizers trained on the spot: the real code path in seconds."""

import json
import random

import pytest

WORDS = (
    "order return refund parcel tent stove boots size colour price today tomorrow please thanks where what when how my "
    "your the a is was it will be here there number name address street code card gift warm cold large small"
).split()

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def sentence(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words)).capitalize() + "."


@pytest.fixture(scope="session")
def documents():
    """40 dialogues in which the agent answers by rule, so that there is something to learn."""
    rng = random.Random(7)
    rows = []
    for _ in range(40):
        messages = [{"role": "system", "content": "You are the agent of a shop."}]
        for _ in range(rng.randint(1, 3)):
            thing = rng.choice(["tent", "stove", "boots"])
            messages.append({"role": "user", "content": f"{sentence(rng, 4)} Where is my {thing}?"})
            messages.append({"role": "assistant", "content": f"Your {thing} will be here tomorrow. Thanks!"})
        rows.append({"messages": messages})
    return rows


@pytest.fixture
def data(documents, tmp_path):
    path = tmp_path / "dialogues.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in documents), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def make_tokenizer(documents):
    """A byte-level tokenizer as GPT-2's or a SentencePiece-like one as T5's, trained on the dialogues."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = [message["content"] for row in documents for message in row["messages"]]

    def make(kind: str, template: str | None = None):
        special = ["<pad>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>"]
        if kind == "bytes":
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            alphabet = pre_tokenizers.ByteLevel.alphabet()
            trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=special, initial_alphabet=alphabet)
        else:
            tokenizer = Tokenizer(models.Unigram())
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            tokenizer.decoder = decoders.Metaspace()
            letters = sorted({letter for text in [*texts, "<|>:()\n"] for letter in text})
            trainer = trainers.UnigramTrainer(
                vocab_size=300, special_tokens=special, unk_token="<unk>", initial_alphabet=letters
            )
        tokenizer.train_from_iterator(texts, trainer)
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
        )
        fast.add_special_tokens({"additional_special_tokens": special[3:]})
        fast.chat_template = template
        return fast

    return make


@pytest.fixture(scope="session")
def make_base(make_tokenizer, tmp_path_factory):
    """A folder with a tiny random model: gpt2, llama (with a ChatML template) or t5; two layers, 32 wide."""
    import torch
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        T5Config,
        T5ForConditionalGeneration,
    )

    made = {}

    def make(name: str):
        if name in made:
            return made[name]
        torch.manual_seed(1)
        tokenizer = make_tokenizer("pieces" if name == "t5" else "bytes", CHATML if name == "llama" else None)
        size, ids = len(tokenizer), {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
        if name == "gpt2":
            model = GPT2LMHeadModel(
                GPT2Config(
                    vocab_size=size,
                    n_embd=32,
                    n_layer=2,
                    n_head=2,
                    n_positions=256,
                    bos_token_id=1,
                    initializer_range=0.2,
                    **ids,
                )
            )
        elif name == "llama":
            model = LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                    max_position_embeddings=256, tie_word_embeddings=True, bos_token_id=1,
                    initializer_range=0.2, **ids,
                )
            )  # fmt: skip
        else:
            model = T5ForConditionalGeneration(
                T5Config(
                    vocab_size=size, d_model=32, d_ff=64, d_kv=16, num_layers=2, num_heads=2,
                    decoder_start_token_id=tokenizer.pad_token_id,
                    **ids,
                )
            )  # fmt: skip
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        made[name] = folder
        return folder

    return make
