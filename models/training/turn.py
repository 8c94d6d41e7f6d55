"""Train the turn-end model, measure it on turns it never met, and write its card.

    python -m agent.lab.measuring.turn_cuts --data DIR --out CUTS
    python -m models.training.turn --data DIR --cuts CUTS [--keep-text] [--evaluate] [--seed 0] [--minutes 15]

The first command makes the spoken turns, whole and cut. The second fine-tunes the text network (extra `train`; left as
it is with --keep-text), fits the read-outs over it, and measures them; with --evaluate it only measures.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audio.resample import resample, to_float
from models.completeness import Completeness, Rules, word_inputs
from models.contracts import Recognition, Samples, UnderstandingContext, Understood
from models.slots import SlotContext, slot_specs
from models.training.turn_cuts import RATE as LINE_RATE
from models.training.turn_cuts import Cut, load_cuts
from models.training.turn_texts import Example, dictation, examples, read_domain, read_texts
from models.turn import TurnModel, heard_inputs
from models.turn_text import WEIGHTS, TextEnd
from models.turn_voice import VoiceEnd
from models.turn_weights import LARGEST, TurnWeights, bounded, chance, log_odds, read_out

Floats = npt.NDArray[np.float64]

RATE = 16_000
LEARNT = ("read", "read_held_out")
HELD_OUT_VOICE = "jm_kumo"
"""The lab's caller: it is only measured, also where it reads beside others."""
TESTED = ("librispeech", "harvard", "ravdess", "digits", "read_held_out", "scenarios")
POOLED = ("librispeech", "harvard", "ravdess", "read_held_out")
"""Sets whose turns answer nothing and are spoken by people or by the voice held out."""
TALK = "talk"
"""Recorded talk up to its own pauses; nothing in it is an end."""
SPECS = slot_specs({"order_number": {"type": "digits", "min_length": 5, "max_length": 5}, "email": {"type": "email"}})
"""What may be asked for in the cuts."""
_TODAY = date(2026, 1, 5)
_ENDS_PER_PAUSE = 2.0
"""A caller who pauses inside every other turn ends two turns for each pause."""
_MOST = {"bitext_customer_support": 3000, "snips": 9000, "multidogo": 26000}
"""Utterances taken of sets that would drown the others in one way of asking."""
_DOMAIN_REPEATS = 3
_DICTATED = 5000
_C_VOICE = 0.003
_FOLDS = 5
PAUSE_MS = (250.0, 700.0)
"""Pauses inside turns last this long, evenly spread."""
QUICK_MS, SLOW_MS = 300.0, 720.0
"""The silences between which a floor would choose."""


def text_examples(data: Path, domain: Path, seed: int) -> list[Example]:
    """The texts to learn from: training splits, a domain's examples and dictated values, each whole and cut once."""
    random = np.random.default_rng(seed)
    found: list[Example] = []
    for name, texts in read_texts(data, "train").items():
        order = random.permutation(len(texts))[: _MOST.get(name)]
        found += examples([texts[int(at)] for at in order], random)
    ours = read_domain(domain)
    for _ in range(_DOMAIN_REPEATS):
        found += examples(ours, random)
    return found + examples(dictation(_DICTATED, random), random)


@dataclass(frozen=True, slots=True)
class Heard:
    """A cut with what the model reads of it: voice is `VoiceEnd.features`."""

    cut: Cut
    context: UnderstandingContext
    recognition: Recognition
    voice: npt.NDArray[np.float32] | None


def hear(cuts: Sequence[Cut]) -> list[Heard]:
    """What the model reads of each of `cuts`."""
    ear = VoiceEnd()
    found = []
    for cut in cuts:
        context = UnderstandingContext((cut.asked,) if cut.asked else ())
        recognition = Recognition(cut.text, average_log_probability=cut.confidence, closing=cut.closing)
        found.append(Heard(cut, context, recognition, ear.features(_wide(cut))))
    return found


