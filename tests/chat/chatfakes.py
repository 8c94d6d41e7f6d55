"""Pictures, the text in them, and a reader that needs no model."""

import io

import pytest

from agent.chat.fields import Line

RECEIPT = (
    ("NORTHWIND OUTFITTERS", 1.0, 60, 60),
    ("Order No: 42719", 0.99, 60, 140),
    ("Date: 2026-11-03", 0.98, 60, 220),
    ("Subtotal", 0.99, 60, 300),
    ("189.00", 0.99, 600, 300),
    ("TOTAL", 0.99, 60, 380),
    ("$203.18", 0.97, 600, 380),
)


def lines(*rows) -> tuple[Line, ...]:
    """Lines by text, confidence, left and top; letters are 34 high and 18 wide."""
    return tuple(
        Line(text, sure, (float(left), float(top), left + 18.0 * len(text), top + 34.0))
        for text, sure, left, top in rows
    )


class ScriptedReader:
    """Reads what it was given off any picture."""

    def __init__(self, found=()) -> None:
        self.found = found
        self.read_bytes: list[bytes] = []

    def read(self, jpeg: bytes):
        self.read_bytes.append(jpeg)
        return self.found


def picture(kind: str = "PNG", size=(320, 240), **saving) -> bytes:
    """A small real picture."""
    image = pytest.importorskip("PIL.Image").new("RGB", size, "white")
    written = io.BytesIO()
    image.save(written, kind, **saving)
    return written.getvalue()
