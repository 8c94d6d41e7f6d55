from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from conversation import ManualClock, WordEncoder
from counter import Call, Counter

from agent.dialogue.actions import open_actions
from agent.dialogue.domain import Domain
from agent.dialogue.loader import load_domain


@pytest.fixture(scope="session")
def library_domain() -> Domain:
    return load_domain(Path(__file__).parent / "library")


@pytest.fixture
async def counter(library_domain: Domain) -> AsyncIterator[Counter]:
    clock = ManualClock()
    actions = await open_actions(library_domain, clock, "memory:")
    yield Counter(library_domain, actions, clock, WordEncoder())
    await actions.close()


@pytest.fixture
def call(counter: Counter) -> Call:
    return counter.ring()
