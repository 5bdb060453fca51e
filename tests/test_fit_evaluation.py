"""Table [fit]: fits of test pictures beside the network, against the Cramér-Rao bound; and their part of the report."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import small

from droulette import files, parameters, report
from droulette.errors import UserError
from droulette.fitting.observation import Observation
from droulette.physics.instrument import Kernel
from droulette.pipeline import evaluated_fits
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, draw_in_memory

ROWS = 8
OBSERVED = {
    "simulator": {"size": 4, "imagesize": 96, "cropsize": 64, "centred": True, "nterms": 1},
    "lens": {"mode": "SIE", "einstein-min": 6, "einstein-max": 14, "ellipseratio-min": 0.4},
    "source": {"mode": "SersicSphere", "sigma-min": 2, "sigma-max": 5, "n_sersic-max": 1.5, "position": "relative"},
    "instrument": {
        "psf": "moffat", "psf-fwhm": 3.0, "moffat-beta": 3.0, "noise": 1.0, "background": 5.0,
        "signal-to-noise": 80, "centring-error": 1.0,
    },
    "lens_light": {"flux-ratio": [0, 2], "n-sersic": 2, "share": [0.5, 1]},
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> tuple[Path, dict]:
    """A folder with small data, a model trained on it for a moment, and its evaluation with fits."""
    folder = tmp_path_factory.mktemp("fits")
    parts = small.draw_parts(folder / "data", 60, 20, 30, nterms=(0, 2))
    pictures = folder / "data" / "images"
    small.train(parts["training"], parts["validation"], pictures, folder / "m.safetensors", tables=small.SIMULATION)
    measured = evaluate(folder, folder / "metrics", fit={"rows": ROWS})
    return folder, measured


def evaluate(folder: Path, output: Path, **options) -> dict:
    data = folder / "data"
    parts = {name: data / f"{name}.csv" for name in ("training", "validation", "testing")}
    options = {"roulette": data / "roulette.csv", "lenses": data / "dataset.csv", "resimulations": 4} | options
    options = {name: value for name, value in options.items() if value is not None}
    return small.evaluate_parts(parts, data / "images", folder / "m.safetensors", output, **options)


def test_fits_stand_beside_the_network_on_the_same_rows(project):
    folder, measured = project
    found = measured["testing"]["fit"]
    assert found["rows"] == ROWS and found["good"] > 0.7 and found["pictures_per_second"] > 0
    assert found["r2"] > 0.999 > found["network"]["r2"]
    assert 0.2 < found["efficiency"] < 3 < found["network"]["efficiency"]
    true = files.read_csv(folder / "data" / "testing.csv")
    columns = list(true.columns[1:])
    predicted = files.read_csv(folder / "metrics" / "predictions" / "testing.csv")
    error = abs(predicted[columns] - true[columns]).to_numpy()[:ROWS]
    assert found["network"]["mae"] == pytest.approx(error.mean())


def test_one_number_of_the_fits_is_in_the_summary(project):
    folder, measured = project
    said = json.loads((folder / "metrics" / "summary.json").read_text())
    assert said["fit_efficiency"] == measured["testing"]["fit"]["efficiency"]


def test_columns_orders_and_bands_have_a_line_each(project):
    folder, measured = project
    table = files.read_csv(folder / "metrics" / "plots" / "fit.csv")
    columns = table[table["by"] == "column"]
    assert len(columns) == 3 + 9 and list(table[table["by"] == "order"]["name"]) == ["other", "m = 0", "m = 1", "m = 2"]
    assert columns["r2"].mean() == pytest.approx(measured["testing"]["fit"]["r2"])
    assert table[table["by"] == "band"]["rows"].sum() <= ROWS


def test_roulettes_without_a_lens_stand_beside_the_network_too(project, tmp_path):
    folder, _ = project
    found = evaluate(folder, tmp_path, fit={"rows": 12, "family": "none"}, resimulations=0)["testing"]["fit"]
    assert found["rows"] == 12 and found["good"] > 0
    assert found["mae"] < found["network"]["mae"]


def test_without_the_table_nothing_is_said_of_fits(project, tmp_path):
    folder, with_fits = project
    plain = evaluate(folder, tmp_path)
    assert not (tmp_path / "plots" / "fit.csv").exists()
    testing = {name: value for name, value in with_fits["testing"].items() if name != "fit"}
    assert plain == with_fits | {"testing": testing}
    for path in sorted(tmp_path.rglob("*.csv")):
        assert path.read_bytes() == (folder / "metrics" / path.relative_to(tmp_path)).read_bytes()


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"lenses": None, "resimulations": 0}, "fit.rows: found no evaluation.lenses"),
        ({"fit": {"rows": 2, "family": "Nothing"}}, "--family Nothing: lens.mode: found 'Nothing'"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(project, tmp_path, options, expected):
    folder, _ = project
    with pytest.raises(UserError) as caught:
        evaluate(folder, tmp_path, **({"fit": {"rows": 2}} | options))
    assert expected in str(caught.value)


def test_the_report_has_the_fits(project, monkeypatch):
    folder, measured = project
    monkeypatch.chdir(folder)
    train = folder / "metrics" / "train" / "plots" / "metrics"
    train.mkdir(parents=True)
    (train / "loss.tsv").write_text("step\tvalue\n1\t2\n")
    toml = '[simulator]\nimagesize = 96\ncropsize = 48\n[problem]\nfilename = "data/roulette.csv"\nnterms = 1\n'
    toml += '[dataset]\ndirectory = "data/images"\n[dataset.testing]\nfilename = "data/testing.csv"\n'
    (folder / "params.toml").write_text(toml + '[evaluation]\nlenses = "data/dataset.csv"\n')
    options = ["--model", str(folder / "m.safetensors"), "--pictures", "4", "--output", "metrics/report.html"]
    assert report.main(options) == 0
    html = (folder / "metrics" / "report.html").read_text()
    section = html[html.index('<section id="fits">') : html.index("</section>", html.index('<section id="fits">'))]
    assert "all columns" in section and "band " in section and f"{ROWS} pictures" in section
    assert f"<td>{measured['testing']['fit']['efficiency']:.4g}</td>" in section


def test_an_estimate_that_reaches_the_bound_has_an_efficiency_of_one():
    rng = np.random.default_rng(0)
    least = rng.uniform(0.1, 10, (4000, 5))
    least[0] = np.nan
    assert evaluated_fits.efficiency(abs(least * rng.standard_normal(least.shape)), least) == pytest.approx(1, abs=0.02)


def test_true_scenes_with_the_lens_light_are_the_pictures_but_for_the_noise():
    params = parameters.parse(OBSERVED)
    rows = draw_table(params).reset_index(drop=True)
    with ThreadPoolExecutor(1) as helpers:
        pictures, facts, table = draw_in_memory(rows, Drawing.of(params.simulator), "rows", "cpu", helpers)
    kernels = evaluated_fits.kernels(table, "rows")
    known = evaluated_fits.truth(rows, table, "rows")
    assert sorted(place for places, *_ in known for place in places) == list(range(len(rows)))
    for places, family, coordinates in known:
        for place, at in zip(places, coordinates, strict=True):
            blank = np.zeros((1, 64, 64))
            ((_, light),) = Observation(blank, blank + 1, Kernel(kernels[place])).drawn(family, at[None])
            counts = light[0, 0] * table["brightness"][place]
            left = (np.asarray(pictures[place], float) - facts[place, 0] - counts) / facts[place, 1]
            assert abs(left.mean()) < 0.1 and 0.95 < left.std() < 1.05
