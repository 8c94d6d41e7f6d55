import errno
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.records.redaction import redact
from models import registry as registry_module
from models.errors import ModelDamaged, ModelError, ModelMissing
from models.registry import BUILT_IN, EMBEDDED, HEAD, Registry, State, UnknownVersion, write_info
from models.text_model import Member, ModelInfo, read_info

FULL = OSError(errno.ENOSPC, "No space left on device")


def save(registry: Registry, name: str = "shop", content: str = "ab12cd34", size: int = 100) -> str:
    with registry.draft(name, content) as draft:
        info = ModelInfo(name, draft.version, "head", "base", members=(Member("intent.npz"),))
        write_info(draft.folder, info)
        (draft.folder / "intent.npz").write_bytes(bytes(size))
    return draft.version


def fail_half_way(registry: Registry) -> None:
    with registry.draft("shop", "00000001") as draft:
        (draft.folder / "member.onnx").write_bytes(bytes(1000))
        raise FULL


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".draft")]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "versions", lambda: datetime(2031, 5, 1, 12, tzinfo=UTC))


def test_a_name_without_versions_uses_what_ships(registry: Registry) -> None:
    assert registry.state("shop") == State(EMBEDDED)
    assert registry.versions("shop") == []
    assert registry.names() == []
    assert registry.signature("shop") is None


def test_versions_are_numbered_in_the_order_they_were_saved(registry: Registry) -> None:
    made = [save(registry, content=f"{number:08x}") for number in range(12)]
    assert registry.versions("shop") == made
    assert made[0] == "v0001-a0000000"
    assert made[-1] == "v0012-0000000b"
    assert registry.names() == ["shop"]
    assert registry.info("shop", made[3]).version == made[3]


def test_no_version_is_named_like_a_number_that_records_redact(registry: Registry) -> None:
    for content in ("12345678", "1234567a", "98765432", "a2345678"):
        version = save(registry, content=content)
        assert redact(f"understood by {version}.") == f"understood by {version}."


def test_use_shadow_and_rollback_are_kept_with_their_history(registry: Registry) -> None:
    first, second = save(registry), save(registry)
    registry.use("shop", first, "learned")
    registry.shadow("shop", second)
    before = registry.signature("shop")
    registry.use("shop", second)
    assert registry.signature("shop") != before
    state = registry.state("shop")
    assert (state.current, state.previous, state.shadow) == (second, first, None)
    assert registry.rollback("shop").current == first
    assert registry.rollback("shop").current == second
    history = Registry(registry.root).state("shop").history
    assert [change.version for change in history] == [first, second, second, first, second]
    assert [change.what for change in history] == ["current", "shadow", "current", "current", "current"]
    assert history[0].why == "learned"
    assert history[0].at == "2031-05-01T12:00:00+00:00"


def test_what_ships_and_fitted_heads_can_be_chosen_like_versions(registry: Registry) -> None:
    registry.use("shop", HEAD)
    assert registry.rollback("shop").current == EMBEDDED


def test_a_version_that_is_not_there_is_refused_with_those_there_are(registry: Registry) -> None:
    version = save(registry)
    for refused in ("v0009-00000000", "../shop", "", "current.json"):
        with pytest.raises(UnknownVersion, match=f"there are: embedded, head, {version}"):
            registry.use("shop", refused)
        with pytest.raises(UnknownVersion):
            registry.shadow("shop", refused)
    with pytest.raises(UnknownVersion, match="has used embedded only"):
        registry.rollback("shop")
    with pytest.raises(ModelError, match="cannot name a folder"):
        registry.state("../elsewhere")
    assert registry.state("shop") == State()


def test_the_shadow_is_another_version_than_the_current_one(registry: Registry) -> None:
    version = save(registry)
    registry.use("shop", version)
    with pytest.raises(ModelError, match="is current"):
        registry.shadow("shop", version)
    with pytest.raises(ModelError, match="is current"):
        Registry(registry.root).shadow("other", EMBEDDED)


def test_a_damaged_version_never_becomes_current(registry: Registry) -> None:
    good, bad, gone = save(registry), save(registry), save(registry)
    registry.use("shop", good)
    (registry.path("shop", bad) / "intent.npz").write_bytes(bytes(99))
    (registry.path("shop", gone) / "SHA256SUMS").unlink()
    for version in (bad, gone):
        with pytest.raises(ModelDamaged):
            registry.use("shop", version)
        with pytest.raises(ModelDamaged):
            registry.shadow("shop", version)
    assert registry.state("shop").current == good


def test_going_back_to_a_damaged_version_is_refused(registry: Registry) -> None:
    first, second = save(registry), save(registry)
    registry.use("shop", first)
    registry.use("shop", second)
    (registry.path("shop", first) / "intent.npz").unlink()
    with pytest.raises(ModelDamaged, match=r"intent.npz"):
        registry.rollback("shop")
    assert registry.state("shop").current == second


