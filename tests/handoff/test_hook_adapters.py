import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from handoff_receiver import VirtualClock
from hook_desk import REQUEST, Asked, Desk, Said, desk, event, in_turn
from typer.testing import CliRunner

from agent.cli.handoffs import app
from agent.clock import RealClock
from agent.handoff.hooks import wording
from agent.handoff.hooks.asterisk import AsteriskHook, variables
from agent.handoff.hooks.chatwoot import ChatwootHook
from agent.handoff.hooks.events import CallOver
from agent.handoff.hooks.loading import load_hooks
from agent.handoff.hooks.sending import ClientCredentials, Fixed, Sender, basic
from agent.handoff.hooks.template import NAMES, TemplateHook, values
from agent.handoff.hooks.twilio import MOST_TWIML, TwilioHook, TwilioWay, enqueue
from agent.outbound import OutboundError
from agent.yamlfile import FileError

TEMPLATES = Path(__file__).parents[2] / "configs" / "handoff"
SID = "AC" + "0" * 32
WORKFLOW = TwilioWay("workflow", "WW" + "0" * 32)


def sender(there: Desk, clock: VirtualClock, proof: Any = None, **more: Any) -> Sender:
    return Sender("hook x", there.url, proof or Fixed({"api_access_token": "tok"}), clock, allow_private=True, **more)


class Chatwoot:
    """What Chatwoot keeps, as far as we use it; checks what it is sent."""

    def __init__(self) -> None:
        self.contacts: list[dict[str, Any]] = []
        self.conversations: dict[int, dict[str, Any]] = {}
        self.messages: list[dict[str, Any]] = []
        self.lose: list[str] = []
        """Paths whose first answer is lost, after it was done."""

    def __call__(self, asked: Asked) -> Said:
        if asked.headers.get("api_access_token") != "tok":
            return 401, {"errors": ["You need to sign in"]}
        said = self.do(asked)
        if asked.line in self.lose:
            self.lose.remove(asked.line)
            return None
        return said

    def do(self, asked: Asked) -> Said:
        path = asked.path.removeprefix("/api/v1/accounts/3")
        match asked.method, path.split("?")[0].strip("/").split("/"):
            case "GET", ["contacts", "search"]:
                wanted = unquote(path.partition("?q=")[2])
                return 200, {"payload": [one for one in self.contacts if wanted in json.dumps(one)]}
            case "POST", ["contacts"]:
                if any(one.get("phone_number") == asked.json.get("phone_number") for one in self.contacts):
                    return 422, {"message": "Phone number has already been taken"}
                self.contacts.append({"id": 70 + len(self.contacts)} | asked.json)
                return 200, {"payload": {"contact": self.contacts[-1], "contact_inbox": {"source_id": "s"}}}
            case "GET", ["contacts", contact, "conversations"]:
                found = [one for one in self.conversations.values() if one["contact_id"] == int(contact)]
                return 200, {"payload": found}
            case "POST", ["conversations"]:
                number = 17 + len(self.conversations)
                self.conversations[number] = {"id": number} | asked.json
                return 200, self.conversations[number]
            case "GET", ["conversations", _, "messages"]:
                return 200, {"meta": {}, "payload": self.messages}
            case "POST", ["conversations", _, "messages"]:
                self.messages.append(asked.json)
                return 200, {"id": len(self.messages)}
            case "POST", ["conversations", number, "toggle_status"]:
                self.conversations[int(number)] |= asked.json
                return 200, {"payload": {"success": True}}
            case "POST", ["conversations", number, ("toggle_priority" | "labels" | "assignments") as what]:
                self.conversations[int(number)][what] = asked.json
                return 200, None
        return 404, None


