"""Attempts to come in by the back: somebody else's call, disguises, odd requests; and what they cost and leave."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from live import TOKEN_KEY, TYPED_START, closed, cut, eventually
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.gateways.auth import twilio_signature
from agent.gateways.catalogue import gateways
from agent.gateways.gateway import HookRequest
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused, SignedJwt

PUBLIC = "https://voice.example.com"
BEARER = {"Authorization": f"Bearer {TOKEN_KEY}"}


@pytest.fixture(autouse=True)
def _logs(caplog):
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def guarded(serve):
    """A server that nobody enters without a secret."""

    async def start(keys=None, **sections):
        server = {"public_url": PUBLIC, "return_s": 5.0, **sections.pop("server", {})}
        return await serve(
            insecure=False, secrets={"token_key": TOKEN_KEY, "keys": keys or {}}, server=server, **sections
        )

    return start


async def refusal(connection) -> int:
    with pytest.raises(InvalidStatus) as caught:
        async with connection:
            pass
    return caught.value.response.status_code


async def path(up, **asked: str) -> str:
    return (await up.http.post("/api/tokens", params=asked, headers=BEARER)).json()["path"]


def named(name: str) -> str:
    return json.dumps({**TYPED_START, "call_id": name})


async def test_who_has_a_token_of_no_certain_call_cannot_name_somebody_elses(guarded):
    up = await guarded()
    async with up.socket(await path(up)) as victim, up.socket(await path(up)) as attacker:
        await victim.send(named("call-7"))
        assert json.loads(await victim.recv())["type"] == "started"
        await attacker.send(named("call-7"))
        assert json.loads(await attacker.recv())["type"] == "started"
        assert len(up.calls.sessions) == 2
        await victim.send(json.dumps({"type": "text", "text": "still me"}))
        async with asyncio.timeout(5):
            while "You said still me." not in str(await victim.recv()):
                pass


async def test_a_token_of_that_call_goes_on_with_it(guarded):
    up = await guarded()
    async with up.socket(await path(up, call_id="call-7")) as first:
        await first.send(named("call-7"))
        assert json.loads(await first.recv())["type"] == "started"
        cut(first)
    async with up.socket(await path(up)) as attacker:
        await attacker.send(named("call-7"))
        assert json.loads(await attacker.recv())["type"] == "started"
        assert len(up.calls.sessions) == 2
        async with up.socket(await path(up, call_id="call-7")) as again:
            await again.send(named("call-7"))
            await eventually(lambda: len(up.calls.sessions) == 3)
            await again.send(json.dumps({"type": "text", "text": "back"}))
            async with asyncio.timeout(5):
                while "You said back." not in str(await again.recv()):
                    pass
            await attacker.send(json.dumps({"type": "stop"}))
            await closed(attacker)


@pytest.mark.parametrize(
    "header",
    [
        {"Via": "1.1 proxy.example"},
        {"X-Real-IP": "203.0.113.7"},
        {"X-Forwarded-Host": "voice.example.com"},
        {"X-Forwarded-Proto": "https"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_insecure_knows_proxies_and_web_pages_by_what_else_they_say(serve, header):
    up = await serve()
    assert (await up.http.get("/api/calls", headers=header)).status_code == 401
    assert await refusal(up.plain(additional_headers=header)) == 401
    assert (await up.http.get("/api/calls", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 200


@pytest.mark.parametrize("host", ["[:::::]", "[1:2]:5", "a:99999", "", "%00", "1.2.3.4.5"])
@pytest.mark.parametrize("where", ["/gateways/twilio/voice", "/gateways/twilio/after", "/gateways/twilio/voice/"])
async def test_an_odd_host_is_no_error_of_ours(guarded, caplog, host, where):
    up = await guarded({"twilio": "key"})
    answer = await up.http.post(where, headers={"Host": host}, data={"CallSid": "CA1"})
    assert answer.status_code < 500
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("call", ["C" * 300, "é" * 200, "\ud800", "a\nb", "\0"])
async def test_a_call_id_that_no_token_takes_is_no_error_of_ours(guarded, caplog, call):
    up = await guarded({"vonage": "key", "bandwidth": "user:password", "twilio": "key"})
    body = json.dumps({"callId": call, "from": "+15550100"})
    answer = await up.http.post(
        "/gateways/bandwidth/voice",
        content=body,
        headers={"Content-Type": "application/json", "Authorization": "Basic dXNlcjpwYXNzd29yZA=="},
    )
    assert answer.status_code < 500
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_jambonz_call_with_an_endless_name_ends_its_socket_alone(guarded, caplog):
    up = await guarded({"jambonz": "user:password"})
    basic = {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}
    async with up.socket("/gateways/jambonz-app", additional_headers=basic, subprotocols=["ws.jambonz.org"]) as app:
        await app.send(json.dumps({"type": "session:new", "msgid": "m", "call_sid": "s" * 250, "data": {}}))
        assert await closed(app) == 1007
    assert not [record for record in caplog.records if record.exc_info]


async def test_application_sockets_of_jambonz_are_limited_and_counted(guarded):
    up = await guarded({"jambonz": "user:password"}, server={"max_calls_per_key": 1})
    asking = {
        "additional_headers": {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="},
        "subprotocols": ["ws.jambonz.org"],
    }
    async with up.socket("/gateways/jambonz-app", **asking):
        assert await refusal(up.socket("/gateways/jambonz-app", **asking)) == 429
        assert await up.refused("too_many_calls") == 1
    assert await refusal(up.socket("/gateways/jambonz-app")) == 401
    assert await up.refused("unsigned") == 1


async def test_addresses_that_do_not_exist_are_counted(guarded, caplog):
    up = await guarded()
    for wrong in ("/", "/nothing", "/gateways", "/gateways/plain/a/b", "/gateways/jambonz-app/x", "/v1/realtime/x"):
        assert await refusal(up.socket(wrong)) == 404
    assert await up.refused("unknown_gateway") == 6
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_query_of_thousands_of_parameters_is_not_read(guarded):
    up = await guarded()
    for query, status, code in (
        ("a&" * 2000, 400, "too_many_parameters"),
        ("a=" + "%41" * 700, 414, "query_too_long"),
    ):
        assert await refusal(up.socket(f"/gateways/plain?{query}", additional_headers=BEARER)) == status
        assert await up.refused(code) == 1


async def test_audiosocket_refusals_are_counted(guarded, unused_tcp_port, caplog):
    up = await guarded(audiosocket={"port": unused_tcp_port}, server={"handshake_s": 0.2})
    for sent in (b"GET / HTTP/1.1\r\n\r\n", bytes((1, 0, 16)) + bytes(16), b"\x01"):
        reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
        writer.write(sent)
        await asyncio.wait_for(reader.read(), 3)
        writer.close()
    for code in ("no_uuid", "unsigned", "handshake_timeout"):
        assert await up.refused(code) == 1
    assert not [record for record in caplog.records if record.exc_info]


async def test_announced_calls_do_not_pass_the_limit_together(guarded, unused_tcp_port):
    up = await guarded(audiosocket={"port": unused_tcp_port}, server={"max_calls": 1})
    lines = []
    for number in range(3):
        uuid = f"00000000-0000-4000-8000-00000000000{number}"
        asked = {"gateway": "audiosocket", "call_id": uuid}
        assert (await up.http.post("/api/tokens", params=asked, headers=BEARER)).status_code == 200
        lines.append(await asyncio.open_connection("127.0.0.1", unused_tcp_port))
    for number, (_, writer) in enumerate(lines):
        writer.write(bytes((1, 0, 16)) + bytes.fromhex(f"0000000000004000800000000000000{number}"))
    await asyncio.sleep(0.1)
    for _, writer in lines:
        writer.write(bytes((16, 1, 64)) + bytes(320))
    await asyncio.sleep(0.3)
    assert len(up.calls.sessions) == 1
    assert await up.refused("full") == 2
    for _, writer in lines:
        writer.close()


async def test_reasons_that_clients_think_up_do_not_fill_the_metrics(guarded):
    up = await guarded(server={"max_calls": 50})
    for number in range(120):
        async with up.plain(additional_headers=BEARER) as caller:
            await caller.send(named(f"n-{number}"))
            await caller.recv()
            await caller.send(json.dumps({"type": "stop", "reason": f"reason_{number}"}))
            await closed(caller)
    lines = [line for line in (await up.http.get("/metrics")).text.splitlines() if "calls_ended_total{" in line]
    assert len(lines) <= 110


async def test_refusals_by_message_are_bounded_however_slow_the_other_side_is(guarded, monkeypatch):
    monkeypatch.setattr("agent.entrances.REFUSAL_S", 0.6)
    monkeypatch.setattr("agent.entrances.MOST_REFUSALS", 5)
    up = await guarded({"genesys-connector": "key:c2VjcmV0"})
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(up.socket("/gateways/genesys-connector")) for _ in range(5)]
        assert await refusal(up.socket("/gateways/genesys-connector")) == 503
        cut(slow.pop())
        for one in slow:
            assert await closed(one) == 1008
    await eventually(lambda: up.calls.refusing == 0)
    assert await up.refused("unsigned") == 6
    assert up.calls.sessions == {}


async def test_every_connection_that_came_in_is_counted_out(guarded):
    up = await guarded({"jambonz": "user:password"}, server={"max_calls_per_key": 1, "return_s": 0})
    basic = {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}
    for _ in range(3):
        async with up.plain(additional_headers=BEARER) as caller:
            await caller.send(named("x"))
            await caller.recv()
            cut(caller)
        await up.empty()
        async with up.plain(additional_headers=BEARER) as caller:
            await caller.send("\x00" * 200_000)
            await closed(caller)
        await up.empty()
        async with up.socket("/gateways/jambonz-app", additional_headers=basic) as app:
            await app.send("[]")
            cut(app)
        await eventually(lambda: not up.calls.door._open)
    assert await up.refused("too_many_calls") == 0


@pytest.mark.parametrize("name", ["vonage", "telnyx"])
def test_a_signature_of_nothing_does_not_cover_a_query(name):
    private = Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    key = f"token ed25519:{public}" if name == "telnyx" else "key"
    headers = {
        "telnyx-timestamp": "1000",
        "telnyx-signature-ed25519": base64.b64encode(private.sign(b"1000|")).decode(),
        "authorization": f"Bearer {jwt('key', {'iat': 1000, 'jti': 'one'})}",
    }
    url = f"{PUBLIC}/gateways/{name}/voice?CallSid=v3:1&uuid=1"
    hook = gateways()[name].hook
    for method, taken in (("POST", True), ("GET", False)):
        request = HookRequest(url, method, headers, {})
        assert hook.signed(request, key, 1000.0) is taken


def jwt(key: str, claims: dict[str, object]) -> str:
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "HS256"}, claims)
    )
    signature = hmac.new(key.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iat": 1000, "exp": 10**400}, "malformed"),
        ({"iat": 1000, "exp": float("nan")}, "malformed"),
        ({"iat": 1000, "exp": "soon"}, "malformed"),
        ({"iat": float("-inf")}, "malformed"),
        ({"iat": -(10**400)}, "malformed"),
        ({"iat": 1000, "exp": float("inf")}, "malformed"),
    ],
)
def test_a_token_whose_times_are_no_times_is_malformed(claims, code):
    asking = Asking("vonage", "/", {"authorization": f"Bearer {jwt('key', claims)}"})
    assert SignedJwt().check(asking, Keys("key", 1000.0, Nonces())) == Refused(code)


def test_a_token_without_a_name_is_good_once_too():
    asking, seen = Asking("vonage", "/", {"authorization": f"Bearer {jwt('key', {'iat': 1000})}"}), Nonces()
    assert isinstance(SignedJwt().check(asking, Keys("key", 1000.0, seen)), Admitted)
    assert SignedJwt().check(asking, Keys("key", 1001.0, seen)) == Refused("replayed")


@pytest.mark.parametrize("blank", ["", " ", "\t \n"])
async def test_a_blank_key_is_none(guarded, blank):
    up = await guarded(dict.fromkeys(("vonage", "twilio", "exotel", "asterisk", "openai"), blank))
    claims = {"iat": datetime.now(UTC).timestamp()}
    offered = {"Authorization": f"Bearer {jwt(blank, claims)}"}
    assert await refusal(up.socket("/gateways/vonage", additional_headers=offered)) == 401
    assert (await up.http.post("/gateways/vonage/voice", headers=offered)).status_code == 403
    basic = base64.b64encode(blank.encode()).decode()
    for name in ("asterisk", "exotel"):
        headers = {"Authorization": f"Basic {basic}"}
        assert await refusal(up.socket(f"/gateways/{name}", additional_headers=headers)) == 401
    assert await refusal(up.socket("/gateways/openai", subprotocols=["openai-insecure-api-key."])) == 401
    signed = {"X-Twilio-Signature": twilio_signature(blank, "wss://voice.example.com/gateways/twilio", {})}
    assert await refusal(up.socket("/gateways/twilio", additional_headers=signed)) == 401


async def test_a_refused_gateway_says_only_so_much(guarded):
    up = await guarded({"genesys-connector": "key:c2VjcmV0"})
    async with up.socket("/gateways/genesys-connector") as talkative:
        for _ in range(3):
            await talkative.send('{"a":"' + "x" * 8000)
        assert await closed(talkative, 2.0) == 1008
    assert up.calls.refusing == 0


async def test_an_application_socket_of_jambonz_that_floods_is_closed(guarded):
    up = await guarded({"jambonz": "user:password"})
    basic = {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}
    async with up.socket("/gateways/jambonz-app", additional_headers=basic) as app:
        await app.send(json.dumps({"type": "session:new", "msgid": "m", "call_sid": "s-1", "data": {}}))
        with contextlib.suppress(ConnectionClosed):
            for _ in range(1000):
                await app.send('{"type":"call:status","data":{}}')
        assert await closed(app, 2.0) == 1008
