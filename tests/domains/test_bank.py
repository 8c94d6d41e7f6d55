"""The bank's database and actions: who is proven to be whom, and what happens to money, cards and loans."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from agent.clock import RealClock
from agent.dialogue.actioncontext import ActionContext
from agent.dialogue.loader import load_domain
from agent.domains.backend import Backend
from agent.domains.bank import accounts, cards, identity, loans, service, statements
from agent.domains.bank.store import Account, Card, Customer, Dispute, Transfer, open_bank
from agent.domains.forms import CallerNumber, NewComplaint, Nothing
from agent.domains.money import Money

BANK = Path(__file__).parents[2] / "configs" / "domains" / "bank"
DANIEL, GRACE, ROBERT, ANNA, MARCUS, WEI = "204816", "315927", "427350", "973618", "358906", "186742"


class Noon(RealClock):
    """A clock that stands at a Monday noon."""

    def wall(self) -> datetime:
        return datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded bank that every test copies."""
    path = tmp_path_factory.mktemp("bank") / "bank.db"

    async def seed() -> None:
        await (await open_bank(f"sqlite+aiosqlite:///{path}", Noon())).close()

    asyncio.run(seed())
    return path


@pytest.fixture
async def bank(seeded: Path, tmp_path: Path) -> AsyncIterator[Backend]:
    for file in seeded.parent.glob("bank.db*"):
        shutil.copyfile(file, tmp_path / file.name)
    backend = await open_bank(f"sqlite+aiosqlite:///{tmp_path}/bank.db", Noon())
    yield backend
    await backend.close()


def of(customer: str | None, key: str = "k", language: str = "en", caller: str | None = None) -> ActionContext:
    proven = None if customer is None else {"number": customer, "name": "Somebody"}
    return ActionContext("call", key, Noon(), caller=caller, customer=proven, language=language)


async def test_seed_is_not_repeated(bank: Backend, tmp_path: Path) -> None:
    again = await open_bank(f"sqlite+aiosqlite:///{tmp_path}/bank.db", Noon())
    async with again.session() as session:
        assert await session.scalar(select(func.count()).select_from(Customer)) == 12
    await again.close()


@pytest.mark.parametrize(
    ("who", "born", "caller", "outcome"),
    [
        ("204816", "1980-03-03", None, "found"),
        ("daniel harbor", "1980-03-03", None, "found"),
        ("yes my name is Daniel Harper", "1980-03-03", None, "found"),
        ("Wei Ling", "1988-02-16", None, "found"),
        ("林威", "1988-02-16", None, "found"),
        (None, "1980-03-03", "+12065550103", "found"),
        ("Daniel Harper", "1980-03-04", None, "again"),
        ("Grace Palmer", "1980-03-03", "+12065550103", "again"),
        (None, "1980-03-03", "+14155550105", "again"),
        (None, "1980-03-03", None, "again"),
        ("uh", "1980-03-03", None, "again"),
    ],
)
async def test_finds_a_customer_by_all_that_was_claimed(
    bank: Backend, who: str | None, born: str, caller: str | None, outcome: str
) -> None:
    claim = identity.Claim(who=who, birth_date=date.fromisoformat(born))
    assert (await identity.find_customer(bank, claim, of(None, caller=caller))).outcome == outcome


@pytest.mark.parametrize(
    ("who", "usable"),
    [
        ("204816", True),
        ("my name is Daniel Harper", True),
        ("林伟", True),
        ("I don't know my customer number", False),
        ("我不知道", False),
    ],
)
async def test_tells_a_name_from_having_none_at_hand(bank: Backend, who: str, usable: bool) -> None:
    assert (await identity.check_told(bank, identity.Told(who=who), of(None))).usable is usable


async def test_gives_up_after_three_claims_that_do_not_fit(bank: Backend) -> None:
    context = of(None)
    wrong = identity.Claim(who="Nobody Here", birth_date=date(1980, 3, 3))
    outcomes = [(await identity.find_customer(bank, wrong, context)).outcome for _ in range(3)]
    assert outcomes == ["again", "again", "give_up"]
    right = identity.Claim(who=DANIEL, birth_date=date(1980, 3, 3))
    assert (await identity.find_customer(bank, right, context)).outcome == "give_up"


