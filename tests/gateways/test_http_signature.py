from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.genesys import GATEWAYS
from agent.gateways.http_signature import HttpSignature
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused, Verdict

API_KEY = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh"
SECRET = "TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU="
CREATED = 1_800_000_000

# Headers made by the signature library of Genesys' audiohook-reference-implementation, 2871b01.
NAMES = (
    '("@request-target" "@authority" "audiohook-organization-id" "audiohook-session-id" "audiohook-correlation-id"'
    ' "x-api-key"'
)
INPUT = (
    f'sig1={NAMES});keyid="{API_KEY}";nonce="VGhpcyBub25jZSBpcyB1c2Vk";alg="hmac-sha256"'
    ";created=1800000000;expires=1800000030"
)
SIGNATURE = "sig1=:bfag/v9prQAS93EFWymfUpZ19r8cosDlPi4ewxE2K3Y=:"
OTHER_KEY = 'key "one" \\ two'
OTHER_INPUT = (
    f'other={NAMES} "x-forwarded-for");keyid="key \\"one\\" \\\\ two";nonce="VGhpcyBub25jZSBpcyBub3Q="'
    ';alg="hmac-sha256";created=1800000000;expires=1800000005'
)
OTHER_SIGNATURE = "other=:flfCMDFdOxjtLbVy4wWYt/kiNmetNOK3yxdZEnUzzV4=:"

HEADERS = {
    "audiohook-organization-id": "d7934305-0972-4844-938e-9060eef73d05",
    "audiohook-session-id": "e160e428-53e2-487c-977d-96989bf5c99d",
    "audiohook-correlation-id": "30b0e395-84d3-4570-ac13-9a62d8f514c0",
    "x-api-key": API_KEY,
    "signature-input": INPUT,
    "signature": SIGNATURE,
}
TARGET = "/gateways/genesys-connector?x=1"
[WAY] = GATEWAYS[0].ways


def check(
    headers: dict[str, Any] | None = None,
    *,
    key: str | None = f"{API_KEY}:{SECRET}",
    target: str = TARGET,
    authority: str = "calls.example.com",
    late_s: float = 0.0,
    seen: Nonces | None = None,
) -> Verdict:
    given = {name: value for name, value in {**HEADERS, **(headers or {})}.items() if value is not None}
    asking = Asking("genesys-connector", target.partition("?")[0], given, target=target, authority=authority)
    return WAY.check(asking, Keys(key, CREATED + late_s, seen or Nonces()))


UNSIGNED = {"signature": None, "signature-input": None}


def test_a_signature_of_genesys_library_is_good() -> None:
    assert check() == Admitted("genesys-connector:signature")


def test_more_components_a_port_an_escaped_key_and_another_label_are_read() -> None:
    headers = {
        "x-api-key": OTHER_KEY,
        "x-forwarded-for": " 192.0.2.1 ",
        "signature-input": OTHER_INPUT,
        "signature": OTHER_SIGNATURE,
    }
    verdict = check(
        headers,
        key=f"{OTHER_KEY}:c2Vjb25kIGtleQ==",
        target="/gateways/genesys-connector",
        authority="calls.example.com:8443",
    )
    assert verdict == Admitted("genesys-connector:signature")


def test_what_is_not_offered_is_left_to_other_ways() -> None:
    assert check({**UNSIGNED, "x-api-key": None}) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": None}, "no_key"),
        ({"key": ""}, "no_key"),
        ({"key": f"{API_KEY}:not base64!"}, "no_key"),
        ({"authority": ""}, "no_key"),
        ({"key": f"{API_KEY}:AAAA"}, "bad_signature"),
        ({"key": f"{API_KEY}:"}, "bad_signature"),
        ({"key": f"another:{SECRET}"}, "bad_credentials"),
        ({"target": "/gateways/genesys-connector"}, "bad_signature"),
        ({"target": ""}, "malformed"),
        ({"authority": "calls.example.org"}, "bad_signature"),
        ({"late_s": 13.5}, "expired"),
        ({"late_s": 3600.0}, "expired"),
        ({"late_s": -3.5}, "malformed"),
        ({"headers": {"audiohook-session-id": "e160e428-53e2-487c-977d-96989bf5c99e"}}, "bad_signature"),
        ({"headers": {"audiohook-session-id": None}}, "malformed"),
        ({"headers": {"audiohook-session-id": ""}}, "malformed"),
        ({"headers": {"x-api-key": None}}, "malformed"),
        ({"headers": {"x-api-key": "someone"}}, "bad_credentials"),
        ({"headers": {"x-api-key": "\ud800"}}, "bad_credentials"),
        ({"headers": {"signature": None}}, "malformed"),
        ({"headers": {"signature-input": None}}, "malformed"),
        ({"headers": {"signature": "sig2" + SIGNATURE[4:]}}, "malformed"),
        ({"headers": {"signature": SIGNATURE[:-3] + "=="}}, "malformed"),
        ({"headers": {"signature": "sig1=:AAAA:"}}, "malformed"),
        ({"headers": {"signature": SIGNATURE.replace("b", "c", 1)}}, "bad_signature"),
        ({"headers": UNSIGNED}, "unsigned"),
    ],
)
def test_what_is_not_good_is_refused(changes: dict[str, Any], code: str) -> None:
    assert check(**changes) == Refused(code)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (' "x-api-key"', ""),
        (' "@authority"', ""),
        (' "x-api-key"', ' "x-api-key" "x-api-key"'),
        (' "x-api-key"', ' "x-api-key" "x-missing"'),
        (' "x-api-key"', ' "x-api-key" "@method"'),
        (' "x-api-key"', ' "x-api-key";sf'),
        (";created=1800000000", ""),
        (";created=1800000000", ";created=1800000000;created=1800000000"),
        (";created=1800000000", ';created="1800000000"'),
        (";created=1800000000", ";created=-1"),
        ('nonce="VGhpcyBub25jZSBpcyB1c2Vk"', 'nonce="short"'),
        ('nonce="VGhpcyBub25jZSBpcyB1c2Vk"', f'nonce="{"x" * 257}"'),
        ('nonce="VGhpcyBub25jZSBpcyB1c2Vk"', "nonce=1234567890"),
        (';nonce="VGhpcyBub25jZSBpcyB1c2Vk"', ""),
        ("hmac-sha256", "rsa-v1_5-sha256"),
        (';alg="hmac-sha256"', ';alg="hmac-sha256";tag="x"'),
        ("sig1=", "sig1=(),sig1="),
        ("sig1=", "Sig1="),
        (INPUT, "x" * 5000),
        (INPUT, ""),
    ],
)
def test_a_signature_that_cannot_be_read_is_malformed(old: str, new: str) -> None:
    assert old in INPUT
    assert check({"signature-input": INPUT.replace(old, new, 1)}) == Refused("malformed")


