"""Each check of the default rubric, on calls that meet it, miss it, and have nothing to do with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qualityfakes import ANGRY, CONFIG, FACTS, HELLO, agent, caller, evidence, good, greeting

from agent.dialogue.loader import load_domain
from agent.dialogue.manner import EscalationRule
from agent.quality.checks import Finding, find, turns_of
from agent.quality.evidence import CallEvidence, DomainFacts, Proof
from agent.quality.rubric import Policy, Rubric, Rubrics, Rule
from agent.quality.satisfaction import Predictor
from agent.quality.scoring import score
from agent.records.contracts import TurnRecord

RUBRIC = Rubrics(CONFIG).of("shop")
BANK = DomainFacts("bank", guarded=frozenset({"get_balance"}), proofs=(Proof("check_pin", "outcome", "verified"),))


def look(name: str, call: CallEvidence, rubric: Rubric = RUBRIC) -> Finding:
    return find(next(criterion for criterion in rubric.criteria if criterion.name == name), call)


def test_a_good_call_scores_full() -> None:
    scored = score(evidence(good()), RUBRIC, Predictor.of(RUBRIC.satisfaction))
    assert scored.score == 100.0
    assert scored.capped == ()
    assert scored.satisfaction is not None
    assert scored.satisfaction > 4
    assert not scored.surveyed
    assert [item.criterion.name for item in scored.items if item.passed is None] == ["identity", "empathy", "policy"]


def test_greeting() -> None:
    turns = good()
    assert look("greeting", evidence(turns)).value == 1.0
    late = [replace(turns[0], started_ms=6000.0, ended_ms=9000.0)]
    assert look("greeting", evidence(late)).value == 0.5
    cut = look("greeting", evidence([greeting("Thanks for"), *turns[1:]]))
    assert (cut.value, turns_of(cut.evidence)) == (0.5, [0])
    assert look("greeting", evidence([greeting(""), *turns[1:]])).value == 0.0
    assert look("greeting", evidence([greeting("")], duration=900.0)).value is None
    assert look("greeting", evidence(turns[1:2])).value == 0.0


def test_disclosure_heard() -> None:
    turns = good()
    assert look("disclosure", evidence(turns)).value == 1.0
    half = look("disclosure", evidence([greeting(HELLO[:60]), *turns[1:]]))
    assert (half.value, turns_of(half.evidence)) == (0.0, [0])
    unknown_domain = evidence([greeting(HELLO[:60]), *turns[1:]], facts=None)
    assert look("disclosure", unknown_domain).value == 0.0
    assert look("disclosure", evidence(turns[1:], facts=None)).value is None


def test_identity_before_data() -> None:
    proof = {"name": "check_pin", "turn": 2, "result": {"outcome": "verified"}}
    wrong = {"name": "check_pin", "turn": 2, "result": {"outcome": "wrong"}}
    data = {"name": "get_balance", "turn": 3}
    turns = [*good(), agent(3, "Your balance is 400 dollars.", 16_000.0, 18_000.0)]
    assert look("identity", evidence(turns, BANK, actions=[proof, data])).value == 1.0
    early = look("identity", evidence(turns, BANK, actions=[wrong, data]))
    assert (early.value, turns_of(early.evidence)) == (0.0, [3])
    assert "get_balance" in early.why
    told = look("identity", evidence(turns, BANK))
    assert (told.value, turns_of(told.evidence)) == (0.0, [3])
    refused = evidence(good(), BANK, actions=[{**data, "ok": False}])
    assert look("identity", refused).value is None
    assert look("identity", evidence(turns)).value is None


def test_empathy_after_anger() -> None:
    turns = good()
    turns[1] = replace(turns[1], emotion=ANGRY)
    missed = look("empathy", evidence(turns))
    assert (missed.value, turns_of(missed.evidence)) == (0.0, [1])
    met = replace(turns[2], heard="I'm sorry about that. It is out for delivery.")
    assert look("empathy", evidence([*turns[:2], met, *turns[3:]])).value == 1.0
    toned = replace(turns[2], reasons={**turns[2].reasons, "tones": ["sorry"]})
    assert look("empathy", evidence([*turns[:2], toned, *turns[3:]])).value == 1.0
    cut_off = replace(turns[2], text="I'm sorry about that.", heard="I'm")
    assert look("empathy", evidence([*turns[:2], cut_off])).value == 0.0
    assert look("empathy", evidence(turns[:2])).value is None
    again = [*turns[:2], met, replace(turns[3], emotion=ANGRY), turns[4]]
    assert look("empathy", evidence(again)).value == 1.0, "an apology just before is enough"
    voice = replace(turns[1], emotion={"words": "neutral", "both": "angry", "both_angry": 0.7})
    assert look("empathy", evidence([turns[0], voice, turns[2]])).value is None, "a loud voice alone is no anger yet"


@pytest.mark.parametrize(
    ("outcome", "reason", "more", "expected"),
    [
        ("completed", "goodbye", {}, 1.0),
        ("completed", "silence", {}, 0.0),
        ("handed_off", "transferred", {}, 0.6),
        ("completed", "goodbye", {"handoffs": [{"state": "callback"}]}, 0.6),
        ("failed", "server_stopped", {}, 0.0),
        ("caller_left", "stop", {}, 1.0),
        ("refused", "busy", {}, None),
    ],
)
def test_resolution(outcome: str, reason: str, more: dict[str, Any], expected: float | None) -> None:
    assert look("resolution", evidence(good(), outcome=outcome, reason=reason, **more)).value == expected


def test_resolution_of_a_caller_who_left() -> None:
    turns = good()
    assert look("resolution", evidence(turns[:3], outcome="caller_left")).value == 0.8
    asked = replace(turns[2], reasons={"decision": "flow order_status"})
    assert look("resolution", evidence([*turns[:2], asked], outcome="caller_left")).value == 0.3
    assert look("resolution", evidence(turns[:1], outcome="caller_left")).value is None
    repairs = [agent(n, "Pardon?", n * 5000.0, n * 5000.0 + 900, decision="not understood") for n in (2, 3, 4)]
    assert look("resolution", evidence([*turns[:2], *repairs])).value == 0.5
    idle = [turns[0], turns[1], agent(1, "Hm.", 8000.0, 9000.0, actions=[])]
    assert look("resolution", evidence(idle)).value == 0.5


def test_silence() -> None:
    turns = good()
    assert look("silence", evidence(turns)).value == 1.0
    late = replace(turns[2], started_ms=21_500.0, ended_ms=23_000.0)
    slow = look("silence", evidence([*turns[:2], late]))
    assert slow.value == pytest.approx((0.7 - 14_520 / 23_000) / 0.35)
    assert "14.0 s" in slow.why
    assert turns_of(slow.evidence) == [1]
    typed = replace(turns[1], ended_ms=turns[1].started_ms + 1)
    assert look("silence", evidence([turns[0], typed, late])).value is None


def test_the_pause_before_a_turn_was_settled_is_silence() -> None:
    turns = good()
    turns[2] = replace(turns[2], latency={"total": 1500.0})
    assert evidence(turns).caller[0].ended == 6500.0
    assert evidence(turns).silence > evidence(good()).silence


def test_talk_over() -> None:
    turns = good()
    assert look("talk_over", evidence(turns)).value == 1.0
    over = [replace(turns[2], started_ms=6000.0), caller(2, "No, wait", 9000.0, 12_000.0)]
    over += [agent(2, "And", 10_000.0, 11_500.0)]
    found = look("talk_over", evidence([*turns[:2], *over]))
    assert found.value == pytest.approx((3 - 2) / 2.5)
    assert turns_of(found.evidence) == [1, 2]
    barge_in = [turns[0], replace(turns[1], started_ms=3000.0)]
    assert look("talk_over", evidence(barge_in)).value == 1.0, "a caller may interrupt"


def test_forbidden() -> None:
    rude = replace(good()[2], heard="Please calm down, sir.")
    found = look("forbidden", evidence([*good()[:2], rude]))
    assert (found.value, turns_of(found.evidence)) == (0.0, [1])
    assert "'calm down'" in found.why
    meant_only = replace(good()[2], text="Please calm down.", heard="Please")
    assert look("forbidden", evidence([*good()[:2], meant_only])).value == 1.0
    assert look("forbidden", evidence([*good()[:2], replace(rude, speaker="human")])).value == 0.0


def test_policy_of_the_domain() -> None:
    rules = (EscalationRule(name="legal", reason="legal matter", words=(r"\blawyer\b",)),)
    facts = replace(FACTS, escalation=rules)
    turns = good()
    turns[1] = replace(turns[1], text="I will call my lawyer.")
    broken = look("policy", evidence(turns, facts))
    assert (broken.value, turns_of(broken.evidence)) == (0.0, [1, 2])
    kept = replace(turns[2], reasons={"decision": "hand off", "rule": "legal"})
    assert look("policy", evidence([*turns[:2], kept], facts)).value == 1.0
    by_handoff = evidence(turns, facts, handoffs=[{"rule": "legal"}])
    assert look("policy", by_handoff).value == 1.0
    assert look("policy", evidence(good(), facts)).value is None


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"words": [r"\border\b"], "said": ["delivery"]}, 1.0),
        ({"words": [r"\border\b"], "not_said": ["delivery"]}, 0.0),
        ({"intent": "order_status", "action": "find_order"}, 1.0),
        ({"intent": "order_status", "action": "cancel_order"}, 0.0),
        ({"intent": "order_status", "rule": "legal"}, 0.0),
        ({"intent": "order_status", "handed_off": True}, 0.0),
        ({"intent": "order_status", "confidence": 0.95, "said": ["x"]}, None),
        ({"words": ["refund"], "said": ["x"]}, None),
    ],
)
def test_rules_of_the_rubric(rule: dict[str, Any], expected: float | None) -> None:
    made = Rule.model_validate({"name": "r", **rule})
    policy = Policy(name="p", title="P", check="policy", weight=1, rules=(made,))
    call = evidence(good(), actions=[{"name": "find_order"}])
    assert find(policy, call).value == expected


def test_what_nothing_makes_good_caps_the_score() -> None:
    turns = good()
    turns[2] = replace(turns[2], heard="Calm down.")
    scored = score(evidence(turns), RUBRIC, Predictor.of(RUBRIC.satisfaction))
    assert (scored.score, scored.capped) == (50.0, ("forbidden",))


def test_a_call_without_turns_has_no_score_to_speak_of() -> None:
    scored = score(evidence([]), RUBRIC, Predictor.of(RUBRIC.satisfaction))
    assert scored.satisfaction is None
    assert evidence([]).silence == 0.0
    assert evidence([]).emotion == "neutral"


def test_facts_of_a_real_domain() -> None:
    facts = DomainFacts.of(load_domain(CONFIG.parent / "domains" / "clinic"))
    assert facts.proofs == (Proof("check_identity", "outcome", "proven"),)
    assert "find_appointment" in facts.guarded
    assert len(facts.disclosures) == 1
    assert {"asked_for_person", "legal"} <= {rule.name for rule in facts.escalation}
    assert "anger_persists" not in {rule.name for rule in facts.escalation}


def test_topic_transfer_and_containment() -> None:
    assert evidence(good()).topic == "order_status"
    verdict = [{"kind": "verdict", "data": {"topic": "returns", "negative": False}}]
    assert evidence(good(), events=verdict).topic == "returns"
    assert evidence(good()).contained
    for state in ({"outcome": "accepted"}, {"state": "callback"}):
        handed = evidence(good(), handoffs=[{**state, "rule": "asked_for_person"}])
        assert (handed.transferred, handed.contained) == ("asked_for_person", False)
    assert evidence(good(), handoffs=[{"outcome": "declined"}]).contained
    human = TurnRecord(2, "human", "Hello, Bo here.", 16_000.0, 76_000.0)
    assert evidence([*good(), human]).human_ms == 60_000.0
    assert not evidence([*good(), human]).contained


def test_the_rubric_says_what_is_wrong_with_it_and_where(tmp_path: Path) -> None:
    from agent.quality.rubric import load_rubric
    from agent.yamlfile import FileError

    text = (CONFIG / "default.yaml").read_text()
    for old, new, told in (
        ("within_s: 4", "within: 4", "rubric.yaml:11: unknown key 'criteria.0.within'"),
        ("weight: 25", "weight: -1", "'criteria.4.weight' is -1"),
        ("- '\\bsorry\\b'", "- '(sorry'", "'(sorry' is not a regular expression"),
        ("    title: Greeting\n", "", "'criteria.0.title' is missing"),
        ("name: silence", "name: empathy", "criterion 'empathy' appears twice"),
    ):
        path = tmp_path / "rubric.yaml"
        path.write_text(text.replace(old, new))
        with pytest.raises(FileError) as refused:
            load_rubric(path)
        assert told in str(refused.value)
