"""From data to a version folder: averaging, ensembles, few examples, teachers, parity, the card, and failures."""

import errno
import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from learnfakes import WordEncoder
from tinybase import FELT, examples

from models.contracts import OUT_OF_SCOPE
from models.explain import ExamplesIndex
from models.text_model_open import check_sums, open_text_model
from models.training.examples import DataError, Example, Splits
from models.training.understanding.pipeline import Job, is_few_shot, make
from models.training.understanding.recipe import Recipe

pytestmark = pytest.mark.train

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)


def job(recipe, train, validation=(), **more):
    splits = Splits(tuple(train), tuple(validation), sources=("banking77 of the tests",))
    return Job("small", splits, recipe, command="agent train understanding --name small", **more)


def made(recipe, rows, tmp_path, name="version", **more):
    return make(job(recipe, *rows, **more), tmp_path / name, tmp_path / f"{name}-work", lambda: NOW, WordEncoder())


def report_of(version):
    return json.loads((version.folder / "training.json").read_text())


def accuracy(model, rows):
    readings = model.read([row.text for row in rows])
    return np.mean([reading.intent == row.intent for reading, row in zip(readings, rows, strict=True)])


def test_a_network_and_a_frozen_head_are_averaged_and_described(rows, quick, tmp_path):
    version = made(quick(epochs=14, head_member=0.4, slot_weight=3.0), rows, tmp_path, content="k", language="en")
    info = version.info
    assert [(member.file, member.weight) for member in info.members] == [("model.onnx", 0.6), ("head.npz", 0.4)]
    assert (info.method, info.content, info.created) == ("full", "k", "2026-05-06T12:00:00+00:00")
    assert info.intents == ("cancel", "return", "where", OUT_OF_SCOPE)
    assert 0 < info.threshold <= 0.6
    check_sums(version.folder)
    names = {"model.onnx", "head.npz", "tokenizer.json", "model.json", "training.json", "card.md", "examples.npz"}
    assert {path.name for path in version.folder.iterdir()} == names | {"SHA256SUMS"}
    model = open_text_model(version.folder, WordEncoder())
    assert accuracy(model, rows[1]) == 1.0
    reading = model.read(["please stop the kayak"])[0]
    assert [(span.start, span.end, span.name) for span in reading.spans] == [(16, 21, "thing")]
    nearest = ExamplesIndex.load(version.folder).nearest(reading.vector, 1)[0]
    assert nearest.label == "cancel"
    report = report_of(version)
    assert report["parity"]["texts"] == len(rows[1])
    assert 0 < report["parity"]["largest_probability_difference"] < 0.3
    assert set(report["parity"]["int8"]) == set(report["parity"]["float32"]) == {
        "accuracy", "outside_auroc", "slot_f1",
    }  # fmt: skip
    card = (version.folder / "card.md").read_text()
    for part in (
        "# small",
        "3 intents and out of scope, 1 slots (thing)",
        "averaged with a head over the frozen sentence encoder",
        "- banking77 of the tests",
        "Licences of the data: Banking77: CC BY 4.0 (PolyAI).",
        f"- {len(rows[0])} training and {len(rows[1])} validation texts",
        "| accuracy | 100.0 | ",
        "int8 against float32",
        "    agent train understanding --name small",
        "- epochs: 14",
        "Use and limits",
    ):
        assert part in card, part


def test_several_networks_are_averaged_by_their_outputs(rows, quick, tmp_path):
    version = made(quick(epochs=3, networks=2), rows, tmp_path)
    assert [(m.file, m.weight) for m in version.info.members] == [("model-1.onnx", 0.5), ("model-2.onnx", 0.5)]
    report = report_of(version)["ensemble"]
    assert report["combine"] == "logits"
    assert len(report["networks"]) == 2
    both = open_text_model(version.folder)
    alone = []
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        single = replace(version.info, members=(version.info.members[number - 1],))
        for name in ("tokenizer.json", f"model-{number}.onnx"):
            (tmp_path / str(number) / name).write_bytes((version.folder / name).read_bytes())
        (tmp_path / str(number) / "model.json").write_text(json.dumps(single.document()))
        alone.append(open_text_model(tmp_path / str(number), verify=False))
    texts = [row.text for row in rows[1]]
    logs = [model.log_probabilities(texts) for model in alone]
    assert np.abs(logs[0] - logs[1]).max() > 0.01
    np.testing.assert_allclose(both.log_probabilities(texts), (logs[0] + logs[1]) / 2, atol=1e-6)
    assert "2 networks averaged" in (version.folder / "card.md").read_text()
    assert {path.name for path in (tmp_path / "version-work").iterdir()} == {"network-1", "network-2"}


