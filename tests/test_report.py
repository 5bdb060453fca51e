"""The report shows what the tables hold, and a browser shows the report."""

import json
import re
from pathlib import Path

import browser
import numpy as np
import pandas as pd
import pytest
import small

from droulette import files, parameters, report
from droulette.errors import UserError
from droulette.physics.amplitudes import convergence_and_shear
from droulette.physics.batches import take
from droulette.physics.critical_curves import critical_curves
from droulette.physics.lenses import SIE, SIS, Cluster, PointMass
from droulette.pipeline.scenes import critical_radii
from droulette.reporting import comparison, figures
from droulette.reporting.overlays import overlays
from droulette.reporting.page import number

PICTURES = 8
PARAMS = """
[simulator]
nterms = 2
centred = true
[problem]
filename = "data/roulette.csv"
variables = ["sigma", "xiX", "xiY"]
nterms = 2
[dataset]
directory = "data/images"
[dataset.training]
filename = "data/training.csv"
[dataset.testing]
filename = "data/testing.csv"
size = 40
[settings]
weights = "</script><script>throw new Error('a parameter was run')</script>"
[evaluation]
lenses = "data/dataset.csv"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with small data, a model trained on it for a moment, its evaluation and a report."""
    folder = tmp_path_factory.mktemp("report")
    parts = small.draw_parts(folder / "data", 80, 20, 40, nterms=(0, 2))
    model = folder / "model.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        logged = folder / "metrics" / "train"
        small.train(parts["training"], parts["validation"], "data/images", model)
        for name, values in {
            "train/loss": [2.0, 1.0],
            "validation/loss": [2.5, 1.5],
            "validation/r2": [0.1, 0.2],
        }.items():
            path = logged / "plots" / "metrics" / f"{name}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("step\tvalue\n" + "".join(f"{k + 1}\t{value}\n" for k, value in enumerate(values)))
        options = {"roulette": "data/roulette.csv", "lenses": "data/dataset.csv", "resimulations": PICTURES}
        small.evaluate_parts(parts, "data/images", model, "metrics", **options)
        (folder / "params.toml").write_text(PARAMS)
        write(folder, "metrics/report.html")
    return folder


def write(folder: Path, output: str) -> None:
    options = ["--model", str(folder / "model.safetensors"), "--pictures", str(PICTURES), "--output", output]
    assert report.main(options) == 0


@pytest.fixture(scope="module")
def html(project) -> str:
    return (project / "metrics" / "report.html").read_text()


