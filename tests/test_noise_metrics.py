"""Evaluation and report of pictures with noise say how the errors depend on it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import browser
import numpy as np
import pandas as pd
import pytest
import small
from PIL import Image
from sklearn.metrics import r2_score

from droulette import files, parameters, report
from droulette.learning.metrics import Judge
from droulette.learning.observed import FACTS
from droulette.pipeline.draw import draw_table
from droulette.pipeline.evaluated import EvaluatedSplit
from droulette.pipeline.generate import Drawing, generate
from droulette.pipeline.noise_metrics import LEAST, by_noise_and_psf, chi2, error_curves, in_deviations, residuals_of
from droulette.pipeline.pictures import read_pictures
from droulette.pipeline.signal_to_noise import signal_to_noise
from droulette.pipeline.splitting import split_file
from droulette.quantities import amplitude_columns
from droulette.reporting.figures import histograms

SIZES = {"training": 80, "validation": 24, "testing": 60}
INSTRUMENT = {"psf": "gaussian", "psf-fwhm-min": 1, "psf-fwhm-max": 4, "noise-min": 2, "noise-max": 40}
PICTURES = 8
PARAMS = """
[simulator]
nterms = 2
centred = true
imagesize = 96
cropsize = 48
[problem]
filename = "data/roulette.csv"
nterms = 2
[dataset]
directory = "data/images"
[dataset.testing]
filename = "data/testing.csv"
[evaluation]
lenses = "data/dataset.csv"
"""


@dataclass(frozen=True)
class Drawn:
    params: parameters.Parameters
    lenses: pd.DataFrame
    roulette: pd.DataFrame
    images: Path


def drawn(folder: Path, size: int, **tables) -> Drawn:
    """Draw pictures of `small.SIMULATION` with an instrument, into folder/images."""
    simulator = small.SIMULATION["simulator"] | {"size": size, "seed": 0} | tables.pop("simulator", {})
    params = parameters.parse(small.SIMULATION | {"simulator": simulator} | tables)
    images = folder / "images"
    images.mkdir(parents=True)
    lenses = draw_table(params)
    return Drawn(params, lenses, generate(lenses, Drawing.of(params.simulator), images), images)


def measured(about: Drawn) -> np.ndarray:
    return signal_to_noise(about.lenses, about.roulette, about.params.simulator, 48)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with data, a model trained for a moment, its evaluation and a report."""
    folder = tmp_path_factory.mktemp("noise")
    about = drawn(folder / "data", sum(SIZES.values()), instrument=INSTRUMENT)
    files.write_csv(about.lenses, folder / "data" / "dataset.csv")
    files.write_csv(about.roulette, folder / "data" / "roulette.csv")
    parts = {name: folder / "data" / f"{name}.csv" for name in SIZES}
    sizes = {name: (parts[name], size) for name, size in SIZES.items()}
    split_file(folder / "data" / "roulette.csv", sizes, variables=["sigma", "xiX", "xiY"], nterms=(0, 2))
    model = folder / "model.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small.train(parts["training"], parts["validation"], "data/images", model)
        options = {"roulette": "data/roulette.csv", "lenses": "data/dataset.csv", "resimulations": PICTURES}
        small.evaluate_parts(parts, "data/images", model, "metrics", examples=3, **options)
        (folder / "params.toml").write_text(PARAMS)
        options = ["--model", str(model), "--pictures", str(PICTURES), "--output", "metrics/report.html"]
        assert report.main(options) == 0
    return folder


def rows_of_testing(project: Path) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """What is said of the testing part's pictures; the true and predicted values and deviations of its columns."""
    true = files.read_csv(project / "data" / "testing.csv")
    found = files.read_csv(project / "metrics" / "predictions" / "testing.csv")
    about = pd.read_csv(project / "metrics" / "plots" / "instrument.csv")
    assert list(about["filename"]) == list(true["filename"]) == list(found["filename"])
    columns = list(true)[1:]
    return about, true[columns].to_numpy(), found[columns].to_numpy(), found[[f"std:{c}" for c in columns]].to_numpy()


class TestSignalToNoise:
    @pytest.mark.parametrize("model", ["Raytrace", "Roulette"])
    @pytest.mark.parametrize("psf", ["gaussian", "moffat"])
    def test_is_what_the_pictures_were_drawn_with(self, tmp_path, psf, model):
        instrument = {"psf": psf, "psf-fwhm": 2.5, "noise": 3, "background": 20, "signal-to-noise": [15, 400]}
        instrument["subtract-background"] = False
        instrument |= {"moffat-beta": 3} if psf == "moffat" else {}
        light = {"flux-ratio": 2, "share": 1}
        about = drawn(tmp_path, 12, instrument=instrument, lens_light=light, simulator={"model": model})
        assert set(about.lenses["signaltonoise"]) == {15, 400}
        np.testing.assert_allclose(measured(about), about.lenses["signaltonoise"], rtol=0.01)

    def test_without_noise_it_is_infinite(self, tmp_path):
        assert np.isinf(measured(drawn(tmp_path, 4, instrument={"psf": "gaussian", "psf-fwhm": 2}))).all()


