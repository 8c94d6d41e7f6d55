"""What the wire of gateways costs, and what a refusal costs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agent.clock import RealClock
from agent.gateways.base import AudioIn
from agent.gateways.catalogue import gateways
from agent.lab import refusal_bench
from agent.lab.callers.catalogue import gateway_callers
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.wire_bench import AIM_US, WireCost, report, speech_like, started, wire_cost


@pytest.mark.parametrize("name", list(gateways()))
def test_every_gateway_can_be_measured(name: str) -> None:
    cost = wire_cost(gateways()[name], gateway_callers()[name], seconds=2.0)
    can = gateways()[name].capabilities
    assert (cost.receive_us is not None) == can.audio_in
    assert (cost.send_us is not None) == (can.audio_out and not can.text_out)
    if cost.receive_us is not None:
        assert 10 <= cost.message_ms[0] <= 200


def test_both_halves_have_begun_a_call() -> None:
    protocol, caller = started(gateways()["twilio"], gateway_callers()["twilio"])
    frame = speech_like(8000, 0.02, 0)[0]
    events = [event for message in caller.voice(frame) for event in protocol.receive(message)]
    assert [type(event) for event in events] == [AudioIn]


def test_halves_that_do_not_fit_are_reported() -> None:
    with pytest.raises(MeasureFailed, match="twilio and its simulated half"):
        started(gateways()["twilio"], gateway_callers()["vonage"])


def test_the_sound_is_the_same_for_the_same_seed_and_never_clips_silent() -> None:
    first, again, other = (np.concatenate(speech_like(8000, 1.0, seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(first) == 8000
    assert 1000 < np.sqrt(np.mean(first.astype(float) ** 2)) < 4000


def test_the_report_names_the_dearest_and_what_is_over_the_aim() -> None:
    cheap = WireCost("plain", "binary", (2.0, 3.0), (1.0, 1.5), (20.0, 20.0))
    dear = WireCost("slow", "text", (AIM_US + 1, 90.0), None, (20.0, 0.0))
    found = report([cheap, dear], "agent bench", 7)
    assert "dearest is slow" in found.notes[0]
    assert "over 60 us: slow" in found.notes[0]
    assert found.tables[0].rows[1][-2:] == ("-", "-")
    assert json.loads(json.dumps(found.document()))["figures"]["seed"] == 7


def test_every_kind_of_refusal_is_refused_for_its_reason() -> None:
    costs = refusal_bench.refusal_costs(RealClock(), checks=5, handshakes=2)
    codes = {cost.what: cost.code for cost in costs}
    assert codes == {
        "no proof": "unsigned",
        "wrong bearer token": "bad_credentials",
        "wrong password": "bad_credentials",
        "wrong signature": "bad_signature",
        "wrong V3 signature": "bad_signature",
        "JWT of another key": "bad_signature",
        "expired JWT": "expired",
        "JWT used before": "replayed",
        "path token of another key": "token_bad_signature",
        "expired path token": "token_expired",
        "path token used before": "token_used",
    }
    found = refusal_bench.report(costs, "agent bench")
    assert len(found.tables[0].rows) == len(costs)
    json.dumps(found.document())
