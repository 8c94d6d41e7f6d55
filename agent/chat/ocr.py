"""Text in pictures, by RapidOCR (PP-OCR models that come in its package, Apache-2.0); nothing is downloaded."""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np

from agent.chat.fields import Line

MOST_LINES, MOST_CHARACTERS = 200, 200
"""Lines of a picture that are kept, in reading order, and characters of a line."""


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
            Line(text[:MOST_CHARACTERS], round(float(score), 3), _box(corners))
            for text, score, corners in zip(found.txts, found.scores, found.boxes, strict=True)
        ]
        return tuple(lines[:MOST_LINES])


def _engine() -> Any:
    from rapidocr import RapidOCR

    one = {f"EngineConfig.onnxruntime.{name}_op_num_threads": 1 for name in ("intra", "inter")}
    return RapidOCR(params={"Global.log_level": "critical", **one})


def _box(corners: Any) -> tuple[float, float, float, float]:
    across, down = [float(x) for x, _ in corners], [float(y) for _, y in corners]
    return min(across), min(down), max(across), max(down)
