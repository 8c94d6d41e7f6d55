import pytest
from handoff_receiver import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()
