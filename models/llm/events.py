"""Server-sent events, as bytes come in: the part of the WHATWG standard (HTML, 9.2) that language models use."""

from __future__ import annotations

import codecs

from models.llm.errors import LanguageModelError


class EventReader:
    """Turns pieces of a `text/event-stream` into the `data` of its events; nothing else of an event is kept.

    most_bytes: of the whole stream.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = self._most = most_bytes
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._line = ""
        self._data: list[str] = []
        self._after_return = False

    def feed(self, piece: bytes) -> list[str]:
        """The data of events that `piece` completes.

        Raises:
            LanguageModelError: `too_large`.
        """
        self._left -= len(piece)
        if self._left < 0:
            raise LanguageModelError(
                "too_large", f"the model's server sent more than {self._most} bytes; raise llm.max_response_kb"
            )
        return self._take(self._decode(piece))

    def end(self) -> list[str]:
        """The data of an event that the end of the stream completes; the standard drops it, servers rely on it."""
        return self._take(self._decode(b"", True) + "\n\n")

    def _take(self, text: str) -> list[str]:
        if not text:
            return []
        ends_with_return = text.endswith("\r")
        if self._after_return:  # the other half of a line's end that a piece was cut in
            text = text.removeprefix("\n")
        self._after_return = ends_with_return
        *lines, self._line = (self._line + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return [data for line in lines if (data := self._event(line)) is not None]

    def _event(self, line: str) -> str | None:
        """The data of the event that ends with `line`; None where none ends."""
        if not line:
            data, self._data = self._data, []
            return "\n".join(data) if data else None
        field, _, value = line.partition(":")
        if field == "data":
            self._data.append(value.removeprefix(" "))
        return None