class TestResiduals:
    @pytest.mark.parametrize(
        "instrument",
        [
            {"noise": 5, "background": 30, "subtract-background": False},
            {"exposure": 5, "gain": 2, "read-noise": 3, "background": 10, "subtract-background": True},
        ],
    )
    def test_of_the_true_amplitudes_are_noise_where_these_made_the_picture(self, tmp_path, instrument):
        instrument = instrument | {"psf": "gaussian", "psf-fwhm": 2}
        about = drawn(tmp_path, 6, instrument=instrument, simulator={"model": "Roulette"})
        columns = ["sigma", "xiX", "xiY", *amplitude_columns(2)]
        true = about.roulette[columns].to_numpy()
        names = list(about.roulette["filename"])
        pictures = read_pictures(about.images, names, table="t")
        table = about.roulette[["filename", *columns]]
        split = EvaluatedSplit(table, true, true + 0.5, np.ones_like(true), np.zeros((6, 1)), pictures)
        rows = np.array([4, 1])
        left = residuals_of(split, rows, columns, about.roulette, about.images, name="roulette.csv", canvas=96)
        np.testing.assert_allclose(chi2(left["true"]), 1, atol=5 * np.sqrt(2) / 48)
        assert (chi2(left["predicted"]) > 1.5).all()

    def test_are_in_standard_deviations_and_without_noise_in_grey_levels(self):
        facts = np.zeros((3, len(FACTS)))
        facts[:, FACTS.index("white")] = 510
        facts[0, FACTS.index("noise")] = 4
        facts[1, [FACTS.index("noise"), FACTS.index("poisson")]] = 3, 2
        light, model = np.full((3, 2, 2), 20.0), np.full((3, 2, 2), 8.0)
        left = in_deviations(light, model, facts)
        np.testing.assert_allclose(left[:, 0, 0], [12 / 4, 12 / 5, 12 / 2])
        np.testing.assert_allclose(chi2(left), [9, 2.4**2, 36], rtol=1e-6)


class TestEvaluation:
    def test_the_pictures_noise_and_psf_are_those_of_the_table(self, project):
        about, *_ = rows_of_testing(project)
        rows = files.read_csv(project / "data" / "roulette.csv").set_index("filename").loc[about["filename"]]
        np.testing.assert_allclose(about["noise"], rows["noise"])  # a grey level is a count
        np.testing.assert_allclose(about["psf_fwhm"], rows["psffwhm"])
        assert np.corrcoef(np.log(about["signal_to_noise"]), np.log(about["noise"]))[0, 1] < -0.5

    def test_bands_of_signal_to_noise_hold_the_metrics_of_their_rows(self, project):
        about, true, predicted, deviation = rows_of_testing(project)
        bands = pd.read_csv(project / "metrics" / "plots" / "noise.csv")
        assert bands[bands["part"] == "training"]["rows"].tolist() == [16] * 5
        testing = bands[bands["part"] == "testing"].set_index("band")
        assert testing["rows"].sum() == SIZES["testing"]
        middle = testing.loc[3]
        inside = about["signal_to_noise"].between(middle["from"], middle["to"], inclusive="left").to_numpy()
        assert middle["rows"] == inside.sum()
        assert middle["r2"] == pytest.approx(r2_score(true[inside], predicted[inside]))
        within = np.abs(true - predicted) <= deviation
        assert middle["coverage68"] == pytest.approx(within[inside].mean())
        assert (bands["coverage68"] <= bands["coverage95"]).all()

    def test_cells_of_noise_and_psf_hold_the_metrics_of_their_rows(self, project):
        about, true, predicted, deviation = rows_of_testing(project)
        grid = pd.read_csv(project / "metrics" / "plots" / "noise_psf.csv")
        training = grid[grid["part"] == "training"]
        assert len(training) == 16
        assert training.groupby("noise_from")["rows"].sum().tolist() == [20] * 4
        assert training.groupby("psf_from")["rows"].sum().tolist() == [20] * 4
        testing = grid[grid["part"] == "testing"]
        ends = sorted(set(grid["noise_from"])), sorted(set(grid["psf_from"]))
        cell = testing[(testing["noise_from"] == ends[0][1]) & (testing["psf_from"] == ends[1][2])].iloc[0]
        inside = about["noise"].between(cell["noise_from"], cell["noise_to"], inclusive="left")
        inside = (inside & about["psf_fwhm"].between(cell["psf_from"], cell["psf_to"], inclusive="left")).to_numpy()
        assert cell["rows"] == inside.sum() >= 2
        assert cell["r2"] == pytest.approx(r2_score(true[inside], predicted[inside]))
        within = np.abs(true - predicted) <= deviation
        assert cell["coverage68"] == pytest.approx(within[inside].mean())
        assert list(grid)[-4:] == ["r2_quantile", "r2", "coverage68", "coverage95"]

    def test_there_is_no_grid_where_the_psf_is_always_the_same(self):
        true = np.random.default_rng(0).normal(size=(40, 2))
        facts = np.tile([0.0, 1, 0, 2, 0, 255], (40, 1))
        facts[:, FACTS.index("noise")] = np.arange(40)
        split = EvaluatedSplit(pd.DataFrame(), true, true, true, true, true, facts=facts)
        judge = Judge(true, _Plain())
        pairs = {"training": (judge.scaled(true), judge.scaled(true))}
        assert by_noise_and_psf({"training": split}, pairs, judge, lambda name, rows: {}) is None
        facts[::2, FACTS.index("psf_fwhm")] = 5
        grid = by_noise_and_psf({"training": split}, pairs, judge, lambda name, rows: {"coverage68": 0.5})
        assert grid["rows"].sum() == 40 and set(grid["psf_from"]) == {2, 3.5} and (grid["coverage68"] == 0.5).all()

    def test_curves_hold_the_median_errors_of_an_order(self):
        true = np.tile([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]], (50, 1))  # of standard deviation 1
        ratio = np.geomspace(1, 100, 100)
        predicted = true + np.array([0.0, 1.0, 3.0]) / ratio[:, None]
        split = EvaluatedSplit(pd.DataFrame(), true, predicted, true, true, true, signal_to_noise=ratio)
        curves = error_curves(split, ("sigma", "alpha[1][0]", "alpha[1][2]")).groupby("order")
        assert set(curves.groups) == {"other", "m = 1"}
        assert (curves.get_group("other")["error"] == 0).all()
        of_order_1 = curves.get_group("m = 1")
        assert len(of_order_1) == 10 and of_order_1["error"].is_monotonic_decreasing
        np.testing.assert_allclose(of_order_1["error"] * of_order_1["signal_to_noise"], 1.9, rtol=0.2)

    def test_figures_are_pictures(self, project):
        for name in ("noise", "gallery"):
            with Image.open(project / "metrics" / "plots" / f"{name}.png") as picture:
                assert min(picture.size) > 400 and np.asarray(picture.convert("L")).std() > 5


