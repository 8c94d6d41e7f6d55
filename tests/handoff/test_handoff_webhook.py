import contextlib
import json
import re
import ssl
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from handoff_receiver import KEY, Answer, VirtualClock, receiver
from hypothesis import given
from hypothesis import strategies as st

from agent.handoff.contracts import HandoffRequest
from agent.handoff.webhook import (
    MAX_REQUEST,
    MAX_RESPONSE,
    SignatureError,
    Webhook,
    WebhookAnswer,
    WebhookError,
    decode_answer,
    encode_request,
    verify_signature,
)
from agent.outbound import is_public, sign

REQUEST = HandoffRequest(
    "h-1", "c-1", "twilio", "CA1", "asked for a person", "asked", slots={"order": {"value": "54321", "verified": True}}
)
ROOT = Path(__file__).parents[2]
PEM = Path(__file__).parent / "localhost.pem"


def hook(url: str, clock: VirtualClock, **more: Any) -> Webhook:
    return Webhook(url, KEY, clock, **({"allow_private": True} | more))


async def test_signed_request_and_empty_answer(clock: VirtualClock) -> None:
    async with receiver(clock.wall()) as desk:
        assert await hook(desk.url, clock).ask(REQUEST) == WebhookAnswer("accepted")
    ((headers, body),) = desk.seen
    assert headers["idempotency-key"] == "h-1"
    assert headers["host"] == desk.url.split("/")[2]
    assert json.loads(body)["handoff"]["slots"] == {"order": {"value": "54321", "verified": True}}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"outcome":"accepted","transfer_to":"+12125550123"}', WebhookAnswer("accepted", "+12125550123")),
        (b'{"outcome":"accepted","transfer_to":"queue:support"}', WebhookAnswer("accepted", "queue:support")),
        (b'{"outcome":"accepted","transfer_to":"sip:a@b.example"}', WebhookAnswer("accepted", "sip:a@b.example")),
        (b'{"outcome":"declined","detail":"lunch"}', WebhookAnswer("declined", detail="lunch")),
        (b' {"outcome":"unavailable","more":1}', WebhookAnswer("unavailable")),
    ],
)  # fmt: skip
async def test_answers(clock: VirtualClock, body: bytes, answer: WebhookAnswer) -> None:
    async with receiver(clock.wall(), Answer(201, body)) as desk:
        assert await hook(desk.url, clock).ask(REQUEST) == answer


@pytest.mark.parametrize("bad", [Answer(500), Answer(503), Answer(429), Answer(hang_up=True)])
async def test_flaky_receiver_is_asked_again_with_the_same_key(clock: VirtualClock, bad: Answer) -> None:
    async with receiver(clock.wall(), bad, bad, Answer()) as desk:
        assert (await hook(desk.url, clock).ask(REQUEST)).outcome == "accepted"
    assert [headers["idempotency-key"] for headers, _ in desk.seen] == ["h-1"] * 3
    assert len({headers["x-callagent-delivery"] for headers, _ in desk.seen}) == 3
    assert len({body for _, body in desk.seen}) == 1
    first, second = clock.sleeps
    assert 125 <= first <= 250
    assert 250 <= second <= 500


async def test_slow_receiver_times_out_and_is_asked_again(clock: VirtualClock) -> None:
    async with receiver(clock.wall(), Answer(delay_s=3), Answer()) as desk:
        assert (await hook(desk.url, clock, timeout_s=0.2).ask(REQUEST)).outcome == "accepted"
    assert len(desk.seen) == 2


async def test_budget_ends_the_tries(clock: VirtualClock) -> None:
    async with receiver(clock.wall(), Answer(500)) as desk:
        with pytest.raises(WebhookError, match="gave up after") as caught:
            await hook(desk.url, clock, budget_s=3).ask(REQUEST)
    # What the budget leaves of the last try is a real wait, which a busy machine may not meet.
    assert caught.value.code in {"status_500", "timeout"}
    assert 3 <= len(desk.seen) <= 8
    assert clock.ms <= 3000


async def test_nobody_listens(clock: VirtualClock) -> None:
    async with receiver(clock.wall()) as desk:
        pass
    with pytest.raises(WebhookError) as caught:
        await hook(desk.url, clock, budget_s=1).ask(REQUEST)
    assert caught.value.code == "connection"


@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_is_kept(clock: VirtualClock, as_date: bool) -> None:
    at = format_datetime(clock.wall() + timedelta(seconds=5), usegmt=True) if as_date else "5"
    async with receiver(clock.wall(), Answer(429, headers={"Retry-After": at}), Answer()) as desk:
        assert (await hook(desk.url, clock).ask(REQUEST)).outcome == "accepted"
    assert clock.sleeps == [5000]


