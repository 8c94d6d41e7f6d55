"""Speech to text with Whisper, on as much encoder context as the utterance needs."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import ctranslate2
import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import _LANGUAGE_CODES, Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from models import store
from models.believing import Gates, count_words, longest_run
from models.contracts import Recognition, RecognitionHints, Samples, Word
from models.errors import DeviceUnavailable, ModelError
from models.languages import CHINESE
from models.pauses import shorten
from models.simplified import simplified
from models.stretches import FULL_CONTEXT_S, PADDING_S, RATE, speech_bounds, windows

FRAMES_PER_SECOND = 100
MIN_SPEECH_S = 0.06
"""Shorter than any word."""
MOST_HYPOTHESES = 4
"""Texts that `hypotheses` gives; those further down the beam differ in marks only."""
RETRY_BEAM = 5
"""Whisper's own beam, for a second look at a doubtful text."""
PROMPT_TOKENS = 120
"""Most tokens of a prompt; each costs decoding time and the last ones weigh most."""

PROMPTS = {"zh": "以下是普通话的句子。"}
"""What is said to have come before where nothing else is; Chinese then has its marks and simplified characters."""
CHANGED = 0.9
"""Probability from which speech is taken to be in another language than the one expected."""

SENTENCE_END = re.compile(r"""\s*["')\]”’]*(?:\.|[?!。？！]+)["')\]”’]*""")
"""A token that ends a sentence; two dots and more trail off instead."""

NO_HINTS = RecognitionHints()

Device = Literal["cpu", "cuda", "auto"]


@dataclass(frozen=True, slots=True)
class _Decoded:
    text: str
    tokens: list[int]
    average_log_probability: float
    no_speech_probability: float
    language: str
    encoded: Any
    frames: int
    cut: bool
    closing: float | None
    language_probability: float


