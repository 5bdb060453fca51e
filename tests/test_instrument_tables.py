"""[instrument] and [lens_light]: what is accepted, what a row then says, and that it alone decides its picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from psfs import moffat_kernel

from droulette import datagen, files
from droulette.errors import UserError
from droulette.parameters import parse
from droulette.pipeline import batching, depth, generate
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing
from droulette.pipeline.resimulate import resimulate

ROOT = Path(__file__).parents[1]
SCENES = {
    "simulator": {"size": 5, "seed": 4, "nterms": 2, "imagesize": 48, "cropsize": 32, "centred": True},
    "lens": {"mode": "SIE", "einstein-min": 5, "einstein-max": 9},
    "source": {"mode": "SersicSphere", "sigma-min": 2, "sigma-max": 4, "luminosity": 4, "position": "relative"},
}
NOISE = {"instrument": {"noise": 1}}
GAUSSIAN = {"psf": "gaussian", "psf-fwhm": 2}
SKY = {"zero-point": 25.0, "pixel-scale": 0.1, "sky-brightness": 22.0}
TRIANGLES = "t/0/0/3/3/0/1/1;s/1/2/3/3/0/1/1"
FULL = {
    "instrument": {
        "pixel-scale": 0.1,
        "psf": "gaussian",
        "psf-fwhm-min": 0.1,
        "psf-fwhm-max": 0.4,
        "psf-unit": "arcsec",
        "background-min": 2,
        "background-max": 9,
        "exposure": 100,
        "exposures": 4,
        "gain": 2,
        "read-noise": 5,
        "noise": 0.1,
        "zero-point": 25,
        "magnitude-min": 17,
        "magnitude-max": 18,
        "centring-error": 0.5,
    },
    "lens_light": {"flux-ratio-max": 3, "radius-min": 0.5},
}


def drawn(tables: dict, **simulator) -> pd.DataFrame:
    """The dataset table of these tables beside SCENES."""
    return draw_table(parse(SCENES | tables | {"simulator": SCENES["simulator"] | simulator}))


def refusal(tables: dict) -> str:
    with pytest.raises(UserError) as caught:
        parse(tables, "params.toml")
    return str(caught.value)


def toml_of(tables: dict) -> str:
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def run(*options: str) -> None:
    assert datagen.main([*options, "--quiet"]) == 0


def pictures(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def write_kernels(folder: Path, count: int = 3) -> None:
    folder.mkdir()
    for number in range(count):
        kernel = moffat_kernel(1.5 + number, 3.0, 3 + number)
        fits.PrimaryHDU(kernel * 7).writeto(folder / f"{number}.fits")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder in which commands run, with point spread functions."""
    monkeypatch.chdir(tmp_path)
    write_kernels(tmp_path / "psfs")
    return tmp_path


# ---------------------------------------------------------------- one line for what is wrong

OUT_OF_RANGE = {
    "pixel-scale": (0, "(0, 1_000]"),
    "psf-fwhm": (-1, "[0, 1_000]"),
    "moffat-beta": (1, "(1, 100]"),
    "background": (-1, "[0, 1_000_000_000_000]"),
    "sky-brightness": (51, "[-50, 50]"),
    "noise": (-1, "[0, 1_000_000_000_000]"),
    "exposure": (0, "(0, 1_000_000_000]"),
    "exposures": (0, "(0, 1_000_000]"),
    "gain": (0, "(0, 1_000_000]"),
    "read-noise": (-1, "[0, 1_000_000]"),
    "zero-point": (101, "[-50, 100]"),
    "magnitude": (-51, "[-50, 100]"),
    "signal-to-noise": (0, "(0, 1_000_000_000]"),
    "centring-error": (-1, "[0, 1_000]"),
}
LIGHT_OUT_OF_RANGE = {
    "flux-ratio": (-1, "[0, 1_000_000]"),
    "radius": (0, "(0, 1_000]"),
    "n-sersic": (0.1, "(0.17, 100]"),
    "axis-ratio-scatter": (2, "[0, 1]"),
    "orientation-scatter": (91, "[0, 90]"),
    "share": (1.1, "[0, 1]"),
}


