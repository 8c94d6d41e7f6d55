import numpy as np

from agent.lab.measuring.turn_cuts import Turn, cuts_of
from models.contracts import Recognition, RecognitionHints, Samples, Word
from models.recognizer import NO_HINTS
from models.training.turn_cuts import RATE, SILENCE_MS

TAIL = RATE * SILENCE_MS // 1000


class Ear:
    """Hears a word in each second, and says how many seconds it was given."""

    def recognize(self, samples: Samples, hints: RecognitionHints = NO_HINTS) -> Recognition:
        count = round(len(samples) / 16_000)
        words = tuple(Word(f"w{n}", n + 0.05, n + 0.85, 1.0) for n in range(count))
        return Recognition(" ".join(word.text for word in words), words, -0.2, closing=float(count))


def line(words: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """`words` loud pieces of 0.8 s, 0.2 s apart."""
    tone = (8000 * np.sin(np.arange(int(0.8 * RATE)) * 0.4)).astype(np.int16)
    return np.concatenate([np.concatenate([tone, np.zeros(int(0.2 * RATE), np.int16)]) for _ in range(words)])


def test_a_turn_is_kept_whole_and_cut_between_words() -> None:
    whole, *cuts = cuts_of(Turn("here", "one", "w0 w1 w2 w3", line(4)), Ear(), np.random.default_rng(0), every=True)
    assert (whole.whole, whole.text, whole.closing) == (True, "w0 w1 w2 w3", 4.0)
    assert [cut.chosen for cut in cuts] == ["quietest", "any", "any"]
    assert sorted(cut.text for cut in cuts) == ["w0", "w0 w1", "w0 w1 w2"]
    assert not any(cut.whole for cut in cuts)


def test_every_cut_ends_with_the_silence_that_has_passed() -> None:
    for cut in cuts_of(Turn("here", "one", "", line(3)), Ear(), np.random.default_rng(0), every=False):
        assert not cut.samples[-TAIL:].any()
        assert cut.samples[-TAIL - RATE // 20 : -TAIL].any()


def test_a_known_gap_is_the_only_one() -> None:
    turn = Turn("digits", "one", "1 2 3", line(3), "order_number", gap=RATE)
    whole, cut = cuts_of(turn, Ear(), np.random.default_rng(0), every=True)
    assert (cut.text, cut.asked, whole.asked) == ("w0", "order_number", "order_number")


def test_a_turn_too_short_to_be_speech_is_left_out() -> None:
    assert list(cuts_of(Turn("here", "one", "", line(1)[:800]), Ear(), np.random.default_rng(0), every=True)) == []