async def test_chatwoot_gets_contact_conversation_notes_and_is_opened_last(clock: VirtualClock) -> None:
    there_is = Chatwoot()
    async with desk(there_is) as there:
        hook = ChatwootHook("chat", sender(there, clock), 3, 5, labels=["telephone"], team=2)
        await hook.deliver(event())
        asked = [one.line.replace("/api/v1/accounts/3", "") for one in there.seen]
        await hook.deliver(event("accepted", human="robin"))
    assert asked == [
        "GET /contacts/search?q=%2B12125550123",
        "POST /contacts",
        "GET /contacts/70/conversations",
        "POST /conversations",
        "GET /conversations/17/messages",
        *["POST /conversations/17/messages"] * 3,
        "POST /conversations/17/toggle_priority",
        "POST /conversations/17/labels",
        "POST /conversations/17/assignments",
        "POST /conversations/17/toggle_status",
    ]
    assert there.seen[1].json == {"inbox_id": 5, "name": "+12125550123", "phone_number": "+12125550123"}
    (conversation,) = there_is.conversations.values()
    assert conversation["status"] == "open"
    assert conversation["toggle_priority"] == {"priority": "urgent"}
    assert conversation["labels"] == {"labels": ["telephone"]}
    assert conversation["assignments"] == {"team_id": 2}
    assert conversation["custom_attributes"]["callagent_handoff"] == "h-1"
    assert there.seen[3].json["status"] == "pending"
    assert all(one["private"] is True and one["message_type"] == "outgoing" for one in there_is.messages)
    note, spoken, waits, taken = [one["content"] for one in there_is.messages]
    assert note.splitlines() == [
        "Handed over: asked for a person",
        "Ms Doe wants to cancel order 54321.",
        "Caller: +12125550123; language: en; call: c-1",
        "Wish: cancel_order",
        "order: 54321 (verified)",
        "Mood: angry",
    ]
    assert spoken == "0:41 Caller: I want a person\n0:43 Agent: I will ask"
    assert waits == "2031-05-01 12:00:00 The caller waits for a person."
    assert taken == "2031-05-01 12:00:00 robin takes the call."


@pytest.mark.parametrize("lost", ["contacts", "conversations", "conversations/17/messages"])
async def test_chatwoot_makes_nothing_twice_when_an_answer_is_lost(clock: VirtualClock, lost: str) -> None:
    there_is = Chatwoot()
    there_is.lose = [f"POST /api/v1/accounts/3/{lost}"]
    async with desk(there_is) as there:
        await ChatwootHook("chat", sender(there, clock), 3, 5).deliver(event())
    assert (len(there_is.contacts), len(there_is.conversations), len(there_is.messages)) == (1, 1, 3)
    assert there_is.lose == []


async def test_chatwoot_without_a_number_and_with_a_wrong_token(clock: VirtualClock) -> None:
    there_is = Chatwoot()
    async with desk(there_is) as there:
        await ChatwootHook("chat", sender(there, clock), 3, 5).deliver(event(request=replace(REQUEST, caller=None)))
        assert there_is.contacts[0]["identifier"] == "callagent:c-1"
        with pytest.raises(OutboundError, match="said 401"):
            await ChatwootHook("chat", sender(there, clock, Fixed({})), 3, 5).deliver(event())
    async with desk(lambda asked: (200, {"payload": {}})) as there:
        with pytest.raises(OutboundError, match="no list 'payload'"):
            await ChatwootHook("chat", sender(there, clock), 3, 5).deliver(event())


def script(asked: Asked) -> ElementTree.Element:
    return ElementTree.fromstring(asked.form["Twiml"].partition("?>")[2])


async def test_twilio_enqueues_with_the_tasks_attributes(clock: VirtualClock) -> None:
    async with desk(lambda asked: (200, {"sid": "CA1"})) as there:
        hook = TwilioHook("twilio", sender(there, clock, basic(SID, "auth")), SID, WORKFLOW)
        assert hook.wants(event("accepted"))
        await hook.deliver(event("accepted"))
    (asked,) = there.seen
    assert asked.line == f"POST /2010-04-01/Accounts/{SID}/Calls/CA1.json"
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(f"{SID}:auth".encode()).decode()
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    (verb,) = script(asked)
    assert (verb.tag, verb.attrib) == ("Enqueue", {"workflowSid": WORKFLOW.target})
    assert (verb[0].tag, verb[0].attrib) == ("Task", {"priority": "8"})
    assert json.loads(verb[0].text or "") == {
        "handoff_id": "h-1", "call_id": "c-1", "caller": "+12125550123", "language": "en", "intent": "cancel_order",
        "reason": "asked for a person", "mood": "angry", "priority": 8,
        "summary": "Ms Doe wants to cancel order 54321.", "slots": "order: 54321 (verified)",
    }  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        event("queued"),
        event("accepted", human="robin"),
        event("accepted", transfer_to="+12125550100"),
        event("accepted", request=replace(REQUEST, gateway="vonage")),
        event("accepted", request=replace(REQUEST, gateway="twilio-relay")),
    ],
)
def test_twilio_leaves_callers_alone_whom_somebody_else_moves(other: Any) -> None:
    clock = VirtualClock()
    hook = TwilioHook("twilio", sender(Desk(lambda asked: None, "http://127.0.0.1:1"), clock), SID, WORKFLOW)
    assert not hook.wants(other)