@pytest.mark.parametrize("key", OUT_OF_RANGE)
def test_numbers_out_of_range(key):
    value, interval = OUT_OF_RANGE[key]
    line = f"params.toml: instrument.{key}: found {value}, expected a number in {interval}"
    assert refusal({"instrument": {key: value}}) == line
    for wrong in ("much", float("nan"), float("inf"), True):
        assert f"params.toml: instrument.{key}: found" in refusal({"instrument": {key: wrong}})


@pytest.mark.parametrize("key", LIGHT_OUT_OF_RANGE)
def test_numbers_of_lens_light_out_of_range(key):
    value, interval = LIGHT_OUT_OF_RANGE[key]
    line = f"params.toml: lens_light.{key}: found {value}, expected a number in {interval}"
    assert refusal(NOISE | {"lens_light": {key: value}}) == line


WRONG = [
    ({"psf-fwhm": 2}, "psf-fwhm: needs psf = gaussian or moffat; psf is none"),
    ({"psf": "none", "psf-fwhm": 2}, "psf-fwhm: needs psf = gaussian or moffat; psf is none"),
    ({"psf": "psf.fits", "psf-fwhm": 2}, "psf-fwhm: needs psf = gaussian or moffat; psf is psf.fits"),
    ({"psf": "gaussian"}, 'psf-fwhm: missing; psf = "gaussian" needs the width of the profile'),
    ({"psf": "moffat", "moffat-beta": 3}, 'psf-fwhm: missing; psf = "moffat" needs the width of the profile'),
    ({"psf": "moffat", "psf-fwhm": 3}, 'moffat-beta: missing; psf = "moffat" needs the exponent of the profile'),
    ({"moffat-beta": 3}, "moffat-beta: needs psf = moffat; psf is none"),
    (GAUSSIAN | {"moffat-beta": 3}, "moffat-beta: needs psf = moffat; psf is gaussian"),
    (GAUSSIAN | {"psf-unit": "arcsec"}, "pixel-scale: missing; psf-unit needs it"),
    (GAUSSIAN | {"psf-unit": "mm"}, "psf-unit: found 'mm', expected one of px, arcsec"),
    ({"psf": 3}, "psf: found 3, expected a file name"),
    ({"sky-brightness": 22}, "zero-point: missing; sky-brightness needs it"),
    ({"sky-brightness": 22, "zero-point": 25}, "pixel-scale: missing; sky-brightness needs it"),
    (SKY | {"background": 3}, "sky-brightness: cannot be combined with background; remove one of them"),
    ({"magnitude": 22}, "zero-point: missing; magnitude needs it"),
    ({"read-noise": 4}, "exposure: missing; read-noise needs it"),
    ({"exposures": 4}, "exposure: missing; exposures needs it"),
    ({"gain": 4}, "exposure: missing; gain needs it"),
    ({"signal-to-noise": 4}, "signal-to-noise: needs noise or exposure; both are missing"),
    (
        {"signal-to-noise": 4, "noise": 1, "magnitude": 20, "zero-point": 25},
        "signal-to-noise: cannot be combined with magnitude; remove one of them",
    ),
    ({"noise": 1, "noise-min": 2}, "noise-min: cannot be combined with noise; remove one of them"),
    ({"noise-min": 3, "noise-max": 1}, "noise-min: found 3, expected at most 1, the maximum"),
    ({"noise": 1, "depth": "uint8"}, "depth: found 'uint8', expected one of uint16, float32"),
    ({"noise": 1, "depth": "float32"}, "depth: found 'float32', expected storage = \"parquet\" in [simulator]"),
    ({"subtract-background": "no"}, "subtract-background: found 'no', expected true or false"),
    ({"gian": 3}, "gian: found an unknown key, expected instrument.gain"),
]


@pytest.mark.parametrize("table, line", WRONG, ids=[line for _, line in WRONG])
def test_keys_that_do_not_fit_together(table, line):
    assert refusal({"instrument": table}) == f"params.toml: instrument.{line}"


