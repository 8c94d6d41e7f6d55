"""Who may come in: bearers, path tokens, Twilio's signature, this machine with --insecure, TLS, trusted proxies."""

import asyncio
import json
import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest
from live import TOKEN_KEY, TYPED_START, closed, coded, healthy, media, twilio_start
from twilio.request_validator import RequestValidator
from websockets.exceptions import InvalidStatus

from agent.gateways.auth import PathTokens

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
PUBLIC = "https://voice.example.com/agent"
SECRETS = {"token_key": TOKEN_KEY, "twilio_auth_token": AUTH_TOKEN}
BEARER = {"Authorization": f"Bearer {TOKEN_KEY}"}
FORM = {"CallSid": "CA1", "From": "+15555550142", "To": "+15555550100"}
PEM = Path(__file__).parents[1] / "handoff" / "localhost.pem"


@pytest.fixture(autouse=True)
def _logs(caplog):
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def guarded(serve):
    """A server that nobody enters without a secret."""

    async def start(**sections):
        server = {"public_url": PUBLIC, **sections.pop("server", {})}
        return await serve(insecure=False, secrets=SECRETS, server=server, **sections)

    return start


async def refusal(connection) -> int:
    with pytest.raises(InvalidStatus) as caught:
        async with connection:
            pass
    return caught.value.response.status_code


@pytest.mark.parametrize("path", ["/api/calls", "/api/calls/c-1", "/api/handoffs"])
@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", f"Basic {TOKEN_KEY}", TOKEN_KEY, "Bearer", f"Bearer {TOKEN_KEY}x"]
)
async def test_the_api_wants_the_token_key(guarded, path, header):
    up = await guarded()
    answer = await up.http.get(path, headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert "CALLAGENT_TOKEN_KEY" in answer.text
    assert TOKEN_KEY not in answer.text
    assert (await up.http.get(path, headers=BEARER)).status_code in (200, 404)


async def test_tokens_are_not_given_to_strangers(guarded):
    up = await guarded()
    assert (await up.http.post("/api/tokens")).status_code == 401


async def test_a_plain_socket_wants_the_token_key(guarded, caplog):
    up = await guarded()
    assert await refusal(up.plain()) == 401
    assert await refusal(up.plain(additional_headers={"Authorization": "Bearer wrong"})) == 401
    assert (await up.refused("unsigned"), await up.refused("bad_credentials")) == (1, 1)
    assert len(coded(caplog.records, "unsigned")) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    async with healthy(up, additional_headers=BEARER) as caller:
        await caller.answered("hello")
    assert await up.counter("callagent_calls_ended_total", gateway="plain", outcome="refused", reason="x") == 0


async def test_a_path_token_admits_once_and_names_the_call(guarded, caplog):
    up = await guarded()
    issued = (await up.http.post("/api/tokens", headers=BEARER)).json()
    path = f"/gateways/plain/{issued['token']}"
    async with up.socket(path) as caller:
        await caller.send(json.dumps(TYPED_START))
        assert json.loads(await caller.recv())["type"] == "started"
        assert list(up.calls.sessions) == [issued["call_id"]]
        assert await refusal(up.socket(path)) == 401
        await caller.send(json.dumps({"type": "stop"}))
        await closed(caller)
    assert await refusal(up.socket(path)) == 401
    assert len(coded(caplog.records, "token_used")) == 2
    ours = [record for record in caplog.records if record.name.startswith(("agent", "uvicorn", "root"))]
    assert ours
    assert not any(issued["token"] in record.getMessage() for record in ours)


async def test_a_path_token_is_good_for_one_gateway_only_and_is_used_up_by_another(guarded):
    up = await guarded()
    token = (await up.http.post("/api/tokens", headers=BEARER)).json()["token"]
    assert await refusal(up.socket(f"/gateways/twilio/{token}")) == 401
    assert await up.refused("mismatch") == 1
    assert await refusal(up.socket(f"/gateways/plain/{token}")) == 401


async def test_a_path_token_bound_to_a_call_admits_no_other(guarded):
    up = await guarded()
    for named, admitted in (("CA2", False), ("CA1", True)):
        asked = {"gateway": "twilio", "call_id": "CA1"}
        issued = (await up.http.post("/api/tokens", params=asked, headers=BEARER)).json()
        assert issued["url"] == f"wss://voice.example.com/agent{issued['path']}"
        async with up.socket(issued["path"]) as caller:
            await caller.send(twilio_start(named))
            if admitted:
                await caller.send(media())
                assert json.loads(await caller.recv())["event"] in ("media", "mark")
                assert list(up.calls.sessions) == [issued["call_id"]]
            else:
                await closed(caller)
                assert caller.close_code == 1008
    assert await up.refused("mismatch") == 1


async def test_tokens_are_for_known_gateways_and_can_be_had_as_text(guarded):
    up = await guarded()
    asked = {"gateway": "asterisk", "call_id": "1795300913.2", "form": "text"}
    token = (await up.http.post("/api/tokens", params=asked, headers=BEARER)).text
    assert token.count(".") == 1
    for wrong in ({"gateway": "none"}, {"call_id": "x" * 300}, {"gateway": "audiosocket", "call_id": "no-uuid"}):
        assert (await up.http.post("/api/tokens", params=wrong, headers=BEARER)).status_code == 422


async def test_connections_of_one_key_are_limited(guarded):
    up = await guarded(server={"new_calls_per_minute": 2, "max_calls_per_key": 1})
    async with healthy(up, additional_headers=BEARER):
        assert await refusal(up.plain(additional_headers=BEARER)) == 429
        assert await up.refused("too_many_calls") == 1
    await up.empty()
    async with healthy(up, additional_headers=BEARER):
        pass
    await up.empty()
    assert await refusal(up.plain(additional_headers=BEARER)) == 429
    assert await up.refused("rate_limited") == 1


async def test_a_gateway_that_does_not_exist_is_not_there(guarded):
    up = await guarded()
    assert await refusal(up.socket("/gateways/nobody", additional_headers=BEARER)) == 404
    assert await refusal(up.socket("/gateways/nobody/token")) == 404


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("nonsense", "token_malformed"),
        ("x" * 5000, "token_malformed"),
        ("expired", "token_expired"),
        ("foreign", "token_bad_signature"),
    ],
)
@pytest.mark.parametrize("gateway", ["/gateways/plain/", "/gateways/twilio/"])
async def test_wrong_path_tokens_are_refused(guarded, caplog, gateway, token, code):
    class Yesterday:
        def wall(self):
            return datetime.now(UTC) - timedelta(days=1)

    class Now:
        def wall(self):
            return datetime.now(UTC)

    if token == "expired":
        token = PathTokens(TOKEN_KEY, Yesterday()).issue("c-1\nplain\n")
    elif token == "foreign":
        token = PathTokens("another-key-of-another-server", Now()).issue("c-1")
    up = await guarded()
    assert await refusal(up.socket(gateway + token)) == 401
    assert coded(caplog.records, code)
    assert await up.refused(code) == 1


