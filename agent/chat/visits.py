"""Who is in by the public pages: visits, their one-use tickets, and limits by address. No I/O; time is passed in."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Literal

from agent.chat.settings import ChatSettings
from agent.clock import Clock
from agent.door import new_call_id
from agent.gateways.auth import PathTokens, TokenError

Kind = Literal["chat", "call"]

MINUTE_MS = 60_000.0
MOST_ADDRESSES = 10_000
"""Addresses whose rate is remembered; when as many came within a minute, further ones are refused."""
MOST_VISITS = 1_000
"""Visits remembered; when as many are alive, further ones are refused."""
FORGET_MS = 600_000.0
"""A visit without a connection is forgotten after this long: a token for a picture outlives the call by no more."""
TICKETS_PER_MINUTE = 20
"""Tickets a minute for one visit: connections that return, and pictures."""
TICKET_S, PICTURE_S = 60.0, 600.0
"""How long a ticket for a connection is good, and one for a picture, which has to be taken first."""
MOST_CALLS = 10_000
"""Calls whose pictures are counted; the oldest is forgotten first."""


class Refusal(Exception):
    """A visitor is turned away. `code` is stable, `status` the HTTP status; the message says what to do."""

    def __init__(self, code: str, status: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status


@dataclass(slots=True)
class Visit:
    """One visitor's conversation. id: our id of the call, and the gateway's id of it at once."""

    id: str
    kind: Kind
    language: str
    address: str
    proof: bytes
    connected: int = 0
    ever: bool = False
    left_ms: float = 0.0
    said_ms: float = 0.0
    tickets: deque[float] | None = None


class Rates:
    """So many a minute by key, of a bounded number of keys."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._recent: dict[str, deque[float]] = {}

    def take(self, key: str, now_ms: float) -> bool:
        """Count one of `key`; False where there were too many within a minute, or too many keys."""
        recent = self._recent.get(key)
        if recent is None:
            if len(self._recent) >= MOST_ADDRESSES:
                self._recent = {one: times for one, times in self._recent.items() if times[-1] > now_ms - MINUTE_MS}
                if len(self._recent) >= MOST_ADDRESSES:
                    return False
            recent = self._recent[key] = deque(maxlen=self._most)
        if len(recent) == self._most and recent[0] > now_ms - MINUTE_MS:
            return False
        recent.append(now_ms)
        return True


