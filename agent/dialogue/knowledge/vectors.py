"""Vectors of texts kept on disk by the texts' hashes, so that a start does not encode thousands of sections again."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.contracts import Encoder

log = logging.getLogger(__name__)

Vectors = npt.NDArray[np.float32]
_KEY = 16
"""Bytes of a text's hash; 128 bits make two texts of one hash impossible in practice."""
_AT_ONCE = 256
"""Texts encoded in one go, so that memory stays small."""


def encoded(texts: Sequence[str], encoder: Encoder, path: Path | None) -> Vectors:
    """Unit-length float32[len(texts), encoder.width], out of the file `path` as far as they are there."""
    if not texts:
        return np.zeros((0, encoder.width), np.float32)
    return encoder.encode(texts) if path is None else VectorCache(path).encode(texts, encoder)


class VectorCache:
    """Implements `Encoder.encode` for the texts of a knowledge base, out of one file and else by `encoder`.

    A file that cannot be read or written costs time, never the start.
    """

    def __init__(self, path: Path) -> None:
        """`path`: the file, `NAME.npz`; its folder is made as needed."""
        self._path = path

    def encode(self, texts: Sequence[str], encoder: Encoder) -> Vectors:
        """Unit-length float32[len(texts), encoder.width]; what is new is encoded and kept, what is gone is dropped."""
        identity = str(getattr(encoder, "identity", type(encoder).__name__))
        keys = [_hash(identity, text) for text in texts]
        known, kept = self._read(encoder.width)
        missing = [n for n, key in enumerate(keys) if key not in known]
        found = np.zeros((len(texts), encoder.width), np.float32)
        for n, key in enumerate(keys):
            if key in known:
                found[n] = kept[known[key]]
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            found[some] = encoder.encode([texts[n] for n in some])
        if missing or len(known) > len(set(keys)):
            self._write(keys, found)
        return found

    def _read(self, width: int) -> tuple[dict[bytes, int], Vectors]:
        nothing: tuple[dict[bytes, int], Vectors] = ({}, np.zeros((0, width), np.float32))
        try:
            with np.load(self._path, allow_pickle=False) as file:
                keys, vectors = file["keys"], file["vectors"]
        except FileNotFoundError:
            return nothing
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("%s cannot be read and is made again: %s", self._path, error)
            return nothing
        if keys.ndim != 2 or keys.dtype != np.uint8 or vectors.shape != (len(keys), width):
            return nothing
        return {bytes(key): n for n, key in enumerate(keys)}, vectors.astype(np.float32, copy=False)

    def _write(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        first = {key: n for n, key in reversed(list(enumerate(keys)))}
        rows = sorted(first.values())
        packed = np.frombuffer(b"".join(keys[n] for n in rows), np.uint8).reshape(-1, _KEY)
        name = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._path.parent, suffix=".part", delete=False) as file:
                name = file.name
                np.savez(file, keys=packed, vectors=vectors[rows])
            os.replace(name, self._path)
        except OSError as error:
            log.warning("%s cannot be written, so the next start encodes again: %s", self._path, error)
            if name is not None:
                Path(name).unlink(missing_ok=True)


def _hash(identity: str, text: str) -> bytes:
    return hashlib.blake2b(f"{identity}\0{text}".encode(), digest_size=_KEY).digest()
