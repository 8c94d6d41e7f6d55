"""What a gateway that speaks itself has said of our text: finds the pieces it reports in what was sent.

Reports are loose: a piece begins with a space or not, and an interruption reports only the piece it cut (Twilio, seen
in recordings of real calls) or everything from the beginning. So spaces are not compared, and a piece that fits
nowhere, such as keys that were pressed or a greeting that the vendor's script spoke, changes nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KEPT = 8
"""Replies that may wait to be spoken; of more the oldest are forgotten."""
MAX_REPLY = 100_000
"""Characters kept of one reply; hours of speech."""
_ANYWHERE = 6
"""Letters a piece must have to be looked for further on in the text than where it is due."""


@dataclass(slots=True)
class _Reply:
    text: str = ""
    heard: int = 0
    """Characters of `text` known to have been spoken."""


class Spoken:
    """The replies sent and how much of them was spoken.

    open: a reply has begun and is not complete.
    """

    def __init__(self) -> None:
        self.open = False
        self._replies: deque[_Reply] = deque(maxlen=KEPT)

    def say(self, text: str, last: bool) -> None:
        """Add to the reply that is open, or begin one; `last` completes it."""
        if not self.open:
            self._replies.append(_Reply())
        reply = self._replies[-1]
        reply.text = (reply.text + text)[:MAX_REPLY]
        self.open = not last

    def played(self, piece: str) -> str | None:
        """Note that `piece` was spoken; returns all that was spoken of its reply, None where it belongs to none."""
        reply = self._find(piece)
        return None if reply is None else reply.text[: reply.heard]

    def interrupted(self, piece: str) -> str:
        """Note that the caller interrupted after `piece`; returns all that was spoken of the reply this cut.

        The reply is over by that. What was sent after it and before the news came is kept: it may still be spoken.
        """
        while len(self._replies) > 1 and self._replies[0].heard >= len(self._replies[0].text):
            self._replies.popleft()
        reply = self._replies[0] if self._replies else None
        if reply is not None and not (_ends(reply.text[: reply.heard], piece) and _bare(piece)):
            reply = self._find(piece) or reply
        if reply is None:
            return ""
        if reply is self._replies[-1]:
            self.open = False
        self._replies.popleft()
        return reply.text[: reply.heard]

    def _find(self, piece: str) -> _Reply | None:
        """The reply in which `piece` was due or, failing that, is found; replies before it are over."""
        wanted = _bare(piece)
        if not wanted:
            return None
        places = [(reply, _after(reply.text, reply.heard, wanted)) for reply in self._replies]
        if all(end is None for _, end in places):
            # Everything from the beginning of the reply, as an interruption may report it.
            places = [(reply, _after(reply.text, 0, wanted)) for reply in self._replies]
        if all(end is None for _, end in places) and len(wanted) >= _ANYWHERE:
            places = [(reply, _within(reply.text, reply.heard, wanted)) for reply in self._replies]
        for reply, end in places:
            if end is not None:
                while self._replies[0] is not reply:
                    self._replies.popleft()
                reply.heard = max(reply.heard, end)
                return reply
        return None


def _bare(text: str) -> str:
    return "".join(text.split())


def _ends(text: str, piece: str) -> bool:
    return _bare(text).endswith(_bare(piece))


def _after(text: str, start: int, wanted: str) -> int | None:
    """Where `wanted` ends in `text` if it stands at `start`, spaces not counted."""
    found = 0
    for index in range(start, len(text)):
        if text[index].isspace():
            continue
        if text[index] != wanted[found]:
            return None
        found += 1
        if found == len(wanted):
            return index + 1
    return None


def _within(text: str, start: int, wanted: str) -> int | None:
    """Where the first `wanted` at or after `start` ends, spaces not counted."""
    places = [index for index in range(start, len(text)) if not text[index].isspace()]
    at = "".join(text[index] for index in places).find(wanted)
    return None if at < 0 else places[at + len(wanted) - 1] + 1