def test_the_signing_key_must_be_the_one_named_in_the_header() -> None:
    assert check({"signature-input": INPUT.replace(f'keyid="{API_KEY}"', 'keyid="x"')}) == Refused("bad_signature")
    assert check({"signature-input": INPUT.replace(f';keyid="{API_KEY}"', "")}) == Refused("bad_signature")


def test_a_signature_is_good_until_it_is_old_and_may_come_a_little_early() -> None:
    assert check(late_s=12.9) == Admitted("genesys-connector:signature")
    assert check(late_s=-2.9) == Admitted("genesys-connector:signature")


def test_a_signature_expires_when_it_says_so() -> None:
    changes = {"x-api-key": OTHER_KEY, "x-forwarded-for": "192.0.2.1"}
    headers = {**changes, "signature-input": OTHER_INPUT, "signature": OTHER_SIGNATURE}
    where = {"key": f"{OTHER_KEY}:c2Vjb25kIGtleQ==", "target": "/gateways/genesys-connector"}
    assert check(headers, **where, authority="calls.example.com:8443", late_s=8.5) == Refused("expired")


def test_a_signature_is_good_once() -> None:
    seen = Nonces()
    assert check(seen=seen) == Admitted("genesys-connector:signature")
    assert check(seen=seen, late_s=12.0) == Refused("replayed")


def test_a_wrong_signature_does_not_use_the_nonce_up() -> None:
    seen = Nonces()
    assert check({"signature": SIGNATURE.replace("b", "c", 1)}, seen=seen) == Refused("bad_signature")
    assert check(seen=seen) == Admitted("genesys-connector:signature")


def test_without_a_secret_requests_come_unsigned_with_the_right_key_only() -> None:
    assert check(UNSIGNED, key=f"{API_KEY}:") == Admitted("genesys-connector:api-key")
    assert check(UNSIGNED, key=API_KEY) == Admitted("genesys-connector:api-key")
    assert check({**UNSIGNED, "x-api-key": "other"}, key=f"{API_KEY}:") == Refused("bad_credentials")


def test_no_verdict_holds_a_key() -> None:
    for verdict in (check(), check(UNSIGNED, key=f"{API_KEY}:"), check(key=f"{API_KEY}:AAAA")):
        assert API_KEY not in repr(verdict)
    assert SECRET not in repr(WAY)


def test_a_refusal_is_cheap() -> None:
    wild = {"signature-input": 'sig1=("' + 'a" "' * 900 + '")', "signature": SIGNATURE}
    for headers in ({"x-api-key": "someone"}, {"signature": SIGNATURE.replace("b", "c", 1)}, wild):
        began = time.process_time()
        for _ in range(50):
            assert isinstance(check(headers), Refused)
        assert (time.process_time() - began) / 50 < 0.001


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(HEADERS)), st.text(max_size=60), max_size=4))
def test_no_headers_raise_and_none_but_the_signed_ones_are_let_in(headers: dict[str, str]) -> None:
    verdict = check(headers)
    changed = any(value.strip() != HEADERS[name] for name, value in headers.items())
    assert isinstance(verdict, Refused if changed else Admitted)


def test_the_path_is_the_public_one() -> None:
    asking = Asking(
        "x", "/connector", HEADERS, target="/connector?x=1", url=f"wss://calls.example.com{TARGET}",
        authority="calls.example.com",
    )  # fmt: skip
    assert WAY.check(asking, Keys(f"{API_KEY}:{SECRET}", CREATED, Nonces())) == Admitted("x:signature")


def test_fewer_components_may_be_asked_for() -> None:
    way = HttpSignature(("@authority",))
    asking = Asking("x", "/", HEADERS, target=TARGET, authority="calls.example.com")
    assert way.check(asking, Keys(f"{API_KEY}:{SECRET}", CREATED, Nonces())) == Admitted("x:signature")