class Visits:
    """Lets visitors in and knows them again.

    A visit has a secret that only its page holds; with it the page asks for tickets, each good for one connection or
    one picture. Tickets are signed with a key that this process makes up at start.
    """

    def __init__(self, settings: ChatSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._visits: dict[str, Visit] = {}
        self._rates = Rates(settings.new_per_minute)
        self._connections = PathTokens(secrets.token_bytes(32), clock, TICKET_S)
        self._pictures = PathTokens(secrets.token_bytes(32), clock, PICTURE_S)
        self._sent: dict[str, int] = {}

    def open(self, kind: Kind, peer: str, language: str) -> tuple[Visit, str]:
        """A new visit and its secret.

        Raises:
            Refusal: too many conversations, now or within a minute.
        """
        now, address = self._clock.now_ms(), address_of(peer)
        if not self._rates.take(address, now):
            raise Refusal("rate_limited", 429, "too many new conversations from this address; try again in a minute")
        self._forget(now)
        self._check_room(address)
        if len(self._visits) >= MOST_VISITS:
            raise Refusal("full", 503, "too many visitors; try again in a few minutes")
        secret = secrets.token_urlsafe(24)
        visit = Visit(new_call_id(), kind, language, address, _digest(secret), left_ms=now)
        self._visits[visit.id] = visit
        return visit, secret

    def find(self, visit_id: str, secret: str) -> Visit:
        """The visit whose secret this is.

        Raises:
            Refusal: there is none; whether the id or the secret is wrong is not told.
        """
        visit = self._visits.get(visit_id)
        if visit is None or not hmac.compare_digest(visit.proof, _digest(secret)):
            raise Refusal("unknown_visit", 404, "this conversation is over; start a new one")
        return visit

    def ticket(self, visit: Visit) -> str:
        """A token for one connection of `visit`.

        Raises:
            Refusal: the visit asked for too many.
        """
        self._count_ticket(visit)
        return self._connections.issue(f"{visit.id}\n{secrets.token_hex(4)}")

    def picture_ticket(self, visit: Visit) -> str:
        """A token for one picture in `visit`.

        Raises:
            Refusal: the visit asked for too many, or has sent its number of pictures.
        """
        self._count_ticket(visit)
        return self.picture_link(visit.id)

    def picture_link(self, call_id: str) -> str:
        """A token for one picture in any call: what a caller by telephone can be sent a link with.

        Raises:
            Refusal: the call has had its number of pictures.
        """
        if self._sent.get(call_id, 0) >= self._settings.pictures_per_call:
            raise Refusal(
                "too_many_pictures", 429, f"{self._settings.pictures_per_call} pictures were sent; this is the most"
            )
        return self._pictures.issue(call_id)

    def redeem(self, ticket: str) -> Visit:
        """The visit that a ticket lets in; the ticket is used up.

        Raises:
            Refusal: it is not good any more, or there are too many conversations.
        """
        try:
            visit_id = self._connections.redeem(ticket).partition("\n")[0]
        except TokenError as error:
            raise Refusal(f"token_{error.code}", 401, str(error)) from error
        visit = self._visits.get(visit_id)
        if visit is None:
            raise Refusal("unknown_visit", 404, "this conversation is over; start a new one")
        if not visit.connected:
            self._check_room(visit.address)
        return visit

    def redeem_picture(self, token: str) -> str:
        """The call that a picture may be sent to; the token is used up, and the picture counted.

        Raises:
            Refusal: the token is not good any more, or the call has had its number of pictures.
        """
        try:
            call_id = self._pictures.redeem(token)
        except TokenError as error:
            raise Refusal(f"token_{error.code}", 401, "this link was used or is too old; ask for a new one") from error
        sent = self._sent.pop(call_id, 0)
        self._sent[call_id] = sent + 1
        while len(self._sent) > MOST_CALLS:
            del self._sent[next(iter(self._sent))]
        if sent >= self._settings.pictures_per_call:
            raise Refusal("too_many_pictures", 429, f"{sent} pictures were sent; this is the most")
        return call_id

    def enter(self, visit: Visit) -> None:
        """A connection of `visit` is open; `leave` it when it is over."""
        visit.connected += 1
        if not visit.ever:
            self.said(visit)
        visit.ever = True

    def said(self, visit: Visit) -> None:
        """The visitor typed something or pressed a key."""
        visit.said_ms = self._clock.now_ms()

    async def until_idle(self, visit: Visit) -> None:
        """Wait until the visitor has typed nothing for `idle_s`."""
        while (due_ms := visit.said_ms + self._settings.idle_s * 1000.0) > self._clock.now_ms():
            await self._clock.sleep_until(due_ms)

    def leave(self, visit: Visit) -> None:
        """A connection of `visit` is over."""
        visit.connected -= 1
        visit.left_ms = self._clock.now_ms()

    def _check_room(self, address: str) -> None:
        open_now = [visit for visit in self._visits.values() if visit.connected]
        if len(open_now) >= self._settings.most:
            raise Refusal("full", 503, "all places are taken; try again in a few minutes")
        if sum(visit.address == address for visit in open_now) >= self._settings.most_per_address:
            raise Refusal("too_many_calls", 429, "too many conversations from this address are open; end one first")

    def _count_ticket(self, visit: Visit) -> None:
        now = self._clock.now_ms()
        recent = visit.tickets
        if recent is None:
            recent = visit.tickets = deque(maxlen=TICKETS_PER_MINUTE)
        if len(recent) == TICKETS_PER_MINUTE and recent[0] > now - MINUTE_MS:
            raise Refusal("rate_limited", 429, "too many tries; wait a minute")
        recent.append(now)

    def _forget(self, now_ms: float) -> None:
        gone = [
            visit.id for visit in self._visits.values() if not visit.connected and visit.left_ms < now_ms - FORGET_MS
        ]
        for name in gone:
            del self._visits[name]


def address_of(peer: str) -> str:
    """What of a peer's address is counted: IPv4 whole, IPv6 its /64, which one household has."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
