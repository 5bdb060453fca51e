"""A model is one file of tensors: the same bytes for the same model, and nothing in it is run."""

import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from droulette.errors import UserError
from droulette.learning import model_file
from droulette.learning.backbones import build
from droulette.learning.calibration import Calibration
from droulette.learning.novelty import Novelty
from droulette.learning.scaling import SCALINGS
from droulette.pipeline.pictures import make_views

COLUMNS = ("sigma", "xiX", "xiY")
CPU = torch.device("cpu")


def model(kind: str = "quantile", backbone: str = "polar_tiny") -> model_file.Model:
    torch.manual_seed(0)
    scaling = SCALINGS[kind].fit(np.random.default_rng(0).normal(size=(200, 3)) * [1, 10, 1e-3], COLUMNS)
    network = build(backbone, COLUMNS, input_size=40).eval()
    calibration = Calibration(np.array([[1.0, 1.1, 0.9], [2.0, 2.1, 1.9]]))
    views = make_views(network.preprocessing, np.random.default_rng(2).integers(0, 256, (6, 40, 40), dtype=np.uint8))
    novelty = Novelty.fit(network.preprocessing, views[:4], views[4:])
    return model_file.Model(network, backbone, COLUMNS, scaling, "mse", 40, 4, CPU, "32-true", calibration, novelty)


@pytest.mark.parametrize("kind", SCALINGS)
@pytest.mark.parametrize("backbone", ["polar_tiny", "shufflenet_v2_x0_5", "swin_v2_t"])
def test_a_model_read_again_predicts_the_same(tmp_path, kind, backbone):
    written = model(kind, backbone)
    model_file.save(written, tmp_path / "m.safetensors")
    read = model_file.load(tmp_path / "m.safetensors")
    views = make_views(
        read.network.preprocessing, np.random.default_rng(1).integers(0, 256, (3, 40, 40), dtype=np.uint8)
    )
    for found, expected in zip(read.predict(views), written.predict(views), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.shape == (3, 3) and found.dtype == np.float64
    scores = (one.novelty.score(one.network.preprocessing, views) for one in (read, written))
    np.testing.assert_array_equal(*scores)
    assert (read.columns, read.input_size, read.backbone) == (COLUMNS, 40, backbone)


def test_half_weights_are_half_the_file_and_what_was_rounded_to_them(tmp_path):
    rounded = model()
    rounded.network.half().float()
    model_file.save(rounded, tmp_path / "whole.safetensors")
    model_file.save(model(), tmp_path / "half.safetensors", half=True)
    weights = load_file(tmp_path / "half.safetensors")
    assert {v.dtype for k, v in weights.items() if k.startswith("network.")} == {torch.float16}
    whole, half = (model_file.load(tmp_path / f"{name}.safetensors") for name in ("whole", "half"))
    drawn = np.random.default_rng(1).integers(0, 256, (3, 40, 40), dtype=np.uint8)
    views = make_views(half.network.preprocessing, drawn)
    for found, expected in zip(half.predict(views), whole.predict(views), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_same_model_gives_the_same_bytes_in_any_process(tmp_path):
    model_file.save(model(), tmp_path / "m.safetensors")
    expected = hashlib.sha256((tmp_path / "m.safetensors").read_bytes()).hexdigest()
    again = (
        "import sys, hashlib; from droulette.learning import model_file as f;"
        "f.save(f.load(sys.argv[1]), sys.argv[2]);"
        "print(hashlib.sha256(open(sys.argv[2], 'rb').read()).hexdigest())"
    )
    paths = [str(tmp_path / "m.safetensors"), str(tmp_path / "again.safetensors")]
    run = subprocess.run([sys.executable, "-c", again, *paths], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == expected


def change(path, edit) -> None:
    """Write the model with its metadata edited."""
    model_file.save(model(), path)
    tensors = load_file(path)
    about = json.loads(_metadata(path)["droulette"])
    edit(about, tensors)
    save_file(tensors, path, metadata={"droulette": json.dumps(about)})


def _metadata(path) -> dict:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as opened:
        return opened.metadata()


@pytest.mark.parametrize(
    "edit",
    [
        lambda about, tensors: about.update(format=99),
        lambda about, tensors: about.update(backbone="os.system"),
        lambda about, tensors: about.update(backbone=["resnet18"]),
        lambda about, tensors: about.update(columns=["sigma"]),
        lambda about, tensors: about.update(columns=[]),
        lambda about, tensors: about.update(input_size=10**9),
        lambda about, tensors: about.update(input_size="40"),
        lambda about, tensors: about.update(scaling="pickle"),
        lambda about, tensors: about.update(loss="eval"),
        lambda about, tensors: about.update(distribution=["SIE"]),
        lambda about, tensors: about.update(distribution={"lens": "SIE"}),
        lambda about, tensors: about.pop("columns"),
        lambda about, tensors: tensors.pop("network.head.gates.bias"),
        lambda about, tensors: about.update(symmetries=0),
        lambda about, tensors: about.update(columns=["sigma", "sigma", "xiX"]),
        lambda about, tensors: tensors.update({"calibration.widths": torch.zeros(2, 3)}),
        lambda about, tensors: tensors.update({"calibration.widths": torch.ones(2, 2)}),
        lambda about, tensors: tensors.update({"novelty.mean": torch.zeros(3)}),
        lambda about, tensors: tensors.update({"novelty.axes": torch.zeros(())}),
        lambda about, tensors: tensors.update({"novelty.reference": torch.full((4, 3), torch.nan)}),
        lambda about, tensors: tensors.update({"novelty.reference": torch.zeros(0, 3)}),
        lambda about, tensors: tensors.update({"novelty.threshold": torch.zeros(())}),
        lambda about, tensors: tensors.update({"novelty.more": torch.zeros(())}),
        lambda about, tensors: tensors.pop("novelty.mean"),
        lambda about, tensors: tensors.pop("scaling.quantiles"),
        lambda about, tensors: tensors.update({"scaling.quantiles": torch.full((5, 3), torch.nan)}),
        lambda about, tensors: tensors.update({"scaling.quantiles": torch.zeros(5, 2)}),
    ],
)
def test_a_foreign_model_is_one_line(tmp_path, edit):
    path = tmp_path / "m.safetensors"
    change(path, edit)
    with pytest.raises(UserError, match=r"m\.safetensors: not a droulette model: ") as caught:
        model_file.load(path)
    assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, pickle.dumps(Evil()), b'{"a": 1}', (2**60).to_bytes(8, "little") + b"{}"]
)
def test_a_broken_model_is_one_line_and_runs_nothing(tmp_path, content, capsys):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"m\.safetensors: not a whole safetensors file"):
        model_file.load(path)
    model_file.save(model(), path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"m\.safetensors: not a whole safetensors file"):
        model_file.load(path)
    assert "code ran" not in capsys.readouterr().out


def test_a_missing_model_and_a_stranger_are_said(tmp_path):
    with pytest.raises(UserError, match="no such model file"):
        model_file.load(tmp_path / "m.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "m.safetensors")
    with pytest.raises(UserError, match="not a droulette model"):
        model_file.load(tmp_path / "m.safetensors")
