"""How often a proof may fail, and how secrets are compared."""

from __future__ import annotations

from conversation import ManualClock

from agent.dialogue.identity import MOST_KEYS, Attempts, same_secret
from agent.dialogue.manner import IdentitySettings

HOUR_MS = 3_600_000.0


def test_three_failures_close_a_call() -> None:
    call = Attempts(ManualClock()).for_call("+12065550103")
    for _ in range(2):
        call.failed("c-1")
        assert not call.locked("c-1")
    call.failed(None)
    assert call.locked("c-1")
    assert call.locked("c-2")
    assert call.locked()


def test_a_customer_is_closed_for_an_hour_across_calls_and_numbers() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    for n in range(5):
        assert not attempts.for_call(f"+1206555010{n}").locked("c-1")
        attempts.for_call(f"+1206555010{n}").failed("c-1")
    assert attempts.for_call(None).locked("c-1")
    assert attempts.for_call(None).locked(" C-1 ")
    assert not attempts.for_call(None).locked("c-2")
    clock.move(HOUR_MS - 1)
    assert attempts.for_call(None).locked("c-1")
    clock.move(2)
    assert not attempts.for_call(None).locked("c-1")


def test_a_number_is_closed_across_calls_but_withheld_numbers_are_not_one() -> None:
    attempts = Attempts(ManualClock(), IdentitySettings(flow="verify", most_per_caller=2))
    for n in range(2):
        attempts.for_call("+12065550103").failed(f"c-{n}")
        attempts.for_call(None).failed(f"d-{n}")
    assert attempts.for_call("+12065550103").locked("c-9")
    assert not attempts.for_call(None).locked("c-9")
    assert not attempts.for_call("+12065550199").locked("c-9")


def test_a_good_proof_clears_the_count() -> None:
    attempts = Attempts(ManualClock())
    call = attempts.for_call("+12065550103")
    for _ in range(2):
        call.failed("c-1")
    call.proved("c-1")
    again = attempts.for_call("+12065550103")
    for _ in range(2):
        again.failed("c-1")
    assert not again.locked("c-1")
    assert not call.locked("c-1")


def test_memory_is_bounded_and_the_latest_are_kept() -> None:
    attempts = Attempts(ManualClock(), IdentitySettings(flow="verify", most_per_customer=1))
    for n in range(MOST_KEYS + 10):
        attempts.add(None, f"c-{n}")
    assert len(attempts._customers) == MOST_KEYS
    assert not attempts.full(None, "c-9", 0)
    assert attempts.full(None, "c-10", 0)
    assert attempts.full(None, f"c-{MOST_KEYS + 9}", 0)


def test_secrets_are_compared_whole() -> None:
    assert same_secret("4821", "4821")
    assert same_secret(" 4 8 2 1", "4821")
    assert not same_secret("482", "4821")
    assert not same_secret("48210", "4821")
    assert not same_secret("", "4821")
    assert same_secret("密码\ud800", "密码\ud800")
