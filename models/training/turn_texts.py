"""What callers and people at large say, whole and cut at a random word, as a recognizer would write it."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from models.encoder import normalise
from models.turn_text import plain_end

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

LONGEST_WORDS = 40
_SPOKEN = re.compile(r"[A-Za-z0-9 ,.?!'\"$%@;:()/&-]+")
_BRACKETED = re.compile(r"\[[A-Z]+\]")
_PLACEHOLDERS = {"[NAME]": "Sam", "[RELIGION]": "people"}
_PLAIN_QUOTES = str.maketrans("’‘“”", "''\"\"")
_DOMAINS = ("airline", "fastfood", "finance", "insurance", "media", "software")
_NAMES = (
    "anna", "brian", "carla", "david", "elena", "frank", "grace", "henry", "irene", "james", "karen", "louis", "maria",
    "nora", "oscar", "paula", "robert", "susan", "thomas", "wendy", "baker", "carter", "dixon", "ellis", "foster",
    "graham", "hughes", "jensen", "keller", "lawson", "miller", "nolan", "porter", "quinn", "reyes", "turner", "walsh",
)  # fmt: skip
_HOSTS = ("gmail dot com", "yahoo dot com", "outlook dot com", "example dot org", "mail dot com", "company dot net")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_LEADS = (
    "my order number is", "it's", "the number is", "my phone number is", "sure it's", "yes it's",
    "the account number is", "my email is", "my name is", "that's", "it is", "the zip code is",
    "okay the code is", "", "", "",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """A text as far as it was said, and whether that was all."""

    text: str
    whole: bool


def read_texts(data: Path, split: Split) -> dict[str, list[str]]:
    """The utterances of each set under `data`, by name of the set; sets without a dev split lend half of their test.

    Read are banking77, clinc150, snips, multidogo, sgd_banks_payment, bitext_customer_support (train only) and
    goemotions.

    Raises:
        FileNotFoundError: a set is not there.
    """
    sets = {
        "banking77": _banking(data, split),
        "clinc150": _clinc(data, split),
        "snips": _snips(data, split),
        "multidogo": _multidogo(data, split),
        "sgd_banks_payment": _sgd(data, split),
        "goemotions": _goemotions(data, split),
    }
    if split == "train":
        sets["bitext_customer_support"] = _bitext(data)
    return {name: _usable(texts) for name, texts in sets.items()}


def read_domain(path: Path) -> list[str]:
    """The examples of a domain's intents.yaml."""
    domain = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [str(text) for intent in domain["intents"].values() for text in intent["examples"]]


def dictation(count: int, random: np.random.Generator) -> list[str]:
    """`count` values read out, with or without what leads up to them: numbers, spelled names and e-mail addresses."""
    texts = []
    for _ in range(count):
        kind = random.integers(4)
        if kind < 2:
            number = [int(digit) for digit in random.integers(0, 10, size=random.choice([4, 5, 5, 6, 7, 8, 10, 10]))]
            if random.random() < 0.5:
                value = " ".join(_DIGITS[digit] for digit in number)
            else:
                value = (" " if random.random() < 0.5 else "").join(str(digit) for digit in number)
        elif kind == 2:
            name = str(random.choice(_NAMES))
            value = (" " if random.random() < 0.5 else "-").join(name.upper())
            value = value if random.random() < 0.5 else f"{name} {value}"
        else:
            name = " ".join(str(random.choice(_NAMES)) for _ in range(int(random.integers(1, 3))))
            value = f"{name} at {random.choice(_HOSTS)}"
        texts.append(f"{random.choice(_LEADS)} {value}".strip())
    return texts


def examples(texts: Iterable[str], random: np.random.Generator, cuts: int = 1) -> list[Example]:
    """Each text whole, and cut `cuts` times after a random word; what is whole elsewhere among `texts` is no cut.

    Inner punctuation is dropped from half of them, and now and then a word, as a recognizer might.
    """
    source = list(texts)
    known = {normalise(text) for text in source}
    found = []
    for text in source:
        words = text.split()
        found.append(Example(_heard(words, random), True))
        for _ in range(cuts if len(words) > 1 else 0):
            part = words[: int(random.integers(1, len(words)))]
            if normalise(" ".join(part)) not in known:
                found.append(Example(_heard(part, random), False))
    return [example for example in found if example.text]


def _heard(words: list[str], random: np.random.Generator) -> str:
    kept = list(words)
    if len(kept) > 3 and random.random() < 0.15:
        del kept[int(random.integers(0, len(kept) - 1))]
    text = " ".join(kept)
    return plain_end(normalise(text) if random.random() < 0.5 else text)


def _usable(texts: Iterable[str]) -> list[str]:
    found = []
    for raw in texts:
        text = raw.translate(_PLAIN_QUOTES).strip()
        for mark, word in _PLACEHOLDERS.items():
            text = text.replace(mark, word)
        if _BRACKETED.search(text) or not _SPOKEN.fullmatch(text) or "http" in text:
            continue
        if 1 <= len(text.split()) <= LONGEST_WORDS and re.search("[A-Za-z]", text):
            found.append(text)
    return list(dict.fromkeys(found))


def _half(texts: Iterable[str], split: Split) -> Iterator[str]:
    """Half of the texts, chosen by what they say, so that the two halves never share one."""
    wanted = 0 if split == "dev" else 1
    return (text for text in texts if zlib.crc32(text.lower().encode()) % 2 == wanted)


def _banking(data: Path, split: Split) -> list[str]:
    name = "train" if split == "train" else "test"
    with open(data / "banking77" / "banking_data" / f"{name}.csv", encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    return texts if split == "train" else list(_half(texts, split))


def _clinc(data: Path, split: Split) -> list[str]:
    rows = json.loads((data / "clinc150" / "data" / "data_full.json").read_text(encoding="utf-8"))
    name = "val" if split == "dev" else split
    return [text for key in (name, f"oos_{name}") for text, _ in rows[key]]


def _snips(data: Path, split: Split) -> list[str]:
    name = "valid" if split == "dev" else split
    return (data / "snips" / "data" / "snips" / name / "seq.in").read_text(encoding="utf-8").splitlines()


def _multidogo(data: Path, split: Split) -> list[str]:
    texts = []
    for domain in _DOMAINS:
        path = data / "multidogo/data/paper_splits/splits_annotated_at_turn_level" / domain / f"{split}.tsv"
        with path.open(encoding="utf-8", newline="") as file:
            texts += [row["utterance"] or "" for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return texts


def _sgd(data: Path, split: Split) -> list[str]:
    texts = []
    with gzip.open(data / "sgd_banks_payment" / f"{split}.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            texts += [turn["utterance"] for turn in json.loads(line)["turns"] if turn["speaker"] == "USER"]
    return texts


def _goemotions(data: Path, split: Split) -> list[str]:
    path = data / "goemotions" / "data" / "original" / f"{split}.tsv"
    return [line.split("\t")[0] for line in path.read_text(encoding="utf-8").splitlines()]


def _bitext(data: Path) -> list[str]:
    (path,) = (data / "bitext_customer_support" / "data" / "train").glob("*.csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row["utterance"] for row in csv.DictReader(file)]
