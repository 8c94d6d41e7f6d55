"""Checkpoints are there whole or not at all; no torch needed."""

import json

import pytest

from models.training.reply.checkpoints import STATE_FILE, Checkpoints, OtherRun, Progress, SaveFailed


def writes(text: str):
    return lambda folder: (folder / "weights").write_text(text, encoding="utf-8")


@pytest.fixture
def store(tmp_path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", "key", keep=2)


def test_the_latest_progress_is_read_back(store):
    assert store.latest() is None
    store.save(Progress(step=2, loss_before=3.0), writes("two"))
    later = Progress(step=10, loss_before=3.0, best_step=10, best_loss=1.5, bad=1, stopped_early=True, finished=True)
    place = store.save(later, writes("ten"))
    assert store.latest() == later
    assert (place / "weights").read_text() == "ten"
    assert store.steps() == [2, 10]


def test_old_ones_go_and_the_best_stays(store):
    for step in range(1, 7):
        store.save(Progress(step=step, best_step=2), writes(str(step)))
    assert store.steps() == [2, 5, 6]


def test_a_write_that_fails_leaves_what_was_there(store):
    store.save(Progress(step=1), writes("one"))

    def half(folder):
        (folder / "weights").write_text("tw", encoding="utf-8")
        raise OSError(28, "No space left on device")

    with pytest.raises(SaveFailed, match=r"step 2 could not be written \(.*No space left.*the one of step 1 is kept"):
        store.save(Progress(step=2), half)
    assert store.steps() == [1]
    assert sorted(path.name for path in store.path(1).parent.iterdir()) == ["step-00000001"]
    store.save(Progress(step=2), writes("two"))
    assert store.steps() == [1, 2]


def test_what_a_kill_left_is_no_checkpoint_and_goes(store):
    store.save(Progress(step=1), writes("one"))
    part = store.path(2).with_name(store.path(2).name + ".part")
    part.mkdir()
    (part / STATE_FILE).write_text("{}", encoding="utf-8")
    assert store.steps() == [1]
    store.save(Progress(step=3), writes("three"))
    assert not part.exists()


def test_an_interrupt_is_no_failed_save(store):
    def interrupted(folder):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.save(Progress(step=1), interrupted)
    assert store.steps() == []


def test_checkpoints_of_another_run_are_refused_until_cleared(store, tmp_path):
    store.save(Progress(step=1), writes("one"))
    other = Checkpoints(tmp_path / "checkpoints", "other key", keep=2)
    with pytest.raises(OtherRun, match="of other data or settings, or of another number of processes"):
        other.latest()
    other.clear()
    assert other.latest() is None


def test_progress_of_a_later_version_is_read_as_far_as_it_is_known(store):
    place = store.save(Progress(step=4), writes("four"))
    document = json.loads((place / STATE_FILE).read_text())
    (place / STATE_FILE).write_text(json.dumps(document | {"later": 1}), encoding="utf-8")
    assert store.latest() == Progress(step=4)
