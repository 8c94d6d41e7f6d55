from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.contracts import OUT_OF_SCOPE, UnderstandingContext
from models.encoder import SentenceEncoder
from models.slots import slot_specs
from models.text_emotion import TextEmotionModel
from models.text_model import ModelInfo
from models.text_model_open import AveragedModel
from models.training.heads import cross_validate, generic_out_of_scope, train_intent_head
from models.understanding import SOCIAL, TurnUnderstanding

pytestmark = [pytest.mark.slow, pytest.mark.aside]

SHOP = Path(__file__).parents[2] / "configs" / "domains" / "shop" / "intents.yaml"
INTENTS = {
    "order_status", "cancel_order", "return_order", "change_address", "product_question", "policy_question",
    "complaint", "human", "greeting", "thanks", "goodbye", "affirm", "deny", "repeat", "wait", "small_talk",
    "give_information",
    "missing_parcel",
    "warranty_claim",
    "gift_card_balance",
    "stock_alert",
}  # fmt: skip


@pytest.fixture(scope="module")
def shop() -> dict[str, Any]:
    domain: dict[str, Any] = yaml.safe_load(SHOP.read_text(encoding="utf-8"))
    return domain


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder()


@pytest.fixture(scope="module")
def understanding(shop: dict[str, Any], encoder: SentenceEncoder) -> TurnUnderstanding:
    examples = {name: intent["examples"] for name, intent in shop["intents"].items()}
    outside = [*shop["out_of_scope"]["examples"], *generic_out_of_scope()]
    head = train_intent_head(examples, outside, encoder)
    info = ModelInfo("shop", "test", "head", encoder.identity, intents=head.labels, threshold=head.threshold)
    model = AveragedModel(info, (), ((head.head, 1.0),), encoder)
    return TurnUnderstanding(model, slot_specs(shop["slots"]), TextEmotionModel(encoder), lambda: date(2026, 5, 6))


def test_the_shop_declares_what_its_intents_use(shop: dict[str, Any]) -> None:
    assert set(shop["intents"]) == INTENTS
    for name, intent in shop["intents"].items():
        assert intent["description"]
        assert set(intent.get("slots", ())) <= set(shop["slots"]), name
        assert len(intent["examples"]) >= 25, name
        assert all(isinstance(text, str) for text in intent["examples"]), name
    texts = [text for intent in shop["intents"].values() for text in intent["examples"]]
    assert len(texts) == len(set(texts))


def test_unseen_sentences_of_the_shop_are_told_apart(shop: dict[str, Any], encoder: SentenceEncoder) -> None:
    examples = {name: intent["examples"] for name, intent in shop["intents"].items()}
    figures, _ = cross_validate(examples, [*shop["out_of_scope"]["examples"], *generic_out_of_scope()], encoder)
    assert figures["in_scope"] >= 0.83
    assert figures["out_of_scope_recall"] >= 0.88


ORDER = ("order_number",)


