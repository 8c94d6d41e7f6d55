"""A tiny encoder with random weights and its tokenizer, and data that it learns in seconds: nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from models.training.examples import Example, Span

THINGS = ("tent", "lantern", "stove", "kayak", "parcel", "boots", "jacket", "compass", "rope", "mat")
SAID = {
    "cancel": ("cancel my {}", "please stop the {}", "call off that {}"),
    "return": ("send back the {}", "refund my {}", "the {} goes back"),
    "where": ("where is my {}", "track the {}", "when comes that {}"),
}
OUTSIDE = ("sing a song about number {}", "what is the weather at {}", "order pizza number {}")
DAYS = ("monday", "tuesday", "friday", "sunday")
FELT = {"angry": "this is awful", "happy": "that is lovely", "neutral": "well"}


def rows(outside: bool = True, felt: bool = False) -> list[dict[str, Any]]:
    """Intents told by a word or two, and the slot `thing`; with `felt`, an emotion by the words before."""
    out = []
    for number, thing in enumerate(THINGS):
        for intent, said in SAID.items():
            for form, text in enumerate(said):
                emotion = tuple(FELT)[(number + form) % len(FELT)]
                before = f"{FELT[emotion]} " if felt else ""
                start = len(before) + text.index("{}")
                row: dict[str, Any] = {
                    "text": before + text.format(thing),
                    "intent": intent,
                    "slots": [{"start": start, "end": start + len(thing), "name": "thing"}],
                }
                if felt:
                    row["emotion"] = emotion
                out.append(row)
        if outside:
            out += [{"text": text.format(number), "intent": "out_of_scope", "slots": []} for text in OUTSIDE]
    return out


def examples(outside: bool = True, felt: bool = False) -> list[Example]:
    """`rows` as examples."""
    return [
        Example(
            row["text"],
            row["intent"],
            tuple(Span(slot["start"], slot["end"], slot["name"]) for slot in row["slots"]),
            (row["emotion"],) if "emotion" in row else (),
            origin=f"rows:{number}",
        )
        for number, row in enumerate(rows(outside, felt), start=1)
    ]


def write(path: Path, lines: Iterable[dict[str, Any]]) -> Path:
    """JSON Lines of `lines` at `path`, which is given back."""
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def texts() -> list[str]:
    """All texts of `rows`, for the tokenizer."""
    return [row["text"] for row in (*rows(), *rows(felt=True))]


def save_base(folder: Path, more: Sequence[str] = (), layers: int = 2, width: int = 32) -> Path:
    """A BERT of `layers` layers, `width` wide, with a WordPiece tokenizer, as transformers reads it from a folder."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word for text in (*texts(), *DAYS, *more) for word in text.lower().split()})
    # Words of two pieces too; a trained vocabulary would not be the same in every run.
    pieces = [part for word in words for part in ((word[:-2], f"##{word[-2:]}") if len(word) > 5 else (word,))]
    letters = [mark + letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789" for mark in ("", "##")]
    vocabulary = {name: n for n, name in enumerate(dict.fromkeys([*special, *pieces, *letters]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=width, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=2 * width, max_position_embeddings=64, initializer_range=0.3,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