def test_the_mean_of_weights_is_kept_only_if_it_is_no_worse(rows, quick, tmp_path, monkeypatch):
    from models.training.understanding import ensemble

    recipe = quick(epochs=4, networks=2, combine="weights")
    version = made(recipe, rows, tmp_path)
    report = report_of(version)["ensemble"]
    best = max(network["score"] for network in report["networks"])
    kept = report["kept"]
    assert (kept == "mean of the weights") == (report["mean_score"] >= best)
    assert [member.file for member in version.info.members] == ["model.onnx"]

    def spoilt(states):
        import torch

        return {name: torch.zeros_like(value) for name, value in states[0].items()}

    monkeypatch.setattr(ensemble, "mean_weights", spoilt)
    again = made(recipe, rows, tmp_path, "again")
    assert re.fullmatch(r"network [12], better than the mean of the weights", report_of(again)["ensemble"]["kept"])
    assert again.info.measured["accuracy"] == pytest.approx(
        max(report["networks"], key=lambda network: network["score"])["accuracy"]
    )


def test_networks_whose_weights_are_averaged_begin_alike(rows, quick, tmp_path, monkeypatch):
    from models.training.understanding import ensemble

    seen = []
    mean = ensemble.mean_weights
    monkeypatch.setattr(ensemble, "mean_weights", lambda states: seen.append(states) or mean(states))
    tiny = quick(epochs=1, networks=2, combine="weights", learning_rate=1e-9, head_learning_rate=1e-9)
    made(tiny, rows, tmp_path)
    first, second = seen[0]
    assert float((first["intent.weight"] - second["intent.weight"]).abs().max()) < 1e-5
    made(tiny.model_copy(update={"method": "lora"}), rows, tmp_path, "lora")
    assert seen[1][0].keys() == first.keys(), "adapters are worked in before weights are averaged"


def test_one_network_is_taught_by_the_others(rows, quick, tmp_path):
    version = made(quick(epochs=4, networks=3, combine="distil"), rows, tmp_path)
    report = report_of(version)["ensemble"]
    assert report["kept"] == "network 1, taught by the others"
    assert len(report["networks"]) == 3
    assert [member.file for member in version.info.members] == ["model.onnx"]
    alone = made(quick(epochs=4), rows, tmp_path, "alone")
    texts = [row.text for row in rows[1]]
    first, second = (open_text_model(one.folder).log_probabilities(texts) for one in (version, alone))
    assert np.abs(first - second).max() > 0.01
    felt = [replace(row, intent=None, spans=None) for row in examples(outside=False, felt=True)]
    with pytest.raises(DataError, match="distil teaches intents, and no example has one"):
        made(quick(epochs=1, networks=2, combine="distil"), (felt, felt[:20]), tmp_path, "none", allow_leak=True)


def test_teachers_are_versions_with_the_same_intents(rows, quick, tmp_path):
    teacher = made(quick(epochs=6), rows, tmp_path, "teacher")
    learnt = made(quick(epochs=6, teachers=(teacher.folder,), teacher_weight=1.0), rows, tmp_path)
    assert accuracy(open_text_model(learnt.folder), rows[1]) > 0.9
    fewer = [[row for row in part if row.intent != "where"] for part in rows]
    with pytest.raises(DataError, match=r"teacher .*teacher differs in the intents where; train it on the same"):
        made(quick(teachers=(teacher.folder,)), fewer, tmp_path, "other")
    assert not list(tmp_path.glob(".*partial"))


def test_few_examples_are_contrasted_and_their_head_is_fitted_on_vectors(rows, quick, tmp_path, monkeypatch):
    from models.training.understanding import fewshot

    few: list[Example] = []
    for row in examples(outside=False):
        if sum(other.intent == row.intent for other in few) < 6:
            few.append(row)
    held = [row for row in rows[1] if row.intent != OUT_OF_SCOPE and row.text not in {r.text for r in few}]
    recipe = quick(epochs=3, few_shot=None, contrastive=1.0)
    assert is_few_shot(few, recipe)
    assert not is_few_shot(few, recipe.model_copy(update={"few_shot": False}))
    assert not is_few_shot(few * 4, recipe)
    refitted = []
    refit = fewshot.refit_intents

    def watched(trained, train, recipe):
        before = trained.network.intent.weight.detach().clone()
        refit(trained, train, recipe)
        refitted.append(float((trained.network.intent.weight.detach() - before).abs().max()))

    monkeypatch.setattr(fewshot, "refit_intents", watched)
    version = made(recipe, (few, held), tmp_path)
    assert refitted[0] > 0
    assert report_of(version)["few_shot"] is True
    assert accuracy(open_text_model(version.folder), held) > 0.7