@pytest.mark.parametrize(
    ("text", "expected", "yes_no", "intent"),
    [
        ("Hi, where is my order?", (), False, "order_status"),
        ("so um I was wondering where my boots are", (), False, "order_status"),
        ("Please cancel order 42731.", (), False, "cancel_order"),
        ("I'd like to send the tent back", (), False, "return_order"),
        ("Hi. I'd like to return the boots. Thanks.", (), False, "return_order"),
        ("can you deliver it to another address", (), False, "change_address"),
        ("is the tent waterproof", (), False, "product_question"),
        ("What's your return policy?", (), False, "policy_question"),
        ("This is ridiculous, I have been waiting for weeks and nobody helps me!", (), False, "complaint"),
        ("I want to speak to a person, please.", (), False, "human"),
        ("Get me a human. I've been waiting forever.", (), False, "human"),
        ("good morning", (), False, "greeting"),
        ("Thanks a lot!", (), False, "thanks"),
        ("okay goodbye", (), False, "goodbye"),
        ("could you say that again", (), False, "repeat"),
        ("hold on a moment", (), False, "wait"),
        ("are you a robot", (), False, "small_talk"),
        ("What is the tallest mountain on earth?", (), False, OUT_OF_SCOPE),
        ("can you call me a cab", (), False, OUT_OF_SCOPE),
        ("four two seven one nine", ORDER, False, "give_information"),
        ("4-2-7-1-9.", ORDER, False, "give_information"),
        ("it's 42719", (), False, "give_information"),
        ("No wait, I meant order four two seven one eight.", (), False, "give_information"),
        ("where is order 42719", ORDER, False, "order_status"),
        ("can I talk to somebody", ORDER, False, "human"),
        ("hold on let me find it", ORDER, False, "wait"),
        ("the boots", ("product",), False, "give_information"),
        ("they're too small", ("reason",), False, "give_information"),
        ("fourteen birch street portland", ("address",), False, "give_information"),
        ("yes", (), True, "affirm"),
        ("Yes, please do.", (), True, "affirm"),
        ("uh-huh", (), True, "affirm"),
        ("that's right", (), True, "affirm"),
        ("no", (), True, "deny"),
        ("No, leave it.", (), True, "deny"),
        ("not really", (), True, "deny"),
        ("Yeah, but can I talk to a person?", (), True, "human"),
        ("Okay, but where is my order now?", (), True, "order_status"),
        ("No, that's all, goodbye.", (), True, "goodbye"),
    ],
)
def test_intents_in_context(
    understanding: TurnUnderstanding, text: str, expected: tuple[str, ...], yes_no: bool, intent: str
) -> None:
    understood = understanding.understand(text, UnderstandingContext(expected, yes_no))
    assert understood.intent == intent
    assert understood.ranking[0] == (intent, understood.confidence)
    assert 0.0 <= understood.confidence <= 1.0


def test_slots_come_with_the_intent(understanding: TurnUnderstanding) -> None:
    understood = understanding.understand("cancel order four two seven three one, no sorry, three two")
    slot = understood.slot("order_number")
    assert slot is not None
    assert slot.value == "42732"
    assert understood.intent == "cancel_order"


def test_answer_beside_another_request_is_kept(understanding: TurnUnderstanding) -> None:
    understood = understanding.understand("Yeah, but can I talk to a person?", UnderstandingContext(asked_yes_no=True))
    slot = understood.slot("yes_no")
    assert slot is not None
    assert slot.value is True


@pytest.mark.parametrize("text", ["", "   "])
def test_nothing_said_is_out_of_scope_without_confidence(understanding: TurnUnderstanding, text: str) -> None:
    understood = understanding.understand(text)
    assert (understood.intent, understood.confidence) == (OUT_OF_SCOPE, 0.0)


def test_emotion_and_completeness_ride_along(understanding: TurnUnderstanding) -> None:
    angry = understanding.understand("this is the third time I call, this is ridiculous")
    assert angry.emotion.label == "angry"
    cut = understanding.understand("my order number is")
    whole = understanding.understand("where is my order")
    assert cut.complete < 0.2 < 0.6 < whole.complete


@pytest.mark.parametrize("text", ["no", "No, thanks.", "nope", "I don't think so", "that's wrong"])
def test_a_bare_answer_has_no_anger_of_its_own(understanding: TurnUnderstanding, text: str) -> None:
    for asked in (True, False):
        emotion = understanding.understand(text, UnderstandingContext(asked_yes_no=asked)).emotion
        assert emotion.label in {"neutral", "happy"}
        assert sum(emotion.scores.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["no, this is ridiculous", "No! I have been waiting for three weeks!"])
def test_anger_beside_an_answer_is_anger(understanding: TurnUnderstanding, text: str) -> None:
    assert understanding.understand(text, UnderstandingContext(asked_yes_no=True)).emotion.label == "angry"


def test_social_acts_are_intents_of_the_shop() -> None:
    assert SOCIAL < INTENTS


@pytest.mark.parametrize("text", ["?!", "...", "12", "a" * 5000, "漢字です", "uh", "\x00", "🙂"])
def test_odd_texts_are_understood_as_something(understanding: TurnUnderstanding, text: str) -> None:
    understood = understanding.understand(text, UnderstandingContext(("order_number", "email"), True))
    assert 0.0 <= understood.confidence <= 1.0
    assert 0.0 <= understood.complete <= 1.0