OTHERS = [
    ({"instrument": 3}, "instrument: found 3, expected a table"),
    ({"lens_light": {"radius": 1}}, "lens_light: needs the table [instrument], which is missing"),
    (
        NOISE | {"lens_light": {"radius": 1}, "cluster": {"count": 2}},
        "lens_light: cannot be combined with a cluster; it needs a single lens",
    ),
    (
        NOISE | {"simulator": {"sampling": "nearest"}},
        "simulator.sampling: found 'nearest', expected exact, which [instrument] needs",
    ),
]


@pytest.mark.parametrize("tables, line", OTHERS, ids=[line for _, line in OTHERS])
def test_tables_that_do_not_fit_together(tables, line):
    assert refusal(tables) == f"params.toml: {line}"


@pytest.mark.parametrize("source", [{"mode": "t"}, {"mode": "Image", "image": "a.png"}, {"mode": TRIANGLES}])
def test_magnitude_needs_a_source_whose_light_is_known(source):
    line = refusal({"source": source, "instrument": {"magnitude": 22, "zero-point": 25}})
    assert line.startswith("params.toml: instrument.magnitude: cannot be combined with source.mode = ")


def test_floats_go_with_parquet():
    assert parse(NOISE | {"instrument": {"depth": "float32"}, "simulator": {"storage": "parquet"}})


def test_psf_files_that_are_not_there(here):
    (here / "empty").mkdir()
    lines = {
        "none.fits": "found no file none.fits, expected gaussian, moffat, none, or a FITS file or folder",
        "empty": "found no file *.fits or *.fits.gz or *.fit or *.fits.fz in the folder empty",
    }
    for psf, line in lines.items():
        with pytest.raises(UserError) as caught:
            drawn({"instrument": {"psf": psf}})
        assert str(caught.value) == f"instrument.psf: {line}"


def write_psf(path: str, array: np.ndarray | None) -> None:
    fits.PrimaryHDU(array).writeto(path)


BAD_KERNELS = {
    "even.fits": (np.ones((4, 4)), "4×4"),
    "oblong.fits": (np.ones((3, 5)), "5×3"),
    "large.fits": (np.ones((259, 259)), "259×259"),
    "cube.fits": (np.ones((3, 3, 3)), "no picture"),
    "blank.fits": (None, "no picture"),
    "zero.fits": (np.zeros((3, 3)), "no positive sum"),
    "nan.fits": (np.full((3, 3), np.nan), "no positive sum"),
    "negative.fits": (-np.ones((3, 3)), "no positive sum"),
}


def refused(capsys, *options: str) -> str:
    """One line on stderr, status 2, nothing written."""
    before = sorted(str(path) for path in Path().rglob("*"))
    status = datagen.main(["--outfile", "roulette.csv", "--directory", "images", *options])
    captured = capsys.readouterr()
    assert status == 2 and captured.out == ""
    assert captured.err.count("\n") == 1 and captured.err.startswith("error: ")
    assert sorted(str(path) for path in Path().rglob("*")) == before
    return captured.err


@pytest.mark.parametrize("name", [*BAD_KERNELS, "text.fits"])
def test_psf_files_that_are_none_are_refused_and_nothing_is_written(here, capsys, name):
    array, said = BAD_KERNELS.get(name, (None, "not a FITS file"))
    if name == "text.fits":
        Path(name).write_text("not a FITS file")
    else:
        write_psf(name, array)
    Path("params.toml").write_text(toml_of(SCENES | {"instrument": {"psf": name}}))
    line = refused(capsys, "--toml", "params.toml", "--csvfile", "dataset.csv")
    assert name in line and said in line


@pytest.mark.parametrize("psf", ["../secret.fits", "/etc/passwd", "sub/../../x.fits"])
def test_a_csv_cannot_make_it_read_a_psf_of_another_folder(here, capsys, psf):
    files.write_csv(drawn(NOISE).assign(psf=psf), "own.csv")
    line = refused(capsys, "--csvfile", "own.csv", "-Z", "48", "-n", "2")
    assert "column psf" in line and "expected a path below the working folder" in line


