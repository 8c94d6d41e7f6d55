from agent.handoff.transfers import BOUND, Transfers


def test_a_target_is_given_out_once() -> None:
    transfers = Transfers()
    transfers.put("CA1", "+15550100")
    assert transfers.take("CA2") is None
    assert transfers.take("CA1") == "+15550100"
    assert transfers.take("CA1") is None


def test_the_oldest_goes_first() -> None:
    transfers = Transfers()
    for number in range(BOUND + 1):
        transfers.put(f"CA{number}", "+15550100")
    assert transfers.take("CA0") is None
    assert transfers.take("CA1") == "+15550100"
