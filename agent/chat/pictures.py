"""Pictures that callers send: checked, decoded within limits, written anew without anything but their pixels."""

from __future__ import annotations

import importlib.util
import io
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from agent.chat.fields import Field, Line
from agent.chat.headers import PictureError, header_of

LONGEST_SIDE = 2000
"""Pixels to which a larger picture is brought down: the reader does so anyway, and a human needs no more."""
QUALITY = 88
"""Of the JPEG that is written."""
SMALLEST_SIDE = 16
"""Pixels below which there is nothing to see."""


def available() -> bool:
    """Whether what reads pictures is installed (the extra `pictures`)."""
    return all(importlib.util.find_spec(name) is not None for name in ("PIL", "rapidocr"))


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it was written anew: a JPEG without metadata, upright, on white where it was transparent."""

    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class PictureRead:
    """What was read off a picture.

    fields: values that were found, the surest of each name. lines: all text, private numbers taken out. description:
    what a vision model says is to be seen, where it was asked; never to be believed as a fact. delivered: names of the
    fields that went to the dialogue.
    """

    picture_id: str
    width: int
    height: int
    fields: tuple[Field, ...] = ()
    lines: tuple[Line, ...] = ()
    description: str | None = None
    delivered: tuple[str, ...] = ()


def check(data: bytes, megapixels: float) -> None:
    """Refuse what must not be decoded.

    Raises:
        PictureError: unknown_format, damaged, moving, too_many_pixels or too_small.
    """
    header = header_of(data)
    if header.width * header.height > megapixels * 1e6:
        raise PictureError(
            "too_many_pixels",
            f"the picture has {header.width} x {header.height} pixels; send at most {megapixels:g} million",
        )
    if min(header.width, header.height) < SMALLEST_SIDE:
        raise PictureError(
            "too_small", f"the picture has {header.width} x {header.height} pixels; send one that can be read"
        )


def clean(data: bytes, megapixels: float) -> Picture:
    """Check a picture, decode it and write it anew: nothing of the file itself is kept, no metadata, no profile.

    Blocking; runs on the pool.

    Raises:
        PictureError: see `check`; or damaged.
    """
    check(data, megapixels)
    header = header_of(data)
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=(header.format,)) as opened:
            if opened.size != (header.width, header.height) or getattr(opened, "n_frames", 1) != 1:
                raise PictureError("damaged", "the picture is damaged; take or save it again")
            opened.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))  # a large JPEG is decoded smaller
            opened.load()
            upright = ImageOps.exif_transpose(opened)
        upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        if upright.mode.startswith("I") or upright.mode == "F":  # 16 bits a pixel
            upright = upright.convert("I").point(lambda value: value / 256).convert("L")
        flat = Image.new("RGB", upright.size, "white")
        whole = upright.convert("RGBA")
        flat.paste(whole, mask=whole.getchannel("A"))
        written = io.BytesIO()
        flat.save(written, "JPEG", quality=QUALITY)
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureError("too_many_pixels", "the picture is too large; send a smaller one") from error
    except Exception as error:  # a decoder may raise anything on a file that was made to break it
        raise PictureError("damaged", "the picture is damaged; take or save it again") from error
    return Picture(written.getvalue(), flat.width, flat.height)


class Shelf:
    """The last pictures, in memory only, for the human who takes the call: `most` of them and `most_bytes` in all, the
    oldest dropped first, and each after `keep_ms`. Nothing is written to disk."""

    def __init__(
        self,
        now_ms: Callable[[], float],
        most: int = 64,
        most_bytes: int = 48_000_000,
        keep_ms: float = 3_600_000.0,
    ) -> None:
        self._now_ms, self._keep_ms = now_ms, keep_ms
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[str, tuple[str, float, bytes]] = OrderedDict()
        self._bytes = 0

    def put(self, picture_id: str, call_id: str, jpeg: bytes) -> None:
        """Keep a picture of a call."""
        self._kept[picture_id] = (call_id, self._now_ms(), jpeg)
        self._bytes += len(jpeg)
        self._trim()

    def get(self, call_id: str, picture_id: str) -> bytes | None:
        """A picture of a call as JPEG; None where it was dropped, or never was."""
        self._trim()
        found = self._kept.get(picture_id)
        return found[2] if found is not None and found[0] == call_id else None

    def of_call(self, call_id: str) -> tuple[str, ...]:
        """Ids of a call's pictures, oldest first."""
        self._trim()
        return tuple(name for name, (call, _, _) in self._kept.items() if call == call_id)

    def _trim(self) -> None:
        oldest_ms = self._now_ms() - self._keep_ms
        while self._kept:
            _, at_ms, jpeg = next(iter(self._kept.values()))
            if len(self._kept) <= self._most and self._bytes <= self._most_bytes and at_ms >= oldest_ms:
                return
            self._kept.popitem(last=False)
            self._bytes -= len(jpeg)