def test_a_disk_that_fills_while_a_version_is_written_leaves_the_old_one(registry: Registry) -> None:
    old = save(registry)
    registry.use("shop", old)
    with pytest.raises(OSError, match="No space left"):
        fail_half_way(registry)
    assert registry.versions("shop") == [old]
    assert hidden(registry.folder("shop")) == []
    registry.verify("shop", registry.state("shop").current)
    assert save(registry).startswith("v0002-")


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_a_disk_that_fills_at_the_last_step_leaves_the_old_one(
    registry: Registry, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = save(registry)
    registry.use("shop", old)

    def fail(*_: object) -> None:
        raise FULL

    with monkeypatch.context() as patched:
        patched.setattr(registry_module.os, failing, fail)
        with pytest.raises(OSError, match="No space left"):
            save(registry)
    assert registry.versions("shop") == [old]
    assert hidden(registry.folder("shop")) == []
    assert registry.state("shop").current == old


def test_a_disk_that_is_full_when_a_version_is_chosen_leaves_the_old_choice(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = save(registry), save(registry)
    registry.use("shop", first)

    def fail(*_: object) -> None:
        raise FULL

    with monkeypatch.context() as patched:
        patched.setattr(registry_module.os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            registry.use("shop", second)
    assert registry.state("shop").current == first
    assert sorted(path.name for path in registry.folder("shop").iterdir()) == [".lock", "current.json", first, second]


def test_drafts_of_dead_processes_are_cleared_and_those_of_living_ones_stay(registry: Registry) -> None:
    folder = registry.folder("shop")
    folder.mkdir(parents=True)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    dead, living = f".draft-{child}-0a-v0007-00000000", f".draft-{os.getppid()}-0a-v0009-00000000"
    (folder / dead).mkdir()
    (folder / living).mkdir()
    assert save(registry, content="00000000") == "v0010-a0000000"
    assert hidden(folder) == [living]


def test_only_versions_out_of_use_are_removed(registry: Registry) -> None:
    first, second, third, idle = (save(registry) for _ in range(4))
    registry.use("shop", first)
    registry.use("shop", second)
    registry.shadow("shop", third)
    for used in (first, second, third):
        with pytest.raises(ModelError, match="choose others first"):
            registry.remove("shop", used)
    registry.remove("shop", idle)
    assert registry.versions("shop") == [first, second, third]
    assert hidden(registry.folder("shop")) == []
    with pytest.raises(UnknownVersion):
        registry.remove("shop", idle)


def test_an_empty_draft_is_no_version(registry: Registry) -> None:
    with pytest.raises(ModelMissing), registry.draft("shop", "00000000"):
        pass
    with pytest.raises(ModelError, match="no hex digest"), registry.draft("shop", "xyz"):
        pass
    assert registry.versions("shop") == []


def test_a_version_trained_elsewhere_is_taken_in_under_a_name_of_its_own(registry: Registry, tmp_path: Path) -> None:
    elsewhere = Registry(tmp_path / "elsewhere")
    source = elsewhere.path("bank", save(elsewhere, "bank"))
    version = registry.install("shop", source)
    registry.use("shop", version)
    found = read_info(registry.path("shop", version))
    assert (found.name, found.version) == ("shop", version)
    (source / "intent.npz").write_bytes(b"changed")
    registry.verify("shop", version)
    with pytest.raises(ModelDamaged):
        registry.install("shop", source)
    assert registry.versions("shop") == [version]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"current": "x"}', '{"history": [], "other": 1}', "\udce4"])
def test_a_damaged_state_file_is_named_with_its_remedy(registry: Registry, content: str) -> None:
    save(registry)
    path = registry.folder("shop") / "current.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelDamaged, match=r"current.json is not what was written .*agent models use"):
        registry.state("shop")


def test_the_history_is_bounded(registry: Registry) -> None:
    for _ in range(registry_module.KEPT_CHANGES // 2 + 3):
        registry.use("shop", HEAD)
        registry.use("shop", EMBEDDED)
    document = json.loads((registry.folder("shop") / "current.json").read_text())
    assert len(document["history"]) == registry_module.KEPT_CHANGES


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["save", "fail", "use", "shadow", "off", "rollback", "damage"]), st.integers(0, 5)),
    max_size=25,
)


@settings(max_examples=30, deadline=None)
@given(OPERATIONS)
def test_whatever_is_done_the_current_version_exists_and_is_whole(operations: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Path(folder))
        damaged: set[str] = set()
        for operation, number in operations:
            known = [*BUILT_IN, *registry.versions("shop"), "v0999-00000000"]
            version = known[number % len(known)]
            state = registry.state("shop")
            try:
                if operation == "save":
                    save(registry, content=f"{number:08x}", size=number)
                elif operation == "fail":
                    fail_half_way(registry)
                elif operation == "use":
                    registry.use("shop", version)
                elif operation == "shadow":
                    registry.shadow("shop", version)
                elif operation == "off":
                    registry.shadow("shop", None)
                elif operation == "rollback":
                    registry.rollback("shop")
                elif version in registry.versions("shop") and version not in (state.current, state.shadow):
                    (registry.path("shop", version) / "intent.npz").write_bytes(b"damaged")
                    damaged.add(version)
            except (ModelError, OSError):
                assert registry.state("shop") == state
            after = registry.state("shop")
            registry.verify("shop", after.current)
            assert after.current not in damaged
            assert after.shadow is None or after.shadow not in damaged
            assert after.shadow != after.current
            assert hidden(registry.folder("shop")) == [] if registry.folder("shop").exists() else True