class WhisperRecognizer:
    """Any Whisper model in CTranslate2 form, behind `models.contracts.Recognizer`.

    `recognize` blocks and may be called from any thread; `workers` calls run at a time, each on `threads` cores, and
    further calls wait inside CTranslate2. Weights are shared by the workers, so a worker costs only its scratch memory.
    Nothing carries over from one utterance to the next.
    """

    def __init__(
        self,
        model: str = "tiny.en",
        *,
        device: Device = "cpu",
        compute_type: str = "int8",
        context_s: float = FULL_CONTEXT_S,
        beam_size: int = 1,
        threads: int = 1,
        workers: int = 1,
        words: bool = False,
        allow_hub: bool = False,
        gates: Gates | None = None,
    ) -> None:
        """Load the model.

        Args:
            model: a name of the catalogue, a folder with a CTranslate2 Whisper model, or a hub name.
            device: `auto` takes a GPU where there is one.
            compute_type: as CTranslate2 names them (`int8`, `float32`, `float16` on a GPU, `default`).
            context_s: audio the encoder sees, in seconds, 5 to 30; an utterance that needs more gets more.
            words: also find word times (costs one more decoder pass an utterance).
            allow_hub: download a hub name that is not on this machine.

        Raises:
            DeviceUnavailable: `cuda` on a machine without one.
            ModelMissing, ModelDamaged: see `models.store.resolve`.
            ModelError: CTranslate2 refused the model or the compute type.
            ValueError: a setting is out of range.
        """
        if not 5.0 <= context_s <= FULL_CONTEXT_S:
            raise ValueError(f"context_s is {context_s}; give 5 to {FULL_CONTEXT_S:g} seconds")
        for name, value in (("beam_size", beam_size), ("threads", threads), ("workers", workers)):
            if value < 1:
                raise ValueError(f"{name} is {value}; give 1 or more")
        self.device = choose_device(device)
        self.context_s = context_s
        self.beam_size = beam_size
        self._find_words = words
        self._gates = gates or Gates()
        path = store.resolve(model, "recognizer", allow_hub=allow_hub)
        try:
            self._model: Any = WhisperModel(
                str(path),
                device=self.device,
                compute_type=compute_type,
                cpu_threads=threads,
                num_workers=workers,
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"recognizer model '{model}' on {self.device} with {compute_type}: {error}") from error
        self.multilingual = bool(self._model.model.is_multilingual)
        self._tokenizers: dict[str, Any] = {}
        self._suppressed = list(get_suppressed_tokens(self._tokenizer("en"), [-1]))
        self._marks, self._sentence_ends = _marks(self._tokenizer("en"))
        self._end_of_text = self._tokenizer("en").eot

    def recognize(self, samples: Samples, hints: RecognitionHints = NO_HINTS) -> Recognition:
        """Recognize samples[n] at 16 kHz.

        The text is empty where there is no speech or the result is not believable (see `Gates`); the probabilities then
        say why. Long pauses inside the speech are cut short (`models.pauses`), and what is then longer than 30 s is cut
        at its quietest points.

        Raises:
            ValueError: `samples` is not one-dimensional.
            ModelError: the language is unknown, or CTranslate2 failed.
        """
        if samples.ndim != 1:
            raise ValueError(f"samples have shape {samples.shape}; give mono samples[n] at {RATE} Hz")
        language = self._language(hints.language)
        among = tuple(code for code in map(self._language, hints.languages) if code) if self.multilingual else ()
        start, end = speech_bounds(samples)
        if end - start < MIN_SPEECH_S * RATE:
            return Recognition("", no_speech_probability=1.0, language=language or "en")
        speech = shorten(samples[start:end], RATE)
        parts = []
        for first, last in windows(speech.samples):
            find_words = self._find_words or hints.words
            part = self._window(speech.samples[first:last], language, hints.prompt, hints.quick, find_words, among)
            parts.append((last - first, _later(part, first)))
            language, among = part.language, ()
        whole = parts[0][1] if len(parts) == 1 else _join(parts)
        return _later(replace(whole, words=speech.restored(whole.words)), start)

    def hypotheses(
        self, samples: Samples, hints: RecognitionHints = NO_HINTS, most: int = MOST_HYPOTHESES
    ) -> tuple[str, ...]:
        """What samples[n] at 16 kHz may say, the likeliest first, at most `most` different texts; blocks.

        A beam search over the first 30 s, several times the work of `recognize`: for words that proved wrong.

        Raises:
            ModelError: the language is unknown, or CTranslate2 failed.
        """
        start, end = speech_bounds(samples)
        if end - start < MIN_SPEECH_S * RATE:
            return ()
        speech = shorten(samples[start:end], RATE).samples[: round(FULL_CONTEXT_S * RATE)]
        seconds = len(speech) / RATE
        features = self._model.feature_extractor(np.ascontiguousarray(speech, dtype=np.float32))
        language = self._language(hints.language) or "en"
        tokenizer = self._tokenizer(language)
        prompt = hints.prompt or PROMPTS.get(language)
        before = tokenizer.encode(" " + prompt.strip())[-PROMPT_TOKENS:] if prompt and prompt.strip() else []
        tokens_in = self._model.get_prompt(tokenizer, before, without_timestamps=True)
        allowance = min(self._model.max_length // 2, int(16 + 10 * seconds))
        try:
            encoded = self._model.encode(_pad(features, round(FULL_CONTEXT_S * FRAMES_PER_SECOND)))
            result = self._model.model.generate(
                encoded,
                [tokens_in],
                beam_size=most + 1,
                num_hypotheses=most + 1,
                max_length=min(self._model.max_length, max(2 * allowance, len(tokens_in) + allowance)),
                suppress_blank=True,
                suppress_tokens=self._suppressed,
            )[0]
        except RuntimeError as error:
            raise ModelError(f"recognition failed: {error}") from error
        texts = (tokenizer.decode(tokens).strip() for tokens in result.sequences_ids)
        return tuple(dict.fromkeys(text for text in texts if text))[:most]

    def languages(self, samples: Samples, among: Sequence[str]) -> Mapping[str, float]:
        """P(language) of the first 30 s of samples[n] at 16 kHz, over the codes `among` alone; blocks.

        Where there is no speech, or the model is English only, all are as likely.

        Raises:
            ModelError: a code is unknown, or CTranslate2 failed.
        """
        codes = [code for code in (self._language(one) for one in among) if code]
        start, end = speech_bounds(samples)
        if not self.multilingual or end - start < MIN_SPEECH_S * RATE:
            return {code: 1.0 / len(codes) for code in codes}
        speech = np.ascontiguousarray(samples[start : min(end, start + round(FULL_CONTEXT_S * RATE))], dtype=np.float32)
        context = min(FULL_CONTEXT_S, max(self.context_s, len(speech) / RATE + PADDING_S))
        try:
            features = self._model.feature_extractor(speech)
            return self._likely(self._model.encode(_pad(features, round(context * FRAMES_PER_SECOND))), codes)
        except RuntimeError as error:
            raise ModelError(f"the language cannot be told: {error}") from error

    def _likely(self, encoded: Any, among: Sequence[str]) -> dict[str, float]:
        found = {token[2:-2]: p for token, p in self._model.model.detect_language(encoded)[0]}
        total = sum(found.get(code, 0.0) for code in among)
        return {code: found.get(code, 0.0) / total if total > 0 else 1.0 / len(among) for code in among}

    def _window(
        self,
        samples: Samples,
        language: str | None,
        prompt: str | None,
        quick: bool,
        find_words: bool,
        among: Sequence[str] = (),
    ) -> Recognition:
        seconds = len(samples) / RATE
        features = self._model.feature_extractor(np.ascontiguousarray(samples, dtype=np.float32))
        context = min(FULL_CONTEXT_S, max(self.context_s, seconds + PADDING_S))
        try:
            decoded = self._decode(features, context, self.beam_size, seconds, language, prompt, among)
            language = decoded.language
            again = self._doubtful(decoded, seconds) and not self._silent(decoded)
            if again and not quick:
                beam = max(self.beam_size, RETRY_BEAM)
                if context < FULL_CONTEXT_S or beam > self.beam_size:
                    decoded = self._decode(features, FULL_CONTEXT_S, beam, seconds, language, prompt)
            dropped = self._unbelievable(decoded, seconds) or self._silent(decoded)
            heard = None if dropped else self._stopped_early(decoded, samples)
        except RuntimeError as error:
            raise ModelError(f"recognition failed: {error}") from error
        text = "" if dropped else simplified(decoded.text) if decoded.language == CHINESE else decoded.text
        recognition = Recognition(
            text=text,
            words=self._words(decoded) if text and find_words else (),
            average_log_probability=decoded.average_log_probability,
            no_speech_probability=decoded.no_speech_probability,
            language=decoded.language,
            closing=decoded.closing if text else None,
            doubtful=quick and (again or heard is not None),
            language_probability=decoded.language_probability,
        )
        if heard is None or quick:
            return recognition
        rest = self._window(samples[heard:], decoded.language, prompt, True, find_words)
        if not rest.text or rest.doubtful:
            return recognition
        return replace(_join([(heard, recognition), (len(samples) - heard, _later(rest, heard))]), doubtful=False)

    def _decode(
        self,
        features: npt.NDArray[np.float32],
        context_s: float,
        beam: int,
        seconds: float,
        language: str | None,
        prompt: str | None,
        among: Sequence[str] = (),
    ) -> _Decoded:
        encoded = self._model.encode(_pad(features, round(context_s * FRAMES_PER_SECOND)))
        probability = 1.0
        if len(among) > 1:
            likely = self._likely(encoded, among)
            best = max(likely, key=lambda code: likely[code])
            if language is None or likely[best] >= CHANGED:
                # a prompt is in the language that was expected
                language, prompt = best, prompt if best == language else None
            probability = likely.get(language, 0.0)
        elif language is None:
            language = among[0] if among else self._model.model.detect_language(encoded)[0][0][0][2:-2]
        assert language is not None
        tokenizer = self._tokenizer(language)
        prompt = prompt or PROMPTS.get(language)
        before = tokenizer.encode(" " + prompt.strip())[-PROMPT_TOKENS:] if prompt and prompt.strip() else []
        tokens_in = self._model.get_prompt(tokenizer, before, without_timestamps=True)
        # Quick talk makes about 6 tokens a second, dictated digits up to 10; a loop would run on to the longest text.
        longest = self._model.max_length // 2  # CTranslate2 writes half of max_length at most
        allowance = min(longest, int(16 + 10 * seconds))
        result = self._model.model.generate(
            encoded,
            [tokens_in],
            beam_size=beam,
            max_length=min(self._model.max_length, max(2 * allowance, len(tokens_in) + allowance)),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            return_logits_vocab=beam == 1,  # CTranslate2 4.8 leaves them empty in a beam search
        )[0]
        tokens = result.sequences_ids[0]
        return _Decoded(
            text=tokenizer.decode(tokens).strip(),
            tokens=[token for token in tokens if token < tokenizer.eot],
            # scores are means over the tokens; the end token, which is not returned, counts as one more
            average_log_probability=result.scores[0] * len(tokens) / (len(tokens) + 1),
            no_speech_probability=result.no_speech_prob,
            language=language,
            encoded=encoded,
            frames=min(features.shape[-1], round(context_s * FRAMES_PER_SECOND)),
            cut=len(tokens) >= allowance,
            language_probability=probability,
            closing=self._closing(encoded, tokens_in, tokens, result.logits[0] if beam == 1 else None),
        )

    def _closing(self, encoded: Any, before: list[int], tokens: list[int], steps: Any | None) -> float | None:
        """`Recognition.closing` of `tokens`; None where there is no word.

        steps are the decoder's logits for each token; None has the decoder go through the words again for them.
        Suppressed tokens have no probability there, so p is among what the decoder may write. The token that ends the
        text is left out of both sides: it comes as soon as the audio ends, be the sentence whole or not.
        """
        said = len(tokens)
        while said and tokens[said - 1] in self._marks:
            said -= 1
        if not said:
            return None
        if steps is None:
            steps = self._model.model.generate(
                encoded,
                [before + tokens[:said]],
                beam_size=1,
                max_length=2 * (said + 1) + len(before),  # half of it is what may be written, the words given included
                suppress_blank=False,  # it is for the beginning of a text
                suppress_tokens=self._suppressed,
                return_logits_vocab=True,
            )[0].logits[0]
        if said >= len(steps):
            return None
        logits = np.asarray(steps[said]).astype(np.float64)
        powers = np.exp(logits - logits.max())
        ends = float(powers[self._sentence_ends].sum())
        powers[self._sentence_ends] = 0.0
        powers[self._end_of_text] = 0.0
        smallest = np.finfo(np.float64).tiny
        return math.log(max(ends, smallest)) - math.log(max(float(powers.sum()), smallest))

    def _unbelievable(self, decoded: _Decoded, seconds: float) -> bool:
        gates = self._gates
        data = decoded.text.encode()
        return (
            decoded.cut
            or len(decoded.text) > gates.characters_per_s * seconds + gates.characters
            or len(data) > gates.compression * len(zlib.compress(data))
        )

    def _doubtful(self, decoded: _Decoded, seconds: float) -> bool:
        return (
            self._unbelievable(decoded, seconds)
            or decoded.average_log_probability < self._gates.doubtful
            or longest_run(decoded.text) >= self._gates.repeats
        )

    def _silent(self, decoded: _Decoded) -> bool:
        gates = self._gates
        low = decoded.average_log_probability
        return low < gates.hopeless or (decoded.no_speech_probability > gates.no_speech and low < gates.log_probability)

    def _stopped_early(self, decoded: _Decoded, samples: Samples) -> int | None:
        """Where the last word of samples[n] ends if more speech follows it, else None; see `Gates.words_per_s`."""
        size = RATE // 50
        power = np.square(samples[: len(samples) // size * size].reshape(-1, size), dtype=np.float64).mean(axis=1)
        loud = power > 0.1 * power.mean()
        if not decoded.tokens or count_words(decoded.text) >= self._gates.words_per_s * loud.sum() * size / RATE:
            return None
        words = self._words(decoded)
        if not words:
            return None
        end = round(words[-1].end * RATE)
        unheard = loud[end // size :].sum() * size / RATE
        return end if end > 0 and unheard >= self._gates.unheard_s else None

    def _words(self, decoded: _Decoded) -> tuple[Word, ...]:
        tokenizer = self._tokenizer(decoded.language)
        found = self._model.find_alignment(tokenizer, [decoded.tokens], decoded.encoded, decoded.frames)[0]
        words: list[Word] = []
        for item in found:
            text = item["word"].strip()
            if words and not any(character.isalnum() for character in text):
                words[-1] = replace(words[-1], text=words[-1].text + text)
            elif text:
                words.append(Word(text, float(item["start"]), float(item["end"]), float(item["probability"])))
        return tuple(words)

    def _language(self, hint: str | None) -> str | None:
        if not self.multilingual:
            return "en"
        if hint is None:
            return None
        language = hint.lower().split("-")[0].split("_")[0]
        if language not in _LANGUAGE_CODES:
            raise ModelError(f"language '{hint}' is not one that Whisper knows; give a code such as 'en' or 'zh'")
        return language

    def _tokenizer(self, language: str) -> Any:
        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._model.hf_tokenizer, self.multilingual, task="transcribe", language=language
            )
        return self._tokenizers[language]


def choose_device(device: Device) -> Literal["cpu", "cuda"]:
    """The device to run on; `auto` is a GPU where CTranslate2 sees one, else the CPU.

    Raises:
        DeviceUnavailable: `cuda` was asked for and there is none.
    """
    if device == "cpu":
        return "cpu"
    if ctranslate2.get_cuda_device_count() > 0:
        return "cuda"
    if device == "auto":
        return "cpu"
    raise DeviceUnavailable(
        "recognizer.device is 'cuda', but no CUDA GPU is visible on this machine; set it to 'cpu' or 'auto', or check "
        "the driver with nvidia-smi"
    )


def _marks(tokenizer: Any) -> tuple[frozenset[int], npt.NDArray[np.int64]]:
    """Tokens that hold no part of a word, and those of them that end a sentence."""
    texts = {
        token: tokenizer.decode([token])
        for form, token in tokenizer.tokenizer.get_vocab().items()
        if token < tokenizer.eot and not re.search("[A-Za-z0-9]", form)
    }
    # a character of more than one token decodes to U+FFFD
    marks = {token: text for token, text in texts.items() if not re.search("[\\w\ufffd]", text)}
    ends = [token for token, text in marks.items() if SENTENCE_END.fullmatch(text)]
    return frozenset(marks), np.array(sorted(ends), dtype=np.int64)


def _pad(features: npt.NDArray[np.float32], frames: int) -> npt.NDArray[np.float32]:
    cut = features[:, :frames]
    return np.pad(cut, ((0, 0), (0, frames - cut.shape[1])))


def _later(part: Recognition, samples: int) -> Recognition:
    shift = samples / RATE
    words = tuple(replace(word, start=word.start + shift, end=word.end + shift) for word in part.words)
    return replace(part, words=words)


def _join(parts: list[tuple[int, Recognition]]) -> Recognition:
    spoken = [(length, part) for length, part in parts if part.text] or parts
    total = sum(length for length, _ in spoken)
    language = spoken[0][1].language
    separator = "" if language in {"zh", "ja", "th", "yue"} else " "
    return Recognition(
        text=separator.join(part.text for _, part in spoken),
        words=tuple(word for _, part in spoken for word in part.words),
        average_log_probability=sum(length * part.average_log_probability for length, part in spoken) / total,
        no_speech_probability=min(part.no_speech_probability for _, part in spoken),
        language=language,
        closing=spoken[-1][1].closing,
        doubtful=any(part.doubtful for _, part in parts),
        language_probability=spoken[0][1].language_probability,
    )