def test_twiml_is_never_too_long_and_stays_xml() -> None:
    long = replace(REQUEST, summary="\"<&>'\n\x00" * 900, slots={f"s{n}": '"&<' * 50 for n in range(40)})
    assert len(enqueue(event("accepted", request=long), WORKFLOW)) <= MOST_TWIML
    queue = ElementTree.fromstring(enqueue(event("accepted"), TwilioWay("queue", "support")).partition("?>")[2])
    assert (queue[0].tag, queue[0].text, queue[0].attrib) == ("Enqueue", "support", {})


async def test_twilio_conference_tells_the_person_first(clock: VirtualClock) -> None:
    way = TwilioWay("conference", "+12125550177", "+12125550199")
    answers = in_turn((200, {}), (201, {"sid": "CA2"}), (200, {"status": "ringing"}), (200, {"status": "in-progress"}))
    async with desk(answers) as there:
        await TwilioHook("twilio", sender(there, clock), SID, way).deliver(event("accepted"))
    moved, called, *looks = there.seen
    (dial,) = script(moved)
    assert dial[0].text == "handoff-h-1"
    assert dial[0].attrib["startConferenceOnEnter"] == "false"
    assert called.line == f"POST /2010-04-01/Accounts/{SID}/Calls.json"
    assert (called.form["To"], called.form["From"], called.form["Timeout"]) == ("+12125550177", "+12125550199", "25")
    say, dial = script(called)
    assert say.text == "asked for a person. Ms Doe wants to cancel order 54321."
    assert (dial[0].text, dial[0].attrib["startConferenceOnEnter"]) == ("handoff-h-1", "true")
    assert [one.line for one in looks] == [f"GET /2010-04-01/Accounts/{SID}/Calls/CA2.json"] * 2


@pytest.mark.parametrize("leg", [(200, {"status": "no-answer"}), (200, {"status": "ringing"})])
async def test_twilio_person_who_does_not_answer(clock: VirtualClock, leg: Said) -> None:
    way = TwilioWay("conference", "+12125550177", "+12125550199")

    def answer(asked: Asked) -> Said:
        return leg if asked.method == "GET" else (201, {"sid": "CA2"})

    async with desk(answer) as there:
        with pytest.raises(OutboundError, match="person called for the conference"):
            await TwilioHook("twilio", sender(there, clock), SID, way).deliver(event("accepted"))
    say, end = script(there.seen[-1])
    assert there.seen[-1].path.endswith("/Calls/CA1.json")
    assert (say.text, end.tag) == (way.sorry, "Hangup")
    assert len([one for one in there.seen if one.path.endswith("/Calls.json")]) == 1


