import asyncio

import pytest
from consolefakes import PASSWORD

from agent.console.accounts import AccountError, UnknownAccount
from agent.console.passwords import MOST_WAITING, Crowded, PasswordError, Passwords, checked_password
from agent.console.sessions import ConsoleSettings, Lockout


async def test_hashes_are_salted_argon2id_and_checked():
    passwords = Passwords(memory_kib=8, rounds=1)
    kept = await passwords.hash(PASSWORD)
    assert kept.startswith("$argon2id$")
    assert kept != await passwords.hash(PASSWORD)
    assert await passwords.matches(PASSWORD, kept)
    assert not await passwords.matches("correct horse batterz", kept)
    assert not await passwords.matches("nobody's", None)
    assert not await passwords.matches(PASSWORD, "no hash")
    assert not await passwords.matches("x" * 257, kept)
    assert not passwords.outdated(kept)
    assert Passwords(memory_kib=16, rounds=1).outdated(kept)


async def test_the_usual_hash_is_as_costly_as_recommended():
    kept = await Passwords().hash(PASSWORD)
    assert "m=65536,t=2,p=1" in kept


async def test_no_more_than_so_many_hashes_wait():
    passwords = Passwords(memory_kib=8, rounds=1)
    results = await asyncio.gather(*(passwords.hash("x") for _ in range(MOST_WAITING + 3)), return_exceptions=True)
    assert sum(isinstance(result, Crowded) for result in results) == 3


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "has 5 characters; use 12 to 256"),
        ("x" * 257, "has 257 characters"),
        ("abababababab", "different characters"),
        ("Ann-is-in-the-house", "contains the name"),
        ("tab\tinside the word", "cannot be typed"),
    ],
)
def test_weak_passwords_are_refused(password, why):
    with pytest.raises(PasswordError, match=why) as caught:
        checked_password(password, "ann")
    assert password not in str(caught.value)


async def test_accounts_are_added_found_and_listed(world):
    accounts = world.console.guard.accounts
    person = await accounts.add("bo", "agent", PASSWORD, ["orders", "orders", "returns"], ["en", "zh"])
    assert (person.name, person.role, person.skills, person.languages) == (
        "bo",
        "agent",
        ("orders", "returns"),
        ("en", "zh"),
    )
    assert [one.name for one in await accounts.everybody()] == ["bo"]
    with pytest.raises(AccountError, match="already"):
        await accounts.add("bo", "agent", PASSWORD)
    with pytest.raises(UnknownAccount, match="there is no account 'ann'"):
        await accounts.find("ann")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": "Bo Smith"}, "name is 'Bo Smith'; use"),
        ({"role": "boss"}, "role is 'boss'; give one of agent, supervisor, admin"),
        ({"skills": ["x" * 65]}, "skills has"),
        ({"languages": ["English"]}, "languages has 'English'; give codes"),
    ],
)
async def test_unusable_accounts_are_refused(world, given, why):
    with pytest.raises(AccountError, match=why):
        await world.console.guard.accounts.add(**{"name": "bo", "role": "agent", "password": PASSWORD} | given)
    assert await world.console.guard.accounts.everybody() == []


async def test_the_last_admin_stays(world):
    accounts = world.console.guard.accounts
    await accounts.add("ann", "admin", PASSWORD)
    for change in ({"disabled": True}, {"role": "agent"}):
        with pytest.raises(AccountError, match="'ann' is the last admin"):
            await accounts.change("ann", change)
    await accounts.add("bo", "admin", PASSWORD)
    assert (await accounts.change("ann", {"disabled": True})).disabled
    with pytest.raises(AccountError, match="last admin"):
        await accounts.change("bo", {"role": "supervisor"})


async def test_an_old_hash_is_made_anew_at_the_next_sign_in(world):
    accounts = world.console.guard.accounts
    await accounts.add("ann", "admin", PASSWORD)
    accounts._passwords = Passwords(memory_kib=16, rounds=1)
    assert (await accounts.check("ann", PASSWORD)).name == "ann"
    accounts._passwords = Passwords(memory_kib=8, rounds=1)
    assert (await accounts.check("ann", PASSWORD)).name == "ann"


async def test_sessions_end_by_idling_by_the_day_and_by_force(world):
    guard = world.console.guard
    await world.add("ann", "admin")
    person = await guard.accounts.find("ann")
    token = await guard.sessions.open(person, "127.0.0.1")
    for _ in range(20):  # used twice an hour, it lasts
        world.clock.ahead_s += 1800
        assert (await guard.sessions.find(token)).name == "ann"
    world.clock.ahead_s += 3601
    assert await guard.sessions.find(token) is None
    token = await guard.sessions.open(person, "127.0.0.1")
    for _ in range(23):
        world.clock.ahead_s += 1800
        assert await guard.sessions.find(token) is not None
    world.clock.ahead_s += 1801
    assert await guard.sessions.find(token) is None, "a day at the console is over, used or not"
    token = await guard.sessions.open(person, "127.0.0.1")
    assert await guard.sessions.find(token) is not None
    await guard.accounts.set_password("ann", "another horse battery")
    world.clock.ahead_s += 4
    assert await guard.sessions.find(token) is None, "a new password signs out"


async def test_watching_alone_does_not_keep_a_session(world):
    guard = world.console.guard
    await world.add("ann", "admin")
    token = await guard.sessions.open(await guard.accounts.find("ann"), "127.0.0.1")
    for _ in range(7):
        world.clock.ahead_s += 600
        last = await guard.sessions.find(token, used=False)
    assert last is None


async def test_the_database_cannot_be_used_to_sign_in(world):
    guard = world.console.guard
    await world.add("ann", "admin")
    token = await guard.sessions.open(await guard.accounts.find("ann"), "127.0.0.1")
    signed = await guard.sessions.find(token)
    assert token != signed.session
    assert await guard.sessions.find(signed.session) is None
    for strange in ("", "x" * 65, "\u00e9", "\x00"):
        assert await guard.sessions.find(strange) is None


async def test_one_more_session_ends_the_oldest(world):
    guard = world.console.guard
    await world.add("ann", "admin")
    person = await guard.accounts.find("ann")
    tokens = []
    for _ in range(11):
        world.clock.ahead_s += 1
        tokens.append(await guard.sessions.open(person, "127.0.0.1"))
    assert [await guard.sessions.find(token) is not None for token in tokens] == [False] + [True] * 10


def test_lock_out_counts_pair_address_and_name(world):
    lockout = Lockout(ConsoleSettings(), world.clock)
    for _ in range(5):
        assert lockout.wait_s("ann", "10.0.0.1") == 0
        lockout.wrong("ann", "10.0.0.1")
    assert 890 < lockout.wait_s("ann", "10.0.0.1") <= 900
    assert lockout.wait_s("ann", "10.0.0.2") == 0, "whoever guesses elsewhere does not lock her out here"
    assert lockout.wait_s("bo", "10.0.0.1") == 0
    for number in range(25):
        lockout.wrong(f"name{number}", "10.0.0.1")
    assert lockout.wait_s("bo", "10.0.0.1") > 0, "one address tried many names"
    for number in range(45):
        lockout.wrong("ann", f"10.1.0.{number}")
    assert lockout.wait_s("ann", "10.0.0.3") > 0, "many addresses tried one name"
    world.clock.ahead_s += 901
    assert lockout.wait_s("ann", "10.0.0.1") == 0