class _Plain:
    """A scaling that leaves everything as it is."""

    def transform(self, values: np.ndarray) -> np.ndarray:
        return values


@pytest.fixture(scope="module")
def html(project) -> str:
    return (project / "metrics" / "report.html").read_text()


@pytest.fixture(scope="module")
def data(html) -> dict:
    """What the page's scripts read."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


class TestReport:
    def test_histograms_count_the_testing_part(self, data):
        names = list(data["figures"]["histograms"])
        kinds = {"standard deviation of the noise", "full width of the PSF at half maximum", "signal-to-noise ratio"}
        assert {name.partition(",")[0] for name in names} == kinds
        for figure in data["figures"]["histograms"].values():
            assert sum(figure["data"][0]["y"]) == SIZES["testing"]

    def test_a_histogram_of_equal_values_is_one_bar_about_them(self):
        pictures = pd.DataFrame({"noise": [4.0] * 9, "psf_fwhm": [0.0] * 9, "pixel_scale": [0.05] * 9})
        for (label, figure), value in zip(histograms(pictures).items(), (4, 0, 0.05), strict=True):
            edges, counts = np.array(figure.data[0].x), np.array(figure.data[0].y)
            (bar,) = np.flatnonzero(counts)
            assert counts[bar] == 9 and edges[bar] < value < edges[bar + 1], label

    def test_each_picture_has_its_residual(self, data):
        assert len({row["residual"] for row in data["pictures"]}) == PICTURES
        assert all(float(row["chi2"]) > 0.8 for row in data["pictures"])

    def test_the_table_has_the_grid(self, project, html):
        grid = pd.read_csv(project / "metrics" / "plots" / "noise_psf.csv")
        testing = grid[grid["part"] == "testing"]
        table = re.search(r'<table class="numbers cells">(.*?)</table>', html, re.DOTALL)[1]
        shown = re.findall(r"<b>(.*?)</b>", table)
        few = (testing["rows"] < LEAST).to_numpy()
        assert few.any() and not few.all()
        assert [text == "—" for text in shown] == few.tolist()
        numbers = [float(text.replace("−", "-")) for text in shown if text != "—"]
        assert numbers == pytest.approx(testing["r2_quantile"][~few].tolist(), abs=0.006)
        counts = [int(text) for text in re.findall(r"<span>(\d+) rows</span>", table)]
        assert counts == testing["rows"].tolist()

    def test_a_browser_shows_it(self, project):
        with browser.chromium() as chromium:
            page = chromium.new_page(viewport={"width": 1280, "height": 900})
            heard = []
            page.on("pageerror", lambda error: heard.append(str(error)))
            page.goto((project / "metrics" / "report.html").as_uri())
            page.locator("[data-place=noise]").scroll_into_view_if_needed()
            page.wait_for_selector("[data-place=noise] .scatterlayer .trace")
            assert page.locator("[data-place=histograms] .scatterlayer .trace").count() == 3
            page.click("#resimulations button >> nth=0")
            name = page.text_content("#row-name")
            rows = page.evaluate("data.pictures.map(({filename, residual, chi2}) => ({filename, residual, chi2}))")
            row = next(row for row in rows if row["filename"] == name)
            assert page.get_attribute("#row-residual", "src") == row["residual"]
            assert page.text_content("#row-chi2") == row["chi2"]
            assert heard == []