async def test_retry_after_beyond_the_budget_is_not_waited_for(clock: VirtualClock) -> None:
    async with receiver(clock.wall(), Answer(503, headers={"Retry-After": "3600"})) as desk:
        with pytest.raises(WebhookError):
            await hook(desk.url, clock).ask(REQUEST)
    assert clock.sleeps == []
    assert len(desk.seen) == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(400), "status_400"),
        (Answer(404), "status_404"),
        (Answer(302, headers={"Location": "/elsewhere"}), "status_302"),
        (Answer(200, b"<html>"), "bad_response"),
        (Answer(200, b"[1]"), "bad_response"),
        (Answer(200, b"[" * 9000), "bad_response"),
        (Answer(200, b'{"outcome":"perhaps"}'), "bad_response"),
        (Answer(200, b'{"outcome":["accepted"]}'), "bad_response"),
        (Answer(200, b'{"outcome":"accepted","transfer_to":"+1; DROP"}'), "bad_response"),
        (Answer(200, b'{"outcome":"accepted","detail":7}'), "bad_response"),
        (Answer(200, b" " * (MAX_RESPONSE + 1)), "bad_response"),
    ],
)
async def test_final_answers_are_not_asked_again(clock: VirtualClock, answer: Answer, code: str) -> None:
    async with receiver(clock.wall(), answer) as desk:
        with pytest.raises(WebhookError) as caught:
            await hook(desk.url, clock).ask(REQUEST)
    assert caught.value.code == code
    assert len(desk.seen) == 1


async def test_private_addresses_are_refused_before_connecting(clock: VirtualClock) -> None:
    async with receiver(clock.wall()) as desk:
        port = desk.url.split(":")[2].split("/")[0]
        for host in ("localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"):
            with pytest.raises(WebhookError) as caught:
                await hook(f"https://{host}:{port}/", clock, allow_private=False).ask(REQUEST)
            assert caught.value.code == "refused_address"
    assert desk.seen == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("2002:0a00:0001::1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::5db8:d822", True),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "https://", "example.com", "http://example.com/", "https://a:b@example.com/", "https://x:99999/"],
)  # fmt: skip
def test_unusable_urls(clock: VirtualClock, url: str) -> None:
    with pytest.raises(ValueError, match="webhook URL"):
        hook(url, clock, allow_private=False)


def test_short_key(clock: VirtualClock) -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Webhook("https://example.com/", "short", clock)


@pytest.mark.parametrize(("host", "works"), [("localhost", True), ("127.0.0.1", False)])
async def test_certificate_is_checked_against_the_name(clock: VirtualClock, host: str, works: bool) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(PEM)
    async with receiver(clock.wall(), tls=tls, host=host) as desk:
        webhook = hook(desk.url, clock, budget_s=5)
        webhook._post._outside._tls.load_verify_locations(PEM)
        if works:
            assert (await webhook.ask(REQUEST)).outcome == "accepted"
        else:
            with pytest.raises(WebhookError, match="certificate verify failed"):
                await webhook.ask(REQUEST)
    assert len(desk.seen) == works


async def test_unknown_certificates_are_refused(clock: VirtualClock) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(PEM)
    async with receiver(clock.wall(), tls=tls, host="localhost") as desk:
        with pytest.raises(WebhookError, match="certificate verify failed"):
            await hook(desk.url, clock, budget_s=5).ask(REQUEST)
    assert desk.seen == []


def test_signature_problems_are_told_apart(clock: VirtualClock) -> None:
    timestamp = str(int(clock.wall().timestamp()))
    good = {"X-Callagent-Timestamp": timestamp, "X-Callagent-Signature": sign(KEY.encode(), timestamp, b"{}")}
    verify_signature(KEY.encode(), good, b"{}", clock.wall() + timedelta(seconds=299))
    for headers, body, later, why in (
        (good, b"{} ", 0, "does not match"),
        (good, b"{}", 301, "check the clocks"),
        (good, b"{}", -301, "check the clocks"),
        (good | {"X-Callagent-Signature": "v1=é"}, b"{}", 0, "does not match"),
        (good | {"X-Callagent-Timestamp": "soon"}, b"{}", 0, "Unix seconds"),
        ({}, b"{}", 0, "Unix seconds"),
    ):
        with pytest.raises(SignatureError, match=why):
            verify_signature(KEY.encode(), headers, body, clock.wall() + timedelta(seconds=later))
    with pytest.raises(SignatureError, match="does not match"):
        verify_signature(b"another-key-0123456789", good, b"{}", clock.wall())


def test_documented_example_is_right() -> None:
    text = (ROOT / "docs" / "handoff.md").read_text()
    documented = re.search(r"X-Callagent-Signature: (v1=[0-9a-f]{64})", text)
    assert documented is not None
    assert sign(b"an-example-key-0123456789", "1900000000", b'{"type":"handoff.requested"}') == documented.group(1)


def test_long_transcripts_lose_their_oldest_rows() -> None:
    rows = [{"speaker": "caller", "text": "word " * 40, "at_ms": number} for number in range(3000)]
    request = HandoffRequest("h-1", "c-1", "plain", "g", "r", "r", transcript=rows)
    body = encode_request(request)
    kept = json.loads(body)["handoff"]["transcript"]
    assert len(body) <= MAX_REQUEST
    assert len(kept) > 500
    assert kept == rows[-len(kept) :]
    with pytest.raises(WebhookError, match="without its transcript"):
        encode_request(HandoffRequest("h-1", "c-1", "plain", "g", "r", "r", summary="x" * MAX_REQUEST))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.text(), x)).map(
    lambda value: json.dumps(value).encode()
))  # fmt: skip
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(WebhookError):
        answer = decode_answer(body)
        assert answer.outcome in ("accepted", "declined", "unavailable")