BAD_CELLS = {
    "noise": (-1.0, "a number in [0, "),
    "electrons": (float("nan"), "a number in"),
    "background": (float("inf"), "a number in"),
    "noiseseed": (2.0**32, "a number in [0, "),
    "psf": ("", "expected none, gaussian, moffat or a file's name"),
    "centringX": (1e9, "a number in"),
    "lightaxisratio": (0.0, "a number in (0, 1]"),
    "lightshare": (2.0, "a number in [0, 1]"),
}


@pytest.mark.parametrize("column", BAD_CELLS)
def test_bad_cells_are_named_in_one_line_and_nothing_is_written(here, capsys, column):
    value, expected = BAD_CELLS[column]
    table = drawn(FULL)
    table[column] = table[column].astype(object)
    table.loc[2, column] = value
    files.write_csv(table, "own.csv")
    line = refused(capsys, "--csvfile", "own.csv", "-Z", "48", "-n", "2")
    assert "own.csv: row 3, column " + column in line and expected in line


@pytest.mark.parametrize("column", ["background", "noise", "electrons", "pedestal", "psffwhm"])
def test_missing_columns_are_named(here, capsys, column):
    files.write_csv(drawn(FULL).drop(columns=column), "own.csv")
    line = refused(capsys, "--csvfile", "own.csv", "-Z", "48", "-n", "2")
    assert f"own.csv: found no column '{column}'" in line


def test_counts_beside_a_source_of_unknown_light_are_refused(here, capsys):
    files.write_csv(drawn(NOISE).assign(counts=5.0, source="Triangle"), "own.csv")
    line = refused(capsys, "--csvfile", "own.csv", "-Z", "48", "-n", "2")
    assert "own.csv: row 1: column counts needs a source of known total light, not Triangle" in line


# ---------------------------------------------------------------- what a row says


def test_columns_of_a_full_instrument_are_its_numbers():
    table, given = drawn(FULL, size=40), FULL["instrument"]
    assert set(table["psf"]) == {"gaussian"} and set(table["pixelscale"]) == {0.1}
    assert table["psffwhm"].between(1, 4).all() and table["psffwhm"].nunique() == 40
    assert table["background"].between(2, 9).all() and set(table["pedestal"]) == {0.0}
    np.testing.assert_allclose(table["electrons"], 2 * 100 * 4)
    read_noise = given["read-noise"] * np.sqrt(4) / 800
    np.testing.assert_allclose(table["noise"], np.hypot(0.1, read_noise))
    assert table["counts"].between(10 ** (0.4 * 7), 10 ** (0.4 * 8)).all()
    assert 0.2 < table["centringX"].std() < 0.8 and 0.2 < table["centringY"].std() < 0.8
    assert abs(np.corrcoef(table["centringX"], table["centringY"])[0, 1]) < 0.5
    assert set(table["noiseseed"]) == {4} and table["index"].tolist() == list(range(1, 41))
    assert "signaltonoise" not in table and "moffatbeta" not in table


def test_columns_of_lens_light_follow_the_mass():
    tables = NOISE | {"lens_light": {"axis-ratio-scatter": 0, "orientation-scatter": 0, "radius": 0.5, "share": 0.3}}
    table = drawn(tables, size=30)
    np.testing.assert_array_equal(table["lightaxisratio"], table["ellipseratio"])
    np.testing.assert_array_equal(table["lightorientation"], table["orientation"])
    np.testing.assert_allclose(table["lightradius"], 0.5 * table["einsteinradius"])
    assert set(table["lightshare"]) == {0.3}
    assert table["lightratio"].between(0, 5).all() and table["lightsersic"].between(2, 5).all()
    scattered = drawn(NOISE | {"lens_light": {"axis-ratio-scatter": 0.3, "orientation-scatter": 10}}, size=300)
    assert scattered["lightaxisratio"].between(0.1, 1).all()
    assert (scattered["lightorientation"] - scattered["orientation"]).std() == pytest.approx(10, rel=0.2)


def test_lens_light_of_a_round_lens_is_round():
    tables = NOISE | {"lens_light": {"axis-ratio-scatter": 0}, "lens": SCENES["lens"] | {"mode": "SIS"}}
    assert set(drawn(tables)["lightaxisratio"]) == {1.0}