def sign(url: str, form: dict[str, str] | None = None) -> dict[str, str]:
    return {"X-Twilio-Signature": RequestValidator(AUTH_TOKEN).compute_signature(url, form or {})}


async def test_a_signed_twilio_call_is_connected_to_a_stream_it_may_open(guarded):
    up = await guarded()
    answer = await up.http.post(
        "/gateways/twilio/voice", data=FORM, headers=sign(f"{PUBLIC}/gateways/twilio/voice", FORM)
    )
    assert answer.status_code == 200
    stream = ElementTree.fromstring(answer.text).find("Connect/Stream")
    assert {p.get("name"): p.get("value") for p in stream} == {"caller": FORM["From"], "called": FORM["To"]}
    public = stream.get("url")
    assert public.startswith("wss://voice.example.com/agent/gateways/twilio/")
    path = public.removeprefix("wss://voice.example.com/agent")
    async with up.socket(path) as caller:
        await caller.send(twilio_start("CA1", customParameters={"caller": FORM["From"]}))
        await caller.send(media())
        assert json.loads(await caller.recv())["streamSid"] == "MZ1"
    assert await refusal(up.socket(path)) == 401


@pytest.mark.parametrize("headers", [{}, {"X-Twilio-Signature": "AAAA"}, BEARER])
async def test_an_unsigned_request_for_twiml_is_refused(guarded, caplog, headers):
    up = await guarded()
    answer = await up.http.post("/gateways/twilio/voice", data=FORM, headers=headers)
    assert answer.status_code == 403
    assert "server.public_url" in answer.text
    assert coded(caplog.records, "bad_signature")
    assert await up.refused("bad_signature") == 1


async def test_a_signature_does_not_cover_another_form(guarded):
    up = await guarded()
    other = {**FORM, "From": "+15555550199"}
    answer = await up.http.post(
        "/gateways/twilio/voice", data=other, headers=sign(f"{PUBLIC}/gateways/twilio/voice", FORM)
    )
    assert answer.status_code == 403


async def test_a_twilio_socket_wants_a_signature(guarded):
    up = await guarded()
    assert await refusal(up.twilio()) == 401
    assert await refusal(up.twilio(additional_headers={"X-Twilio-Signature": "AAAA"})) == 401
    assert await refusal(up.twilio(additional_headers=BEARER)) == 401
    signed = sign("wss://voice.example.com/agent/gateways/twilio")
    async with up.twilio(additional_headers=signed) as caller:
        await caller.send(twilio_start("CA1"))
        assert json.loads(await caller.recv())["event"] in ("media", "mark")


async def chunks(count: int):
    for _ in range(count):
        yield b"a=" + b"x" * 4000 + b"&"


@pytest.mark.parametrize("content", [b"a=" + b"x" * 70_000, "&".join(f"f{n}=1" for n in range(300)).encode()])
async def test_a_form_that_is_too_big_is_refused(guarded, content):
    up = await guarded()
    assert (await up.http.post("/gateways/twilio/voice", content=content)).status_code == 413


