"""What the prediction files and metrics say is what the network says about the pictures."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small
import torch
from PIL import Image
from sklearn.metrics import r2_score
from sklearn.preprocessing import QuantileTransformer

from droulette import files, parameters
from droulette.errors import UserError
from droulette.learning import model_file
from droulette.pipeline.draw import draw_table
from droulette.pipeline.evaluated import EvaluatedSplit, difference, picture_errors, resimulate_split
from droulette.pipeline.generate import Drawing, generate
from droulette.pipeline.pictures import make_views, read_pictures
from droulette.pipeline.resimulate import resimulate
from droulette.pipeline.targets import read_targets

PARTS = ("training", "validation", "testing")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Small parts of pictures, and a model trained on them for a moment."""
    folder = tmp_path_factory.mktemp("evaluation") / "data"
    parts = small.draw_parts(folder, 80, 20, 40, nterms=(0, 2))
    small.train(parts["training"], parts["validation"], folder / "images", folder / "m.safetensors")
    return folder


def run(data: Path, output: Path, model: Path | None = None, **options) -> dict:
    options = {"roulette": data / "roulette.csv", "resimulations": 8, "examples": 3} | options
    parts = {name: data / f"{name}.csv" for name in PARTS}
    return small.evaluate_parts(parts, data / "images", model or data / "m.safetensors", output, **options)


@pytest.fixture(scope="module")
def evaluated(data, tmp_path_factory) -> tuple[Path, dict]:
    output = tmp_path_factory.mktemp("metrics")
    return output, run(data, output)


def constant(data: Path, path: Path) -> np.ndarray:
    """Write the model with a network that says one thing of every picture; give that in columns' units."""
    model = model_file.load(data / "m.safetensors")
    head = model.network.head
    with torch.no_grad():
        for layer in (head.gates, head.plain, head.spread[-1]):
            layer.weight.zero_()
            layer.bias.zero_()
        head.plain.bias.fill_(0.5)
    model_file.save(model, path)
    scaled = np.where(np.isin(range(len(model.columns)), head.scalars), 0.5, 0.0)
    return model.scaling.inverse(scaled[None])[0]