async def test_a_pin_is_locked_after_three_wrong_ones_in_whatever_call(bank: Backend) -> None:
    for outcome in ("wrong", "wrong", "locked"):
        proof = await identity.check_pin(bank, identity.PinClaim(number=GRACE, pin="0000"), of(None))
        assert (proof.outcome, proof.name) == (outcome, "")
    right = identity.PinClaim(number=GRACE, pin="7730")
    assert (await identity.check_pin(bank, right, of(None))).outcome == "locked"


async def test_a_right_pin_tells_who_it_is(bank: Backend) -> None:
    proof = await identity.check_pin(bank, identity.PinClaim(number=DANIEL, pin="4821"), of(None))
    assert (proof.outcome, proof.number, proof.first_name) == ("verified", DANIEL, "Daniel")


async def test_a_profile_says_what_is_open_in_the_customers_language(bank: Backend) -> None:
    anna = await identity.find_caller(bank, CallerNumber(phone="+13125550117"), of(None))
    assert anna.open_items == [
        "the new card for your debit card ending in 7 2 0 3",
        "a payment on your car loan that is past due",
    ]
    lin = await identity.find_caller(bank, CallerNumber(phone="+14255550119"), of(None))
    assert (lin.language, lin.name, lin.last_topic) == ("zh", "林伟", "您的汽车贷款")
    assert not (await identity.find_caller(bank, CallerNumber(), of(None))).known


async def test_nothing_is_told_to_somebody_unproven(bank: Backend) -> None:
    with pytest.raises(PermissionError, match="nobody is verified"):
        await accounts.get_balance(bank, accounts.Which(), of(None))


async def test_balances_are_spoken_in_the_language_of_the_call(bank: Backend) -> None:
    told = await accounts.get_balance(bank, accounts.Which(), of(DANIEL))
    assert told.spoken == "Your checking account has $1,204.50. Your savings account has $8,350."
    told = await accounts.get_balance(bank, accounts.Which(account="checking"), of(DANIEL, language="zh"))
    assert told.spoken == "您的支票账户余额是1204美元50美分。"
    assert (await accounts.get_balance(bank, accounts.Which(account="savings"), of(GRACE))).outcome == "none"
    assert (await accounts.get_balance(bank, accounts.Which(), of(GRACE))).offer_savings


async def test_what_was_booked_is_told_in_either_language(bank: Backend) -> None:
    order = accounts.Order(to="savings", amount=Money(minor=5000))
    await accounts.make_transfer(bank, order, of(DANIEL, language="zh"))
    page = accounts.Page(account="checking")
    assert "to your savings account" in (await accounts.list_transactions(bank, page, of(DANIEL))).spoken
    told = await accounts.list_transactions(bank, page, of(DANIEL, language="zh"))
    assert "您的储蓄账户支出50美元" in told.spoken


@pytest.mark.parametrize(
    ("words", "what"), [("超市的那笔", "祥龙超市"), ("祥龙那个", "祥龙超市"), ("常青的", "常青电信")]
)
async def test_a_payment_is_found_by_a_part_of_its_chinese_name(bank: Backend, words: str, what: str) -> None:
    found = await cards.find_charge(bank, cards.ChargeName(charge=words), of(WEI, language="zh"))
    assert (found.outcome, found.what) == ("ok", what)


async def test_transactions_come_three_at_a_time(bank: Backend) -> None:
    assert (await accounts.list_transactions(bank, accounts.Page(), of(DANIEL))).outcome == "which"
    first = await accounts.list_transactions(bank, accounts.Page(account="checking"), of(DANIEL))
    assert first.spoken.startswith("Today, $6.80 to Bluebird Coffee, still pending. Yesterday, $42.10 to Cedar Market.")
    rest = await accounts.list_transactions(bank, accounts.Page(account="checking", skip=first.next), of(DANIEL))
    assert "$2,145 from Harbor Logistics payroll" in rest.spoken
    assert (first.more, rest.more) == (True, False)


