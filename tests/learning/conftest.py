import pytest
from learnfakes import WordEncoder, small

from agent.config import CONFIGS
from agent.dialogue.domain import Domain
from agent.dialogue.loader import load_domain


@pytest.fixture
def encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture(scope="session")
def shop() -> Domain:
    return load_domain(CONFIGS / "domains" / "shop")


@pytest.fixture
def domain(shop: Domain) -> Domain:
    return small(shop)
