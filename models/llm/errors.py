"""What can go wrong while a language model answers."""

from __future__ import annotations

from typing import Literal

from models.errors import ModelError

Code = Literal[
    "unreachable",
    "connect",
    "first_token",
    "stalled",
    "total",
    "busy",
    "resting",
    "refused",
    "status",
    "bad_response",
    "too_large",
    "cut_off",
    "failed",
]
"""unreachable: no connection. connect, first_token, stalled, total: the deadline that passed. busy: 429, or too many
answers at once here. resting: it failed repeatedly and is left alone for a while. refused: 401, 403 or a redirect.
status: another HTTP status. bad_response: not the protocol. too_large: more than the limit. cut_off: the stream ended
in the middle. failed: the model broke, here or there."""


class LanguageModelError(ModelError):
    """No answer, or no more of it. `code` is for counting; `after_ms` is how long the server asks to be left alone."""

    def __init__(self, code: Code, detail: str, after_ms: float = 0.0) -> None:
        self.code: Code = code
        self.after_ms = after_ms
        super().__init__(detail)
