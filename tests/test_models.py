"""A lens or source model is described in its class, and all else follows from that."""

from __future__ import annotations

import logging
import math
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from droulette import datagen, parameters, quantities, registry, split
from droulette.errors import UserError
from droulette.learning import model_file
from droulette.learning.backbones import build
from droulette.learning.scaling import SCALINGS
from droulette.learning.symmetry import Laws, Motions
from droulette.parameters import extensions
from droulette.parameters.reference import reference
from droulette.physics.arrays import Array
from droulette.physics.elementary import exp
from droulette.physics.elementary import sqrt as root
from droulette.physics.lenses import LENSES, SIE, SIS, CentredLens, PointMass
from droulette.physics.own import model, parameter
from droulette.physics.series import sqrt
from droulette.physics.sources import SOURCES, Ellipsoid, SersicSphere, Source, Spherical
from droulette.pipeline.evaluated import with_targets
from droulette.pipeline.scenes import critical_radii

EXTENSION = """
from droulette.physics.lenses import Array, CentredLens
from droulette.physics.own import model, parameter


@model
class FromAFile(CentredLens):
    einstein_radius: Array
    bend: Array = parameter(1, 2, "bend", "px", gt=0, le=9)

    def potential(self, x, y):
        return self.einstein_radius * (x * x + y * y) / self.bend
"""


@pytest.fixture(autouse=True)
def registered():
    """What a test registers is forgotten after it."""
    before = dict(LENSES), dict(SOURCES), dict(quantities.OF_MODELS)
    yield
    LENSES.classes, SOURCES.classes = before[:2]
    quantities.OF_MODELS.clear()
    quantities.OF_MODELS.update(before[2])
    quantities.REMEMBERED.clear()
    extensions._run.clear()


def define_lens(high: float = 4.0) -> type[CentredLens]:
    """An isothermal sphere with a core, in an even field of shear along the x axis."""

    @model
    class CoreAndField(CentredLens):
        einstein_radius: Array
        kernel: Array = parameter(2, high, "core radius s", "px", gt=0, le=100, symbol="s", spin=0, length=1)
        field1: Array = parameter(0, 0.1, "shear along x", ge=-1, le=1, symbol="γ₁", spin=2, partner="field2")
        field2: Array = parameter(0, 0.1, "shear along 45°", ge=-1, le=1, spin=2, partner="field1", odd=True)

        def potential(self, x, y):
            shear = (x * x - y * y) * (self.field1 * 0.5) + x * y * self.field2
            return self.einstein_radius * sqrt(x * x + y * y + self.kernel**2) + shear

        def reach(self):
            return self.einstein_radius * 2.0

    return CoreAndField


def define_source() -> type[Source]:
    @model
    class Hoop(Source):
        sigma: Array
        hoop: Array = parameter(5, 9, "radius a of the hoop", "px", gt=0, le=50, symbol="a", tex="a", spin=0, length=1)

        def brightness(self, dx, dy):
            distance = root(dx * dx + dy * dy) - self.hoop
            return 200 * exp((distance * distance) * (-0.5 / (self.sigma * self.sigma)))

        def extent(self, threshold):
            return self.hoop + self.sigma * math.sqrt(2 * math.log(200 / threshold))

    return Hoop


TOML = """
[simulator]
size = 6
nterms = 2
imagesize = 128
cropsize = 64
centred = true
[lens]
mode = "CoreAndField"
einstein-min = 10
einstein-max = 20
kernel-max = 3
[source]
mode = "Hoop"
sigma-min = 1
sigma-max = 2
hoop-max = 7
position = "critical"
[problem]
filename = "r.csv"
variables = ["hoop"]
nterms = [1, 1]
[dataset.training]
filename = "t.csv"
size = 6
"""


