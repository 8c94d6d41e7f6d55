"""The microphone and the loudspeaker of this machine, through PortAudio.

`sounddevice` is the optional extra `mic` and is imported only when a device is asked for.
"""

from __future__ import annotations

import queue
import re
import threading
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

_Pcm16 = npt.NDArray[np.int16]

MICROPHONE_SECONDS = 2.0
"""Unread microphone audio kept; a reader that is later than this has lost the conversation, so the oldest goes."""

SPEAKER_SECONDS = 60.0
"""Unplayed audio kept; longer than any reply. What comes on top is refused, so that what plays stays whole."""

_HEADSET = re.compile(r"head|ear|airpod|buds|hands-?free|\bhs[fp]\b|jabra|plantronics|\bpoly\b", re.IGNORECASE)


class DeviceError(Exception):
    """A sound device cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Device:
    """A sound device: its number, name, channels each way and usual rate in Hz."""

    index: int
    name: str
    inputs: int
    outputs: int
    rate: int
    default_input: bool
    default_output: bool


def list_devices() -> list[Device]:
    """Every sound device of this machine; may be empty.

    Raises:
        DeviceError: `sounddevice` or PortAudio is missing, or PortAudio failed.
    """
    sounddevice = _sounddevice()
    try:
        found = sounddevice.query_devices()
        usual_input, usual_output = sounddevice.default.device
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"PortAudio cannot list the sound devices: {error}") from error
    return [
        Device(
            index=index,
            name=str(row["name"]),
            inputs=int(row["max_input_channels"]),
            outputs=int(row["max_output_channels"]),
            rate=int(row["default_samplerate"]),
            default_input=index == usual_input,
            default_output=index == usual_output,
        )
        for index, row in enumerate(found)
    ]


def looks_like_speaker(name: str) -> bool:
    """Whether an output device is likely heard by the microphone: its name names no headset or earphones."""
    return _HEADSET.search(name) is None


class Duplex:
    """Microphone in and loudspeaker out at once, mono int16 at `rate` Hz.

    PortAudio calls from a thread of its own; every method here may be called from any other. Both queues are bounded:
    see MICROPHONE_SECONDS (drops the oldest) and SPEAKER_SECONDS (refuses the newest); drops are counted.
    """

    def __init__(self, rate: int, frame_ms: int = 20) -> None:
        """Pieces of `frame_ms` at `rate` Hz; nothing sounds until `open`."""
        self.rate = rate
        self.frame = rate * frame_ms // 1000
        self.microphone_drops = 0
        self.speaker_drops = 0
        self._heard: queue.Queue[_Pcm16] = queue.Queue(maxsize=max(1, int(MICROPHONE_SECONDS * 1000) // frame_ms))
        self._lock = threading.Lock()
        self._unplayed: deque[_Pcm16] = deque()
        self._unplayed_samples = 0
        self._accepted = 0
        self._stream: Any = None

    def open(self, input_device: int | str | None = None, output_device: int | str | None = None) -> None:
        """Start both directions; a device is a number or part of a name from `list_devices`, None the usual one.

        Raises:
            DeviceError: `sounddevice`, PortAudio or a device is missing, busy, or cannot do `rate`.
        """
        sounddevice = _sounddevice()
        try:
            self._stream = sounddevice.Stream(
                samplerate=self.rate,
                blocksize=self.frame,
                device=(input_device, output_device),
                channels=1,
                dtype="int16",
                latency="low",
                callback=self.exchange,
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            self.close()
            raise DeviceError(
                f"cannot open microphone {_called(input_device)} and loudspeaker {_called(output_device)} at "
                f"{self.rate} Hz: {error}; choose others with --list-devices, or use --wav or --text instead"
            ) from error

    def exchange(self, heard: _Pcm16, played: _Pcm16, frames: int, time: object, status: object) -> None:
        """PortAudio's callback: keep heard[frames, 1] and fill played[frames, 1]; never blocks for long."""
        piece = heard[:, 0].copy()
        while True:
            try:
                self._heard.put_nowait(piece)
                break
            except queue.Full:
                self._drop_oldest()
        at = 0
        with self._lock:
            while at < frames and self._unplayed:
                first = self._unplayed.popleft()
                count = min(len(first), frames - at)
                played[at : at + count, 0] = first[:count]
                at += count
                self._unplayed_samples -= count
                if count < len(first):
                    self._unplayed.appendleft(first[count:])
        played[at:, 0] = 0

    def _drop_oldest(self) -> None:
        try:
            self._heard.get_nowait()
        except queue.Empty:
            return
        self.microphone_drops += 1

    def read(self, timeout_s: float) -> _Pcm16 | None:
        """Wait for the next piece of the microphone, int16[frame]; None where none came in time. Blocks."""
        try:
            return self._heard.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def write(self, samples: _Pcm16) -> int:
        """Queue samples[n] for the loudspeaker; gives the position that `played` reaches once they have sounded."""
        with self._lock:
            room = int(SPEAKER_SECONDS * self.rate) - self._unplayed_samples
            taken = samples[: max(0, room)]
            self.speaker_drops += len(samples) - len(taken)
            if len(taken):
                self._unplayed.append(taken)
                self._unplayed_samples += len(taken)
                self._accepted += len(taken)
            return self._accepted

    @property
    def played(self) -> int:
        """Samples handed to the loudspeaker so far, of those written."""
        with self._lock:
            return self._accepted - self._unplayed_samples

    def clear(self) -> None:
        """Drop what has not been played; `played` does not move, and later positions go on from it."""
        with self._lock:
            self._accepted -= self._unplayed_samples
            self._unplayed.clear()
            self._unplayed_samples = 0

    def close(self) -> None:
        """Stop both directions; may be called twice."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _called(device: int | str | None) -> str:
    return "(the usual one)" if device is None else repr(device)


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise DeviceError(
            'the package "sounddevice" is not installed; install it with: pip install "callagent[mic]"'
        ) from error
    except OSError as error:
        raise DeviceError(
            f"{error}; install PortAudio, for example: apt install libportaudio2 (Debian, Ubuntu) or "
            "brew install portaudio (macOS), or use --wav or --text instead"
        ) from error
    return sounddevice
