"""Time to accuracy, and the look into the combining module, on few words."""

import json
from collections import defaultdict

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification

import diagnose_focus
import full_size
import time_to_accuracy
from full_size import Cell, Row
from tersely import TrainingSettings
from tersely.modeling import from_encoder
from tersely.training.recipe import with_recipe
from tersely.training.run import trainer_arguments
from tersely.training.trainer import TerselyTrainer, TrainingDocuments


def test_both_trainers_draw_a_curve_once(script, tmp_path, monkeypatch):
    monkeypatch.setattr(time_to_accuracy, "quiet", lambda: None)
    options = ("--results", tmp_path, "--sets", "r8", "--documents", 12, "--every", 8)
    script(time_to_accuracy, *options)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(written) == {"r8-stock-0.json", "r8-packed-0.json"}
    for text in written.values():
        record = json.loads(text)
        points = record["points"]
        assert record["train_documents"] == 12 and points[0]["step"] == 8
        seconds = [point["seconds"] for point in points]
        assert seconds == sorted(seconds) and seconds[0] > 0
        assert all(0 <= point["accuracy"] <= 1 for point in points)
    script(time_to_accuracy, *options)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == written
    (tmp_path / "r8-stock-0.json").write_text(json.dumps(record | {"recipe": 0}))
    with pytest.raises(SystemExit, match="r8-stock-0.json is of another format or recipe"):
        script(time_to_accuracy, *options)


def test_seconds_to_an_accuracy_are_those_of_the_first_point_there():
    points = [{"seconds": s, "accuracy": a} for s, a in ((1, 0.5), (2, 0.8), (3, 0.7), (4, 0.9))]
    assert [time_to_accuracy.reached(points, goal) for goal in (0.6, 0.8, 0.9, 0.95)] == [
        2,
        2,
        4,
        None,
    ]


def test_both_trainers_have_the_same_rates(encoder, tmp_path):
    settings = with_recipe(TrainingSettings(), np.zeros(20, dtype=int), 384)
    ours = from_encoder(str(encoder), plan="dense", head="family", num_labels=3)
    stock = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=3)
    few = TrainingDocuments(encoded_few(), np.array([0, 1, 2]))
    arguments = trainer_arguments(settings, tmp_path, device="cpu", validate=False)
    packed = TerselyTrainer(ours, settings, few, args=arguments).create_optimizer()

    def sizes(groups) -> dict[tuple[float, float], int]:
        found = defaultdict(int)
        for group in groups:
            found[round(group["lr"], 12), group["weight_decay"]] += sum(
                parameter.numel() for parameter in group["params"]
            )
        return dict(found)

    assert sizes(time_to_accuracy.rates(stock, settings)) == sizes(packed.param_groups)


def encoded_few():
    from tersely.text.encoding import encode
    from words import tokenizer

    return encode(tokenizer(), ["cat word1", "drum word2", "rain word3"], max_length=16)


def test_the_combining_module_is_looked_into(script, data, tmp_path, monkeypatch):
    row = Row("focus-pfc-7", "focus-pfc", {"combine_at": 7 / 12})
    table = {"few": lambda seeds: iter((Cell("focus", "r8", row, 0),))}
    for module in (full_size, diagnose_focus):
        monkeypatch.setattr(module, "quiet", lambda: None)
    monkeypatch.setattr(full_size, "TABLES", table)
    work = ("--work", tmp_path / "work")
    script(full_size, "--part", "few", "--results", tmp_path / "results", *work)
    trained = json.loads((tmp_path / "results" / "r8-focus-pfc-7-0.json").read_text())
    command = ["--data", data, *work, "--results", tmp_path / "found", "r8-focus-pfc-7-0"]
    monkeypatch.setattr("sys.argv", [diagnose_focus.__file__, *map(str, command)])
    diagnose_focus.main()
    record = json.loads((tmp_path / "found" / "r8-focus-pfc-7-0.json").read_text())
    assert record["trained"]["accuracy"]["hard"] == trained["metrics"]["accuracy"]
    for state in ("trained", "untrained"):
        told = record[state]["assignment"]
        assert sum(told["share_of_groups"]) == pytest.approx(1, abs=1e-4)
        assert 0 <= told["empty"] < 1 and 0 <= told["entropy"] <= 1 and told["margin"] > 0
        # The colder, the surer.
        assert told["entropy_at_0.25"] < told["entropy_at_1"] < told["entropy_at_2"]
        for block in record[state]["attended"]:
            assert sum(block.values()) == pytest.approx(1, abs=1e-4)
    assert record["trained"]["assignment"] != record["untrained"]["assignment"]
    assert 0 < record["moved"]["tokens"] < 1
