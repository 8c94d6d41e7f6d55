"""Text in pictures, by RapidOCR (PP-OCR models that come in its package, Apache-2.0); nothing is downloaded."""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np

from agent.chat.fields import Line

MOST_LINES, MOST_CHARACTERS = 200, 200
"""Lines of a picture that are kept, in reading order, and characters of a line."""
MOST_TILT = 0.35
"""Radians (20 degrees) of tilt that are taken for a hand that held the telephone askew."""


class Reader:
    """Reads lines of text, English and Chinese. Loaded with the first picture; one picture at a time, one thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: Any = None

    def read(self, jpeg: bytes) -> tuple[Line, ...]:
        """The lines of a picture in reading order. Blocking, about 1 s for a receipt; runs on the pool."""
        from PIL import Image

        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as opened:
            pixels = np.asarray(opened.convert("RGB"))[:, :, ::-1]  # it was trained on BGR
        with self._lock:
            if self._engine is None:
                self._engine = _engine()
            found = self._engine(pixels)
        if found.txts is None or found.boxes is None or found.scores is None:
            return ()
        lines = [
            Line(text[:MOST_CHARACTERS], round(float(score), 3), box)
            for text, score, box in zip(found.txts, found.scores, levelled(np.asarray(found.boxes)), strict=True)
        ]
        return tuple(lines[:MOST_LINES])


def _engine() -> Any:
    from rapidocr import RapidOCR

    one = {f"EngineConfig.onnxruntime.{name}_op_num_threads": 1 for name in ("intra", "inter")}
    return RapidOCR(params={"Global.log_level": "critical", **one})


def levelled(corners: np.ndarray[Any, Any]) -> list[tuple[float, float, float, float]]:
    """Boxes of lines given by four corners each, clockwise from the top left, as if the picture were held straight.

    The tilt is the median of that of lines more than twice as long as high.
    """
    along = corners[:, 1] - corners[:, 0]
    high = np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1)
    long = np.linalg.norm(along, axis=1) > 2 * high
    tilt = float(np.median(np.arctan2(along[long, 1], along[long, 0]))) if long.any() else 0.0
    if abs(tilt) > MOST_TILT:
        tilt = 0.0
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    straight = corners @ turn
    low, top = straight.min(axis=1), straight.max(axis=1)
    return [
        (float(left), float(upper), float(right), float(lower))
        for (left, upper), (right, lower) in zip(low, top, strict=True)
    ]
