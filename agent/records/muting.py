"""Where private words are in a recording, and recordings without them.

What redaction takes out of a text is silenced in the sound, in both channels: each side may be heard on the other's.
Where it is not known which words of a turn were private, the whole turn is silent.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.records.redaction import redact
from models.contracts import Word

PAD_MS = 200.0
"""Silenced after a private word: a recognizer's times are that uncertain."""
LEAD_MS = 400.0
"""Silenced before one: where a word begins is told late rather than early."""
BEFORE_MS = 500.0
"""Silenced before a turn that is silenced whole: its beginning is noticed late."""
KEY_MS = 400.0
"""Silenced around a key: its tone may be in the audio, and tones can be turned back into digits."""
SECRET = frozenset({"card", "withheld"})
"""Kinds that are not even written to disk."""
CHUNK = 64 * 1024
HEADER = 44
"""Bytes before the samples in recordings of ours."""
FRAME = 4
"""Bytes of one sample of both channels."""
REASON = "private"
"""The key in a turn's `reasons` that holds its spans."""

LONG_NUMBER = 12
"""Digits from which a number that is none of the kinds known counts as a card's that was misheard."""
_LIKE_DIGITS = frozenset("for to too oh o won ate tree sex nein".split())
"""Words that a digit is taken for; beside a private number they go with it."""
_PLACEHOLDER = re.compile(r"\[(card|email|phone|digits|name|address|withheld|keys?|\d+ keys?)\]")
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a recording that is not to be heard, in ms from the start of the call. kind: what was said there."""

    from_ms: float
    to_ms: float
    kind: str

    def plain(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"from_ms": round(self.from_ms, 1), "to_ms": round(self.to_ms, 1), "kind": self.kind}


def private_spans(
    text: str,
    words: Sequence[Word],
    first_ms: float,
    ended_ms: float,
    redactor: Callable[[str], str] = redact,
) -> tuple[Span, ...]:
    """The stretches of a recognized `text` that redaction takes out.

    Args:
        words: the recognized words, their times in seconds from the first sample of the turn; may be empty.
        first_ms, ended_ms: when that sample and the end of the turn were, in ms from the start of the call.
    """
    ranges = [(start, stop, _likelier(kind, text[start:stop])) for start, stop, kind in private_ranges(text, redactor)]
    if not ranges:
        return ()
    places = _places(text, words)
    spans: list[Span] = []
    for start, stop, kind in ranges:
        inside = [index for index, (begin, end) in enumerate(places) if begin < stop and end > start]
        if not inside or not _sound(words[inside[0] : inside[-1] + 1]):
            return (_whole(first_ms, ended_ms, _worst(kind for _, _, kind in ranges)),)
        first, last = inside[0], inside[-1]
        while first > 0 and _like_digit(words[first - 1]):
            first -= 1
        while last + 1 < len(words) and _like_digit(words[last + 1]):
            last += 1
        # The silence between words goes too: a word's time is surest where the next one's begins.
        after = words[last + 1].start if last + 1 < len(words) else (ended_ms - first_ms) / 1000.0
        from_s = min(words[first].start, words[first - 1].end if first else 0.0)
        to_s = max(words[last].end, after)
        spans.append(Span(max(0.0, first_ms + from_s * 1000 - LEAD_MS), first_ms + to_s * 1000 + PAD_MS, kind))
    return merged(spans)


def private_ranges(text: str, redactor: Callable[[str], str] = redact) -> tuple[tuple[int, int, str], ...]:
    """What `redactor` replaces in `text`: [start, stop) in characters and the kind, as `card`.

    Neighbours with nothing but marks between them are one. Where the two texts cannot be brought together, all of it.
    """
    redacted = redactor(text)
    if redacted == text:
        return ()
    kinds = [match[1] for match in _PLACEHOLDER.finditer(redacted)]
    kept = _PLACEHOLDER.split(redacted)[::2]
    everything = ((0, len(text), _worst(kinds)),)
    if not kinds or not text.startswith(kept[0]) or not text.endswith(kept[-1]):
        return everything
    found: list[tuple[int, int, str]] = []
    at = len(kept[0])
    for number, kind in enumerate(kinds):
        after = kept[number + 1]
        last = number == len(kinds) - 1
        stop = len(text) - len(after) if last else text.find(after, at + 1) if after else at + 1
        if stop <= at:
            return everything
        if found and not re.search(r"\w", text[found[-1][1] : at]):
            begin, _, before = found.pop()
            found.append((begin, stop, _worst((before, kind))))
        else:
            found.append((at, stop, kind))
        at = stop + len(after)
    return tuple(found)


def spans_of_call(
    turns: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]] = (), duration_ms: float | None = None
) -> tuple[Span, ...]:
    """What is not to be heard of a call, from its rows as `agent.records.queries.load_call` gives them.

    A turn says so in its reasons (`REASON`); one recorded without, whose text has a placeholder, is silent as a whole.
    Keys are silent, and so is what was muted or not recorded in the first place.
    """
    spans: list[Span] = []
    for turn in turns:
        known = spans_from((turn.get("reasons") or {}).get(REASON))
        spans += known
        said = " ".join(str(turn.get(name) or "") for name in ("text", "heard"))
        if not known and (kinds := [match[1] for match in _PLACEHOLDER.finditer(said)]):
            spans.append(_whole(float(turn["started_ms"]), float(turn["ended_ms"]), _worst(kinds)))
    paused: float | None = None
    latest = 0.0
    for event in events:
        kind, at, data = str(event["kind"]), float(event["at_ms"]), event.get("data")
        latest = max(latest, at)
        if kind == "key" or kind.startswith("dtmf"):
            spans.append(Span(max(0.0, at - KEY_MS), at + KEY_MS, "key"))
        elif kind == "muted":
            spans += spans_from([data])
        elif kind == "recording_paused":
            paused = at if paused is None else paused
        elif kind == "recording_resumed" and paused is not None:
            spans.append(Span(paused, at, "paused"))
            paused = None
    if paused is not None:
        spans.append(Span(paused, max(duration_ms or 0.0, latest, paused), "paused"))
    return merged(spans)


def spans_from(plain: Any) -> list[Span]:
    """Spans from their JSON form; what is none is left out."""
    found: list[Span] = []
    for one in plain if isinstance(plain, list) else []:
        if not isinstance(one, Mapping):
            continue
        begin, end = one.get("from_ms"), one.get("to_ms")
        if isinstance(begin, int | float) and isinstance(end, int | float) and 0 <= begin < end < math.inf:
            found.append(Span(float(begin), float(end), str(one.get("kind", ""))))
    return found


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The spans in order, those that touch as one."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.from_ms, one.to_ms)):
        if found and span.from_ms <= found[-1].to_ms:
            last = found[-1]
            found[-1] = Span(last.from_ms, max(last.to_ms, span.to_ms), _worst((last.kind, span.kind)))
        else:
            found.append(span)
    return tuple(found)


class MutedWav:
    """A recording of ours as it may be heard: the file's bytes with silence in the spans. Blocks on the disk.

    A recording that still goes on is as long as it was when this was made.
    """

    def __init__(self, path: Path, spans: Sequence[Span] = ()) -> None:
        """Look at the file.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no recording of ours: 16-bit stereo with a plain header.
        """
        self.path = path
        with path.open("rb") as file:
            head = file.read(HEADER)
            length = file.seek(0, 2)
        fields = _HEADER.unpack(head) if len(head) == HEADER else ()
        good = fields and (fields[0], fields[2], fields[3], fields[11]) == (b"RIFF", b"WAVE", b"fmt ", b"data")
        if not good or (fields[5], fields[6], fields[10]) != (1, 2, 16) or fields[7] < 1:
            raise ValueError(f"{path.name} is no recording of this agent: 16-bit stereo WAV; play it by other means")
        self.rate = int(fields[7])
        self.frames = (length - HEADER) // FRAME
        self.size = HEADER + self.frames * FRAME
        self._head = _HEADER.pack(*fields[:1], self.size - 8, *fields[2:12], self.frames * FRAME)
        self._ranges = [_bytes(span, self.rate) for span in merged(spans)]

    @property
    def duration_ms(self) -> float:
        """Length of the recording."""
        return self.frames * 1000.0 / self.rate

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of the muted file; fewer at its end.

        Raises:
            OSError: the file cannot be read, or has become shorter.
        """
        start, stop = max(0, start), min(stop, self.size)
        if start >= stop:
            return b""
        with self.path.open("rb") as file:
            file.seek(start)
            piece = bytearray(file.read(stop - start))
        if len(piece) != stop - start:
            raise OSError(f"{self.path.name} has become shorter while it was read")
        if start < HEADER:
            piece[: HEADER - start] = self._head[start : min(stop, HEADER)]
        for begin, end in self._ranges:
            begin, end = max(begin, start), min(end, stop)
            if begin < end:
                piece[begin - start : end - start] = bytes(end - begin)
        return bytes(piece)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes [start, stop) in pieces, never the whole file in memory."""
        stop = self.size if stop is None else min(stop, self.size)
        while start < stop:
            yield self.read(start, min(stop, start + CHUNK))
            start += CHUNK


def silence_file(path: Path, spans: Sequence[Span]) -> int:
    """Overwrite the spans in the file itself with silence, for good; returns how many ms it made silent.

    Raises:
        OSError, ValueError: as `MutedWav`.
    """
    wav = MutedWav(path)
    silenced = 0
    with path.open("r+b", buffering=0) as file:
        for span in merged(spans):
            start, stop = (min(at, wav.size) for at in _bytes(span, wav.rate))
            file.seek(start)
            rest = memoryview(bytes(stop - start))
            while rest:
                rest = rest[file.write(rest) :]
            silenced += stop - start
    return round(silenced / FRAME * 1000 / wav.rate)


def silence_secrets(path: Path, turns: Iterable[Mapping[str, Any]]) -> int:
    """Take what must not be kept out of a finished recording, by its turns' rows; returns how many ms it made silent.

    Most of it is silent already, having been muted while it was recorded.

    Raises:
        OSError, ValueError: as `MutedWav`.
    """
    secret = [span for span in spans_of_call(turns) if span.kind in SECRET]
    return silence_file(path, secret) if secret else 0


def write_muted(path: Path, spans: Sequence[Span], target: Path) -> None:
    """Write a copy of a recording with its spans silent; whole or not at all.

    Raises:
        OSError, ValueError: as `MutedWav`.
    """
    wav = MutedWav(path, spans)
    draft = target.with_name(target.name + ".part")
    with draft.open("wb") as file:
        for chunk in wav.chunks():
            file.write(chunk)
    draft.replace(target)


def _bytes(span: Span, rate: int) -> tuple[int, int]:
    first, last = math.floor(span.from_ms * rate / 1000), math.ceil(span.to_ms * rate / 1000)
    return HEADER + max(0, first) * FRAME, HEADER + max(0, last) * FRAME


def _whole(began_ms: float, ended_ms: float, kind: str) -> Span:
    return Span(max(0.0, began_ms - BEFORE_MS), max(began_ms, ended_ms) + PAD_MS, kind)


def _worst(kinds: Iterable[str]) -> str:
    """The kind that asks for most care."""
    known = list(kinds)
    return next((kind for kind in known if kind in SECRET), known[0] if known else "digits")


def _places(text: str, words: Sequence[Word]) -> list[tuple[int, int]]:
    """Where each word is in the text; nothing where one of them is not found in its turn."""
    places: list[tuple[int, int]] = []
    at = 0
    for word in words:
        bare = word.text.strip()
        begin = text.find(bare, at) if bare else at
        if begin < 0 or re.search(r"\w", text[at:begin]):
            return []
        at = begin + len(bare)
        places.append((begin, at))
    return [] if re.search(r"\w", text[at:]) else places


def _likelier(kind: str, words: str) -> str:
    """A long number of no known kind is a card's that was misheard."""
    digits = sum(mark.isdigit() or mark in "零〇一二三四五六七八九幺两" for mark in words)
    return "card" if kind == "digits" and digits >= LONG_NUMBER else kind


def _like_digit(word: Word) -> bool:
    return word.text.strip(" .,-?!").lower() in _LIKE_DIGITS


def _sound(words: Sequence[Word]) -> bool:
    """Whether the words' times can be believed: forward, and each at least a little while."""
    times = [time for word in words for time in (word.start, word.end)]
    return all(math.isfinite(time) for time in times) and times == sorted(times) and times[-1] > times[0] >= 0
