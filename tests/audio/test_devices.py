from __future__ import annotations

import builtins
import sys
from typing import Any

import numpy as np
import pytest

from audio import devices
from audio.devices import DeviceError, Duplex, list_devices, looks_like_speaker


def exchange(duplex: Duplex, value: int = 0) -> list[int]:
    """One call of PortAudio: a microphone piece of `value`, and what the loudspeaker got."""
    played = np.full((duplex.frame, 1), 99, dtype=np.int16)
    duplex.exchange(np.full((duplex.frame, 1), value, dtype=np.int16), played, duplex.frame, None, None)
    return played[:, 0].tolist()


def samples(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int16)


@pytest.fixture
def duplex() -> Duplex:
    return Duplex(rate=1000, frame_ms=4)


def test_the_microphone_is_read_in_order(duplex: Duplex) -> None:
    exchange(duplex, 1)
    exchange(duplex, 2)
    first, second = duplex.read(0), duplex.read(0)
    assert first is not None
    assert second is not None
    assert (first.tolist(), second.tolist()) == ([1] * 4, [2] * 4)
    assert duplex.read(0) is None


def test_a_late_reader_loses_the_oldest(duplex: Duplex) -> None:
    pieces = int(devices.MICROPHONE_SECONDS * 1000) // 4
    for value in range(pieces + 3):
        exchange(duplex, value)
    assert duplex.microphone_drops == 3
    first = duplex.read(0)
    assert first is not None
    assert first[0] == 3


def test_the_loudspeaker_plays_across_pieces_then_silence(duplex: Duplex) -> None:
    assert duplex.write(samples(1, 2, 3)) == 3
    assert duplex.write(samples(4, 5, 6)) == 6
    assert exchange(duplex) == [1, 2, 3, 4]
    assert duplex.played == 4
    assert exchange(duplex) == [5, 6, 0, 0]
    assert duplex.played == 6
    assert exchange(duplex) == [0, 0, 0, 0]
    assert duplex.played == 6


def test_clear_drops_what_has_not_sounded(duplex: Duplex) -> None:
    duplex.write(samples(1, 2, 3, 4, 5, 6))
    exchange(duplex)
    duplex.clear()
    assert duplex.played == 4
    assert exchange(duplex) == [0, 0, 0, 0]
    assert duplex.write(samples(7)) == 5
    assert exchange(duplex) == [7, 0, 0, 0]
    assert duplex.played == 5


def test_the_loudspeaker_queue_is_bounded(duplex: Duplex) -> None:
    room = int(devices.SPEAKER_SECONDS * 1000)
    assert duplex.write(np.ones(room - 1, dtype=np.int16)) == room - 1
    assert duplex.write(samples(1, 2, 3)) == room
    assert duplex.speaker_drops == 2
    assert duplex.write(samples(1)) == room


@pytest.mark.parametrize("name", ["Built-in Speakers", "HDMI 0", "default", "Monitor of Living Room"])
def test_loudspeakers_are_suspected(name: str) -> None:
    assert looks_like_speaker(name)


@pytest.mark.parametrize(
    "name", ["USB Headset", "Headphones (3.5 mm)", "Ann's AirPods", "Earbuds", "Jabra Evolve", "WH-1 Hands-Free HFP"]
)
def test_headsets_are_not(name: str) -> None:
    assert not looks_like_speaker(name)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ImportError("No module named 'sounddevice'"), r"pip install .*\[mic\]"),
        (OSError("PortAudio library not found"), "PortAudio library not found; install PortAudio.*--wav"),
    ],
)
def test_a_missing_part_names_the_remedy(error: Exception, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "sounddevice":
            raise error
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DeviceError, match=remedy):
        list_devices()
    with pytest.raises(DeviceError, match=remedy):
        Duplex(16000).open()
