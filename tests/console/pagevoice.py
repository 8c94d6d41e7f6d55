"""A voice for a browser's fake microphone, and where that browser is."""

from __future__ import annotations

import shutil
import wave
from pathlib import Path

import numpy as np

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def speech(path: Path) -> Path:
    """Two seconds that sound like a voice to a browser's noise suppression: harmonics in syllables."""
    at = np.arange(96_000) / 48_000
    pitch = 140 + 30 * np.sin(2 * np.pi * 0.7 * at)
    phase = 2 * np.pi * np.cumsum(pitch) / 48_000
    voice = sum(np.sin(n * phase) / n for n in range(1, 14)) * np.clip(np.sin(2 * np.pi * 3.5 * at), 0, 1)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes((voice / np.abs(voice).max() * 20_000).astype("<i2").tobytes())
    return path


def browser_options(folder: Path, voice: Path | None = None) -> dict[str, object]:
    """How to launch it: with a voice at its microphone, which is repeated, and sound without a click first.

    `voice`: a WAV file; without one the sound of `speech`, kept in `folder`.
    """
    return {
        "executable_path": CHROMIUM,
        "args": [
            "--no-sandbox",
            "--use-fake-device-for-media-stream",
            "--autoplay-policy=no-user-gesture-required",
            f"--use-file-for-fake-audio-capture={voice or speech(folder / 'voice.wav')}",
        ],
    }