def test_sky_brightness_is_the_background_of_a_pixel():
    table = drawn({"instrument": SKY | {"exposure": 10}})
    np.testing.assert_allclose(table["background"], 10 ** (0.4 * 3) * 0.01)


def test_background_that_is_kept_is_the_pedestal():
    table = drawn({"instrument": {"background": 5, "subtract-background": False}})
    assert set(table["pedestal"]) == {5.0}


def test_a_folder_of_point_spread_functions_is_drawn_from(here):
    table = drawn({"instrument": {"psf": "psfs", "noise": 1}}, size=30)
    assert set(table["psf"]) == {f"psfs/{number}.fits" for number in range(3)}
    assert set(table["psffwhm"]) == {0.0}


def test_a_row_does_not_depend_on_the_size_of_the_dataset():
    pd.testing.assert_frame_equal(drawn(FULL, size=50).head(5), drawn(FULL), check_exact=True)
    part = draw_table(parse(SCENES | FULL), 2, 4)
    pd.testing.assert_frame_equal(part, drawn(FULL).iloc[2:4].reset_index(drop=True), check_exact=True)


def test_an_instrument_changes_nothing_else_of_a_row():
    plain = drawn({})
    pd.testing.assert_frame_equal(drawn(FULL)[plain.columns], plain, check_exact=True)
    assert not {"psf", "noise", "electrons", "noiseseed", "lightradius", "centringX"} & set(plain)


# ---------------------------------------------------------------- pictures


def drawn_here(tables: dict, folder: str = "images", *options: str) -> dict[str, bytes]:
    """The files of a dataset that a command draws."""
    Path("params.toml").write_text(toml_of(SCENES | tables))
    run("--toml", "params.toml", "--csvfile", "dataset.csv", "--outfile", "roulette.csv", "-D", folder, *options)
    return pictures(folder)


def read(data: bytes, size: int = 32) -> tuple[np.ndarray, depth.About]:
    into = np.empty((size, size), np.float32)
    return into, depth.decode(data, into)


INSTRUMENTS = {
    "full": FULL,
    "moffat": {"instrument": {"psf": "moffat", "psf-fwhm-min": 0, "psf-fwhm-max": 3, "moffat-beta": 3, "noise": 0.1}},
    "signal-to-noise": {"instrument": GAUSSIAN | {"noise": 3, "signal-to-noise-min": 10, "signal-to-noise-max": 99}},
    "files": {"instrument": {"psf": "psfs", "exposure": 9.5, "background": 0.3}},
    "kept background": {"instrument": {"background": 50, "noise": 0.5, "subtract-background": False}},
    "without noise": {"instrument": GAUSSIAN},
}


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_dataset_redraws_its_pictures_byte_for_byte(here, name):
    first = drawn_here(INSTRUMENTS[name])
    assert len(first) == 5
    table = Path("roulette.csv").read_bytes()
    given = ("--csvfile", "dataset.csv", "-Z", "48", "-z", "32", "-n", "2", "-C")
    run(*given, "--directory", "again", "--outfile", "again.csv")
    assert pictures("again") == first
    assert Path("again.csv").read_bytes() == table
    one = pd.read_csv("dataset.csv").iloc[[3]]
    files.write_csv(one, "one.csv")
    run("--csvfile", "one.csv", *given[2:], "--directory", "one", "--outfile", "one.out.csv")
    assert pictures("one") == {one["filename"].iloc[0]: first[one["filename"].iloc[0]]}


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_same_bytes_whatever_the_workers_the_batches_and_the_size(here, monkeypatch, name):
    first = drawn_here(INSTRUMENTS[name])
    monkeypatch.setattr(generate, "observed_at_once", lambda size: 1)
    monkeypatch.setattr(generate, "CHUNK_DRAWN_HERE", 3)
    monkeypatch.setattr(generate, "ROWS_AT_ONCE", 2)
    assert drawn_here(INSTRUMENTS[name], "again", "--workers", "1") == first
    monkeypatch.setattr(generate, "observed_at_once", lambda size: 64)
    more = drawn_here(INSTRUMENTS[name], "more", "--workers", "3", "--size", "9")
    assert len(more) == 9 and {file: more[file] for file in first} == first


