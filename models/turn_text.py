"""Whether a text is all that someone wanted to say: a small network over its words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from models.errors import ModelDamaged, ModelMissing

WEIGHTS = Path(__file__).with_name("weights")
LONGEST_TOKENS = 40
"""Word pieces read, from the end: what decides is how a text ends."""
_END_MARKS = re.compile(r"[\s.?!,;:…–—-]+$")


def plain_end(text: str) -> str:
    """`text` in lower case without the marks at its end, which a recognizer writes whether or not a sentence ends."""
    return _END_MARKS.sub("", text.lower()).strip()


class TextEnd:
    """Reads how a text ends; see weights/turn.md. Stateless and safe to share between threads."""

    def __init__(self, folder: Path = WEIGHTS) -> None:
        """Load turn_text.onnx and turn_text.json from `folder`; the network runs on one thread.

        Raises:
            ModelMissing: one of them is not there.
            ModelDamaged: one of them cannot be loaded.
        """
        network, pieces = folder / "turn_text.onnx", folder / "turn_text.json"
        for path in (network, pieces):
            if not path.is_file():
                raise ModelMissing(f"no turn-end model at {path}; train it: python -m models.training.turn --data DIR")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
            self._tokenizer = Tokenizer.from_file(str(pieces))
        except Exception as error:  # onnxruntime and tokenizers raise classes of their own
            raise ModelDamaged(f"the turn-end model in {folder} cannot be loaded: {error}; train it again") from error
        self._start = self._tokenizer.token_to_id("[CLS]")

    def log_odds(self, text: str) -> float:
        """log(p / (1 - p)) that nothing follows `text`, learnt on as many cut texts as whole ones; 0 without words."""
        pieces = self._tokenizer.encode(plain_end(text)).ids[-LONGEST_TOKENS:]
        if not pieces:
            return 0.0
        numbers = np.array([[self._start, *pieces]], dtype=np.int64)
        return float(self._session.run(None, {"numbers": numbers})[0][0])