def predict_with(model, data: Path, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    return model.predict(make_views(model.network.preprocessing, read_pictures(data / "images", names, table="x")))


def test_prediction_files_are_the_networks_output(data, evaluated):
    model = model_file.load(data / "m.safetensors")
    for name in PARTS:
        labels = read_targets(data / f"{name}.csv")
        found = files.read_csv(evaluated[0] / "predictions" / f"{name}.csv")
        spreads = [f"std:{column}" for column in model.columns]
        assert list(found) == [*labels, *spreads] and list(found["filename"]) == list(labels["filename"])
        mean, deviation = predict_with(model, data, list(found["filename"]))
        np.testing.assert_array_equal(found[list(model.columns)], mean)
        np.testing.assert_array_equal(found[spreads], deviation)


def test_a_network_of_constant_output_changes_the_prediction_files(data, evaluated, tmp_path):
    said = constant(data, tmp_path / "constant.safetensors")
    run(data, tmp_path, tmp_path / "constant.safetensors")
    for name in PARTS:
        changed = files.read_csv(tmp_path / "predictions" / f"{name}.csv").iloc[:, 1 : len(said) + 1]
        np.testing.assert_allclose(changed, np.tile(said, (len(changed), 1)), rtol=1e-9)
        before = files.read_csv(evaluated[0] / "predictions" / f"{name}.csv").iloc[:, 1:]
        assert (before.nunique() > 1).all()


def test_the_json_holds_what_the_prediction_files_give(data, evaluated):
    output, returned = evaluated
    written = json.loads((output / "evaluate.json").read_text())
    assert written == returned and set(written) == set(PARTS)
    training = read_targets(data / "training.csv").iloc[:, 1:].to_numpy()
    quantiles = QuantileTransformer(n_quantiles=80, output_distribution="normal", subsample=None).fit(training)
    scaling = model_file.load(data / "m.safetensors").scaling
    for name in PARTS:
        true = read_targets(data / f"{name}.csv").iloc[:, 1:].to_numpy()
        predicted = files.read_csv(output / "predictions" / f"{name}.csv").iloc[:, 1 : true.shape[1] + 1].to_numpy()
        means = np.tile(training.mean(axis=0), (len(true), 1))
        for values, found in ((predicted, written[name]), (means, written[name]["baseline"])):
            expected = {
                "r2": r2_score(true, values),
                "r2_quantile": r2_score(quantiles.transform(true), quantiles.transform(values)),
                "mae": np.abs(true - values).mean(),
                "loss": np.mean((scaling.transform(true) - scaling.transform(values)) ** 2),
            }
            assert {key: found[key] for key in expected} == pytest.approx(expected)
            kinds = {"predicted_true", "median_predicted_true", "predicted_raytraced", "true_raytraced"}
            assert set(found["pictures"]) == kinds
        spreads = files.read_csv(output / "predictions" / f"{name}.csv").iloc[:, true.shape[1] + 1 :].to_numpy()
        assert written[name]["coverage68"] == pytest.approx((np.abs(true - predicted) <= spreads).mean())
    columns = pd.read_csv(output / "plots" / "columns.csv")
    testing = columns[columns["part"] == "testing"]
    assert list(testing["column"]) == list(read_targets(data / "testing.csv"))[1:]
    assert testing["r2"].mean() == pytest.approx(written["testing"]["r2"])
    assert testing["baseline_mae"].mean() == pytest.approx(written["testing"]["baseline"]["mae"])
    orders = pd.read_csv(output / "plots" / "orders.csv").set_index(["part", "order"])
    of_order_2 = testing[testing["column"].str.match(r".*\[2\]\[")]
    assert orders.loc[("testing", "m = 2"), "r2"] == pytest.approx(of_order_2["r2"].mean())
    assert set(orders.loc["testing"].index) == {"other", "m = 0", "m = 1", "m = 2"}


def test_the_summary_is_that_of_the_testing_part_with_short_names(evaluated):
    output, returned = evaluated
    testing = returned["testing"]
    summary = json.loads((output / "summary.json").read_text())
    assert list(summary)[:3] == ["r2_quantile", "r2", "picture_error"]
    assert summary.pop("picture_error") == testing["pictures"]["predicted_true"]
    assert summary == {name: testing[name] for name in ("r2_quantile", "r2", "mae", "coverage68", "coverage95")}


def test_bands_of_einstein_radius_hold_the_metrics_of_their_rows(data, evaluated, tmp_path):
    """Radii that sort the rows by their place in the table, so that the rows of a band are known."""
    rows = files.read_csv(data / "roulette.csv")[["filename"]]
    lenses = rows.assign(lens="SIS", einsteinradius=np.arange(1.0, len(rows) + 1), x=3.0, y=4.0)
    files.write_csv(lenses, tmp_path / "lenses.csv")
    run(data, tmp_path, lenses=tmp_path / "lenses.csv")
    bands = pd.read_csv(tmp_path / "plots" / "bands.csv")
    training = bands[bands["part"] == "training"]
    assert list(training["rows"]) == [16] * 5
    place = {name: k for k, name in enumerate(rows["filename"])}
    labels, found = read_targets(data / "training.csv"), files.read_csv(tmp_path / "predictions" / "training.csv")
    order = np.argsort(labels["filename"].map(place).to_numpy())[:16]
    columns = list(labels)[1:]
    expected = r2_score(labels[columns].to_numpy()[order], found[columns].to_numpy()[order])
    assert training["r2"].iloc[0] == pytest.approx(expected)
    assert bands.groupby("part")["rows"].sum().to_dict() == {"training": 80, "validation": 20, "testing": 40}


def test_lens_families_hold_the_metrics_of_their_rows(data, tmp_path):
    rows = files.read_csv(data / "roulette.csv")[["filename"]]
    lens = np.where(np.arange(len(rows)) % 4 == 0, "PM", "SIS")
    files.write_csv(rows.assign(lens=lens, einsteinradius=9.0, x=3.0, y=4.0), tmp_path / "lenses.csv")
    run(data, tmp_path, lenses=tmp_path / "lenses.csv")
    families = pd.read_csv(tmp_path / "plots" / "families.csv").set_index(["part", "lens"])
    assert families["rows"].sum() == len(rows)
    labels, found = read_targets(data / "testing.csv"), files.read_csv(tmp_path / "predictions" / "testing.csv")
    of_row = dict(zip(rows["filename"], lens, strict=True))
    inside = (labels["filename"].map(of_row) == "PM").to_numpy()
    columns = list(labels)[1:]
    true, predicted = labels[columns].to_numpy()[inside], found[columns].to_numpy()[inside]
    spreads = found[[f"std:{column}" for column in columns]].to_numpy()[inside]
    of_testing = families.loc[("testing", "PM")]
    assert of_testing["rows"] == inside.sum()
    assert of_testing["mae"] == pytest.approx(np.abs(true - predicted).mean())
    every = labels[columns].to_numpy()
    assert of_testing["r2"] == pytest.approx((1 - ((true - predicted) ** 2).mean(axis=0) / every.var(axis=0)).mean())
    assert of_testing["coverage68"] == pytest.approx((np.abs(true - predicted) <= spreads).mean())


def test_one_family_needs_no_table(data, tmp_path):
    rows = files.read_csv(data / "roulette.csv")[["filename"]]
    files.write_csv(rows.assign(lens="SIS", einsteinradius=9.0, x=3.0, y=4.0), tmp_path / "lenses.csv")
    run(data, tmp_path, lenses=tmp_path / "lenses.csv")
    assert not (tmp_path / "plots" / "families.csv").exists()


def test_the_linear_model_on_moments_stands_beside(evaluated):
    testing = evaluated[1]["testing"]
    assert testing["linear"]["r2"] > testing["baseline"]["r2"]
    assert np.isfinite(list(testing["linear"].values())).all()


def test_plots_are_pictures(evaluated):
    for name in ("predicted_against_true", "columns", "gallery", "calibration"):
        with Image.open(evaluated[0] / "plots" / f"{name}.png") as picture:
            assert min(picture.size) > 200 and np.asarray(picture.convert("L")).std() > 5


def test_evaluating_twice_gives_the_same_bytes(data, evaluated, tmp_path):
    run(data, tmp_path)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(written) == 11
    assert [(tmp_path / p).read_bytes() for p in written] == [(evaluated[0] / p).read_bytes() for p in written]


def test_an_evaluation_without_a_roulette_table_has_no_picture_errors(data, tmp_path):
    found = run(data, tmp_path, roulette=None)
    assert all("pictures" not in found[name] for name in PARTS)
    assert "picture_error" not in json.loads((tmp_path / "summary.json").read_text())
    assert not (tmp_path / "plots" / "gallery.png").exists()


def split_of(data: Path, shift: float = 0.0) -> EvaluatedSplit:
    """The testing split as a perfect network would predict it, but for sigma, which is off by `shift`."""
    table = read_targets(data / "testing.csv")
    true = table.iloc[:, 1:].to_numpy()
    pictures = read_pictures(data / "images", list(table["filename"]), table="testing.csv")
    guess = true + shift * (np.array(table.columns[1:]) == "sigma")
    split = EvaluatedSplit(table, true, guess, np.ones_like(true), np.zeros((len(true), 1)), pictures)
    roulette = files.read_csv(data / "roulette.csv")
    resimulate_split(split, list(table.columns[1:]), roulette, true.mean(axis=0), 8, name="roulette.csv")
    return split


def test_perfect_predictions_have_perfect_pictures_and_worse_ones_worse(data):
    perfect, near, far = (picture_errors(split_of(data, shift), "predicted") for shift in (0, 0.5, 2))
    assert perfect["predicted_true"] == 0
    assert 0 < near["predicted_true"] < far["predicted_true"]
    assert perfect["predicted_raytraced"] == perfect["true_raytraced"] > 0
    assert picture_errors(split_of(data), "baseline")["predicted_true"] > near["predicted_true"]


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("sampling, imagesize", [("exact", 128), ("nearest", 128), ("nearest", 129)])
def test_a_scene_resimulated_from_its_amplitudes_lies_over_its_raytraced_picture(
    tmp_path, centred, sampling, imagesize
):
    """Within half the circle of convergence, where so many orders leave little. A pixel aside makes 17 grey levels."""
    how = {"nterms": 6, "imagesize": imagesize, "cropsize": 64, "centred": centred, "sampling": sampling}
    params = parameters.parse(small.SIMULATION | {"simulator": how | {"size": 16, "seed": 3}})
    table = generate(draw_table(params), Drawing(**how), tmp_path)
    raytraced = read_pictures(tmp_path, list(table["filename"]), table="dataset.csv")
    true = resimulate(table, 64, sampling=sampling, canvas=imagesize)
    x, y = np.arange(64) - 32, 32 - np.arange(64)[:, None]
    xi_x, xi_y, lens_x, lens_y = (table[name].to_numpy()[:, None, None] for name in ("xiX", "xiY", "lensX", "lensY"))
    inside = np.hypot(x - xi_x, y - xi_y) < np.hypot(xi_x - lens_x, xi_y - lens_y) / 2
    assert raytraced[inside].mean() > 50
    assert np.abs(raytraced[inside].astype(int) - true[inside]).mean() < 0.5


def test_picture_differences_are_absolute_and_relative_to_255():
    black, white = np.zeros((2, 4, 4), np.uint8), np.full((2, 4, 4), 255, np.uint8)
    np.testing.assert_array_equal(difference(black, white), [1, 1])
    np.testing.assert_array_equal(difference(white, black), [1, 1])
    np.testing.assert_allclose(difference(black + np.uint8(51), black), [0.2, 0.2])


def test_what_is_missing_is_said_before_anything_is_written(data, tmp_path):
    roulette = files.read_csv(data / "roulette.csv")
    files.write_csv(roulette.iloc[:50], tmp_path / "short.csv")
    with pytest.raises(UserError, match=r"short\.csv: found no row of 'image-"):
        run(data, tmp_path / "out", roulette=tmp_path / "short.csv")
    with pytest.raises(UserError, match="no such model file"):
        run(data, tmp_path / "out", tmp_path / "none.safetensors")
    assert not (tmp_path / "out").exists()
