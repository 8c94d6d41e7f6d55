import asyncio

import pytest
from consolefakes import PASSWORD
from typer.testing import CliRunner

from agent.cli.console import app
from agent.clock import RealClock
from agent.console.accounts import Accounts
from agent.console.passwords import Passwords
from agent.records.audit import AuditTrail
from agent.records.database import Database


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.cli.console.Passwords", lambda: Passwords(memory_kib=8, rounds=1))
    monkeypatch.delenv("CALLAGENT_CONSOLE_PASSWORD", raising=False)
    url = f"sqlite:///{tmp_path}/records.db"

    def go(*arguments, typed="", secret=None):
        env = {} if secret is None else {"CALLAGENT_CONSOLE_PASSWORD": secret}
        return CliRunner().invoke(app, [*arguments, "--database", url], input=typed, env=env)

    go.url = url
    return go


def kept(url):
    async def look():
        async with Database.open(url) as database:
            passwords = Passwords(memory_kib=8, rounds=1)
            accounts = Accounts(database, passwords, RealClock())
            rows = await AuditTrail(database, RealClock()).entries(50)
            right = await accounts.check("ann", PASSWORD)
            said = [(row.who, row.what, row.about) for row in reversed(rows)]
            return [(one.name, one.role, one.disabled) for one in await accounts.everybody()], right, said

    return asyncio.run(look())


def test_the_first_admin_and_what_follows(run):
    added = run("add-user", "ann", "--role", "admin", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert (added.exit_code, "ann may sign in as admin" in added.output) == (0, True), added.output
    assert PASSWORD not in added.output
    assert run("add-user", "bo", "--skill", "orders", "--language", "zh", secret=PASSWORD).exit_code == 0
    assert run("disable", "bo").exit_code == 0
    last = run("disable", "ann")
    assert last.exit_code == 1
    assert "agent console: 'ann' is the last admin; make somebody else an admin first" in last.output
    people, right, said = kept(run.url)
    assert people == [("ann", "admin", False), ("bo", "agent", True)]
    assert right is not None
    assert said[:3] == [
        ("terminal", "account_add", "ann"),
        ("terminal", "account_add", "bo"),
        ("terminal", "account_disable", "bo"),
    ]
    listed = run("list").output
    assert all(word in listed for word in ("ann", "bo", "orders", "zh", "disabled"))
    assert run("password", "ann", secret="another horse battery").exit_code == 0
    assert kept(run.url)[1] is None
    again = run("add-user", "ann", secret=PASSWORD)
    assert "there is an account 'ann' already" in again.output


def test_what_is_refused_makes_no_database(run, tmp_path):
    short = run("add-user", "ann", secret="short")
    assert (short.exit_code, "the password has 5 characters" in short.output) == (1, True)
    assert run("add-user", "Ann Lee", secret=PASSWORD).exit_code == 1
    assert list(tmp_path.iterdir()) == []
    assert "role is 'boss'" in run("add-user", "ann", "--role", "boss", secret=PASSWORD).output
    assert "there is no account 'zed'" in run("disable", "zed").output