async def test_a_form_that_does_not_tell_its_size_is_bounded_too(guarded):
    up = await guarded()
    assert (await up.http.post("/gateways/twilio/voice", content=chunks(100))).status_code == 413


async def test_a_full_server_refuses_the_next_call_and_keeps_the_others(guarded, caplog):
    up = await guarded(server={"max_calls": 1})
    async with healthy(up, additional_headers=BEARER) as caller:
        ready = await up.http.get("/ready")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "calls": 1, "draining": False})
        with pytest.raises(InvalidStatus) as caught:
            async with up.plain(additional_headers=BEARER):
                pass
        assert caught.value.response.status_code == 503
        assert caught.value.response.headers["Retry-After"] == "5"
        answer = await up.http.post(
            "/gateways/twilio/voice", data=FORM, headers=sign(f"{PUBLIC}/gateways/twilio/voice", FORM)
        )
        assert ElementTree.fromstring(answer.text).find("Reject").get("reason") == "busy"
        await caller.answered("still here")
        await caller.stop()
    await up.empty()
    assert await up.refused("full") == 2
    assert len(coded(caplog.records, "full")) == 2
    assert (await up.http.get("/ready")).status_code == 200
    async with healthy(up, "next", additional_headers=BEARER) as caller:
        await caller.answered("hello")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
    ],
)
async def test_insecure_lets_in_neither_proxies_nor_web_pages(serve, headers):
    up = await serve()
    assert await refusal(up.plain(additional_headers=headers)) == 401
    assert await refusal(up.twilio(additional_headers=headers)) == 401
    assert (await up.http.get("/api/calls", headers=headers)).status_code == 401
    assert (await up.http.get("/api/calls", headers={"Origin": up.address})).status_code == 200


async def test_insecure_does_not_answer_to_a_name_that_was_pointed_at_this_machine(serve):
    up = await serve()
    assert (await up.http.get("/api/calls", headers={"Host": f"attacker.example:{up.port}"})).status_code == 401
    assert (await up.http.get("/api/calls", headers={"Host": f"localhost:{up.port}"})).status_code == 200


async def test_a_trusted_proxy_tells_whom_it_speaks_for(serve):
    up = await serve(server={"trusted_proxies": ["127.0.0.1"]})
    assert (await up.http.get("/api/calls", headers={"X-Forwarded-For": "203.0.113.7"})).status_code == 401
    assert (await up.http.get("/api/calls")).status_code == 200


async def test_tls_serves_both_http_and_sockets(serve, tmp_path):
    up = await serve(server={"tls_cert": PEM, "tls_key": PEM})
    assert up.address.startswith("https://127.0.0.1:")
    trust = ssl.create_default_context(cafile=PEM)
    async with httpx.AsyncClient(verify=trust, trust_env=False) as http:
        assert (await http.get(f"https://localhost:{up.port}/live")).json() == {"live": True}
    async with healthy(up, ssl=trust, server_hostname="localhost") as caller:
        await caller.answered("hello")
    with pytest.raises((ConnectionError, httpx.HTTPError)):
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.get(f"http://127.0.0.1:{up.port}/live")


async def test_what_needs_no_secret_tells_nothing_of_calls(guarded):
    up = await guarded()
    async with healthy(up, additional_headers=BEARER):
        assert (await up.http.get("/live")).json() == {"live": True}
        assert set((await up.http.get("/ready")).json()) == {"ready", "calls", "draining"}
        assert "healthy" not in (await up.http.get("/metrics")).text


async def test_the_api_explains_wrong_questions(serve):
    up = await serve()
    assert (await up.http.get("/api/calls/none")).status_code == 404
    assert (await up.http.get("/api/calls", params={"limit": 0})).status_code == 422
    assert (await up.http.get("/api/calls", params={"limit": "x"})).status_code == 422
    assert (await up.http.get("/api/nothing")).status_code == 404
    assert (await up.http.post("/api/tokens")).status_code == 409


async def test_a_gateway_that_is_switched_off_is_not_there(serve):
    up = await serve(gateways={"twilio": {"enabled": False}, "plain": {"enabled": False}})
    assert await refusal(up.twilio()) == 404
    assert await refusal(up.plain()) == 404
    assert (await up.http.post("/gateways/twilio/voice", data=FORM)).status_code == 404


async def test_without_a_public_address_twilio_is_told_what_is_missing(serve):
    up = await serve()
    answer = await up.http.post("/gateways/twilio/voice", data=FORM)
    assert answer.status_code == 409
    assert "server.public_url" in answer.text


async def test_a_handshake_that_breaks_off_is_no_call(serve):
    up = await serve()
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", up.port)
        writer.write(
            b"GET /gateways/plain HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        writer.transport.abort()
    async with healthy(up) as caller:
        await caller.answered("hello")
    await up.empty()
    assert up.calls.ready