def run(folder: Path, *options: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    written = ["--csvfile", "d.csv", "--outfile", "r.csv", "--directory", "images", "-q"]
    assert datagen.main([*options, *written]) == 0
    return pd.read_csv(folder / "d.csv"), pd.read_csv(folder / "r.csv")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_is_described_in_its_class_alone(folder):
    """From TOML by tables, pictures, columns to learn, symmetry and labels to the reference."""
    define_lens()
    define_source()
    (folder / "new.toml").write_text(TOML)
    dataset, roulette = run(folder, "--toml", "new.toml")

    names = list(dataset)
    assert names[names.index("orientation") + 1 :][:4] == ["kernel", "field1", "field2", "source"]
    assert names[names.index("luminosity") + 1 :][:2] == ["hoop", "x"]
    assert (dataset.lens == "CoreAndField").all()
    assert dataset.kernel.between(2, 3).all() and dataset.hoop.between(5, 7).all()
    assert (roulette.hoop == dataset.hoop).all() and "kernel" not in roulette

    # The picture is that of the formula, and the table alone draws it again.
    first, row, found = Image.open(folder / "images/image-000001.png"), dataset.iloc[0], roulette.iloc[0]
    steps = np.arange(64) - 32
    x, y = steps[None, :] + found.centreX, -steps[:, None] + found.centreY
    scale = row.einsteinradius / np.sqrt(x * x + y * y + row.kernel**2)
    dx = x - scale * x - row.field1 * x - row.field2 * y - row.x
    dy = y - scale * y + row.field1 * y - row.field2 * x - row.y
    expected = 200 * np.exp(-((np.hypot(dx, dy) - row.hoop) ** 2) / (2 * row.sigma**2))
    assert abs(np.array(first) - expected).max() <= 0.51
    before = (folder / "images/image-000002.png").read_bytes()
    run(folder, "-Z", "128", "-z", "64", "-C", "-n", "2", "--csvfile", "d.csv")
    assert (folder / "images/image-000002.png").read_bytes() == before

    assert split.main(["new.toml", "-q"]) == 0
    assert list(pd.read_csv("t.csv")) == ["filename", "hoop", "alpha[1][0]", "alpha[1][2]", "beta[1][2]"]

    columns = ["hoop", "field1", "field2", "kernel"]
    laws = Laws.of(columns)
    assert laws.spin.tolist() == [0, 2, 2, 0] and laws.pairs == [(1, 2, 2)] and laws.length.tolist() == [1, 0, 0, 1]
    moved = laws.move(np.array([[6, 0.1, 0.02, 2]]), Motions(np.array([45.0]), np.array([True]), np.array([2.0])))
    np.testing.assert_allclose(moved, [[12, 0.02, 0.1, 4]], atol=1e-15)  # mirrored (0.1, −0.02), turned by 2 · 45°

    assert [quantities.symbol("kernel"), quantities.label("hoop"), quantities.label("field1")] == ["s", "$a$", "γ₁"]
    raised = with_targets(pd.DataFrame({"hoop": [6.0]}), ["hoop"], np.array([[-3.0]]))
    assert raised.hoop[0] == 0.05  # a hundredth of the way from 0 to 5

    lines = reference().splitlines()
    assert "| `kernel` | sampled number | 2 to 4 | a number in (0, 100] | px | core radius s |" in lines
    assert any(line.startswith("| `mode`, `modes`") and ", CoreAndField" in line for line in lines)


def test_limits_are_those_of_the_class_in_toml_files_tables_and_clusters(folder, capsys):
    define_lens()
    with pytest.raises(UserError, match=r"lens.kernel-max: found 101, expected a number in \(0, 100\]"):
        parameters.parse({"lens": {"mode": "CoreAndField", "kernel-max": 101}})
    head = "filename,source,sigma,x,y,"
    for text, message in (
        (f"{head}lens,einsteinradius,kernel,field1,field2\na.png,s,3,1,1,CoreAndField,9,101,0,0\n", "column kernel"),
        (f'{head}cluster\na.png,s,3,1,1,"CoreAndField/0/0/9/101/0/0"\n', "found kernel 101"),
    ):
        (folder / "t.csv").write_text(text)
        assert datagen.main(["--csvfile", "t.csv", "--outfile", "r.csv", "--no-pictures", "-q"]) == 2
        line = capsys.readouterr().err
        assert message in line and "expected a number in (0, 100]" in line


def test_it_is_drawn_in_clusters(folder):
    define_lens()
    define_source()
    (folder / "new.toml").write_text(TOML + "[cluster]\ncount = 2\n")
    dataset, _ = run(folder, "--toml", "new.toml")
    for text in dataset.cluster:
        assert [part.split("/")[0] for part in text.split(";")] == ["CoreAndField"] * 2
        assert all(len(part.split("/")) == 7 and 2 <= float(part.split("/")[4]) <= 3 for part in text.split(";"))


def test_a_second_definition_replaces_the_first(caplog):
    first = define_lens()
    with caplog.at_level(logging.INFO, "droulette"):
        second = define_lens(high=5.0)
    assert LENSES["CoreAndField"] is second is not first
    assert "CoreAndField: this definition replaces the earlier one" in caplog.text
    assert parameters.parse({"lens": {"mode": "CoreAndField"}}).lens.kernel.high == 5


def test_the_name_of_a_built_in_model_stays_its_own():
    with pytest.raises(ValueError, match="PointMass: there is a lens model of that name"):

        @model
        class PointMass(CentredLens):
            einstein_radius: Array


# ---------------------------------------------------------------- modules and packages


def test_a_toml_names_modules_which_are_run_once(folder, caplog):
    (folder / "bend.py").write_text(EXTENSION)
    tables = {"extensions": {"modules": ["bend.py"]}, "lens": {"mode": "FromAFile", "bend": 1.5}}
    assert parameters.parse(tables).lens.bend.high == 1.5
    first = LENSES["FromAFile"]
    parameters.parse(tables)
    assert LENSES["FromAFile"] is first
    (folder / "bend.py").write_text(EXTENSION.replace("le=9", "le=8"))
    with pytest.raises(UserError, match=r"lens.bend: found 9, expected a number in \(0, 8\]"):
        parameters.parse(tables | {"lens": {"mode": "FromAFile", "bend": 9}})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("../bend.py", "", "extensions.modules: found ['../bend.py'], expected a list of .py files below the working"),
        ("/tmp/bend.py", "", "extensions.modules: found ['/tmp/bend.py'], expected"),
        ("none.py", "", "none.py: cannot be read: No such file"),
        ("bend.py", "x = 1\ny = nothing\n", "bend.py: line 2: NameError: name 'nothing' is not defined"),
        ("bend.py", "x = (\n", "bend.py: line 1: SyntaxError"),
        ("bend.py", "raise SystemExit(0)\n", "bend.py: line 1: SystemExit: 0"),
        ("bend.py", EXTENSION.replace("FromAFile", "SIS"), "ValueError: SIS: there is a lens model of that name"),
    ],
)
def test_what_is_wrong_with_a_module_is_one_line(folder, name, text, message):
    (folder / "bend.py").write_text(text)
    with pytest.raises(UserError) as error:
        parameters.parse({"extensions": {"modules": [name]}}, "p.toml")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_module_may_not_lie_behind_a_link(folder):
    (folder / "inside").mkdir()
    (folder / "bend.py").write_text("raise SystemExit")
    (folder / "inside" / "link.py").symlink_to(folder / "bend.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "inside")
        with pytest.raises(UserError, match="below the working folder"):
            parameters.parse({"extensions": {"modules": ["link.py"]}})


def test_models_of_installed_packages_are_known(folder, monkeypatch):
    (folder / "bend_package.py").write_text(EXTENSION)
    monkeypatch.syspath_prepend(folder)
    entry = EntryPoint("FromAFile", "bend_package:FromAFile", "droulette.models")
    broken = EntryPoint("Broken", "no_such_package:Broken", "droulette.models")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [broken, entry])
    for first_use in (
        lambda: parameters.parse({"lens": {"mode": "FromAFile", "bend-max": 3}}).lens.bend.high == 3,
        lambda: "FromAFile" in LENSES,
    ):
        registry.read_installed.cache_clear()
        sys.modules.pop("bend_package", None)
        LENSES.classes.pop("FromAFile", None)
        assert first_use()
    registry.read_installed.cache_clear()


