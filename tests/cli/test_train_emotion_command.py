"""`agent train emotion` on folders of made clips."""

import errno
import wave
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from agent.cli.train_emotion import train_emotion
from models.emotion import HEADS_FILE, Heads

pytestmark = [pytest.mark.slow, pytest.mark.aside]

RATE = 16_000
EMOTIONS = ("neutral", "happy", "sad", "angry")


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def write_folder(folder: Path, speakers: int, emotions: tuple[str, ...] = EMOTIONS) -> Path:
    """Clips of half a second and more, whose pitch and loudness tell the emotion."""
    folder.mkdir(exist_ok=True)
    lines = ["file\temotion\tactor"]
    time = np.arange(int(0.9 * RATE)) / RATE
    for speaker in range(speakers):
        for number, emotion in enumerate(emotions):
            pitch = 110 + 40 * number + 10 * speaker
            buzz = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 20))
            sound = (0.1 + 0.1 * number) * buzz * np.abs(np.sin(2 * np.pi * 3 * time))
            name = f"{speaker}-{number}.wav"
            with wave.open(str(folder / name), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE)
                file.writeframes((16_000 * sound).astype("<i2").tobytes())
            lines.append(f"{name}\t{emotion}\t{speaker}")
    (folder / "metadata.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def command(*words: str | Path) -> Result:
    app = typer.Typer()
    app.command()(train_emotion)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_clips_become_heads_with_a_card(tmp_path: Path) -> None:
    folder, out = write_folder(tmp_path / "calls", speakers=3), tmp_path / "heads.npz"
    result = command(
        "--data", folder, "--out", out, "--no-evaluation", "--licence", "ours", "--source", "Our own calls."
    )
    assert result.exit_code == 0, result.output
    assert "12 clips of 3 speakers: neutral 3, happy 3, sad 3, angry 3" in result.output
    assert Heads.load(out).emotions == EMOTIONS
    card = (tmp_path / "heads.md").read_text(encoding="utf-8")
    for told in ("Licence of the heads: ours", "Our own calls.", "Not measured", "12 clips of 3 speakers"):
        assert told in card


def test_few_clips_move_the_shipped_heads(tmp_path: Path) -> None:
    folder, out = write_folder(tmp_path / "calls", speakers=3), tmp_path / "moved.npz"
    result = command("--data", folder, "--out", out, "--start-from", HEADS_FILE)
    assert result.exit_code == 0, result.output
    assert "cross-validation of the clips" in result.output.lower()
    assert Heads.load(out).emotions == Heads.load(HEADS_FILE).emotions
    assert "Moved from voice_emotion.npz, whose licence holds on." in (tmp_path / "moved.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("speakers", "emotions", "options", "message"),
    [
        (2, ("angry",), (), "all 2 clips are angry; add clips of other emotions"),
        (1, EMOTIONS, (), "all clips are of one speaker, calls/0"),
        (3, ("neutral", "happy", "angry"), (), "no clip is sad; add some (sad: sad), or use --start-from"),
        (3, EMOTIONS, ("--classes", "neutral,happy,angry"), "no clip is sad"),
        (3, EMOTIONS, ("--evaluate",), "clips are of 3 speakers, evaluation needs 6; add some, or use --no-evaluation"),
    ],
)
def test_clips_that_cannot_do_are_refused_and_nothing_is_written(
    tmp_path: Path, speakers: int, emotions: tuple[str, ...], options: tuple[str, ...], message: str
) -> None:
    folder, out = write_folder(tmp_path / "calls", speakers, emotions), tmp_path / "heads.npz"
    measured = options == ("--evaluate",)
    result = command("--data", folder, "--out", out, *(() if measured else ("--no-evaluation", *options)))
    assert result.exit_code == 1
    assert message in result.output
    assert not out.exists()
    assert "Traceback" not in result.output


def test_unreadable_data_is_named(tmp_path: Path) -> None:
    folder, out = write_folder(tmp_path / "calls", speakers=2), tmp_path / "heads.npz"
    (folder / "0-1.wav").write_bytes(b"not audio")
    result = command("--data", folder, "--out", out, "--no-evaluation")
    assert (result.exit_code, "0-1.wav: cannot be read as audio" in result.output) == (1, True)
    (folder / "metadata.tsv").write_bytes("file\temotion\tactor\nä.wav\tangry\t1\n".encode("latin-1"))
    result = command("--data", folder, "--out", out, "--no-evaluation")
    assert (result.exit_code, "is not UTF-8 at byte 19; save it as UTF-8" in result.output) == (1, True)
    result = command("--data", folder, "--out", out, "--classes", "angry,furious")
    assert (result.exit_code, "furious: choose of neutral" in result.output) == (2, True)


def test_a_full_disk_keeps_the_old_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = write_folder(tmp_path / "calls", speakers=3), tmp_path / "heads.npz"
    out.write_bytes(HEADS_FILE.read_bytes())

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    result = command("--data", folder, "--out", out, "--no-evaluation")
    assert result.exit_code == 1
    assert "No space left on device" in result.output
    assert out.read_bytes() == HEADS_FILE.read_bytes()
    assert not (tmp_path / "heads.md").exists()
