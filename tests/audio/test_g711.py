from __future__ import annotations

import hashlib

import numpy as np
import pytest

from audio import g711

EVERY_SAMPLE = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)
EVERY_BYTE = bytes(range(256))

# SHA-256 of what CPython 3.11's audioop (Sun's reference code) makes of EVERY_SAMPLE and EVERY_BYTE.
AUDIOOP = {
    "encode_mulaw": "81d633c9e6972a18c74a58720b96cb8ca0bdd096d4060b646dd708c3b846019a",
    "encode_alaw": "38488f6fd710f4686360edc4d38639f96c491595ef93f8eb8d62d5e07ca6ce7b",
    "decode_mulaw": "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827",
    "decode_alaw": "e04788d110e58ff8c70c93b8480190d973e3b67876b6119abbaec766cc75c174",
}


@pytest.mark.parametrize("name", ["encode_mulaw", "encode_alaw"])
def test_encoding_of_every_sample_is_bit_exact(name: str) -> None:
    assert hashlib.sha256(getattr(g711, name)(EVERY_SAMPLE)).hexdigest() == AUDIOOP[name]


@pytest.mark.parametrize("name", ["decode_mulaw", "decode_alaw"])
def test_decoding_of_every_byte_is_bit_exact(name: str) -> None:
    samples = getattr(g711, name)(EVERY_BYTE).astype("<i2").tobytes()
    assert hashlib.sha256(samples).hexdigest() == AUDIOOP[name]


def test_values_of_the_recommendation() -> None:
    # G.711 tables 1 and 2: silence, the extremes of each law, and the smallest steps, in 16-bit scale.
    assert g711.encode_mulaw(np.array([0, 32767, -32768], dtype=np.int16)) == b"\xff\x80\x00"
    assert g711.encode_alaw(np.array([0, 32767, -32768], dtype=np.int16)) == b"\xd5\xaa\x2a"
    assert g711.decode_mulaw(b"\xff\x7f\x80\x00").tolist() == [0, 0, 32124, -32124]
    assert g711.decode_alaw(b"\xd5\x55\xaa\x2a").tolist() == [8, -8, 32256, -32256]


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
def test_decoding_then_encoding_gives_the_bytes_back(law: str) -> None:
    again = getattr(g711, f"encode_{law}")(getattr(g711, f"decode_{law}")(EVERY_BYTE))
    expected = EVERY_BYTE.replace(b"\x7f", b"\xff") if law == "mulaw" else EVERY_BYTE  # mu-law has two zeros
    assert again == expected


def test_strided_samples_and_empty_input() -> None:
    assert g711.encode_mulaw(EVERY_SAMPLE[::2]) == g711.encode_mulaw(EVERY_SAMPLE)[::2]
    assert g711.encode_alaw(np.zeros(0, dtype=np.int16)) == b""
    assert len(g711.decode_mulaw(b"")) == 0


def test_other_sample_types_are_refused() -> None:
    with pytest.raises(TypeError, match=r"int16.*float32.*to_pcm16"):
        g711.encode_mulaw(np.zeros(3, dtype=np.float32))  # type: ignore[arg-type]