async def test_twilio_caller_has_left(clock: VirtualClock) -> None:
    async with desk(lambda asked: (404, {"code": 20404})) as there:
        with pytest.raises(CallOver, match="has hung up"):
            await TwilioHook("twilio", sender(there, clock), SID, WORKFLOW).deliver(event("accepted"))
    async with desk(lambda asked: (404, {"code": 1})) as there:
        with pytest.raises(OutboundError, match="check the account"):
            await TwilioHook("twilio", sender(there, clock), SID, WORKFLOW).deliver(event("accepted"))


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (("workflow", "support"), "begins with WW"),
        (("queue", ""), "1 to 64"),
        (("conference", "100"), "target is '100'"),
        (("conference", "+12125550177"), "number is ''"),
    ],
)
def test_wrong_ways_are_refused(way: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TwilioWay(*way)


async def test_asterisk_gets_variables_that_mean_nothing_to_a_dialplan(clock: VirtualClock) -> None:
    call = replace(REQUEST, gateway="asterisk", gateway_call_id="17.4/x", summary="a,b ${SHELL(rm)} 订单 " + "y" * 300)
    async with desk(in_turn((503, None), (204, None))) as there:
        hook = AsteriskHook("pbx", sender(there, clock, basic("agent", "pw")))
        assert hook.wants(event(request=call))
        assert not hook.wants(event("accepted", request=call))
        assert not hook.wants(event())
        await hook.deliver(event(request=call))
    first, again, *rest = there.seen
    assert first.line == again.line == "POST /channels/17.4%2Fx/variable?variable=__HANDOFF_ID&value=h-1"
    assert first.headers["authorization"] == "Basic " + base64.b64encode(b"agent:pw").decode()
    assert len(rest) == len(variables(call)) - 1
    assert variables(call)["HANDOFF_SUMMARY"].startswith("a b SHELL rm 订单 yyy")
    assert max(map(len, variables(call).values())) == 250
    async with desk(lambda asked: (404, {"message": "Channel not found"})) as there:
        with pytest.raises(CallOver, match="has hung up"):
            await AsteriskHook("pbx", sender(there, clock)).deliver(event(request=call))


def loaded(name: str, url: str, tmp_path: Path) -> Any:
    """The hook of a template of ours, at our own server."""
    text = (TEMPLATES / name).read_text()
    (host,) = [line.split()[1] for line in text.splitlines() if line.strip().startswith("url:")]
    path = tmp_path / name
    path.write_text(
        text.replace(host, url).replace("    kind: template", "    kind: template\n    allow_private: true")
    )
    environment = {"HOOK_ZENDESK": "ztoken", "HOOK_SALESFORCE": "ssecret"}
    (hook,) = load_hooks(path, RealClock(), environment).hooks.values()
    return hook


async def test_zendesk_template(tmp_path: Path) -> None:
    async with desk(lambda asked: (201, {"ticket": {"id": 1}})) as there:
        hook = loaded("zendesk.yaml", there.url, tmp_path)
        assert hook.wants(event())
        assert not hook.wants(event("ended"))
        await hook.deliver(event())
    (asked,) = there.seen
    assert asked.line == "POST /api/v2/tickets.json"
    assert asked.headers["idempotency-key"] == event().event_id
    expected = base64.b64encode(b"agent@example.com/token:ztoken").decode()
    assert asked.headers["authorization"] == f"Basic {expected}"
    said = values(event(), {})
    assert asked.json == {
        "ticket": {
            "external_id": "h-1",
            "subject": "Call from +12125550123: asked for a person",
            "priority": "urgent",
            "tags": ["callagent", "step_queued"],
            "comment": {"public": False, "body": f"{said['news']}\n\n{said['note']}\n\n{said['transcript']}"},
        }
    }


async def test_salesforce_template_gets_a_token_and_another_once_it_is_refused(tmp_path: Path) -> None:
    tokens = iter(["old", "new"])

    def answer(asked: Asked) -> Said:
        if asked.path == "/services/oauth2/token":
            assert asked.form == {
                "grant_type": "client_credentials",
                "client_id": "the-consumer-key",
                "client_secret": "ssecret",
            }
            assert "authorization" not in asked.headers
            return 200, {"access_token": next(tokens)}
        return (204, None) if asked.headers["authorization"] == "Bearer new" else (401, [{"errorCode": "EXPIRED"}])

    async with desk(answer) as there:
        await loaded("salesforce.yaml", there.url, tmp_path).deliver(event("ended", human="robin"))
    lines = [one.line for one in there.seen]
    case = "PATCH /services/data/v61.0/sobjects/Case/Callagent_Handoff__c/h-1"
    assert lines == ["POST /services/oauth2/token", case] * 2
    assert there.seen[-1].json | {"Description": ""} == {
        "Subject": "Call: asked for a person",
        "Origin": "Phone",
        "Priority": "High",
        "SuppliedPhone": "+12125550123",
        "Description": "",
    }
    assert there.seen[-1].json["Description"].startswith("The conversation with robin is over.\n\nHanded over: asked")


async def test_templates_keep_types_quote_paths_and_clean_headers(clock: VirtualClock) -> None:
    async with desk(lambda asked: (200, None)) as there:
        body = {"p": "{{priority}}", "who": "{{human}}", "t": "{{ human }}-{{step}}", "n": [1, None, "{{intent}}"]}
        hook = TemplateHook(
            "x", sender(there, clock), "PUT", "/a/{{reason}}", body, ["queued"], {"X-Why": "{{reason}}"}
        )
        await hook.deliver(event(request=replace(REQUEST, reason="a/b?c\r\nX: y é")))
    (asked,) = there.seen
    assert asked.line == "PUT /a/a%2Fb%3Fc%0D%0AX%3A%20y%20%C3%A9"
    assert asked.headers["x-why"] == "a/b?c??X: y ?"
    assert asked.json == {"p": 8, "who": None, "t": "-queued", "n": [1, None, "cancel_order"]}
    assert set(values(event(), {})) == set(NAMES)


async def test_no_token_to_be_had(clock: VirtualClock) -> None:
    async with desk(lambda asked: (200, {"token": "x"})) as there:
        proof = ClientCredentials("/token", "us", "secret")
        with pytest.raises(OutboundError, match="no access_token at /token"):
            await TemplateHook("x", sender(there, clock, proof), "POST", "/a", {}, ["queued"]).deliver(event())


@pytest.mark.parametrize("name", sorted(path.name for path in TEMPLATES.glob("*.yaml")))
def test_our_templates_load_and_miss_their_secret(name: str) -> None:
    secret = "a-secret-of-16-bytes-or-more"
    variables = ("DESK", "CHATWOOT", "TWILIO", "ASTERISK", "ZENDESK", "SALESFORCE")
    found = load_hooks(TEMPLATES / name, RealClock(), {f"HOOK_{one}": secret for one in variables})
    assert found.hooks
    with pytest.raises(FileError, match=rf"{name}:\d+: hook '\w+' has no secret; set HOOK_"):
        load_hooks(TEMPLATES / name, RealClock(), {})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{name: x, kind: fax, url: https://a.example}", "kind"),
        ("{name: X, kind: webhook, url: https://a.example}", "name"),
        ("{name: x, kind: webhook, url: http://a.example}", "must use https"),
        ("{name: x, kind: webhook, url: https://a.example, step: []}", "unknown key"),
        ("{name: x, kind: webhook, url: https://a.example, steps: [gone]}", "steps"),
        ("{name: x, kind: template, url: https://a.example, path: a, proof: {kind: bearer}, json: {}, steps: [queued]}",
         "must begin with one slash"),
        ("{name: x, kind: template, url: https://a.example, path: /, proof: {kind: basic}, json: {}, steps: [queued]}",
         "proof.user is missing"),
        ("{name: x, kind: template, url: https://a.example, path: /, proof: {kind: bearer}, json: {a: ['{{who}}']}, "
         "steps: [queued]}", r"json.a.0: \{\{who\}\} is unknown"),
    ],
)  # fmt: skip
def test_wrong_files_name_the_line(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "hooks.yaml"
    path.write_text(f"hooks:\n  - {line}\n")
    with pytest.raises(FileError, match=words) as caught:
        load_hooks(path, RealClock(), {"HOOK_X": "a-secret-of-16-bytes-or-more"})
    assert f"{path}:2: " in str(caught.value)


def test_transcripts_are_cut_from_the_front() -> None:
    assert wording.transcript(REQUEST, 25) == "...\n0:43 Agent: I will ask"
    assert [wording.urgency(priority) for priority in (0, 5, 8)] == ["normal", "high", "urgent"]


def test_the_command_lists_and_tells_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hooks.yaml"
    path.write_text(
        f"dead_letters: {tmp_path}/dead\nhooks:\n  - {{name: desk, kind: webhook, url: 'http://127.0.0.1:9', "
        "allow_private: true, budget_s: 0.1}\n"
    )
    run = CliRunner()
    missing = run.invoke(app, ["dead-letters", "list", "--hooks", str(path)])
    assert missing.exit_code == 1
    assert "set HOOK_DESK" in missing.stderr
    monkeypatch.setenv("HOOK_DESK", "a-secret-of-16-bytes-or-more")
    assert "no dead letters" in run.invoke(app, ["dead-letters", "list", "--hooks", str(path)]).stdout
    letters = load_hooks(path, RealClock(), {"HOOK_DESK": "a-secret-of-16-bytes-or-more"}).letters
    ids = [letters.add(hook, event(), "timeout", "late", event().at) for hook in ("desk", "gone")]
    shown = json.loads(run.invoke(app, ["dead-letters", "list", "--hooks", str(path), "--json"]).stdout)
    assert {one["id"] for one in shown} == set(ids)
    assert "c-1" in run.invoke(app, ["dead-letters", "list", "--hooks", str(path)]).stdout
    again = run.invoke(app, ["dead-letters", "retry", "--hooks", str(path)])
    assert again.exit_code == 1
    assert "cannot be reached" in again.stderr
    assert "is for hook 'gone'" in again.stderr
    assert letters.read(ids[0]).retries == 1
    assert run.invoke(app, ["dead-letters", "retry", "--hooks", str(path), "../x"]).exit_code == 1
    assert "names desk" in run.invoke(app, ["dead-letters", "retry", "--hooks", str(path), "--hook", "x"]).stderr
