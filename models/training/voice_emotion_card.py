"""The model card of voice emotion heads, written by the program that trains them."""

from __future__ import annotations

from dataclasses import dataclass

from models.emotion import HIGH, LABELS, LOW, MEMBERS, Heads

_METHOD = """The utterance, at its true length, half a second of silence on either side kept (of a turn over 15 s, its
end), goes as log-mel through the stem and the first two encoder blocks of Whisper tiny.en; mean and
standard deviation over speech frames (within 30 dB of the 95th percentile level) of each of the three
give 2304 numbers, `models/prosody.py` 76 more. The strongest 300 principal components of them go to a
linear discriminant over all emotions, its covariance within classes shrunk by 0.2; the result is folded
into one weight per feature. A caller's first turn has a read-out of its own; in later ones each feature
counts twice: as it is, and minus the mean of this caller's earlier turns. The four labels, anger against
the rest and high against low activation follow from the probabilities of the emotions; Platt's fit
(anger, activation) and one slope (labels), on speakers held out, calibrate them. Under 0.4 s of speech,
or without voice, there is no reading."""

_LIMITS = """- Emotion in these clips is what somebody labelled or acted. Acted emotion is plainer than that of callers:
  expect less on real calls than the tables say, and least of the label; activation holds best on other data.
- Where the clips have few sentences, the tables flatter: see "other sentence" where it is there.
- Probabilities follow the share of each class in the data. At 3 % angry turns and 5 % false alarms two of three
  alarms are false: smooth over turns and combine with the words (`models/fusion.py`) before acting.
- A caller who was angry from the start is compared with an angry mean: see "history 3 angry".
- No cross-talk and no echo of the agent were tested.
- Do not use it to judge people: it hears how a voice sounds, not what someone feels."""

_RETRAIN = """70-140 labelled utterances of your own line help more than anything else. Put them in a folder with
`metadata.tsv` (UTF-8, tab-separated columns `file`, `emotion`, `actor`, optionally `text`; emotions
neutral, calm, happy, sad, angry, fearful, disgust, surprised), then

    agent train emotion --data FOLDER --start-from models/weights/voice_emotion.npz --out heads.npz

moves these heads towards your clips, as far as cross-validation of them says, and `emotion.heads:
heads.npz` in the configuration serves the result. With some hundred clips of ten or more speakers leave
`--start-from` out: the heads are then trained on yours alone, and carry no licence but yours."""


@dataclass(frozen=True, slots=True)
class Training:
    """What is told of a training: data in words and its licence, the command, and how it was measured."""

    data: str
    source: str
    licence: str
    command: str
    started_from: str = ""
    measured: str = ""
    time: str = ""


def card(heads: Heads, training: Training) -> str:
    """The card, Markdown."""
    later, first = heads.later, heads.first
    members = "; ".join(
        f"{label}: {', '.join(name for name in MEMBERS[label] if name in heads.emotions)}" for label in LABELS
    )
    active = "; ".join(
        f"{name}: {', '.join(one for one in names if one in heads.emotions)}"
        for name, names in (("high", HIGH), ("low", LOW))
    )
    begun = f"\nMoved from {training.started_from}, whose licence holds on.\n" if training.started_from else ""
    measured = training.measured or "Not measured: trained with --no-evaluation."
    return f"""# Voice emotion

What a caller's voice says apart from the words: P(angry), P(high activation) and an indicative label out of
{", ".join(LABELS)}; read by `models/emotion.py` with onnxruntime and numpy on one thread.

- Encoder: the front of OpenAI Whisper tiny.en, MIT, weights in int8 with one scale a channel, computed in float32.
- Heads: {len(heads.emotions)} emotions ({", ".join(heads.emotions)}). Labels: {members}. Activation: {active}.
- Licence of the heads: {training.licence}
- Made by: `{training.command}`
- Intended use: tone of replies and offering a person, smoothed over turns, beside the words.
{begun}
## How it works

{_METHOD}

## Data

{training.source}

{training.data}.
Each clip was used over a telephone line (200 Hz high-pass, 8 kHz, mu-law); the same after noise at 12-25 dB and a gain
of -12..+6 dB for each speaker; with noise, gain, up to 6 % another speed, and A-law; with noise, gain and G.723.1 at
6.3 kbit/s; and with noise and gain but no line; the later read-out with two random histories of 1-6 utterances each.

## Results

{measured}

Thresholds that 5 % of the others pass, from held-out speakers: anger {first.anger.threshold:.2f} in a first turn,
{later.anger.threshold:.2f} later; activation {first.activation.threshold:.2f} and {later.activation.threshold:.2f}.
{training.time}
## Limits

{_LIMITS}

## Train it on your own calls

{_RETRAIN}
"""