@pytest.mark.parametrize("name", ["full", "moffat", "files"])
def test_same_bytes_on_a_card(here, cuda, monkeypatch, name):
    table = drawn(INSTRUMENTS[name])
    drawing = Drawing(imagesize=48, cropsize=32, centred=True, nterms=2)
    monkeypatch.setattr(batching, "PICTURES_ON_A_CARD", 2)
    Path("cpu").mkdir()
    Path("card").mkdir()
    expected = generate.generate(table, drawing, Path("cpu"))
    with cuda:
        found = generate.generate(table, drawing, Path("card"), device="cuda")
    assert pictures("card") == pictures("cpu")
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_two_processes_write_the_files_of_one(here):
    first = drawn_here(FULL)
    table = Path("roulette.csv").read_bytes()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m"]
    command += ["droulette.datagen", "--toml", "params.toml", "-D", "two", "--outfile", "two.csv"]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert pictures("two") == first
    assert Path("two.csv").read_bytes() == table


def test_noise_is_of_the_seed(here):
    (here / "seed").mkdir()
    still = {"instrument": {"noise": 1}, "lens": {"mode": "SIS", "einstein": 6}, "position": {"x": 3, "y": 1}}
    still |= {"source": {"mode": "s", "sigma": 3}}
    first = drawn_here(still)
    other = drawn_here(still, "other", "--seed", "5")
    names = sorted(first)
    seeds = [read(first[names[0]])[0], read(other[names[0]])[0], read(first[names[1]])[0]]
    for one in range(3):
        for two in range(one):
            difference = seeds[one] - seeds[two]  # of the same scene with other noise
            assert difference.std() == pytest.approx(np.sqrt(2), rel=0.1)
    np.testing.assert_array_equal(drawn_here(still, "third", "--seed", "4"), first)


def test_rows_of_a_users_table_without_index_have_noise_of_their_own(here):
    table = drawn(NOISE).drop(columns=["index", "noiseseed"])
    table.loc[:, "filename"] = [f"{k}.png" for k in range(5)]
    same = table.iloc[[0] * 5].reset_index(drop=True).assign(filename=table["filename"])
    files.write_csv(same, "own.csv")
    run("--csvfile", "own.csv", "-Z", "48", "-z", "32", "-n", "2", "-D", "images", "--outfile", "r.csv")
    noise = [read(data)[0] for data in pictures("images").values()]
    assert (noise[0] - noise[1]).std() == pytest.approx(np.sqrt(2), rel=0.1)


def test_without_the_tables_pictures_are_8_bit_grey(here):
    data = drawn_here({})
    assert not any(depth.is_observed(file) for file in data.values())
    assert "psf" not in pd.read_csv("roulette.csv") and "brightness" not in pd.read_csv("roulette.csv")


def test_pictures_say_what_is_known_of_them(here):
    data, table = drawn_here(FULL), pd.read_csv("dataset.csv")
    roulette = pd.read_csv("roulette.csv")
    for row in range(5):
        picture, about = read(data[table["filename"][row]])
        values = table.iloc[row]
        assert about.background == 0 and about.pixel_scale == 0.1
        assert about.noise == pytest.approx(np.sqrt(values.noise**2 + values.background / values.electrons))
        assert about.poisson == pytest.approx(1 / values.electrons)
        assert about.psf_fwhm == pytest.approx(values.psffwhm)
        assert about.white == pytest.approx(255 * roulette["brightness"][row])
        border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert np.median(border) < 20 * about.noise


def test_counts_are_the_flux_of_the_magnitude(here):
    drawn_here(FULL)
    table, roulette = pd.read_csv("dataset.csv"), pd.read_csv("roulette.csv")
    np.testing.assert_allclose(roulette["brightness"], table["counts"] / (1000 * table["luminosity"]), rtol=1e-9)