# ---------------------------------------------------------------- networks


def test_a_networks_file_says_how_its_columns_follow_the_scene():
    columns = ["sigma", "field1", "field2", "unknown"]
    define_lens()
    described = quantities.behaviours(columns)
    assert described == {"field1": [2, "field2", False, 0], "field2": [2, "field1", True, 0]}
    laws = Laws.of(columns)
    LENSES.classes.pop("CoreAndField")
    quantities.OF_MODELS.clear()
    quantities.remember(columns, described)  # where the lens is not defined
    np.testing.assert_array_equal(Laws.of(columns).spin, laws.spin)
    assert Laws.of(columns).pairs == laws.pairs == [(1, 2, 2)]
    define_lens()
    with pytest.raises(ValueError, match="'field1' follows the scene otherwise"):
        quantities.remember(columns, {})
    with pytest.raises(ValueError, match="behaviour of its column 'unknown'"):
        quantities.remember(columns, described | {"unknown": [1.5, "", False, 0]})


def test_a_network_of_a_models_columns_is_read_where_the_model_is_not_defined(tmp_path):
    define_lens()
    columns = ("sigma", "field1", "field2")
    scaling = SCALINGS["radial"].fit(np.random.default_rng(0).normal(size=(20, 3)), columns)
    network = build("polar_tiny", columns, input_size=16).eval()
    trained = model_file.Model(network, "polar_tiny", columns, scaling, "mse", 16, 4, torch.device("cpu"))
    model_file.save(trained, tmp_path / "m.safetensors")
    views = np.random.default_rng(1).random((2, *network.preprocessing.shape), dtype=np.float32)
    expected = trained.predict_scaled(views)
    LENSES.classes.pop("CoreAndField")
    quantities.OF_MODELS.clear()
    found = model_file.load(tmp_path / "m.safetensors").predict_scaled(views)
    np.testing.assert_array_equal(found, expected)