@pytest.fixture(scope="module")
def data(html) -> dict:
    """What the page's scripts read."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def test_the_page_asks_for_no_other_file(html):
    own = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)  # Plotly's names a few, which it need not have
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', own) and "@import" not in own and "url(" not in own
    assert len(html) < 6e6


def test_each_picture_has_its_rows_numbers(project, data):
    labels = files.read_csv(project / "data" / "testing.csv")
    found = files.read_csv(project / "metrics" / "predictions" / "testing.csv")
    lenses = files.read_csv(project / "data" / "dataset.csv").set_index("filename")
    assert [row["filename"] for row in data["pictures"]] == list(labels["filename"][:PICTURES])
    for k, row in enumerate(data["pictures"]):
        for name, column in zip(row["targets"], labels.columns[1:], strict=True):
            values = labels[column][k], found[column][k], found[f"std:{column}"][k]
            assert name == [figures.symbol(column), *map(number, values)]
        facts = dict(row["facts"])
        assert facts["einsteinradius"] == number(lenses.loc[row["filename"], "einsteinradius"])
        assert row["overlay"]["reference"] == [[round(labels["xiX"][k], 1)], [round(labels["xiY"][k], 1)]]


def test_resimulations_go_from_the_best_to_the_worst(html, data):
    rows = [int(row) for row in re.findall(r'<button data-row="(\d+)"><b>', html)]
    shown = [float(data["pictures"][row]["error"]) for row in rows]
    every = [float(picture["error"]) for picture in data["pictures"]]
    assert len(shown) == 5 and shown == sorted(shown)
    assert (shown[0], shown[-1]) == (min(every), max(every))


def test_the_mean_picture_error_is_that_of_the_evaluation(project, data):
    """As many pictures are in the page as were resimulated."""
    measured = json.loads((project / "metrics" / "summary.json").read_text())
    every = [float(picture["error"]) for picture in data["pictures"]]
    assert np.mean(every) == pytest.approx(measured["picture_error"], rel=1e-3)


def test_a_report_twice_has_the_same_bytes(project, html, monkeypatch):
    monkeypatch.chdir(project)
    write(project, "again.html")
    assert (project / "again.html").read_text() == html


def test_predictions_of_other_rows_are_one_line(project, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(project)
    path = project / "metrics" / "predictions" / "testing.csv"
    before = path.read_bytes()
    files.write_csv(files.read_csv(path).iloc[::-1], path)
    assert report.main(["--model", "model.safetensors", "--output", str(tmp_path / "r.html")]) == 2
    path.write_bytes(before)
    assert (
        "predictions/testing.csv: the rows differ from those of data/testing.csv; run `dvc repro evaluate`"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("missing", ["[problem]", "evaluation.lenses", "dataset.directory"])
def test_a_report_without_its_tables_is_one_line(missing, tmp_path):
    tables = {"dataset": {"directory": "x", "testing": {"filename": "t.csv"}}}
    tables |= {"problem": {"filename": "r.csv", "nterms": 1}, "evaluation": {"lenses": "d.csv"}}
    table, _, key = missing.strip("[]").partition(".")
    tables[table].pop(key) if key else tables.pop(table)
    with pytest.raises(UserError, match=re.escape(missing)):
        report.report_by(parameters.parse(tables), "p.toml", "m", tmp_path, tmp_path / "r.html")


class TestOverlays:
    def lens(self, kind, *values):
        return kind(*(np.array([value]) for value in values))

    def test_the_critical_curve_of_an_sie_is_the_one_that_rays_find(self):
        row = {"lens": "SIE", "einsteinradius": 30.0, "ellipseratio": 0.3, "orientation": 40.0, "x": 5.0, "y": 2.0}
        (curve,) = critical_curves(self.lens(SIE, 30.0, 0.3, 40.0))
        phi = np.rad2deg(np.arctan2(curve[:, 1], curve[:, 0]))
        radii = critical_radii(pd.DataFrame([row] * len(phi)), phi)
        np.testing.assert_allclose(np.hypot(*curve.T), radii, rtol=1e-4)
        assert len(curve) > 100 and (curve[0] == curve[-1]).all()

    @pytest.mark.parametrize("kind", [SIS, PointMass])
    def test_the_critical_curve_of_a_round_lens_is_its_einstein_ring(self, kind):
        (curve,) = critical_curves(self.lens(kind, 20.0))
        np.testing.assert_allclose(np.hypot(*curve.T), 20, rtol=1e-7)

    def test_on_the_curves_of_a_cluster_the_determinant_vanishes(self):
        members = (self.lens(SIS, 20.0), self.lens(SIE, 15.0, 0.6, 10.0))
        lens = Cluster(members, (np.array([-25.0]), np.array([30.0])), (np.array([0.0]), np.array([12.0])))
        curves = critical_curves(lens)
        points = np.concatenate(curves)
        kappa, gamma1, gamma2 = convergence_and_shear(take(lens, np.zeros(len(points), int)), *points.T)
        assert np.abs((1 - kappa) ** 2 - gamma1**2 - gamma2**2).max() < 1e-6
        assert points[:, 0].min() < -25 and points[:, 0].max() > 30

    @pytest.mark.parametrize("centred", [True, False])
    def test_the_circle_of_convergence_reaches_the_nearest_lens(self, centred):
        lenses = pd.DataFrame([{"cluster": "SIS/-30/0/10;SIS/40/5/10", "x": 20.0, "y": 1.0}])
        light, xi = np.array([7.0, -3.0]), np.array([24.0, 2.0])
        places = {"centreX": light[0], "centreY": light[1], "lensX": -light[0], "lensY": -light[1]}
        roulette = pd.DataFrame([places | {"xiX": xi[0] - light[0], "xiY": xi[1] - light[1]}])
        (found,) = overlays(lenses, roulette, centred=centred)
        origin = -light if centred else np.zeros(2)
        np.testing.assert_allclose(found.reference, xi + origin)
        np.testing.assert_allclose(found.lenses, np.array([[-30, 0], [40, 5]]) + origin)
        assert found.radius == pytest.approx(np.hypot(16, 3))


def test_changes_are_the_parameters_that_differ():
    other = comparison.Other("b", {"a": {"x": 1, "y": [1, 2]}, "c": {"z": True}}, {}, None, {})
    assert comparison.changes({"a": {"x": 1, "y": [1, 3]}}, [other]) == [
        ("a.y", [[1, 3], [1, 2]]),
        ("c.z", ["—", True]),
    ]


@pytest.mark.parametrize(
    ("column", "expected"), [("alpha[2][1]", "α²₁"), ("beta[10][11]", "β¹⁰₁₁"), ("sigma", "σ"), ("R", "R")]
)
def test_columns_are_written_as_the_field_writes_them(column, expected):
    assert figures.symbol(column) == expected


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as opened:
        yield opened


def open_page(chromium, project: Path, width: int, scheme: str):
    """The report in a new window, everything drawn, and what the browser complained of or asked for."""
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(120_000)  # machines differ in speed
    heard = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url) if not request.url.startswith("data:") else None)
    address = (project / "metrics" / "report.html").as_uri()
    page.goto(address)
    page.evaluate("all.forEach(draw)")
    heard.remove(address)
    return page, heard


LEGENDS_UNDER_BUTTONS = """all.filter((div) => {
    const [buttons, legend] = [".modebar", ".legend"].map((name) => div.querySelector(name)?.getBoundingClientRect());
    return legend && legend.top < buttons.bottom && legend.right > buttons.left;
}).length"""


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1600, "light")])
def test_the_page_is_readable_and_quiet(chromium, project, width, scheme):
    page, heard = open_page(chromium, project, width, scheme)
    assert heard == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("all.filter((div) => !div.querySelector('.main-svg')).length") == 0
    broken = "[...document.images].filter((image) => image.src && !image.naturalWidth).length"
    assert page.evaluate(broken) == 0
    assert page.evaluate(LEGENDS_UNDER_BUTTONS) == 0
    page.evaluate("openRow(0)")
    assert page.evaluate("byId('row').scrollWidth <= byId('row').clientWidth")
    left, right = (page.locator(f"#row-{table}").bounding_box() for table in ("targets", "facts"))
    assert left["x"] + left["width"] <= right["x"] or left["y"] + left["height"] <= right["y"]
    background, text = page.evaluate("getComputedStyle(document.body).backgroundColor"), axis_colour(page)
    assert (brightness(background) > 128, brightness(text) > 128) == (
        (True, False) if scheme == "light" else (False, True)
    )
    page.close()


def axis_colour(page) -> str:
    return page.evaluate("getComputedStyle(document.querySelector('.plot .xtick text')).fill")


def brightness(colour: str) -> float:
    return float(np.mean([int(level) for level in re.findall(r"\d+", colour)[:3]]))


def test_a_point_says_its_numbers_and_leads_to_its_picture(chromium, project, data):
    page, heard = open_page(chromium, project, 1600, "light")
    plot = page.locator("[data-place=against]")
    plot.scroll_into_view_if_needed()
    page.select_option("[data-for=against]", "ξ₀ x")
    points = plot.locator(".scatterlayer .trace:last-child path.point")
    inside = page.evaluate(
        """() => {
            const { _fullData, _fullLayout } = document.querySelector("[data-place=against]");
            const { x, y } = _fullData[_fullData.length - 1], [low, high] = _fullLayout.xaxis.range;
            return [...x].findIndex((value, k) => [value, y[k]].every((at) => low < at && at < high));
        }"""
    )
    assert points.count() == PICTURES and inside >= 0
    box = points.nth(inside).bounding_box()
    place = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(place[0] - 3, place[1])
    page.mouse.move(*place)
    page.wait_for_selector(".hoverlayer .hovertext")
    said = page.text_content(".hoverlayer .hovertext")
    assert "image-" in said and "predicted" in said and "±" in said
    page.mouse.click(*place)
    page.wait_for_selector("dialog[open]")
    name = page.text_content("#row-name")
    assert name in said
    row = next(row for row in data["pictures"] if row["filename"] == name)
    assert page.get_attribute("#row-predicted", "src") == row["predicted"]
    assert page.locator("#row-targets tbody tr").count() == len(row["targets"])
    page.click("#row-after")
    assert page.text_content("#row-name") != name
    page.keyboard.press("Escape")
    assert not page.is_visible("dialog")
    page.click("#gallery button >> nth=0")
    assert page.is_visible("dialog #row-picture .main-svg >> nth=0")
    assert heard == []
    page.close()


def test_the_figures_follow_when_the_colours_change(chromium, project):
    page, heard = open_page(chromium, project, 1600, "light")
    before = axis_colour(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "(before) => getComputedStyle(document.querySelector('.plot .xtick text')).fill !== before", arg=before
    )
    assert heard == []
    page.close()
