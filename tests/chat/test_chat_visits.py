"""Visits, their tickets and limits, in virtual time."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.chat import visits as module
from agent.chat.settings import ChatSettings
from agent.chat.visits import Refusal, Visits, address_of


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.s = 1000.0

    def now_ms(self) -> float:
        return self.s * 1000.0

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.s)


def code(work, *given) -> str:
    with pytest.raises(Refusal) as refused:
        work(*given)
    return refused.value.code


@pytest.fixture
def clock():
    return Hands()


def test_tickets_are_good_once_and_not_for_long(clock):
    visits = Visits(ChatSettings(), clock)
    visit, secret = visits.open("chat", "192.0.2.7", "en")
    assert visits.find(visit.id, secret) is visit
    ticket = visits.ticket(visit)
    assert visits.redeem(ticket) is visit
    assert code(visits.redeem, ticket) == "token_used"
    late = visits.ticket(visit)
    clock.s += 61
    assert code(visits.redeem, late) == "token_expired"
    assert code(visits.redeem, visits.picture_ticket(visit)) == "token_bad_signature"
    assert code(visits.redeem, "none") == "token_malformed"
    assert code(visits.find, visit.id, "wrong") == "unknown_visit"


def test_a_visit_asks_for_so_many_tickets_a_minute(clock):
    visits = Visits(ChatSettings(), clock)
    visit, _ = visits.open("chat", "192.0.2.7", "en")
    for _ in range(module.TICKETS_PER_MINUTE):
        visits.ticket(visit)
    assert code(visits.ticket, visit) == "rate_limited"
    clock.s += 61
    visits.ticket(visit)


def test_new_visits_are_limited_by_address(clock):
    visits = Visits(ChatSettings(new_per_minute=2), clock)
    for _ in range(2):
        visits.open("chat", "2001:db8:1:2::1", "")
    assert code(visits.open, "chat", "2001:db8:1:2:ffff::9", "") == "rate_limited"
    visits.open("chat", "2001:db8:1:3::1", "")
    clock.s += 61
    visits.open("chat", "2001:db8:1:2::1", "")


def test_addresses_beyond_the_bound_are_refused_until_others_are_forgotten(clock, monkeypatch):
    monkeypatch.setattr(module, "MOST_ADDRESSES", 3)
    visits = Visits(ChatSettings(), clock)
    for last in range(3):
        visits.open("chat", f"192.0.2.{last}", "")
    assert code(visits.open, "chat", "192.0.2.9", "") == "rate_limited"
    clock.s += 61
    visits.open("chat", "192.0.2.9", "")


def test_open_conversations_are_limited_in_all(clock):
    visits = Visits(ChatSettings(most=1), clock)
    first, _ = visits.open("chat", "192.0.2.1", "")
    second, _ = visits.open("call", "192.0.2.2", "")
    visits.enter(first)
    assert code(visits.redeem, visits.ticket(second)) == "full"
    assert code(visits.open, "chat", "192.0.2.3", "") == "full"
    assert visits.redeem(visits.ticket(first)) is first  # its own place, when its connection breaks
    visits.leave(first)
    assert visits.redeem(visits.ticket(second)) is second


def test_visits_are_forgotten_and_their_number_bounded(clock, monkeypatch):
    monkeypatch.setattr(module, "MOST_VISITS", 2)
    visits = Visits(ChatSettings(), clock)
    visit, secret = visits.open("chat", "192.0.2.1", "")
    visits.open("chat", "192.0.2.2", "")
    assert code(visits.open, "chat", "192.0.2.3", "") == "full"
    clock.s += 601
    visits.open("chat", "192.0.2.3", "")
    assert code(visits.find, visit.id, secret) == "unknown_visit"


def test_pictures_are_counted_by_call(clock):
    visits = Visits(ChatSettings(pictures_per_call=2), clock)
    link, other = visits.picture_link("c-1"), visits.picture_link("c-1")
    third = visits.picture_link("c-1")
    assert visits.redeem_picture(link) == visits.redeem_picture(other) == "c-1"
    assert code(visits.redeem_picture, link) == "token_used"
    assert code(visits.redeem_picture, third) == "too_many_pictures"
    assert code(visits.picture_link, "c-1") == "too_many_pictures"
    old = visits.picture_link("c-2")
    clock.s += 601
    assert code(visits.redeem_picture, old) == "token_expired"


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nowhere", "nowhere"),
    ],
)
def test_addresses(peer, address):
    assert address_of(peer) == address
