"""Training from files to a model file, with real pictures of 48 x 48 pixels."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from PIL import Image

from droulette import files, model
from droulette.errors import UserError
from droulette.learning import metrics, model_file
from droulette.learning.moments import Moments
from droulette.learning.scaling import SCALINGS
from droulette.pipeline import pictures
from droulette.pipeline.pictures import make_views, read_pictures
from droulette.pipeline.targets import read_targets


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "data"
    small.draw_parts(folder, 400, 60, 150)
    return folder


def run(data: Path, output: Path, training: str | Path = "training.csv", **options) -> model_file.Model:
    paths = (data / training, data / "validation.csv", data / "images", output)
    return small.train(*paths, **options)


def predict(trained: model_file.Model, pictures: np.ndarray) -> np.ndarray:
    return trained.predict(make_views(trained.network.preprocessing, pictures))[0]


def r2_of_testing(trained: model_file.Model, data: Path) -> float:
    """Mean R² of the testing part."""
    table = read_targets(data / "testing.csv", trained.columns)
    pictures = read_pictures(data / "images", list(table["filename"]), table="testing.csv")
    true, training = (t[list(trained.columns)].to_numpy() for t in (table, read_targets(data / "training.csv")))
    judge = metrics.Judge(training, SCALINGS["quantile"].fit(training))
    return metrics.mean(judge.columns(true, predict(trained, pictures)))["r2"]


LEARN = {"num_epochs": 10, "learning_rate": 2e-3}


def test_true_labels_teach_and_shuffled_labels_do_not(data, tmp_path):
    assert r2_of_testing(run(data, tmp_path / "true.safetensors", **LEARN), data) > 0.2
    table = files.read_csv(data / "training.csv")
    columns = list(table.columns[1:])
    table[columns] = table[columns].to_numpy()[np.random.default_rng(0).permutation(len(table))]
    files.write_csv(table, tmp_path / "shuffled.csv")
    shuffled = run(data, tmp_path / "shuffled.safetensors", tmp_path / "shuffled.csv", **LEARN)
    assert r2_of_testing(shuffled, data) <= 0.05


def test_training_twice_gives_the_same_file_byte_for_byte(data, tmp_path):
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        run(data, tmp_path / name, seed=seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in ("first", "again", "other"))
    assert first == again
    assert first != other


def test_the_returned_model_is_the_one_in_the_file(data, tmp_path):
    trained = run(data, tmp_path / "m.safetensors", loss="huber", scaling="standard", schedule="onecycle")
    pictures = read_pictures(data / "images", ["image-000001.png"], table="x")
    read = model_file.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(predict(read, pictures), predict(trained, pictures))
    assert read.columns == tuple(read_targets(data / "training.csv").columns[1:])
    assert (read.loss, read.scaling.kind) == ("huber", "standard")


def test_a_training_that_is_stopped_leaves_no_model(data, tmp_path):
    def stop(metrics):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "m.safetensors", log=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors.checkpoint"]


def test_a_training_that_was_stopped_goes_on_and_gives_the_same_file(data, tmp_path):
    epochs = []

    def stop(metrics):
        epochs.append(metrics["epoch"])
        if len(epochs) == 2:
            raise KeyboardInterrupt

    run(data, tmp_path / "unbroken", num_epochs=3)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "broken", num_epochs=3, log=stop)
    run(data, tmp_path / "broken", num_epochs=3, log=lambda metrics: epochs.append(metrics["epoch"]))
    assert epochs == [1, 2, 1, 2, 3]
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "unbroken").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "unbroken"]


def test_another_recipe_does_not_go_on_from_the_checkpoint(data, tmp_path):
    def stop(metrics):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "m", num_epochs=2, log=stop)
    epochs = []
    run(data, tmp_path / "m", num_epochs=2, learning_rate=2e-3, log=lambda metrics: epochs.append(metrics["epoch"]))
    assert epochs == [1, 2]
    run(data, tmp_path / "anew", num_epochs=2, learning_rate=2e-3)
    assert (tmp_path / "m").read_bytes() == (tmp_path / "anew").read_bytes()


def test_the_models_deviations_are_calibrated_on_the_validation_part(data, tmp_path):
    trained = run(data, tmp_path / "m", **LEARN)
    table = read_targets(data / "validation.csv", trained.columns)
    pictures = read_pictures(data / "images", list(table["filename"]), table="validation.csv")
    mean, deviation = trained.predict(make_views(trained.network.preprocessing, pictures))
    error = np.abs(table[list(trained.columns)].to_numpy() - mean)
    assert ((error <= deviation).mean(axis=0) >= 0.68).all()
    assert ((error <= deviation * trained.calibration.reach()).mean(axis=0) >= 0.95).all()
    assert deviation.std(axis=0).min() > 0  # and each row has its own


def test_columns_without_symmetries_are_trained_without(data, tmp_path):
    for part in ("training", "validation"):
        table = files.read_csv(data / f"{part}.csv")
        files.write_csv(table[["filename", "sigma", "alpha[0][1]"]], tmp_path / f"{part}.csv")
    said = []
    paths = (tmp_path / "training.csv", tmp_path / "validation.csv", data / "images", tmp_path / "m")
    small.train(*paths, say=said.append)
    assert said == ["augmentation: 4 of 128 turns are defined on these columns"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"out_parameters": 23}, r"training\.out-parameters: found 23, expected 8"),
        ({"model": "resnet19"}, r"settings\.model: found 'resnet19'.*'resnet18'"),
        ({"device": "cuda"}, r"settings\.device: found 'cuda'.*`--device cpu`.*device = \"auto\""),
        ({"weights": "nothing.pth"}, r"settings\.weights: found 'nothing\.pth'"),
    ],
)
def test_what_cannot_be_is_said_before_training(data, tmp_path, options, expected):
    if options.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UserError, match=expected):
        run(data, tmp_path / "m", **options)


def test_parts_of_different_columns_are_said(data, tmp_path):
    table = files.read_csv(data / "training.csv")
    files.write_csv(table.drop(columns="xiY"), tmp_path / "t.csv")
    with pytest.raises(UserError, match=r"validation\.csv: found column 'xiY', expected only the columns of .*t\.csv"):
        run(data, tmp_path / "m", tmp_path / "t.csv")
    files.write_csv(table.assign(extra=np.arange(len(table))), tmp_path / "t.csv")
    with pytest.raises(UserError, match=r"validation\.csv: found no column 'extra'"):
        run(data, tmp_path / "m", tmp_path / "t.csv")


class TestPictures:
    """Each picture is checked, and named by table and row where it is wrong."""

    @pytest.fixture
    def images(self, tmp_path) -> Path:
        folder = tmp_path / "images"
        folder.mkdir()
        for k in range(3):
            Image.fromarray(np.full((8, 8), 10 * k, np.uint8)).save(folder / f"{k}.png")
        Image.fromarray(np.full((8, 8), 99, np.uint8)).save(tmp_path / "secret.png")
        return folder

    def error(self, images: Path, *names: str) -> str:
        """What is said of the second row of a table t.csv, behind its place."""
        with pytest.raises(UserError) as caught:
            read_pictures(images, ["0.png", *names], table="t.csv")
        place, _, message = str(caught.value).partition("t.csv: row 2: ")
        assert place == ""
        return message

    def test_pictures_are_decoded_in_order_to_grey(self, images):
        Image.new("RGB", (8, 8), (255, 255, 255)).save(images / "colour.png")
        pictures = read_pictures(images, ["2.png", "0.png", "colour.png"], table="t.csv", workers=2)
        assert pictures.shape == (3, 8, 8) and pictures.dtype == np.uint8
        assert list(pictures[:, 0, 0]) == [20, 0, 255]

    @pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../secret.png", "..", "", "a\0b.png"])
    def test_no_table_leads_outside_the_folder(self, images, name):
        assert self.error(images, name) == f"found filename {name!r}, expected a file's name in {images}"

    def test_a_linked_folder_does_not_lead_outside_but_dvcs_linked_files_are_read(self, images):
        (images / "out").symlink_to(images.parent)
        expected = f"found filename 'out/secret.png', expected a file's name in {images}"
        assert self.error(images, "out/secret.png") == expected
        (images / "link.png").symlink_to(images.parent / "secret.png")
        assert read_pictures(images, ["link.png"], table="t.csv")[0, 0, 0] == 99

    def test_missing_foreign_damaged_and_other_pictures_are_said(self, images):
        assert self.error(images, "9.png") == f"found no picture {images / '9.png'}, expected a PNG there"
        (images / "text.png").write_text("no picture")
        unreadable = f"found {images / 'text.png'} unreadable, expected a PNG picture"
        assert self.error(images, "text.png") == unreadable
        (images / "half.png").write_bytes((images / "1.png").read_bytes()[:50])
        half = self.error(images, "half.png")
        assert half.startswith("found half.png damaged (") and half.endswith("), expected a whole PNG")
        Image.new("L", (9, 9)).save(images / "large.png")
        assert self.error(images, "large.png") == "found large.png of 9×9, expected 8×8"
        Image.new("I;16", (8, 8)).save(images / "deep.png")
        assert self.error(images, "deep.png") == (
            f"found {images / 'deep.png'} of mode I;16, expected 8-bit grey or colour"
        )
        Image.new("L", (8, 8)).save(images / "jpeg.png", "JPEG")
        assert self.error(images, "jpeg.png") == unreadable.replace("text.png", "jpeg.png")

    def test_a_decompression_bomb_is_not_decoded(self, images, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
        with pytest.raises(UserError) as caught:
            read_pictures(images, ["0.png"], table="t.csv")
        found = f"found {images / '0.png'} too large to decode"
        assert str(caught.value) == f"t.csv: row 1: {found}, expected at most 60 pixels"


CONFIG = """
[settings]
device = "cpu"
model = "polar_tiny"
[hyperparameters]
learning-rate = 1e-3
batch-size = 32
weight-decay = 1e-4
[training]
num-epochs = 1
patience = 10
out-parameters = 8
[evaluation]
resimulations = 20
[dataset]
directory = "images"
training.filename = "training.csv"
testing.filename = "testing.csv"
validation.filename = "validation.csv"
"""


def test_the_users_command_trains_and_tests_in_one_go(data, monkeypatch, capsys):
    monkeypatch.chdir(data)
    Path("experiment.toml").write_text(CONFIG)
    assert model.main(["--config", "experiment.toml", "--seed", "2"]) == 0
    for name in ("training", "validation", "testing"):
        assert len(files.read_csv(f"metrics/predictions/{name}.csv")) == len(files.read_csv(f"{name}.csv"))
    assert Path("models/model.safetensors").is_file() and Path("metrics/evaluate.json").is_file()
    Path("experiment.toml").write_text(CONFIG.replace("out-parameters = 8", "out-parameters = 23"))
    capsys.readouterr()
    assert model.main(["--config", "experiment.toml"]) == 2
    expected = "error: training.out-parameters: found 23, expected 8, the target columns of training.csv\n"
    assert capsys.readouterr().err == expected
    logged = json.loads(Path("metrics/train/metrics.json").read_text())  # the good run's still
    assert set(logged["validation"]) == set(metrics.NAMES) and logged["step"] == 1


def test_without_dvclive_training_says_so_and_goes_on(data, tmp_path):
    """In a process where dvclive and dvc cannot be imported, as on a machine that has only the library."""
    (data / "without.toml").write_text(CONFIG)
    program = (
        "import sys; sys.modules['dvclive'] = sys.modules['dvc'] = None;"
        "from droulette import parameters; from droulette.logs import epoch_log;"
        "from droulette.pipeline.training import train; log = epoch_log('without');"
        "train(parameters.load('without.toml'), 'without.safetensors', log=log.__enter__())"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=data, capture_output=True, text=True, check=True)
    assert "dvclive is not installed" in done.stdout
    assert (data / "without.safetensors").is_file() and "Traceback" not in done.stderr


def test_in_a_repository_without_a_commit_training_goes_on_without_logs(tmp_path, monkeypatch, capsys):
    from droulette.logs import epoch_log

    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q", "."], check=True)
    with epoch_log("logs") as log:
        log({"epoch": 1, "loss": 0.5})
        log({"epoch": 2, "loss": 0.4})
    assert capsys.readouterr().out.count("training without logs") == 1


def test_pictures_are_decoded_once_for_several_eyes(data, monkeypatch):
    names = list(read_targets(data / "testing.csv")["filename"])[:5]
    options = {"table": "testing.csv", "size": 48}
    moments = Moments(48)
    expected = [
        read_pictures(data / "images", names, preprocessing=preprocessing, **options)
        for preprocessing in (None, moments)
    ]
    opened, find = [], pictures._find
    monkeypatch.setattr(pictures, "_find", lambda *args: opened.append(args[2]) or find(*args))
    found = pictures.read_views(data / "images", names, [None, moments], **options)
    for views, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(views, wanted)
    assert sorted(opened) == sorted([names[0], *names])  # the first once more, for its kind


def test_a_model_of_half_weights_predicts_what_its_errors_were_measured_on(data, tmp_path):
    trained = run(data, tmp_path / "half.safetensors", half_weights=True)
    read = model_file.load(tmp_path / "half.safetensors")
    for name, weights in read.network.state_dict().items():
        np.testing.assert_array_equal(weights, trained.network.state_dict()[name])
    rng = np.random.default_rng(0)
    views = make_views(read.network.preprocessing, rng.integers(0, 256, (3, 48, 48), dtype=np.uint8))
    for found, expected in zip(read.predict(views), trained.predict(views), strict=True):
        np.testing.assert_array_equal(found, expected)
