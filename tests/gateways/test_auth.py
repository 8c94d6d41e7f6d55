from __future__ import annotations

import base64
import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from agent.gateways.auth import PathTokens, TokenError, check_twilio_signature, twilio_signature

SECRET = "a secret of the tests' own"
URL = "wss://voice.example.com/twilio/media"


class HandClock:
    """Wall time moved by hand."""

    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, tzinfo=UTC)

    def now_ms(self) -> float:
        return self.time.timestamp() * 1000

    def wall(self) -> datetime:
        return self.time

    async def sleep_until(self, at_ms: float) -> None:
        raise AssertionError("tokens do not sleep")


@given(
    st.sampled_from([URL, URL + "/", "https://voice.example.com/twilio/voice?a=1"]),
    st.dictionaries(st.text(string.ascii_letters, min_size=1), st.text(max_size=20), max_size=6),
)
def test_signatures_are_twilios(url: str, params: dict[str, str]) -> None:
    expected = RequestValidator(SECRET).compute_signature(url, params)
    assert twilio_signature(SECRET, url, params) == expected
    assert check_twilio_signature(SECRET, url, params, expected)


def test_repeated_parameters_are_signed_as_twilio_signs_them() -> None:
    class Repeated(dict[str, list[str]]):
        def getlist(self, name: str) -> list[str]:
            return self[name]

    params = Repeated({"MediaUrl": ["b", "a", "b"], "To": ["+15550100"]})
    assert twilio_signature(SECRET, URL, params) == RequestValidator(SECRET).compute_signature(URL, params)


@pytest.mark.parametrize("configured", [URL, URL.replace(".com/", ".com:443/"), URL.replace(".com/", ".com:8443/")])
@pytest.mark.parametrize("signed", [URL, URL.replace(".com/", ".com:443/"), URL.replace(".com/", ".com:8443/")])
def test_ports_are_taken_as_by_twilios_validator(configured: str, signed: str) -> None:
    signature = RequestValidator(SECRET).compute_signature(signed, {})
    accepted = check_twilio_signature(SECRET, configured, {}, signature)
    # Twilio's validator adds port 80 to a wss URL without one; 443 is what wss means.
    validators = RequestValidator(SECRET).validate(configured, {}, signature)
    assert accepted == (validators or (configured == URL and ":443" in signed))


@pytest.mark.parametrize(
    ("token", "url", "params", "signature"),
    [
        (SECRET, URL + "/", {}, None),
        (SECRET, URL, {"a": "b"}, None),
        ("another secret", URL, {}, None),
        (SECRET, URL, {}, ""),
        (SECRET, URL, {}, "\u00fc"),
        ("", URL, {}, None),
        (SECRET, "wss://[broken", {}, None),
    ],
)
def test_anything_else_is_refused(token: str, url: str, params: dict[str, str], signature: str | None) -> None:
    given_signature = twilio_signature(SECRET, URL, {}) if signature is None else signature
    assert not check_twilio_signature(token, url, params, given_signature)


def test_a_missing_signature_is_refused() -> None:
    assert not check_twilio_signature(SECRET, URL, {}, None)
    assert not check_twilio_signature("", URL, {}, twilio_signature("", URL, {}))


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def tokens(clock: HandClock) -> PathTokens:
    return PathTokens(SECRET, clock, ttl_s=30)


def code(tokens: PathTokens, token: str) -> str:
    with pytest.raises(TokenError) as caught:
        tokens.redeem(token)
    assert len(token) < 20 or token not in str(caught.value)
    return caught.value.code


def test_a_token_is_good_once_for_its_call(tokens: PathTokens) -> None:
    first, second = tokens.issue("CA1 \u00fc"), tokens.issue("CA1 \u00fc")
    assert first != second
    assert set(first) <= set(string.ascii_letters + string.digits + "-_.")
    assert tokens.redeem(first) == "CA1 \u00fc"
    assert code(tokens, first) == "used"
    assert tokens.redeem(second) == "CA1 \u00fc"


def test_a_token_expires(tokens: PathTokens, clock: HandClock) -> None:
    late, just = tokens.issue("CA1"), tokens.issue("CA2")
    clock.time += timedelta(seconds=29.9)
    assert tokens.redeem(just) == "CA2"
    clock.time += timedelta(seconds=0.1)
    assert code(tokens, late) == "expired"
    assert code(tokens, just) == "expired"


def test_another_secret_or_another_call_does_not_pass(tokens: PathTokens, clock: HandClock) -> None:
    token = tokens.issue("CA1")
    assert code(PathTokens(SECRET + "!", clock), token) == "bad_signature"
    body, _, signature = token.partition(".")
    raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    forged = base64.urlsafe_b64encode(raw[:-1] + b"2").decode().rstrip("=")
    assert code(tokens, f"{forged}.{signature}") == "bad_signature"
    assert tokens.redeem(token) == "CA1"


@given(st.text(max_size=60) | st.sampled_from([".", "a.b", "AAAA.AAAA", "=.=", "x" * 5000 + ".a"]))
def test_garbage_is_malformed(text: str) -> None:
    assert code(PathTokens(SECRET, HandClock()), text) in ("malformed", "bad_signature")


def test_a_token_has_one_spelling(tokens: PathTokens) -> None:
    token = tokens.issue("CA1")
    assert code(tokens, token + "=") == "malformed"
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    # 32 bytes take 43 characters, of whose last one two bits say nothing.
    twin = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    assert code(tokens, twin) == "malformed"


def test_memory_of_used_tokens_is_bounded_and_fails_closed(
    tokens: PathTokens, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.gateways.auth._MAX_USED", 2)
    waiting = [tokens.issue("CA1") for _ in range(3)]
    tokens.redeem(waiting[0])
    tokens.redeem(waiting[1])
    assert code(tokens, waiting[2]) == "busy"
    assert code(tokens, waiting[0]) == "used"
    clock.time += timedelta(seconds=31)
    assert tokens.redeem(tokens.issue("CA2")) == "CA2"


def test_weak_settings_are_refused(clock: HandClock) -> None:
    with pytest.raises(ValueError, match="5 bytes; use at least 16"):
        PathTokens("short", clock)
    with pytest.raises(ValueError, match="ttl_s"):
        PathTokens(SECRET, clock, ttl_s=0)
    with pytest.raises(ValueError, match="call_id"):
        PathTokens(SECRET, clock).issue("")
