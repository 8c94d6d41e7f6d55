from agent.handoff.transfers import BOUND, Transfers


def test_a_target_is_given_out_once() -> None:
    transfers = Transfers()
    transfers.put("twilio", "CA1", "+15550100")
    assert transfers.take("twilio", "CA2") is None
    assert transfers.take("twilio", "CA1") == "+15550100"
    assert transfers.take("twilio", "CA1") is None


def test_the_oldest_goes_first() -> None:
    transfers = Transfers()
    for number in range(BOUND + 1):
        transfers.put("twilio", f"CA{number}", "+15550100")
    assert transfers.take("twilio", "CA0") is None
    assert transfers.take("twilio", "CA1") == "+15550100"


def test_another_gateway_cannot_take_a_target_by_the_same_call_id() -> None:
    transfers = Transfers()
    transfers.put("twilio", "CA1", "+15550100")
    assert transfers.take("plivo", "CA1") is None
    assert transfers.take_of_any("CA2") is None
    assert transfers.take_of_any("CA1") == "+15550100"
    assert transfers.take_of_any("CA1") is None
