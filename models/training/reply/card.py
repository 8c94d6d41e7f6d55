"""What is written beside a trained reply model: its card, and how to serve it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from models.training.reply.recipe import Kind
from models.training.reply.trainer import ADAPTER

MERGED = "merged"
CARD_FILE = "card.md"
RUN_FILE = "run.json"

_NOT_SHOWN = ("base", "kind", "chat_template")
"""Settings that are said elsewhere, or too long."""
_LIMITS = (
    "The base model's licence and terms hold for this model too, as do those of the data: read both before you "
    "serve it.",
    "Dialogues are people's words: keep the model and its data as you would keep the calls, and delete them together.",
    "A lower loss says that replies sound like the data, not that they are true. Ground every answer in knowledge, and "
    "measure with calls before you put it on the line.",
)


def card(document: Mapping[str, Any]) -> str:
    """The model card of what `models.training.reply.export` writes to run.json, as Markdown."""
    loss, perplexity, cut, merged = (document[key] for key in ("validation_loss", "perplexity", "cut", "merged"))
    steps, examples = document["steps"], document["examples"]
    lines = [
        f"# Reply model from {document['base']}",
        "",
        _filled(
            f"A {document['kind']} language model, fine-tuned by low-rank adapters to word an agent's replies. "
            f"Written {document['created']}."
        ),
        "",
        "## Data",
        "",
        "| source | dialogues | agent turns | SHA-256 |",
        "| --- | --- | --- | --- |",
        *(f"| {s['name']} | {s['dialogues']} | {s['agent_turns']} | `{s['sha256'][:16]}` |" for s in document["data"]),
        "",
        _filled(
            f"{examples['train']} training and {examples['validation']} validation examples; "
            f"{document['learnt_tokens']} tokens are learnt, all of them the agent's. To fit, {cut['turns']} turns "
            f"were cut from the left, {cut['agent_turns']} of them agent turns to be learnt, and {cut['examples']} "
            "examples were left out."
        ),
        "",
        *([f"- For the chat template, {what}." for what in document["adapted"]] + [""] if document["adapted"] else []),
        "## Figures",
        "",
        "On held-out dialogues, over the agent's words:",
        "",
        "| | base | fine-tuned |",
        "| --- | --- | --- |",
        f"| loss, nats a token | {loss['before']:.4f} | {loss['after']:.4f} |",
        f"| perplexity | {perplexity['before']:.2f} | {perplexity['after']:.2f} |",
        "",
    ]
    if not loss["after"] < loss["before"]:
        lines += ["**It is no better than the base model: do not serve it.**", ""]
    early = ", stopped early" if document["stopped_early"] else ""
    lines += [
        _filled(
            f"Step {steps['best']} was the best of {steps['done']} ({steps['planned']} planned{early}). The merged "
            f"model, read back, differs from base and adapter by at most {merged['largest_difference']:.2g} nats on "
            f"{merged['tokens']} tokens ({merged['dtype']}); its first choice is the same for "
            f"{100 * merged['same_first_choice']:.1f} % of them."
        ),
        "",
        "## Licence and limits",
        "",
        *(_filled(f"- {limit}", "  ") for limit in _LIMITS),
        "",
        "## Settings",
        "",
        *(f"- {name}: {value}" for name, value in document["recipe"].items() if name not in _NOT_SHOWN),
        f"- trainable parameters: {document['trainable_parameters']}",
        f"- device: {document['device']}, {document['precision']}, {document['processes']} process(es)",
        "",
    ]
    return "\n".join(lines)


def serving(kind: Kind, rank: int) -> str:
    """How to serve the exported folders, as Markdown."""
    loader = "AutoModelForSeq2SeqLM" if kind == "seq2seq" else "AutoModelForCausalLM"
    lines = ["# Serving this model", ""]
    if kind == "causal":
        lines += [
            f"`{MERGED}/` is a whole model: weights, tokenizer, chat template, generation settings.",
            "",
            f"    vllm serve {MERGED} --served-model-name reply",
            "",
            "Or the base with the adapter on top, which shares one base among several adapters:",
            "",
            f"    vllm serve BASE --enable-lora --max-lora-rank {rank} --lora-modules reply={ADAPTER}",
            "",
            "Both answer at `/v1/chat/completions`, which takes the same messages as the training data.",
        ]
    else:
        lines += [
            f"`{MERGED}/` is a whole model. vLLM does not serve encoder-decoders of this kind; transformers does."
        ]
    lines += [
        "",
        "With transformers:",
        "",
        f"    from transformers import {loader}, AutoTokenizer",
        "",
        f'    tokenizer = AutoTokenizer.from_pretrained("{MERGED}")',
        f'    model = {loader}.from_pretrained("{MERGED}")',
        '    messages = [{"role": "user", "content": "Where is my order?"}]',
        "    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)",
        f'    tokens = tokenizer(prompt, add_special_tokens={kind == "seq2seq"}, return_tensors="pt")',
        '    reply = model.generate(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])',
        "",
        f"`{CARD_FILE}` says what it was trained on and how well it does; `{RUN_FILE}` says the same for programs.",
        "",
    ]
    return "\n".join(lines)


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False)
