from dataclasses import replace
from pathlib import Path

import pytest

from agent.dialogue.domain import Domain
from agent.learning.opening import HEAD_FILE, Opener, content_key, differing_intents, up_to_date
from models.errors import ModelDamaged, ModelError
from models.heads import features, save_head
from models.registry import EMBEDDED, HEAD, Registry, UnknownVersion, write_info


@pytest.fixture
def opener(tmp_path: Path, domain: Domain, encoder) -> Opener:
    return Opener(Registry(tmp_path / "versions"), domain, encoder, tmp_path / "cache", tmp_path / "shipped", "words-1")


def save(opener: Opener, domain: Domain | None = None) -> str:
    source = opener if domain is None else Opener(opener.registry, domain, opener.encoder, opener._cache)
    head = source.open(HEAD).head
    assert head is not None
    with opener.registry.draft(opener.name, content_key(source.domain)) as draft:
        save_head(draft.folder / HEAD_FILE, head.head, head.threshold)
        write_info(draft.folder, source.head_info(head, draft.version))
    return draft.version


def with_intent(domain: Domain) -> Domain:
    extra = domain.intents["return_order"].model_copy(update={"examples": tuple(f"gift card {n}" for n in "abcdef")})
    return replace(domain, intents={**domain.intents, "gift_card": extra})


def test_heads_fitted_now_serve_where_nothing_else_was_chosen(opener: Opener) -> None:
    choice, chosen = opener.open_current()
    assert (choice.version, chosen, choice.problem) == (HEAD, EMBEDDED, None)
    (reading,) = choice.model.read(["where is my order"])
    assert reading.intent == "order_status"
    assert choice.head is not None


def test_a_saved_version_reads_as_it_did_when_it_was_trained(opener: Opener) -> None:
    version = save(opener)
    opener.registry.use("shop", version)
    choice, chosen = opener.open_current()
    assert (choice.version, chosen, choice.problem) == (version, version, None)
    texts = ["where is my order", "cancel my order please", "refund", "sing me a song"]
    for saved, fitted in zip(choice.model.read(texts), opener.fitted().model.read(texts), strict=True):
        assert saved.intent == fitted.intent
        assert saved.confidence == pytest.approx(fitted.confidence, abs=0.01)


def test_what_ships_is_used_while_it_fits_the_domain(opener: Opener, domain: Domain, encoder, tmp_path: Path) -> None:
    version = save(opener)
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    opener.registry.path("shop", version).rename(shipped / "shop")
    assert opener.open(EMBEDDED).version == EMBEDDED
    edited = Opener(opener.registry, with_intent(domain), encoder, tmp_path / "cache", shipped)
    assert edited.open(EMBEDDED).version == HEAD
    (reading,) = edited.open(EMBEDDED).model.read(["gift card"])
    assert reading.intent == "gift_card"


def test_an_edited_domain_is_live_at_the_next_start(opener: Opener, domain: Domain, encoder, tmp_path: Path) -> None:
    version = save(opener)
    opener.registry.use("shop", version)
    edited = Opener(opener.registry, with_intent(domain), encoder, tmp_path / "cache")
    choice, chosen = edited.open_current()
    assert (choice.version, chosen) == (HEAD, version)
    assert choice.problem is not None
    assert "lacks the domain's gift_card" in choice.problem
    spec = domain.intents["return_order"]
    more = spec.model_copy(update={"examples": (*spec.examples, "zurück damit")})
    reworded = Opener(
        opener.registry, replace(domain, intents={**domain.intents, "return_order": more}), encoder, tmp_path / "cache"
    )
    choice, _ = reworded.open_current()
    assert choice.version == HEAD
    assert choice.problem is not None
    assert "other examples than shop has now" in choice.problem
    assert reworded.open(version).version == version


def test_a_version_of_other_intents_is_not_brought_into_a_running_server(opener: Opener, domain: Domain) -> None:
    version = save(opener, with_intent(domain))
    with pytest.raises(ModelError, match=f"{version} knows gift_card, which the domain lacks; train"):
        opener.open(version)


def test_a_damaged_version_is_refused_and_heads_serve(opener: Opener) -> None:
    version = save(opener)
    opener.registry.use("shop", version)
    (opener.registry.path("shop", version) / HEAD_FILE).write_bytes(b"damaged")
    with pytest.raises(ModelDamaged):
        opener.open(version)
    with pytest.raises(UnknownVersion):
        opener.open("v0099-00000000")
    choice, _ = opener.open_current()
    assert choice.version == HEAD
    assert choice.problem is not None
    assert "SHA-256" in choice.problem


def test_a_damaged_choice_lets_heads_serve(opener: Opener) -> None:
    opener.registry.use("shop", HEAD)
    (opener.registry.folder("shop") / "current.json").write_text("{")
    choice, _ = opener.open_current()
    assert choice.version == HEAD
    assert choice.problem is not None
    assert "current.json" in choice.problem


def test_content_follows_what_the_domain_teaches(domain: Domain) -> None:
    assert content_key(domain) == content_key(replace(domain))
    assert content_key(domain) != content_key(replace(domain, out_of_scope=domain.out_of_scope[1:]))
    assert content_key(domain) != content_key(with_intent(domain))


def test_differences_are_named(opener: Opener, domain: Domain) -> None:
    info = opener.fitted().model.info
    assert differing_intents(info, domain) == ""
    assert up_to_date(info, domain)
    fewer = replace(domain, intents={k: v for k, v in domain.intents.items() if k != "return_order"})
    assert differing_intents(info, fewer) == "knows return_order, which the domain lacks"
    assert not up_to_date(info, fewer)
    assert up_to_date(replace(info, content=""), domain)
    assert not up_to_date(replace(info, content="0" * 32), domain)


def test_a_head_with_its_threshold_in_the_description_decides_by_it(opener: Opener) -> None:
    head = opener.open(HEAD).head
    assert head is not None
    info = replace(opener.head_info(head, "v"), threshold=0.99, temperature=2.0)
    with opener.registry.draft(opener.name, "abcdef01") as draft:
        save_head(draft.folder / HEAD_FILE, head.head)
        write_info(draft.folder, replace(info, version=draft.version))
    choice = opener.open(draft.version)
    assert choice.head is not None
    text = "where is my order"
    (ranking,) = choice.head.rank(features([text], opener.encoder))
    (reading,) = choice.model.read([text])
    assert reading.confidence == pytest.approx(choice.head.decide(ranking)[1], abs=1e-4)
    assert reading.intent == choice.head.decide(ranking)[0] == "out_of_scope"