def test_several_emotions_are_read_apart_and_one_emotion_is_a_choice(quick, tmp_path):
    rows = [replace(row, intent=None, spans=None) for row in examples(outside=False, felt=True)]
    one = made(quick(epochs=6), (rows[::2] + rows[1::4], rows[3::4]), tmp_path, "one").info
    assert (one.several_emotions, one.emotions, one.intents) == (False, tuple(sorted(FELT)), ())
    both = [
        Example(f"{FELT['angry']} and {FELT['happy']} {n} {word}", emotions=("angry", "happy"))
        for n, word in enumerate(["rope", "tent", "mat", "boots", "stove", "kayak"] * 5)
    ]
    version = made(quick(epochs=8), (rows[::2] + both[:20], rows[1::2] + both[20:]), tmp_path, "both")
    assert version.info.several_emotions
    model = open_text_model(version.folder)
    mixed, plain = model.read([both[25].text, rows[1].text])
    assert mixed.emotions["angry"] > 0.3
    assert mixed.emotions["happy"] > 0.3
    assert max(plain.emotions, key=plain.emotions.get) == rows[1].emotions[0]
    assert (mixed.intent, mixed.ranking) == (OUT_OF_SCOPE, ())


def test_nothing_held_out_still_makes_a_version(rows, quick, tmp_path):
    version = made(quick(epochs=1, validation_share=0.0), (rows[0], ()), tmp_path)
    assert version.info.measured == {}
    assert version.info.temperature == 1.0
    assert report_of(version)["parity"]["texts"] == len(rows[0])


def test_a_full_disk_leaves_the_old_version_and_the_checkpoint(rows, quick, tmp_path, monkeypatch):
    from models.training.understanding import pipeline

    old = made(quick(epochs=1), rows, tmp_path)
    before = {path.name: path.read_bytes() for path in old.folder.iterdir()}

    def full(folder):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(pipeline, "write_sums", full)
    with pytest.raises(OSError, match="No space left"):
        made(quick(epochs=2), rows, tmp_path)
    assert {path.name: path.read_bytes() for path in old.folder.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["version", "version-work"]
    assert (tmp_path / "version-work" / "checkpoint.pt").is_file()


def test_a_network_that_int8_spoils_is_not_shipped(rows, quick, tmp_path, monkeypatch):
    from models.training.understanding import export

    monkeypatch.setattr(export, "TELLING_TEXTS", 5)
    monkeypatch.setattr(export, "ALLOWED_LOSS", -1.0)
    with pytest.raises(export.ExportFailed, match=r"int8 lost .* points on \d+ texts \(allowed -100.0\).* became"):
        made(quick(epochs=1), rows, tmp_path)
    assert not (tmp_path / "version").exists()


def test_the_search_tries_recipes_goes_on_and_takes_the_best(rows, quick, tmp_path):
    import optuna

    from models.training.understanding.search import STUDY_FILE, search

    own = job(quick(epochs=2, head_member=0.3), *rows)
    told = []

    def run(trials):
        return search(own, tmp_path, trials, WordEncoder(), lambda *what: told.append(what))

    class Killed(BaseException):
        pass

    def killing(stage, done, figures):
        if stage.startswith("trial 3"):
            raise Killed

    with pytest.raises(Killed):
        search(own, tmp_path, 4, WordEncoder(), killing)
    best = run(4)
    (name,) = optuna.get_all_study_names(f"sqlite:///{tmp_path / STUDY_FILE}")
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{tmp_path / STUDY_FILE}")
    states = [trial.state.name for trial in study.trials]
    assert states.count("FAIL") == 1
    assert states.count("COMPLETE") + states.count("PRUNED") == 4
    assert study.trials[0].params["learning_rate"] == pytest.approx(3e-3), "the first trial is the recipe as it is"
    assert study.trials[3].params == study.trials[2].params, "the trial that was broken off is tried again"
    for key, value in study.best_params.items():
        assert getattr(best, key) == value
    assert best.batch_size == own.recipe.batch_size
    done = len(told)
    assert run(4) == best
    assert len(told) == done, "a search that is done tries nothing more"
    assert not (tmp_path / "trial" / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("change", "world", "message"),
    [
        ({"method": "head"}, "1", "--method head has none; choose full or lora"),
        ({}, "2", "--search runs in one process"),
        ({"validation_share": 0.0}, "1", "nothing is held out to compare recipes on"),
    ],
)
def test_a_search_that_cannot_compare_is_refused(rows, quick, tmp_path, monkeypatch, change, world, message):
    from models.training.understanding.search import search

    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(DataError, match=message):
        search(job(quick(**change), rows[0]), tmp_path, 2, WordEncoder(), lambda *_: None)


def test_a_head_alone_needs_intents(tmp_path):
    rows = [Example("so sad", emotions=("sad",)), Example("so glad", emotions=("glad",))] * 3
    with pytest.raises(DataError, match="--method head learns intents, and no example has one"):
        made(Recipe(method="head", validation_share=0.0), (rows, ()), tmp_path)