# ---------------------------------------------------------------- numbers


def test_plain_numbers_do_where_arrays_do():
    lens = SIE(30.0, 0.6, 20)
    arrays = SIE(np.array([30.0]), np.array([0.6]), np.array([20.0]))
    np.testing.assert_array_equal(lens.deflection(3.0, 4.0), arrays.deflection(3.0, 4.0))
    np.testing.assert_allclose(SIS(10.0).deflection(3.0, 4.0), [[6], [8]])
    mixed = SIE(np.array([30.0, 40.0]), 0.6, orientation=np.float64(20))
    assert mixed.axis_ratio.tolist() == [0.6, 0.6] and mixed.cos.shape == (2,)
    assert SIS(np.array([3, 4])).einstein_radius.dtype == np.float64
    for source in (Spherical(5), Ellipsoid(5, 3, 20), SersicSphere(5.0, 2, 10)):
        assert source.brightness(np.ones(1), np.ones(1)).shape == source.extent(0.5).shape == (1,)
    tensor = torch.tensor([30.0], dtype=torch.float64, requires_grad=True)
    lens = SIE(tensor, 0.6, 20.0)
    assert lens.einstein_radius is tensor and isinstance(lens.axis_ratio, torch.Tensor)


def test_the_reach_of_a_lens_holds_its_critical_curves():
    assert SIS(30.0).reach() == PointMass(30.0).reach() == 30
    np.testing.assert_allclose(SIE(30.0, 0.25, 0.0).reach(), 60)
    assert define_lens()(30.0, 2.0, 0.0, 0.0).reach() == 60


def test_critical_curves_are_looked_for_as_far_as_the_lens_reaches():
    flat = {"lens": "SIE", "einsteinradius": 30.0, "ellipseratio": 0.05, "orientation": 0.0, "x": 5.0, "y": 2.0}
    found = critical_radii(pd.DataFrame([flat]), np.array([90.0]))
    np.testing.assert_allclose(found, 30 / np.sqrt(0.05), rtol=1e-3)