@pytest.mark.parametrize(
    ("customer", "order", "outcome", "kind"),
    [
        (DANIEL, accounts.Order(to="savings", amount=Money(minor=30000)), "ok", "own"),
        (DANIEL, accounts.Order(to="payee", payee="Rosa Martinez", amount=Money(minor=30000)), "ok", "outside"),
        (DANIEL, accounts.Order(to="payee", payee="Ben Harper", amount=Money(minor=30000)), "ok", "inside"),
        (DANIEL, accounts.Order(to="payee", payee="Tom Palmer", amount=Money(minor=30000)), "no_account", "own"),
        (DANIEL, accounts.Order(to="payee", payee="Rosa Martinez", amount=Money(minor=120400)), "short", "outside"),
        (GRACE, accounts.Order(to="payee", payee="Tom Palmer", amount=Money(minor=500100)), "limit", "inside"),
        (GRACE, accounts.Order(to="savings", amount=Money(minor=100)), "no_account", "own"),
        (MARCUS, accounts.Order(to="savings", amount=Money(minor=100)), "on_hold", "own"),
    ],
)
async def test_quotes(bank: Backend, customer: str, order: accounts.Order, outcome: str, kind: str) -> None:
    quote = await accounts.quote_transfer(bank, order, of(customer))
    assert (quote.outcome, quote.kind) == (outcome, kind)
    assert quote.fee.minor == (150 if kind == "outside" else 0)


async def test_a_transfer_moves_the_money_once_for_a_key(bank: Backend) -> None:
    order = accounts.Order(to="payee", payee="Rosa Martinez", amount=Money(minor=20000))
    first = await accounts.make_transfer(bank, order, of(DANIEL))
    again = await accounts.make_transfer(bank, order, of(DANIEL))
    assert first == again
    assert (first.balance.minor, first.arrives_on) == (120450 - 20000 - 150, date(2026, 5, 6))
    own = await accounts.make_transfer(bank, accounts.Order(to="checking", amount=Money(minor=5000)), of(DANIEL, "b"))
    assert own.balance.minor == 835000 - 5000
    async with bank.session() as session:
        assert (await session.get_one(Account, "4411")).balance == first.balance.minor + 5000
        assert await session.scalar(select(func.count()).select_from(Transfer)) == 2


async def test_what_was_sent_today_counts_towards_the_limit(bank: Backend) -> None:
    order = accounts.Order(to="payee", payee="Tom Palmer", amount=Money(minor=400000))
    assert (await accounts.make_transfer(bank, order, of(GRACE, "a"))).outcome == "sent"
    assert (await accounts.make_transfer(bank, order, of(GRACE, "b"))).outcome == "limit"
    assert (await accounts.quote_transfer(bank, order, of(GRACE))).left_today.minor == 100000


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("I want to send rent to my landlord.", "Rosa Martinez"),
        ("pay the electric company", "Cascade Electric"),
        ("to Ben's account", "Ben Harper"),
        ("send money to someone", None),
    ],
)
async def test_a_payee_is_known_by_other_names(bank: Backend, words: str, match: str | None) -> None:
    payees = await accounts.list_payees(bank, accounts.Named(words=words), of(DANIEL))
    assert (payees.match, payees.accounts) == (match, 2)


@pytest.mark.parametrize(
    ("words", "name"), [("my brother", "Ben Harper"), ("the second one", "Cascade Electric"), ("uh I don't know", "")]
)
async def test_a_payee_is_asked_for_by_name_or_place(bank: Backend, words: str, name: str) -> None:
    found = await accounts.find_payee(bank, accounts.Named(words=words), of(DANIEL))
    assert (found.found, found.name) == (bool(name), name)


async def test_cards_are_found_blocked_replaced_and_only_by_their_owner(bank: Backend) -> None:
    assert (await cards.find_card(bank, cards.CardKind(), of(DANIEL))).outcome == "several"
    debit = await cards.find_card(bank, cards.CardKind(kind="debit"), of(DANIEL))
    ending = cards.CardEnding(ending=debit.ending)
    assert (await cards.block_card(bank, ending, of(ROBERT))).outcome == "unknown"
    assert (await cards.block_card(bank, ending, of(DANIEL))).outcome == "done"
    assert (await cards.block_card(bank, ending, of(DANIEL))).outcome == "already"
    new = await cards.order_card(bank, ending, of(DANIEL))
    assert (new.outcome, new.due_on) == ("done", date(2026, 5, 10))
    assert (await cards.find_card(bank, cards.CardKind(kind="debit"), of(DANIEL))).outcome == "on_its_way"
    assert (await cards.find_card(bank, cards.CardKind(), of(DANIEL))).ending == "9034"


async def test_a_new_card_is_activated(bank: Backend) -> None:
    emily = of("538264")
    assert not (await cards.find_new_card(bank, cards.CardEnding(ending="4412"), emily)).found
    assert (await cards.activate_card(bank, cards.CardEnding(ending="6618"), emily)).outcome == "done"
    assert (await cards.activate_card(bank, cards.CardEnding(ending="6618"), emily)).outcome == "already"
    async with bank.session() as session:
        assert (await session.get_one(Card, "6618")).status == "active"