def _wide(cut: Cut) -> Samples:
    return resample(to_float(cut.samples), LINE_RATE, RATE)


def _at(context: UnderstandingContext) -> SlotContext:
    return SlotContext(_TODAY, context.expected_slots, context.asked_yes_no)


def fit(heard: Sequence[Heard], net: TextEnd) -> TurnWeights:
    """The read-outs, from spoken turns that answer nothing that was asked.

    The voice's log-odds that `sound` is fitted on come from voices it was not fitted on.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def logistic(inputs: Floats, whole: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        weight = np.where(whole, _ENDS_PER_PAUSE / whole.sum(), 1.0 / (~whole).sum())
        model = LogisticRegression(C=1.0, max_iter=1000).fit(inputs, whole, sample_weight=weight / weight.mean())
        return np.append(model.coef_[0], model.intercept_[0]).astype(np.float32)

    rules = Rules(SPECS)
    free = [one for one in heard if one.cut.text and rules.answer(one.cut.text, one.context, _at(one.context)) is None]
    free = [one for one in free if one.recognition.closing is not None]
    whole = np.array([one.cut.whole for one in free])
    worded = [rules.wording(one.cut.text) for one in free]
    open_ = np.array([sure is None for sure in worded])
    words_in = np.array([word_inputs(one.cut.text, net.log_odds(one.cut.text)) for one in free])
    words = logistic(words_in[open_], whole[open_])
    inputs = np.array(
        [
            heard_inputs(bounded(read_out(words, row)) if sure is None else log_odds(sure), one.recognition)
            for row, sure, one in zip(words_in, worded, free, strict=True)
        ]
    )
    voiced = [at for at, one in enumerate(free) if one.voice is not None]
    measured = np.stack([m for at in voiced if (m := free[at].voice) is not None]).astype(np.float64)
    speakers = [free[at].cut.speaker.split("*")[0] for at in voiced]
    head = make_pipeline(StandardScaler(), LogisticRegression(C=_C_VOICE, max_iter=1000, class_weight="balanced"))
    folds = GroupKFold(min(_FOLDS, len(set(speakers))))
    unseen = cross_val_predict(head, measured, whole[voiced], groups=speakers, cv=folds, method="decision_function")
    sound = logistic(np.column_stack([inputs[voiced], np.clip(unseen, -LARGEST, LARGEST)]), whole[voiced])
    head.fit(measured, whole[voiced])
    scale, model = head[0], head[1]
    slope = model.coef_[0] / scale.scale_
    voice = np.append(slope, model.intercept_[0] - slope @ scale.mean_).astype(np.float32)
    return TurnWeights(words, logistic(inputs, whole), voice, sound)


def judge(heard: Sequence[Heard], folder: Path) -> dict[str, Floats]:
    """P(turn over) of each turn, float64[turns], from the words, the voice, words and recognizer, and all of it."""
    completeness, model, weights = (
        Completeness(SPECS, folder),
        TurnModel(folder / "turn.npz"),
        TurnWeights.load(folder / "turn.npz"),
    )
    columns: dict[str, list[float]] = {"words": [], "voice": [], "words, closing": [], "all": []}
    for one in heard:
        completion = completeness.read(one.cut.text, one.context, _at(one.context))
        understood = Understood("", 1.0, complete=completion.probability, ruled=completion.ruled)
        columns["words"].append(completion.probability)
        columns["voice"].append(0.5 if one.voice is None else chance(read_out(weights.voice, one.voice)))
        columns["words, closing"].append(
            model.probability(understood, one.context, recognition=one.recognition).probability
        )
        columns["all"].append(
            model.probability(understood, one.context, recognition=one.recognition, samples=_wide(one.cut)).probability
        )
    return {name: np.array(column) for name, column in columns.items()}


def figures(scores: Floats, whole: npt.NDArray[np.bool_]) -> dict[str, float]:
    """How well `scores` part ends from pauses.

    AUROC; ends found where 5 and 8 % of the pauses are taken for ends; and with a floor that waits 300 ms above a
    threshold and 720 ms below it, for pauses evenly spread over 250-700 ms: the pauses cut in on where the median end
    is answered at 300 ms, and the mean wait at an end where 5 % of all pauses are cut in on.
    """
    from sklearn.metrics import roc_auc_score

    ends, pauses = np.sort(scores[whole]), scores[~whole]
    reach = (PAUSE_MS[1] - QUICK_MS) / (PAUSE_MS[1] - PAUSE_MS[0])

    def found(false_positives: float) -> float:
        return float(np.mean(ends > np.quantile(pauses, 1.0 - false_positives, method="higher")))

    quick = found(0.05 / reach)
    return {
        "AUROC": float(roc_auc_score(whole, scores)),
        "ends at 5 %": found(0.05),
        "ends at 8 %": found(0.08),
        "cut-offs at 300 ms": reach * float(np.mean(pauses >= np.median(ends))),
        "wait at 5 % cut-offs": quick * QUICK_MS + (1.0 - quick) * SLOW_MS,
    }


def table(sets: Mapping[str, Sequence[Heard]], folder: Path) -> str:
    """The figures of every set and every kind of input, as a Markdown table."""
    lines = [
        "| turns | ends / pauses | read from | AUROC | ends found at 5 % / 8 % false | cut-offs, median end at 300 ms |"
        " mean wait at 5 % cut-offs |",
        "|-|-|-|-|-|-|-|",
    ]
    for name, heard in sets.items():
        whole = np.array([one.cut.whole for one in heard])
        for kind, scores in judge(heard, folder).items():
            row = figures(scores, whole)
            lines.append(
                f"| {name} | {whole.sum()} / {(~whole).sum()} | {kind} | {row['AUROC']:.3f} |"
                f" {row['ends at 5 %']:.0%} / {row['ends at 8 %']:.0%} | {row['cut-offs at 300 ms']:.1%} |"
                f" {row['wait at 5 % cut-offs']:.0f} ms |"
            )
    return "\n".join(lines)


def operating_points(heard: Sequence[Heard], talk: Sequence[Heard], folder: Path) -> str:
    """For thresholds on P(turn over): the ends, the pauses, and the pauses in `talk` at or above each."""
    whole = np.array([one.cut.whole for one in heard])
    scores, paused = judge(heard, folder)["all"], judge(talk, folder)["all"]
    lines = ["| P at least | ends | pauses | pauses in recorded talk |", "|-|-|-|-|"]
    for threshold in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95):
        ends, pauses = (float(np.mean(part >= threshold)) for part in (scores[whole], scores[~whole]))
        lines.append(f"| {threshold} | {ends:.1%} | {pauses:.1%} | {float(np.mean(paused >= threshold)):.1%} |")
    return "\n".join(lines)


def read_cuts(folder: Path, name: str, held_out: bool) -> list[Cut]:
    """The cuts of a set by the voice held out and by people, or by the other voices.

    Raises:
        FileNotFoundError: agent.lab.measuring.turn_cuts has not made the set.
    """
    path = folder / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"no cuts at {path}; make them: python -m agent.lab.measuring.turn_cuts --data DIR --out {folder}"
        )
    cuts = load_cuts(path)
    return [cut for cut in cuts if name not in LEARNT or (cut.speaker == HELD_OUT_VOICE) == held_out]


_CARD = """# turn.npz, turn_text.onnx, turn_text.json

