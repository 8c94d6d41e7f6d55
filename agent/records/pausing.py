"""While card data is collected: no sound, words or digits are kept, in the recording, the record and the logs."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Protocol

from agent.records.muting import SECRET, Span
from agent.records.redaction import SHORTEST_RUN

Why = Literal["card", "secret", "person", "consent"]
"""card: a card number is asked for; secret: something else that is neither recorded nor shown; person: a human agent
asked for it; consent: the caller has not agreed to be recorded."""
WITHHELD = "[withheld]"

paused_call: ContextVar[Pausing | None] = ContextVar("paused_call", default=None)
"""The pauses of the call that the running task belongs to; set once, where the call begins."""

_DIGITS = re.compile(
    r"\d+|[零〇一二三四五六七八九幺两]+|\b(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|(?:thir|four|fif|six|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|double|triple)\b",
    re.IGNORECASE,
)


class Pausable(Protocol):
    """What a pause needs of a recording; see `agent.records.contracts.Recording`."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def mute(self, from_ms: float, to_ms: float) -> bool: ...


class Pausing:
    """The pauses of one call. Several reasons may hold at once; it goes on when the last is gone.

    Each beginning and end is an event of the record, so that a player can say why there is silence. Nothing resumes by
    itself: what was begun for a card number ends when whoever asked for it says so, or with the call.
    """

    def __init__(
        self,
        recording: Pausable | None,
        note: Callable[[str, Mapping[str, Any]], None],
        consent_covers_text: bool = False,
    ) -> None:
        """`note(kind, data)` writes an event of the record at the present time."""
        self._recording = recording
        self._note = note
        self._covers_text = consent_covers_text
        self._held: list[Why] = []
        self.late: list[Span] = []
        """Secret spans that the recording would not silence any more; `agent.records.muting.silence_file` can."""

    @property
    def why(self) -> tuple[Why, ...]:
        """What holds now, the oldest first."""
        return tuple(self._held)

    @property
    def silent(self) -> bool:
        """Whether no sound is kept."""
        return bool(self._held)

    @property
    def wordless(self) -> bool:
        """Whether no words are kept either. Missing consent to a recording need not cover them."""
        return any(why != "consent" or self._covers_text for why in self._held)

    def hold(self, why: Why) -> None:
        """Begin a pause; nothing where it holds already."""
        if why in self._held:
            return
        self._held.append(why)
        if len(self._held) == 1:
            if self._recording is not None:
                self._recording.pause()
            self._note("recording_paused", {"why": why})

    def release(self, why: Why) -> None:
        """End a pause; nothing where it does not hold."""
        if why not in self._held:
            return
        self._held.remove(why)
        if not self._held:
            if self._recording is not None:
                self._recording.resume()
            self._note("recording_resumed", {"why": why})

    @contextmanager
    def while_(self, why: Why) -> Iterator[None]:
        """Pause within a `with` block, however it is left."""
        self.hold(why)
        try:
            yield
        finally:
            self.release(why)

    def shown(self, text: str) -> str:
        """`text` as it may be recorded, shown and logged now."""
        return WITHHELD if self.wordless and text else text

    def private(self, spans: Iterable[Span]) -> None:
        """Something private was said although nobody had asked for it: secrets leave the recording at once."""
        for span in spans:
            if span.kind not in SECRET:
                continue
            self._note("muted", span.plain())
            if self._recording is not None and not self._recording.mute(span.from_ms, span.to_ms):
                self.late.append(span)


class PausedFilter(logging.Filter):
    """Takes every digit, written or spoken, out of what is logged for a call while its words are withheld.

    Redaction leaves short numbers alone, as prices and order numbers; a PIN or a card's security code is one. Attach it
    to handlers, beside `agent.records.redaction.RedactingFilter`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change `record` in place; every record passes."""
        pausing = paused_call.get()
        if pausing is None or not pausing.wordless:
            return True
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError, IndexError):
            message = str(record.msg)
        record.msg, record.args = without_digits(message), ()
        if record.exc_info and not record.exc_text and record.exc_info[0] is not None:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None
        if record.exc_text:
            record.exc_text = without_digits(record.exc_text)
        for name, extra in record.__dict__.items():
            if name not in _LOG_FIELDS and not isinstance(extra, bool) and extra is not None:
                record.__dict__[name] = without_digits(str(extra))
        return True


_LOG_FIELDS = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "call_id"}


def without_digits(text: str) -> str:
    """`text` with all numbers, written or spoken, as `#`."""
    return _DIGITS.sub("#", text)


def mask_keys(keys: str, sensitive: bool = False) -> str:
    """Keys pressed as a record shows them: `[keys 2]`; only how many where they are secret, or a long number."""
    if sensitive or sum(key.isdigit() for key in keys) >= SHORTEST_RUN:
        return f"[{len(keys)} key{'s' if len(keys) != 1 else ''}]"
    return f"[keys {keys}]"