async def test_a_locked_pin_is_unlocked_and_a_letter_sent_once(bank: Backend) -> None:
    card, samuel = cards.CardEnding(ending="5140"), of("649175")
    assert (await cards.find_card(bank, cards.CardKind(), samuel)).pin_locked
    assert (await cards.unlock_pin(bank, card, samuel)).outcome == "done"
    assert not (await cards.find_card(bank, cards.CardKind(), samuel)).pin_locked
    first, again = [await cards.send_pin_letter(bank, card, samuel) for _ in range(2)]
    assert (first.outcome, again.outcome, again.due_on) == ("done", "already", first.due_on)


@pytest.mark.parametrize(
    ("customer", "charge", "outcome"),
    [
        (DANIEL, "Nova Electronics for $189.99", "ok"),
        (DANIEL, "Bluebird Coffee for $6.80", "pending"),
        (ANNA, "Vista Gym for $59", "too_old"),
        (ANNA, "Quickride Taxi for $27.40", "already"),
        (ANNA, "the one at the gym", "too_old"),
        (ANNA, "the first one", "ok"),
        (ANNA, "all of them", "unclear"),
    ],
)
async def test_charges_that_can_be_disputed(bank: Backend, customer: str, charge: str, outcome: str) -> None:
    assert (await cards.find_charge(bank, cards.ChargeName(charge=charge), of(customer))).outcome == outcome


async def test_a_charge_is_disputed_once_and_by_its_owner(bank: Backend) -> None:
    named = await cards.list_charges(bank, cards.Heard(words="the gas station charged me double"), of(DANIEL))
    assert named.match == "Pine Street Gas for $48.20"
    named = await cards.list_charges(bank, cards.Heard(words="there is a charge I don't know"), of(DANIEL))
    assert (named.outcome, named.match) == ("several", None)
    named = await cards.list_charges(bank, cards.Heard(words="the one from nova electronics"), of(DANIEL))
    charge = await cards.find_charge(bank, cards.ChargeName(charge=str(named.match)), of(DANIEL))
    new = cards.NewDispute(entry=charge.entry, reason="not_mine")
    assert (charge.card_kind, (await cards.open_dispute(bank, new, of(ROBERT))).outcome) == ("credit", "unknown")
    first = await cards.open_dispute(bank, new, of(DANIEL, "a"))
    again = await cards.open_dispute(bank, new, of(DANIEL, "b"))
    assert (first.outcome, again.outcome, again.reference) == ("opened", "already", first.reference)
    async with bank.session() as session:
        assert await session.scalar(select(func.count()).select_from(Dispute)) == 2


@pytest.mark.parametrize(
    ("customer", "status", "extendable"),
    [
        (DANIEL, "current", True),
        (ROBERT, "overdue", True),
        (ANNA, "overdue", False),
        ("649175", "automatic", True),
        (MARCUS, "paid_off", False),
        (GRACE, "none", False),
    ],
)
async def test_loans_are_in_every_state(bank: Backend, customer: str, status: str, extendable: bool) -> None:
    loan = await loans.find_loan(bank, Nothing(), of(customer))
    assert (loan.status, loan.extendable) == (status, extendable)


async def test_a_loan_is_paid_once_for_a_key(bank: Backend) -> None:
    for _ in range(2):
        paid = await loans.pay_loan(bank, loans.Payment(), of(DANIEL))
        assert (paid.outcome, paid.amount.minor, paid.remaining.minor) == ("paid", 31240, 842000 - 31240)
    assert (await loans.find_loan(bank, Nothing(), of(DANIEL))).due_on == date(2026, 6, 13)
    much = await loans.pay_loan(bank, loans.Payment(amount=Money(minor=900000)), of(DANIEL, "b"))
    assert much.outcome == "too_much"
    assert (await loans.pay_loan(bank, loans.Payment(), of(ROBERT, "c"))).outcome == "short"


async def test_a_due_date_is_moved_once_a_year(bank: Backend) -> None:
    for _ in range(2):
        moved = await loans.extend_loan(bank, Nothing(), of(ROBERT))
        assert (moved.outcome, moved.due_on) == ("extended", date(2026, 5, 12))
    assert (await loans.extend_loan(bank, Nothing(), of(ANNA))).outcome == "refused"


