"""The microphone keeps in step with the line, on a device driven by hand."""

import numpy as np

from agent.lab.microphone import Microphone
from audio.devices import Duplex

RATE = 16_000
FRAME = 320


def exchange(device: Duplex, value: int) -> np.ndarray:
    heard = np.full((FRAME, 1), value, dtype=np.int16)
    played = np.zeros((FRAME, 1), dtype=np.int16)
    device.exchange(heard, played, FRAME, None, None)
    return played[:, 0]


def test_what_was_spoken_comes_in_order_and_silence_where_nothing_is_there_yet():
    device = Duplex(RATE)
    phone = Microphone(device)
    exchange(device, 1)
    exchange(device, 2)
    assert [int(phone.take(FRAME)[0]) for _ in range(3)] == [1, 2, 0]
    assert all(len(phone.take(FRAME)) == FRAME for _ in range(3))


def test_a_reader_that_was_late_loses_the_oldest_and_not_the_newest():
    device = Duplex(RATE)
    phone = Microphone(device)
    for value in range(1, 31):
        exchange(device, value)
    taken = [int(phone.take(FRAME)[0]) for _ in range(13)]
    assert taken == [*range(19, 31), 0]


def test_what_is_heard_sounds_after_a_short_lead():
    device = Duplex(RATE)
    phone = Microphone(device)
    phone.give(np.full(FRAME, 7, dtype=np.int16))
    played = np.concatenate([exchange(device, 0) for _ in range(5)])
    assert np.flatnonzero(played).tolist() == list(range(3 * FRAME, 4 * FRAME))