def test_lens_light_has_the_ratio_to_the_lensed_source_that_is_said(here):
    """Of two pictures that differ in the lens's light alone."""
    light = {"flux-ratio": 2, "radius": 0.3, "n-sersic": 1, "axis-ratio-scatter": 0, "share": 1}
    scenes = {"lens": {"mode": "SIS", "einstein": 8}, "position": {"x": 5, "y": 0}}
    scenes |= {"source": {"mode": "s", "sigma": 3}, "simulator": SCENES["simulator"] | {"centred": False}}
    plain = drawn_here({"instrument": {"background": 0}} | scenes, "plain", "--size", "1", "-z", "48")
    lit = drawn_here({"instrument": {"background": 0}, "lens_light": light} | scenes, "lit", "--size", "1", "-z", "48")
    (source, _), (both, _) = (read(next(iter(data.values())), 48) for data in (plain, lit))
    assert (both - source).sum() == pytest.approx(2 * source.sum(), rel=0.02)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_middle_of_the_picture_is_the_centre_of_all_light_that_is_left(here, share):
    light = {"flux-ratio": 1, "radius": 0.8, "n-sersic": 1, "axis-ratio-scatter": 0, "share": share}
    scenes = {"lens": {"mode": "SIS", "einstein": 4}, "position": {"x": 6, "y": 3}, "source": {"mode": "s", "sigma": 2}}
    data = drawn_here({"instrument": {"background": 0}, "lens_light": light} | scenes, "images", "--size", "1")
    picture, _ = read(next(iter(data.values())))
    place = np.arange(32) - 16
    assert picture.sum(axis=0) @ place / picture.sum() == pytest.approx(0, abs=0.1)
    assert picture.sum(axis=1) @ place / picture.sum() == pytest.approx(0, abs=0.1)


def test_a_point_spread_function_of_a_fits_file_is_upright(here):
    """FITS counts lines from below: light at the upper right of its middle goes up and to the right."""
    kernel = np.zeros((13, 13))
    kernel[6 + 5, 6 + 3] = 1.0
    write_psf("moved.fits", kernel)
    scenes = {"instrument": {"background": 0, "psf": "moved.fits"}, "source": {"mode": "s", "sigma": 2}}
    scenes |= {"lens": {"mode": "SIS", "einstein": 4}, "position": {"x": 6, "y": 3}}
    picture, _ = read(next(iter(drawn_here(scenes, "images", "--size", "1").values())))
    place = np.arange(32) - 16
    assert picture.sum(axis=0) @ place / picture.sum() == pytest.approx(3, abs=0.15)
    assert -(picture.sum(axis=1) @ place) / picture.sum() == pytest.approx(5, abs=0.15)


def test_floats_in_parquet_are_the_pictures_of_16_bits(here):
    fine = drawn_here(FULL)
    tables = FULL | {"instrument": FULL["instrument"] | {"depth": "float32"}}
    tables |= {"simulator": SCENES["simulator"] | {"storage": "parquet"}}
    drawn_here(tables, "shards")
    from droulette.pipeline.storage import reader

    source = reader("shards")
    for name, data in fine.items():
        picture, about = read(data)
        exact, same = read(source.open(name).read())
        assert same == about
        assert np.abs(exact - picture).max() <= about.noise / 4


def test_resimulation_is_the_picture_without_noise(here):
    """Of amplitudes of a high order, near the reference point; with the lens's light in its place."""
    tables = FULL | {"simulator": SCENES["simulator"] | {"nterms": 12, "imagesize": 64, "cropsize": 48}}
    tables |= {
        "instrument": FULL["instrument"] | {"exposure": 1e9, "noise": 0},
        "lens_light": {"flux-ratio": 1, "radius": 0.5},
    }
    tables |= {"position": {"r-relativemax": 0.05}, "source": SCENES["source"] | {"sigma-max": 2}}
    data = drawn_here(tables | {"simulator": tables["simulator"] | {"model": "Roulette"}})
    roulette = pd.read_csv("roulette.csv")
    again = resimulate(roulette, 48, canvas=64)
    for row, file in enumerate(data.values()):
        picture, about = read(file, 48)
        shown = depth.shown(picture[None], about.table())[0].astype(int)
        assert np.abs(again[row].astype(int) - shown).max() <= 1


def test_drawing_says_the_depth():
    params = parse(SCENES | NOISE)
    assert Drawing.of(params.simulator, params.instrument.depth).depth == "uint16"
