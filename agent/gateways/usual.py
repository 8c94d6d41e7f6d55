"""The media message that one vendor sends over and over, read without parsing its JSON.

The media messages of a stream are alike but for their counters and their audio. One that was parsed shows the text
around those, and a message that is that text again, with counters and base64 in the same places, means the same but for
them. Any other message is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_DIGITS, _NUMBER, _BASE64 = "([0-9]{1,18})", "(0|[1-9][0-9]{0,17})", "([A-Za-z0-9+/]+={0,2})"
_ABSENT = "((?!))?"
_LESSONS = 3
"""Messages that are learnt from; a vendor who changes more than counters and audio is parsed."""


class UsualMessage:
    """What the media messages of one stream look like."""

    def __init__(self) -> None:
        self._lessons = _LESSONS
        self._pattern: re.Pattern[str] | None = None
        self._groups: tuple[int, ...] = ()

    def learn(self, message: str, payload: tuple[str, str], counters: Mapping[str, int | None]) -> None:
        """Learn from a JSON message with audio: the names and values of its fields, which `read` gives in this order.

        Nothing is learnt where a name comes more than once, or the text has anything that is not said here.
        """
        if self._lessons == 0:
            return
        self._lessons -= 1
        if not message.isascii() or "\\" in message:
            return
        found = [_place(message, *payload, _BASE64)]
        for name, value in counters.items():
            if value is not None:
                found.append(_place(message, name, str(value), _DIGITS) or _place(message, name, str(value), _NUMBER))
            elif f'"{name}"' in message:
                return
            else:
                found.append((len(message), len(message), _ABSENT))
        places = [place for place in found if place is not None]
        if len(places) < len(found):
            return
        order = sorted(range(len(places)), key=lambda n: places[n][:2])
        text, at = "", 0
        for n in order:
            start, end, pattern = places[n]
            text, at = text + re.escape(message[at:start]) + pattern, end
        self._pattern = re.compile(text + re.escape(message[at:]))
        self._groups = tuple(order.index(n) + 1 for n in range(len(order)))

    def read(self, message: str) -> tuple[str | None, ...] | None:
        """The values of the payload and of each counter, as text; None where this is not the usual message."""
        match = self._pattern.fullmatch(message) if self._pattern is not None else None
        return None if match is None else match.group(*self._groups)


def _place(message: str, name: str, value: str, pattern: str) -> tuple[int, int, str] | None:
    """Where the value of the only field of this name stands, and how it may change; None where it is not so clear."""
    mark = "" if pattern == _NUMBER else '"'
    match = re.search(rf'"{re.escape(name)}"\s*:\s*{mark}{pattern}{mark}\s*[,}}]', message)
    if match is None or message.count(f'"{name}"') > 1 or match[1].lstrip("0") != value.lstrip("0"):
        return None
    return (*match.span(1), pattern)