async def test_a_paper_statement_costs_and_an_electronic_one_is_consent(bank: Backend) -> None:
    month = await statements.find_statement(bank, statements.Month(month="march"), of(DANIEL))
    assert (month.outcome, month.spoken, month.delivery) == ("found", "March 2026", "ask")
    assert (await statements.find_statement(bank, statements.Month(month="may"), of(DANIEL))).outcome == "not_yet"
    assert (await statements.find_statement(bank, statements.Month(month="june"), of(DANIEL))).month == date(2025, 6, 1)
    assert month.month is not None
    await statements.send_statement(bank, statements.StatementOrder(month=month.month, by="email"), of(DANIEL, "a"))
    assert (await statements.find_statement(bank, statements.Month(), of(DANIEL))).delivery == "email"
    post = statements.StatementOrder(month=month.month, by="post")
    for _ in range(2):
        assert (await statements.send_statement(bank, post, of(ROBERT, "b"))).outcome == "sent"
    async with bank.session() as session:
        assert (await session.get_one(Account, "4433")).balance == 4218 - 500
    await statements.refuse_e_statements(bank, Nothing(), of("186742"))
    assert (await statements.find_statement(bank, statements.Month(), of("186742"))).delivery == "post"


async def test_appointments_keep_to_opening_hours_and_to_what_is_free(bank: Backend) -> None:
    wish = service.Wish(branch="harbor", day=date(2026, 5, 5), part="morning")
    time = await service.find_time(bank, wish, of(None))
    assert (time.outcome, time.day, time.time) == ("other", date(2026, 5, 5), "14:00")
    saturday = service.Wish(branch="airport", day=date(2026, 5, 9), part="morning")
    time = await service.find_time(bank, saturday, of(None))
    assert (time.outcome, time.day, time.where) == ("other", date(2026, 5, 11), "the Airport branch")
    booking = service.Booking(branch="airport", day=date(2026, 5, 11), time="10:00", topic="loan", visitor="Helen")
    assert (await service.book_appointment(bank, booking, of(None, "a"))).outcome == "booked"
    assert (await service.book_appointment(bank, booking, of(None, "a"))).outcome == "booked"
    assert (await service.book_appointment(bank, booking, of(DANIEL, "b"))).outcome == "taken"


async def test_an_appointment_is_cancelled(bank: Backend) -> None:
    samuel = of("649175")
    assert (await service.find_appointment(bank, Nothing(), samuel)).day == date(2026, 5, 7)
    assert (await service.cancel_appointment(bank, Nothing(), samuel)).outcome == "cancelled"
    assert not (await service.find_appointment(bank, Nothing(), samuel)).found


async def test_smaller_services(bank: Backend) -> None:
    assert (await service.find_online_access(bank, Nothing(), of(ROBERT))).outcome == "locked"
    assert (await service.send_reset_link(bank, Nothing(), of(ROBERT))).phone == "0 1 0 7"
    assert (await service.find_online_access(bank, Nothing(), of(ROBERT))).outcome == "open"
    address = service.NewAddress(address="40 Birch Street, Albany 12207")
    assert (await service.change_address(bank, address, of(DANIEL))).address == address.address
    assert (await accounts.open_savings(bank, Nothing(), of(GRACE))).ending == "7800"
    assert (await accounts.open_savings(bank, Nothing(), of(GRACE))).outcome == "already"
    assert (await accounts.open_savings(bank, Nothing(), of(MARCUS))).outcome == "already"
    assert (await identity.stop_offers(bank, Nothing(), of(None, caller="+12065550103"))).known
    complaint = NewComplaint(text="nobody calls me back")
    logged = [(await service.log_complaint(bank, complaint, of(None))).reference for _ in range(2)]
    assert logged == ["701", "701"]


def test_the_domain_has_what_it_promises() -> None:
    domain = load_domain(BANK)
    own = [name for name in domain.intents if domain.flow_of(name) is not None]
    assert len(own) >= 12
    assert len(domain.flows) >= 8
    assert len(domain.facts) >= 30
    assert {action for action, spec in domain.manner.actions.items() if spec.side_effects} >= {
        "make_transfer", "block_card", "order_card", "activate_card", "open_dispute", "pay_loan", "change_address",
    }  # fmt: skip
    unproven = {name for name, spec in domain.manner.actions.items() if spec.identity == "none"}
    assert unproven == {
        "find_caller", "recognise_line", "check_told", "find_customer", "check_pin", "stop_offers", "find_time",
        "book_appointment", "log_complaint",
    }  # fmt: skip
