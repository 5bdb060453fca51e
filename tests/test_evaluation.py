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

from droulette import files, predict
from droulette.errors import UserError
from droulette.learning import model_file
from droulette.pipeline import prediction
from droulette.pipeline.evaluation import Part, difference, evaluate, picture_errors, resimulate_part
from droulette.pipeline.pictures import read_pictures
from droulette.pipeline.targets import read_targets
from droulette.pipeline.training import train

PARTS = ("training", "validation", "testing")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Small parts of pictures, and a model trained on them for a moment."""
    folder = tmp_path_factory.mktemp("evaluation") / "data"
    parts = small.draw_parts(folder, 80, 20, 40, nterms=(0, 2))
    train(parts["training"], parts["validation"], folder / "images", folder / "m.safetensors", **small.TRAINING)
    return folder


def run(data: Path, output: Path, model: Path | None = None, **options) -> dict:
    options = {"roulette": data / "roulette.csv", "resimulations": 8, "examples": 3, "device": "cpu"} | options
    parts = {name: data / f"{name}.csv" for name in PARTS}
    return evaluate(parts, data / "images", model or data / "m.safetensors", output, **options)


@pytest.fixture(scope="module")
def evaluated(data, tmp_path_factory) -> tuple[Path, dict]:
    output = tmp_path_factory.mktemp("metrics")
    return output, run(data, output)


def constant(data: Path, path: Path) -> np.ndarray:
    """Write the model with a network whose output is 0.5 in every scaled column; give that in columns' units."""
    model = model_file.load(data / "m.safetensors")
    with torch.no_grad():
        model.network.head.weight.zero_()
        model.network.head.bias.fill_(0.5)
    model_file.save(model, path)
    return model.scaling.inverse(np.full((1, len(model.columns)), 0.5))[0]


def test_prediction_files_are_the_networks_output(data, evaluated):
    model = model_file.load(data / "m.safetensors")
    for name in PARTS:
        labels = read_targets(data / f"{name}.csv")
        found = files.read_csv(evaluated[0] / "predictions" / f"{name}.csv")
        assert list(found) == list(labels) and list(found["filename"]) == list(labels["filename"])
        pictures = read_pictures(data / "images", list(found["filename"]), table=name)
        np.testing.assert_array_equal(found[list(model.columns)], model.predict(pictures))


def test_a_network_of_constant_output_changes_the_prediction_files(data, evaluated, tmp_path):
    said = constant(data, tmp_path / "constant.safetensors")
    run(data, tmp_path, tmp_path / "constant.safetensors")
    for name in PARTS:
        changed = files.read_csv(tmp_path / "predictions" / f"{name}.csv").iloc[:, 1:]
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
        predicted = files.read_csv(output / "predictions" / f"{name}.csv").iloc[:, 1:].to_numpy()
        means = np.tile(training.mean(axis=0), (len(true), 1))
        for values, found in ((predicted, written[name]), (means, written[name]["baseline"])):
            expected = {
                "r2": r2_score(true, values),
                "r2_quantile": r2_score(quantiles.transform(true), quantiles.transform(values)),
                "mae": np.abs(true - values).mean(),
                "loss": np.mean((scaling.transform(true) - scaling.transform(values)) ** 2),
            }
            assert {key: found[key] for key in expected} == pytest.approx(expected)
            assert set(found["pictures"]) == {"predicted_true", "predicted_raytraced", "true_raytraced"}
    columns = pd.read_csv(output / "plots" / "columns.csv")
    testing = columns[columns["part"] == "testing"]
    assert list(testing["column"]) == list(read_targets(data / "testing.csv"))[1:]
    assert testing["r2"].mean() == pytest.approx(written["testing"]["r2"])
    assert testing["baseline_mae"].mean() == pytest.approx(written["testing"]["baseline"]["mae"])


def test_plots_are_pictures(evaluated):
    for name in ("predicted_against_true", "columns", "gallery"):
        with Image.open(evaluated[0] / "plots" / f"{name}.png") as picture:
            assert min(picture.size) > 200 and np.asarray(picture.convert("L")).std() > 5


def test_evaluating_twice_gives_the_same_bytes(data, evaluated, tmp_path):
    run(data, tmp_path)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(written) == 8
    assert [(tmp_path / p).read_bytes() for p in written] == [(evaluated[0] / p).read_bytes() for p in written]


