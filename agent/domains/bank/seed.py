"""The bank's made-up customers, accounts, cards and loans; the same for the same day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import select

from agent.domains.backend import Backend
from agent.domains.bank.store import (
    MOST_TRIES,
    Account,
    Appointment,
    Card,
    Customer,
    Dispute,
    Entry,
    Loan,
    Payee,
)

# number: (name, name in Chinese, born, PIN, telephone, address)
PEOPLE: dict[str, tuple[str, str, str, str, str, str]] = {
    "204816": ("Daniel Harper", "丹尼尔·哈珀", "1980-03-03", "4821", "+12065550103", "48 Fern Street, Seattle 98101"),
    "315927": ("Grace Palmer", "格蕾丝·帕尔默", "1968-07-19", "7730", "+14155550105", "9 Mission Lane, Oakland 94601"),
    "427350": ("Robert Klein", "罗伯特·克莱因", "1991-12-02", "1964", "+13035550107", "15 Quarry Court, Denver 80202"),
    "538264": ("Emily Watson", "艾米莉·沃森", "1999-05-24", "3508", "+16175550109", "64 Elm Street, Boston 02110"),
    "649175": ("Samuel Ortiz", "塞缪尔·奥尔蒂斯", "1986-09-15", "9142", "+12125550111", "301 Park Row, Albany 12207"),
    "751483": ("Linda Brooks", "琳达·布鲁克斯", "1957-01-30", "6075", "+15035550113", "12 Alder Street, Salem 97301"),
    "862509": ("Kevin Murphy", "凯文·墨菲", "1978-04-11", "2286", "+17205550115", "7 Lakeview Drive, Boulder 80301"),
    "973618": ("Anna Petrova", "安娜·彼得罗娃", "1994-10-08", "5513", "+13125550117", "23 Dearborn Road, Gary 46402"),
    "186742": ("Wei Lin", "林伟", "1988-02-16", "8301", "+14255550119", "77 Cedar Avenue, Bellevue 98004"),
    "297431": ("Meiling Chen", "陈美玲", "1975-11-21", "4409", "+16465550121", "5 Mulberry Street, New York 10013"),
    "358906": ("Marcus Bell", "马库斯·贝尔", "1983-06-27", "7194", "+19705550123", "9 Aspen Way, Vail 81657"),
    "469120": ("Olivia Grant", "奥利维亚·格兰特", "2001-08-05", "1357", "+12025550125", "8 Canal Road, Reston 20190"),
}  # fmt: skip
# What is true of a customer besides; topic_ago is days since the last call.
TRAITS: dict[str, dict[str, Any]] = {
    "204816": {"topic": "the replacement of your debit card", "topic_zh": "补办借记卡的事", "topic_ago": 12},
    "315927": {"e_statements": True, "pace": 0.9},
    "427350": {"online_locked": True},
    "538264": {"e_statements": False},
    "649175": {"online_locked": True, "topic": "your home loan", "topic_zh": "您的住房贷款", "topic_ago": 5},
    "751483": {"vip": True, "no_offers": True, "e_statements": True},
    "862509": {"tries": MOST_TRIES},
    "186742": {"language": "zh", "topic": "your car loan", "topic_zh": "您的汽车贷款", "topic_ago": 8},
    "297431": {"language": "zh", "e_statements": True},
    "358906": {"on_hold": True},
}
# (customer, kind, last four digits, balance in cents)
ACCOUNTS = (
    ("204816", "checking", "4411", 120450), ("204816", "savings", "7702", 835000),
    ("315927", "checking", "4420", 1248000),
    ("427350", "checking", "4433", 4218),
    ("538264", "checking", "4447", 31000), ("538264", "savings", "7748", 15000),
    ("649175", "checking", "4452", 296075),
    ("751483", "checking", "4460", 1892010), ("751483", "savings", "7761", 6430000),
    ("862509", "checking", "4464", 77000),
    ("973618", "checking", "4478", 90533),
    ("186742", "checking", "4485", 623000), ("186742", "savings", "7786", 2000000),
    ("297431", "checking", "4491", 8820),
    ("358906", "checking", "4499", 51240), ("358906", "savings", "7790", 30000),
    ("469120", "savings", "7799", 520000),
)  # fmt: skip
# (customer, kind, last four digits, status, more)
CARDS: tuple[tuple[str, str, str, str, dict[str, int | bool]], ...] = (
    ("204816", "debit", "4412", "active", {}), ("204816", "credit", "9034", "active", {}),
    ("315927", "debit", "6027", "active", {}),
    ("427350", "debit", "3381", "blocked", {}),
    ("538264", "debit", "2290", "expired", {}), ("538264", "debit", "6618", "inactive", {}),
    ("649175", "debit", "5140", "active", {"pin_locked": True}),
    ("751483", "credit", "9177", "active", {}),
    ("862509", "debit", "5522", "active", {}),
    ("973618", "debit", "7203", "blocked", {"due_in": 4}),
    ("186742", "debit", "1165", "active", {}), ("186742", "credit", "9528", "active", {}),
    ("297431", "debit", "1173", "active", {"pin_locked": True}),
    ("358906", "debit", "2846", "active", {}),
)  # fmt: skip
# (customer, name, other names, an account here)
PAYEES = (
    ("204816", "Rosa Martinez", "landlord landlady rent", False),
    ("204816", "Cascade Electric", "electric electricity power utility", False),
    ("204816", "Ben Harper", "brother", True),
    ("315927", "Tom Palmer", "son", True),
    ("427350", "Maple Apartments", "landlord rent apartment", False),
    ("649175", "Lucia Ortiz", "wife", True),
    ("751483", "Peter Brooks", "husband", True), ("751483", "Green Valley Golf Club", "golf club", False),
    ("973618", "Lakeside Rentals", "landlord rent", False),
    ("186742", "王芳", "房东 房租 landlord rent fang wang", False), ("186742", "林小雨", "女儿 daughter", True),
    ("358906", "Summit Property", "landlord rent", False),
)  # fmt: skip
# (customer, kind, remaining, monthly payment, due in days, automatic, extended days ago)
LOANS = (
    ("204816", "car", 842000, 31240, 9, False, None),
    ("427350", "personal", 215000, 18000, -6, False, None),
    ("649175", "home", 21450000, 132000, 5, True, None),
    ("751483", "home", 9820000, 184500, 12, True, None),
    ("973618", "car", 564000, 24500, -3, False, 90),
    ("186742", "car", 1130000, 40500, 9, False, None),
    ("358906", "personal", 0, 12000, -40, False, None),
)
# (account, days ago, other side, in Chinese, cents, pending, card)
ENTRIES: tuple[tuple[str, int, str, str, int, bool, str | None], ...] = (
    ("4411", 0, "Bluebird Coffee", "蓝鸟咖啡", -680, True, "4412"),
    ("4411", 1, "Cedar Market", "雪松超市", -4210, False, "4412"),
    ("4411", 2, "Pine Street Gas", "松街加油站", -4820, False, "4412"),
    ("4411", 4, "Nova Electronics", "新星电器", -18999, False, "9034"),
    ("4411", 5, "Harbor Logistics payroll", "港口物流工资", 214500, False, None),
    ("4411", 9, "Cascade Electric", "瀑布电力", -8730, False, None),
    ("7702", 3, "interest", "利息", 2213, False, None),
    ("7702", 34, "your checking account", "您的支票账户", 50000, False, None),
    ("4420", 1, "Orchard Pharmacy", "果园药房", -2365, False, "6027"),
    ("4420", 3, "Silverline Streaming", "银线影视", -1599, False, "6027"),
    ("4420", 6, "state pension", "养老金", 198000, False, None),
    ("4433", 0, "overdraft fee", "透支费", -2500, False, None),
    ("4433", 2, "Metro Transit", "城市公交", -275, False, "3381"),
    ("4433", 16, "Alpine Diner payroll", "高山餐厅工资", 88000, False, None),
    ("4447", 0, "Northwind Bakery payroll", "北风面包房工资", 148000, True, None),
    ("4447", 8, "Campus Books", "校园书店", -6450, False, "2290"),
    ("7748", 30, "interest", "利息", 41, False, None),
    ("4452", 1, "Union Grocers", "联合杂货", -9120, False, "5140"),
    ("4452", 3, "Union Grocers", "联合杂货", -1830, False, "5140"),
    ("4452", 4, "City Schools payroll", "市立学校工资", 312000, False, None),
    ("4460", 2, "Rosewood Hotel", "玫瑰木酒店", -48600, False, "9177"),
    ("4460", 7, "Green Valley Golf Club", "绿谷高尔夫", -32000, False, None),
    ("7761", 3, "interest", "利息", 17120, False, None),
    ("4464", 2, "Cedar Market", "雪松超市", -3340, False, "5522"),
    ("4478", 1, "Lumen Online Store", "流明网店", -12999, False, "7203"),
    ("4478", 6, "Quickride Taxi", "快行出租", -2740, False, "7203"),
    ("4478", 75, "Vista Gym", "远景健身房", -5900, False, "7203"),
    ("4485", 1, "Lucky Dragon Market", "祥龙超市", -7630, False, "1165"),
    ("4485", 2, "Evergreen Telecom", "常青电信", -5500, False, "9528"),
    ("4485", 3, "Rainier Software payroll", "雷尼尔软件工资", 431000, False, None),
    ("7786", 3, "interest", "利息", 5310, False, None),
    ("4491", 1, "Jade Bakery", "翡翠饼店", -1240, False, "1173"),
    ("4491", 12, "Pearl Clinic payroll", "明珠诊所工资", 176000, False, None),
    ("4499", 5, "Summit Outfitters", "峰顶户外", -11200, False, "2846"),
    ("7799", 20, "interest", "利息", 1384, False, None),
)


async def seed(bank: Backend) -> None:
    """Fill an empty bank; does nothing to one that has customers."""
    today = bank.clock.wall().date()
    async with bank.session() as session, session.begin():
        if (await session.scalars(select(Customer.number).limit(1))).first() is not None:
            return
        session.add_all(_customer(number, today) for number in PEOPLE)
        await session.flush()
        session.add_all(
            Account(customer=customer, kind=kind, ending=ending, balance=balance)
            for customer, kind, ending, balance in ACCOUNTS
        )
        session.add_all(_card(today, *card) for card in CARDS)
        session.add_all(
            Payee(customer=customer, name=name, known_as=known_as, own_bank=own_bank)
            for customer, name, known_as, own_bank in PAYEES
        )
        session.add_all(
            Loan(
                customer=customer,
                kind=kind,
                remaining=remaining,
                payment=payment,
                due_on=today + timedelta(days=due),
                autopay=autopay,
                extended_on=None if extended is None else today - timedelta(days=extended),
            )
            for customer, kind, remaining, payment, due, autopay, extended in LOANS
        )
        await session.flush()
        entries = [
            Entry(
                account=account,
                day=today - timedelta(days=ago),
                what=what,
                what_zh=what_zh,
                amount=amount,
                pending=pending,
                card=card,
            )
            for account, ago, what, what_zh, amount, pending, card in ENTRIES
        ]
        session.add_all(entries)
        await session.flush()
        taxi = next(entry for entry in entries if entry.what == "Quickride Taxi")
        session.add(Dispute(customer="973618", entry=taxi.id, reason="charged_twice", day=today, key="seed-dispute"))
        session.add_all(_appointments(today))


def _customer(number: str, today: date) -> Customer:
    name, name_zh, born, pin, phone, address = PEOPLE[number]
    traits = dict(TRAITS.get(number, {}))
    ago = traits.pop("topic_ago", None)
    return Customer(
        number=number,
        name=name,
        name_zh=name_zh,
        birth_date=date.fromisoformat(born),
        pin=pin,
        phone=phone,
        email=f"{name.lower().replace(' ', '.')}@example.com",
        address=address,
        topic_on=None if ago is None else today - timedelta(days=ago),
        **traits,
    )


def _card(today: date, customer: str, kind: str, ending: str, status: str, more: dict[str, int | bool]) -> Card:
    due = more.get("due_in")
    return Card(
        customer=customer,
        kind=kind,
        ending=ending,
        status=status,
        pin_locked=bool(more.get("pin_locked", False)),
        due_on=None if due is None else today + timedelta(days=int(due)),
    )


def _appointments(today: date) -> list[Appointment]:
    """One of Samuel Ortiz's in three days, and tomorrow's whole morning at the Harbor branch taken by others."""
    rows: list[tuple[str | None, str, str, int, str, str]] = [
        ("649175", "Samuel Ortiz", "downtown", 3, "14:00", "home_loan"),
        (None, "another visitor", "harbor", 1, "10:00", "other"),
        (None, "a third visitor", "harbor", 1, "11:00", "other"),
    ]
    return [
        Appointment(
            customer=customer,
            name=name,
            branch=branch,
            day=today + timedelta(days=days),
            time=time,
            topic=topic,
            key=f"seed-{n}",
        )
        for n, (customer, name, branch, days, time, topic) in enumerate(rows)
    ]
