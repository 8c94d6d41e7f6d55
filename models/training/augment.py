"""Training texts made from training texts: worded otherwise, hesitating, misheard, mistyped, or heard on the line.

python -m models.training.augment --spoken --data FILE --out FILE.jsonl   speak the texts and write what was heard
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from models.errors import ModelError
from models.training.edits import Finder, edited
from models.training.examples import DataError, Example, Splits
from models.training.mishearings import casing, dropped_words, fillers, homophones, plain, repeated_words, typos
from models.training.readers import read_examples, to_row, write_jsonl
from models.training.spoken import RoundTrips, SpokenRoundTrip
from models.training.wordings import numbers, paraphrase, synonyms

STRATEGIES: Mapping[str, Finder] = {
    "paraphrase": paraphrase,
    "synonyms": synonyms,
    "numbers": numbers,
    "dropped_words": dropped_words,
    "repeated_words": repeated_words,
    "fillers": fillers,
    "homophones": homophones,
    "typos": typos,
    "casing": casing,
    "plain": plain,
}
"""Every strategy, in the order in which several are applied: what is said, how it is said, how it is heard."""

RATES: Mapping[str, float] = {
    "paraphrase": 0.2,
    "synonyms": 0.2,
    "numbers": 0.3,
    "dropped_words": 0.15,
    "repeated_words": 0.08,
    "fillers": 0.2,
    "homophones": 0.15,
    "typos": 0.05,
    "casing": 0.4,
}
"""How likely each strategy is for a text: guesses, not measured on callers. Four in ten of the shop's own texts stay as
they are, since most strategies find nothing to do in a short one."""

CACHE_FILE = Path("var/cache/spoken.jsonl")
"""What was heard of spoken texts, below the working folder."""


def apply(name: str, text: str, rng: Random) -> str:
    """`text` after one strategy; as it was where that finds nothing to do.

    Raises:
        DataError: there is no such strategy.
    """
    return edited(text, _strategy(name)(text, rng, ()))[0]


def apply_to(name: str, example: Example, rng: Random) -> Example:
    """`example` after one strategy, its slot values where their words now are.

    Raises:
        DataError: there is no such strategy.
    """
    spans = example.spans or ()
    text, moved = edited(example.text, _strategy(name)(example.text, rng, spans), spans)
    return replace(example, text=text, spans=None if example.spans is None else moved)


def augment(example: Example, rng: Random, rates: Mapping[str, float] = RATES) -> Example:
    """`example` after each strategy that its rate lets through, in the order of `STRATEGIES`; labels and origin stay.

    Slot values keep their words but for case and for numbers said another way.

    Raises:
        DataError: a rate names no strategy.
    """
    for name in rates:
        _strategy(name)
    for name in STRATEGIES:
        if name in rates and rng.random() < rates[name]:
            example = apply_to(name, example, rng)
    return example


def _strategy(name: str) -> Finder:
    try:
        return STRATEGIES[name]
    except KeyError:
        raise DataError([f"augmentation {name!r} is not known; choose among {', '.join(STRATEGIES)}"]) from None


class Noise:
    """Augmentation that gives the same for the same seed, example and draw, whatever came before: resuming is exact."""

    def __init__(self, seed: int = 0, rates: Mapping[str, float] = RATES) -> None:
        """`rates`: how likely each strategy is, in [0, 1]; one that is not named is not used.

        Raises:
            DataError: a rate names no strategy, or is not in [0, 1].
        """
        for name, rate in rates.items():
            _strategy(name)
            if not 0 <= rate <= 1:
                raise DataError([f"rate of {name} is {rate!r}; give a probability from 0 to 1"])
        self._seed = seed
        self._rates = dict(rates)

    def example(self, example: Example, draw: int = 0) -> Example:
        """The `draw`-th variant of `example`, such as that of an epoch."""
        return augment(example, Random(f"{self._seed}:{draw}:{example.origin}:{example.text}"), self._rates)

    def examples(self, examples: Sequence[Example], draw: int = 0) -> list[Example]:
        """The `draw`-th variant of each of `examples`."""
        return [self.example(example, draw) for example in examples]

    def text(self, text: str, draw: int = 0) -> str:
        """The `draw`-th variant of `text`."""
        return self.example(Example(text), draw).text


def back_translate(texts: Sequence[str], to: str, back: str, beams: int = 4, batch: int = 16) -> list[str]:
    """Each text through another language: `to` and `back` are transformers seq2seq models, by folder or hub name.

    Needs the `train` extra and two translation models, which do not come with this project: it was run with random
    weights only, and what it brings is not measured. Slot values are not followed, so give texts of intents only.

    Raises:
        DataError: transformers or torch is not installed, or a model cannot be loaded.
    """
    for model in (to, back):
        texts = _translate(texts, model, beams, batch)
    return list(texts)


def _translate(texts: Sequence[str], model: str, beams: int, batch: int) -> list[str]:
    try:
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    except ImportError as error:
        raise DataError([f"back-translation needs {error.name}; install the extra `train`"]) from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        network = AutoModelForSeq2SeqLM.from_pretrained(model).eval()
    except (OSError, ValueError) as error:
        raise DataError([f"translation model {model!r} cannot be loaded ({error}); give a folder with one"]) from error
    out: list[str] = []
    with torch.inference_mode():
        for start in range(0, len(texts), batch):
            inputs = tokenizer(list(texts[start : start + batch]), return_tensors="pt", padding=True, truncation=True)
            written = network.generate(**inputs, num_beams=beams, max_new_tokens=128)
            out += tokenizer.batch_decode(written, skip_special_tokens=True)
    return out


def speak_all(splits: Splits, trip: SpokenRoundTrip, limit: int | None, seed: int) -> list[Example]:
    """What is heard of the training examples, or of `limit` of them drawn by `seed`; with a progress bar."""
    from rich.progress import track

    chosen = list(splits.train)
    if limit is not None and limit < len(chosen):
        chosen = Random(seed).sample(chosen, limit)
    heard = (trip.hear(example) for example in track(chosen, "Speaking and listening"))
    return [example for example in heard if example is not None]


def main() -> int:
    """Speak the training texts of a file and write what was heard of them; 2 where the data cannot be used."""
    from models.recognizer import WhisperRecognizer
    from models.voice import PiperVoice

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spoken", action="store_true", required=True, help="round trips through voice and recognizer")
    parser.add_argument("--data", type=Path, required=True, help="labelled texts, whatever read_examples takes")
    parser.add_argument("--out", type=Path, required=True, help="a .jsonl of ours")
    parser.add_argument("--limit", type=int, help="so many examples, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--voice", default="en_US-joe-medium", help="a Piper voice by name or path")
    parser.add_argument("--model", default="tiny.en", help="a Whisper model by name or path")
    parser.add_argument("--cache", type=Path, default=CACHE_FILE, help="what was heard before")
    options = parser.parse_args()
    try:
        splits = read_examples(options.data)
        with RoundTrips(options.cache) as cache:
            trip = SpokenRoundTrip(
                PiperVoice(options.voice),
                WhisperRecognizer(options.model),
                Random(options.seed),
                cache=cache,
                name=f"{Path(options.voice).name} {Path(options.model).name}",
            )
            heard = speak_all(splits, trip, options.limit, options.seed)
            written = write_jsonl(options.out, (to_row(example, "train") for example in heard))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    asked = len(splits.train) if options.limit is None else min(options.limit, len(splits.train))
    print(f"{written} of {asked} texts were heard, {trip.changed} of them with other words: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