What they do: tell at a pause whether the caller's turn is over, from the words so far, how sure the recognizer is that
a sentence closes, and how the last third of a second sounds. `models.turn.TurnModel` puts them together.

- Words: the word pieces that the training texts use most (10,000 of 30,522) and the first two of six layers of
  all-MiniLM-L6-v2 (Apache-2.0), fine-tuned to tell whole texts from ones cut at a random word (one pass over 221,744,
  11 minutes on one core), int8. Texts: training
  splits of Banking77 (CC BY 4.0), CLINC150 (CC BY 3.0), Snips (CC0), MultiDoGO (CDLA-Permissive), SGD (CC BY-SA 4.0),
  GoEmotions (Apache-2.0), Bitext (CDLA-Sharing), the demo shop's examples, and numbers, names and e-mail addresses made
  up as they are dictated. Marks at the end are left out: a recognizer writes them whether or not a sentence ends.
- Voice: logistic regression over frames of voice_emotion_encoder.onnx (Whisper tiny.en's first two layers, MIT): their
  mean over the last 0.1 s of speech and over the 0.2 s before.
- Read-outs: logistic regression over the two, `Recognition.closing`, the recognizer's log-probability and whether it
  wrote a mark at the end; fitted on dev splits read by the agent's own voice (Piper, at several pitches) and by four
  voices of Kokoro-82M (Apache-2.0), cut at gaps between words, through a mu-law line with levels and noise drawn at
  random, as tiny.en with 15 s of context heard them. P is calibrated for a caller who pauses in every other turn.
- What was asked for (a number of known length, an e-mail address, yes or no) is judged by rules instead.
- No human voice was trained on. Licence of the weights: Apache-2.0, with attribution to the sets above; whoever reads
  the share-alike terms of SGD as reaching trained weights trains again without it.
- Made by: `python -m agent.lab.measuring.turn_cuts --data DIR --out CUTS` and
  `python -m models.training.turn --data DIR --cuts CUTS --seed {seed}`; the second with `--evaluate` measures again.

## Measured

On turns that no part was trained on: people (LibriSpeech sample, Harvard sentences, RAVDESS, digits of FSDD put
together), test splits read by a voice held out, and the callers' lines of the shipped scenarios (the same voice).
250 ms of silence have passed. `Ends found`: where 5 and 8 % of the pauses are taken for ends. Cut-offs and mean wait:
for a floor that waits 300 ms above a threshold and 720 ms below it, and pauses evenly spread over 250-700 ms.

{results}

LibriSpeech, Harvard, RAVDESS and the voice held out together, read from all:

{points}

Limits: English. RAVDESS has only two sentences, LibriSpeech's sample four turns. How the frames are averaged was chosen
among ten ways by how the voice alone did on these sets, so its figures are a little too good. The pauses were made by
cutting speech that ran on. A speaker who ends a sentence, falls silent and then adds another is mostly taken for
finished: the last column, of people reading and talking on (TEN VAD test set, silences of 0.3 to 1.5 s). The voice says
least where a number is read out digit by digit; there the rules decide.
"""


def main() -> None:
    """Train what is asked for, measure, and write weights, checksums and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cuts", type=Path, required=True, help="what agent.lab.measuring.turn_cuts wrote")
    parser.add_argument("--domain", type=Path, default=Path("configs/domains/shop/intents.yaml"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15.0, help="most time for the text network")
    parser.add_argument("--keep-text", action="store_true")
    parser.add_argument("--evaluate", action="store_true")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    out: Path = arguments.out
    if not arguments.evaluate:
        if not arguments.keep_text:
            from models.training import turn_text_net

            turn_text_net.make(
                text_examples(arguments.data, arguments.domain, arguments.seed), out, arguments.seed, arguments.minutes
            )
        learnt = [cut for name in LEARNT for cut in read_cuts(arguments.cuts, name, held_out=False)]
        fit(hear(learnt), TextEnd(out)).save(out / "turn.npz")
    sets = {name: hear(read_cuts(arguments.cuts, name, held_out=True)) for name in TESTED}
    results = table(sets, out)
    talk = hear(read_cuts(arguments.cuts, TALK, held_out=True))
    points = operating_points([one for name in POOLED for one in sets[name]], talk, out)
    print(results, points, sep="\n\n")
    if not arguments.evaluate:
        (out / "turn.md").write_text(
            _CARD.format(seed=arguments.seed, results=results, points=points), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
