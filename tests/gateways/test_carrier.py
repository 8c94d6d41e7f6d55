"""Call updates against a real HTTP server on a loopback port."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import httpx
import pytest

from agent.gateways import twiml
from agent.gateways.gateway import Account
from agent.gateways.rest import CarrierError, RestCarrier
from agent.gateways.twilio import TwilioControl

ENDED = (404, {"code": 20404, "message": "The requested resource was not found"})


class Carrier:
    """Answers in order, the last one again and again; an answer of None breaks the connection."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object] | None] = [(200, {})]
        self.requests: list[tuple[str, str, dict[str, list[str]]]] = []
        carrier = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                carrier.requests.append((self.path, self.headers["Authorization"], form))
                answer = carrier.answers.pop(0) if len(carrier.answers) > 1 else carrier.answers[0]
                if answer is None:
                    self.close_connection = True
                    return
                status, body = answer
                content = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


class JumpingClock:
    """Sleeping only moves the time."""

    def __init__(self) -> None:
        self.ms = 0.0

    def now_ms(self) -> float:
        return self.ms

    def wall(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)

    async def sleep_until(self, at_ms: float) -> None:
        self.ms = at_ms


@pytest.fixture
def carrier() -> Iterator[Carrier]:
    carrier = Carrier()
    thread = threading.Thread(target=carrier.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield carrier
    carrier.server.shutdown()
    carrier.server.server_close()
    thread.join()


def twilio(http: httpx.AsyncClient, carrier: Carrier, clock: JumpingClock | None = None) -> RestCarrier:
    control = TwilioControl(Account("AC1", "token", carrier.url + "/", "+15550199"))
    return RestCarrier("Twilio", control, http, clock or JumpingClock())


async def hang_up(carrier: Carrier, clock: JumpingClock | None = None) -> bool:
    async with httpx.AsyncClient() as http:
        return await twilio(http, carrier, clock).hang_up("CA1")


async def test_hanging_up_completes_the_call(carrier: Carrier) -> None:
    assert await hang_up(carrier) is True
    [(path, authorization, form)] = carrier.requests
    assert path == "/2010-04-01/Accounts/AC1/Calls/CA1.json"
    assert authorization == "Basic " + base64.b64encode(b"AC1:token").decode()
    assert form == {"Status": ["completed"]}


async def test_a_transfer_sends_dial_twiml(carrier: Carrier) -> None:
    async with httpx.AsyncClient() as http:
        await twilio(http, carrier).transfer("CA/../1", "+15550100")
    [(path, _, form)] = carrier.requests
    assert path == "/2010-04-01/Accounts/AC1/Calls/CA%2F..%2F1.json"
    assert form == {"Twiml": [twiml.dial("+15550100", "+15550199")]}


async def test_a_call_that_ended_before(carrier: Carrier) -> None:
    carrier.answers = [ENDED]
    assert await hang_up(carrier) is False
    async with httpx.AsyncClient() as http:
        with pytest.raises(CarrierError) as caught:
            await twilio(http, carrier).transfer("CA1", "+15550100")
    assert caught.value.code == "call_ended"
    assert len(carrier.requests) == 2


@pytest.mark.parametrize("first", [(500, "oops"), (503, {"message": "busy"}), None])
async def test_passing_failures_are_tried_again(carrier: Carrier, first: tuple[int, object] | None) -> None:
    carrier.answers = [first, first, (200, {})]
    clock = JumpingClock()
    assert await hang_up(carrier, clock) is True
    assert len(carrier.requests) == 3
    assert clock.ms == 1250


@pytest.mark.parametrize(
    ("answer", "code", "tries"),
    [
        ((500, "oops"), "failing", 3),
        (None, "unreachable", 3),
        ((401, {"code": 20003, "message": "Authenticate"}), "unauthorized", 1),
        ((400, {"code": 21220, "message": "Call is not in-progress"}), "refused", 1),
        ((404, "<html>no such page</html>"), "refused", 1),
        ((404, ["not an object"]), "refused", 1),
        ((429, {"code": 20429}), "refused", 1),
        ((302, ""), "refused", 1),
    ],
)
async def test_other_failures_are_told(
    carrier: Carrier, answer: tuple[int, object] | None, code: str, tries: int
) -> None:
    carrier.answers = [answer]
    with pytest.raises(CarrierError) as caught:
        await hang_up(carrier)
    assert caught.value.code == code
    assert len(carrier.requests) == tries
    assert "token" not in str(caught.value).replace("auth token", "")


async def test_a_time_out_is_tried_again_and_told() -> None:
    tries = 0

    def never(request: httpx.Request) -> httpx.Response:
        nonlocal tries
        tries += 1
        raise httpx.ReadTimeout("timed out", request=request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as http:
        with pytest.raises(CarrierError, match="did not answer: ReadTimeout") as caught:
            await RestCarrier("Twilio", TwilioControl(Account("AC1", "token")), http, JumpingClock()).hang_up("CA1")
    assert (caught.value.code, tries) == ("unreachable", 3)


async def test_a_wrong_number_is_refused_before_anything_is_sent(carrier: Carrier) -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(twiml.TwimlError):
            await twilio(http, carrier).transfer("CA1", "the desk")
    assert carrier.requests == []