def test_an_evaluation_without_a_roulette_table_has_no_picture_errors(data, tmp_path):
    found = run(data, tmp_path, roulette=None)
    assert all("pictures" not in found[name] for name in PARTS)
    assert not (tmp_path / "plots" / "gallery.png").exists()


def part_of(data: Path, shift: float = 0.0) -> Part:
    """The testing part as a perfect network would predict it, but for sigma, which is off by `shift`."""
    table = read_targets(data / "testing.csv")
    true = table.iloc[:, 1:].to_numpy()
    pictures = read_pictures(data / "images", list(table["filename"]), table="testing.csv")
    part = Part(table, true, true + shift * (np.array(table.columns[1:]) == "sigma"), pictures)
    roulette = files.read_csv(data / "roulette.csv")
    resimulate_part(part, list(table.columns[1:]), roulette, true.mean(axis=0), 8, name="roulette.csv")
    return part


def test_perfect_predictions_have_perfect_pictures_and_worse_ones_worse(data):
    perfect, near, far = (picture_errors(part_of(data, shift), "predicted") for shift in (0, 0.5, 2))
    assert perfect["predicted_true"] == 0
    assert 0 < near["predicted_true"] < far["predicted_true"]
    assert perfect["predicted_raytraced"] == perfect["true_raytraced"] > 0
    assert picture_errors(part_of(data), "baseline")["predicted_true"] > near["predicted_true"]


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


class TestOwnPictures:
    """`python -m droulette.predict`."""

    def test_pictures_of_the_dataset_are_predicted_as_they_are(self, data, tmp_path, capsys):
        names = list(read_targets(data / "testing.csv")["filename"][:3])
        paths = [str(data / "images" / name) for name in names]
        arguments = [*paths, "--model", str(data / "m.safetensors"), "--device", "cpu"]
        assert predict.main([*arguments, "--output", str(tmp_path / "p.csv")]) == 0
        found = files.read_csv(tmp_path / "p.csv")
        assert list(found["filename"]) == paths
        model = model_file.load(data / "m.safetensors")
        pictures = read_pictures(data / "images", names, table="x")
        np.testing.assert_allclose(found[list(model.columns)], model.predict(pictures), rtol=1e-6)
        assert capsys.readouterr().err == ""
        assert predict.main(arguments) == 0
        assert capsys.readouterr().out.startswith("filename,sigma,xiX,xiY,")

    @pytest.mark.parametrize("size", [30, 48, 97])
    def test_any_picture_is_centred_on_its_light_and_given_the_models_size(self, tmp_path, size):
        i, j = np.mgrid[:size, :size]
        spot = 200 * np.exp(-((i - size / 2 + 4.5) ** 2 + (j - size / 2 - 3.25) ** 2) / 18)
        Image.fromarray(spot.round().astype(np.uint8)).convert("RGB").save(tmp_path / "own.png")
        said = []
        picture = prediction.read_own_picture(tmp_path / "own.png", 48, said.append)
        assert picture.shape == (48, 48)
        i, j = np.mgrid[:48, :48]
        centre = (picture * i).sum() / picture.sum(), (picture * j).sum() / picture.sum()
        np.testing.assert_allclose(centre, 24, atol=0.05)
        np.testing.assert_allclose(picture.sum(), spot.sum(), rtol=0.01)
        assert "RGB made 8-bit grey" in said[0] and "shifted by (-3.25, -4.50) px" in said[0]
        assert ("padded" in said[0]) == (size < 48) and ("cropped" in said[0]) == (size > 48)

    @pytest.mark.parametrize("content", [b"", b"text", None])
    def test_what_is_no_picture_is_one_line(self, data, tmp_path, content, capsys):
        if content is not None:
            (tmp_path / "own.png").write_bytes(content)
        assert predict.main([str(tmp_path / "own.png"), "--model", str(data / "m.safetensors")]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and "own.png" in error and error.count("\n") == 1

    def test_a_model_that_is_none_is_one_line(self, tmp_path, capsys):
        assert predict.main(["x.png", "--model", str(tmp_path / "none.safetensors")]) == 2
        assert "none.safetensors: no such model file" in capsys.readouterr().err
