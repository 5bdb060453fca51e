"""`python -m droulette.datagen`: what it writes, and what it says of bad input before it writes anything."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from droulette import datagen
from droulette.pipeline import dataset, draw, generate
from stages import generate as generate_stage

TOML = """
[simulator]
size = 3
seed = 4
nterms = 2
imagesize = 64
[lens]
mode = "SIE"
einstein = 12
[source]
mode = "SersicSphere"
sigma = 6
luminosity = 40
position = "relative"
"""
CSV = """filename,model,lens,einsteinradius,ellipseratio,orientation,source,sigma,x,y
a.png,Raytrace,SIE,14.0,0.5,30.0,s,5.0,6.0,3.0
b.png,Roulette,SIS,12.0,0.5,30.0,s,6.0,-4.0,9.0
"""
# The first 23 outputs of the users' example need nterms = 4; here nterms = 2.
ROULETTE_COLUMNS = [
    "filename", "source", "x", "y", "sigma", "sigma2", "theta", "n_sersic", "luminosity",
    "lensX", "lensY", "centreX", "centreY", "reletaX", "reletaY", "offsetX", "offsetY", "xiX", "xiY",
    "alpha[0][1]", "beta[0][1]", "alpha[1][0]", "beta[1][0]", "alpha[1][2]", "beta[1][2]",
    "alpha[2][1]", "beta[2][1]", "alpha[2][3]", "beta[2][3]",
]  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Commands are typed in a folder that has the users' files and nothing else."""
    monkeypatch.chdir(tmp_path)
    Path("dataset.toml").write_text(TOML)
    return tmp_path


def run(*options: str) -> None:
    assert datagen.main(["--outfile", "roulette.csv", "--directory", "images", *options]) == 0


def picture(name: str = "image-000001.png", folder: str = "images") -> np.ndarray:
    with Image.open(Path(folder, name)) as opened:
        return np.array(opened)


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_literal_command_writes_pictures_lens_table_and_amplitude_table(folder):
    command = (
        "-m droulette.datagen --toml dataset.toml --csvfile dataset.csv --outfile roulette.csv "
        "--directory images -C -Z 64"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(datagen.__file__).parents[1])}
    done = subprocess.run([sys.executable, *command.split()], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")  # quiet: not a terminal
    names = [f"image-{i:06}.png" for i in (1, 2, 3)]
    assert written(folder) == [
        "dataset.csv",
        "dataset.toml",
        "images",
        *(f"images/{name}" for name in names),
        "roulette.csv",
    ]
    dataset, roulette = pd.read_csv("dataset.csv"), pd.read_csv("roulette.csv")
    assert dataset["filename"].tolist() == roulette["filename"].tolist() == names
    assert roulette.columns.tolist() == ROULETTE_COLUMNS
    assert {
        "index",
        "model",
        "lens",
        "einsteinradius",
        "ellipseratio",
        "orientation",
        "source",
        "R",
        "phi",
        "sigma",
        "sigma2",
        "theta",
        "n_sersic",
        "luminosity",
        "x",
        "y",
        "chi",
    } <= set(dataset)
    for name in names:
        assert picture(name).shape == (64, 64)
        assert picture(name).max() > 0


def test_rows_of_an_existing_table_are_drawn_without_a_toml(folder):
    Path("own.csv").write_text(CSV)
    run("--csvfile", "own.csv", "-Z", "64", "-n", "2")
    assert Path("own.csv").read_text() == CSV
    assert written(folder) == ["dataset.toml", "images", "images/a.png", "images/b.png", "own.csv", "roulette.csv"]
    assert pd.read_csv("roulette.csv")["filename"].tolist() == ["a.png", "b.png"]


def test_table_that_was_written_redraws_its_pictures(folder):
    run("--toml", "dataset.toml", "--csvfile", "dataset.csv", "-C")
    run("--csvfile", "dataset.csv", "-C", "-Z", "64", "-n", "2", "-D", "again", "-o", "again.csv")
    for name in ("image-000001.png", "image-000003.png"):
        assert Path("images", name).read_bytes() == Path("again", name).read_bytes()
    assert Path("again.csv").read_bytes() == Path("roulette.csv").read_bytes()


@pytest.mark.parametrize("workers", [1, 3])
def test_the_rows_of_a_chunk_change_no_byte(folder, monkeypatch, workers):
    options = ("--toml", "dataset.toml", "--csvfile", "dataset.csv", "--size", "30", "--workers", str(workers))
    run(*options)
    expected = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(generate, "CHUNK_DRAWN_HERE", 4)
    starts = []

    def draw_table(params, start: int, stop: int) -> pd.DataFrame:
        starts.append(start)
        return draw.draw_table(params, start, stop)

    monkeypatch.setattr(dataset, "draw_table", draw_table)
    run(*options)
    assert starts == list(range(0, 30, 4))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == expected
    assert len(expected) == 33


def test_kinds_of_a_tables_columns_do_not_hang_on_the_threads(folder, monkeypatch):
    """pandas finds them chunk by chunk: whole numbers in one may be fractions in another."""
    monkeypatch.setattr(generate, "CHUNK_DRAWN_HERE", 4)
    whole = [f"{k}.png,Raytrace,SIS,12,0.5,30.0,s,6,-4.0,9.0" for k in range(8)]
    Path("own.csv").write_text("\n".join([CSV.splitlines()[0], *whole, CSV.splitlines()[1]]) + "\n")
    run("--csvfile", "own.csv", "-Z", "64", "-n", "2", "--workers", "1")
    assert Path("roulette.csv").read_text().splitlines()[1].startswith("0.png,s,-4.0,9.0,6.0,")


def test_size_crop_and_orders_given_as_options_override_the_toml(folder):
    run("--toml", "dataset.toml", "-Z", "50", "-z", "30", "-n", "1", "--size", "2")
    assert picture().shape == (30, 30)
    roulette = pd.read_csv("roulette.csv")
    assert len(roulette) == 2
    assert "alpha[1][2]" in roulette and "alpha[2][1]" not in roulette
    run("--toml", "dataset.toml", "-Z", "50")
    assert picture().shape == (50, 50)


SPLIT = '[problem]\nfilename = "r.csv"\nnterms = 2\n[dataset]\ntraining = {filename = "t.csv", size = SIZE}\n'


def test_size_and_orders_given_as_options_need_not_do_for_the_split_of_the_toml(folder, capsys):
    Path("dataset.toml").write_text(TOML + SPLIT.replace("SIZE", "3"))
    run("--toml", "dataset.toml", "--size", "1", "-n", "1")
    roulette = pd.read_csv("roulette.csv")
    assert len(roulette) == 1 and "alpha[2][1]" not in roulette
    assert datagen.main(["--toml", "dataset.toml", "--size", "2", "--dry-run"]) == 0
    assert "dry run: 2 pictures" in capsys.readouterr().out
    assert datagen.main(["--toml", str(Path(__file__).parents[1] / "params.toml"), "--size", "100", "--dry-run"]) == 0
    Path("dataset.toml").write_text(TOML + SPLIT.replace("SIZE", "4"))
    run("--toml", "dataset.toml", "--size", "2")
    assert datagen.main(["--toml", "dataset.toml"]) == 2
    assert "dataset.training.size: found 4 rows" in capsys.readouterr().err
    Path("params.toml").write_text(Path("dataset.toml").read_text())
    assert generate_stage.main([]) == 2
    assert "dataset.training.size: found 4 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, key",
    [
        ("-C", "seed = 4\ncentred = true"),
        ("--sampling nearest", 'seed = 4\nsampling = "nearest"'),
        ("--supersampling 3", "seed = 4\nsupersampling = 3"),
        ("--seed 9", "seed = 9"),
    ],
)
def test_option_does_what_its_key_in_the_toml_does(folder, options, key):
    run("--toml", "dataset.toml", "--csvfile", "dataset.csv")
    before, table, plain = Path("roulette.csv").read_bytes(), Path("dataset.csv").read_bytes(), picture()
    run("--toml", "dataset.toml", "--csvfile", "dataset.csv", *options.split())
    assert (picture() != plain).any()
    assert (Path("dataset.csv").read_bytes() != table) == ("--seed" in options)
    # Of these, only centring and the seed touch the amplitude table.
    assert (Path("roulette.csv").read_bytes() != before) == (options == "-C" or "--seed" in options)
    drawn = picture()
    Path("dataset.toml").write_text(TOML.replace("seed = 4", key))
    run("--toml", "dataset.toml")
    np.testing.assert_array_equal(picture(), drawn)


def test_no_centred_overrides_a_toml_that_centres(folder):
    run("--toml", "dataset.toml")
    plain = picture()
    Path("dataset.toml").write_text(TOML.replace("[simulator]", "[simulator]\ncentred = true"))
    run("--toml", "dataset.toml", "--no-centred")
    np.testing.assert_array_equal(picture(), plain)


COLUMNS = CSV.splitlines()[0].split(",")


def second_row(**changes: str) -> str:
    """A table whose second row has the changed cells."""
    row = dict(zip(COLUMNS, CSV.splitlines()[2].split(","), strict=True)) | changes
    return "\n".join([*CSV.splitlines()[:2], ",".join(row.values())]) + "\n"


BAD_ROWS = {
    "NaN": (second_row(sigma="nan"), "row 2", "sigma"),
    "empty cell": (second_row(x=""), "row 2", "x"),
    "word for a number": (second_row(sigma="wide"), "row 2", "sigma"),
    "infinite": (second_row(y="inf"), "row 2", "y"),
    "negative radius": (second_row(einsteinradius="-3"), "row 2", "einsteinradius"),
    "zero radius": (second_row(einsteinradius="0"), "row 2", "einsteinradius"),
    "ratio above 1": (second_row(lens="SIE", ellipseratio="1.2"), "row 2", "ellipseratio"),
    "unknown lens": (second_row(lens="Softened"), "row 2", "lens"),
    "no lens": (second_row(lens=""), "row 2", "lens"),
    "unknown source": (second_row(source="spiral"), "row 2", "source"),
    "no source": (second_row(source=""), "row 2", "source"),
    "unknown model": (second_row(model="Magic"), "row 2", "model"),
    "parent folder": (second_row(filename="../b.png"), "row 2", "filename"),
    "absolute path": (second_row(filename="/tmp/b.png"), "row 2", "filename"),
    "folder": (second_row(filename="sub/b.png"), "row 2", "filename"),
    "not a png": (second_row(filename="b.csv"), "row 2", "filename"),
    "no filename": (second_row(filename=""), "row 2", "filename"),
    "filename twice": (second_row(filename="a.png"), "row 2", "filename"),
    "malformed constellation": (second_row(source="s/1/2/x;s/3/4/5"), "row 2", "source"),
    "short constellation": (second_row(source="s/1"), "row 2", "source"),
}


def clusters(text: str) -> str:
    return "filename,cluster,source,sigma,x,y\na.png,SIS/0/0/9,s,5,6,3\n" + f"b.png,{text},s,5,6,3\n"


BAD_ROWS |= {
    f"cluster {text}": (clusters(text), "row 2", "cluster")
    for text in ("SIS/0/0", "SIS/0/0/nine", "SIE/0/0/9", "NFW/0/0/9", "SIS/0/0/-9", "SIE/0/0/9/1.5/0",
                 "SIS/0/0/inf", "SIS/0/0/9;", "nonsense")
}  # fmt: skip
NO_SIGMA = "\n".join(",".join(line.split(",")[:7] + line.split(",")[8:]) for line in CSV.splitlines())
BAD_TABLES = {
    "missing column": (NO_SIGMA, "sigma"),
    "no filenames": (CSV.replace("filename", "name", 1), "filename"),
    "no positions": (CSV.replace(",x,y", ",p,q", 1), "'x'"),
    "empty": ("", ""),
    "header only": (CSV.splitlines()[0] + "\n", "rows"),
    "ragged": (CSV + "c.png,1,2,3,4,5,6,7,8,9,10,11,12\n", ""),
    "binary": ("\0\1\2" * 50, ""),
}


def assert_refused(folder: Path, capsys, *options: str) -> str:
    """One line on stderr, status 2, nothing written. Returns the line."""
    before = written(folder)
    status = datagen.main(["--outfile", "roulette.csv", "--directory", "images", "-Z", "64", *options])
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("error: ")
    assert written(folder) == before
    return captured.err


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row_is_named_in_one_line_and_nothing_is_written(folder, capsys, case):
    text, *named = BAD_ROWS[case]
    Path("own.csv").write_text(text)
    line = assert_refused(folder, capsys, "--csvfile", "own.csv")
    for word in ("own.csv", *named, "found", "expected"):
        assert word in line
    if case == "parent folder":
        assert not Path("../b.png").exists()


@pytest.mark.parametrize("what", ["reference point", "amplitude"])
@pytest.mark.parametrize("options", [["--toml", "dataset.toml"], ["--toml", "dataset.toml", "--no-pictures"]])
def test_row_without_a_finite_reference_point_or_amplitude_is_named(folder, capsys, monkeypatch, what, options):
    def spoil(solve):
        def solve_badly(*args):
            first, second = solve(*args)
            second[..., 1] = np.nan  # the second row
            return first, second

        return solve_badly

    step = "apparent_position" if what == "reference point" else "amplitudes"
    monkeypatch.setattr(generate, step, spoil(getattr(generate, step)))
    line = assert_refused(folder, capsys, *options, "--csvfile", "dataset.csv")
    no_solution, not_finite = "the lens equation has no solution", "found beta[0][1] = nan, expected a finite amplitude"
    assert f"dataset.toml: row 2: {no_solution if what == 'reference point' else not_finite}" in line


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_table_is_named_in_one_line_and_nothing_is_written(folder, capsys, case):
    text, named = BAD_TABLES[case]
    Path("own.csv").write_text(text)
    line = assert_refused(folder, capsys, "--csvfile", "own.csv")
    assert "own.csv" in line
    assert named in line


def test_table_that_is_not_text_is_refused(folder, capsys):
    Path("own.csv").write_bytes(np.random.default_rng(1).bytes(5000))
    assert "own.csv" in assert_refused(folder, capsys, "--csvfile", "own.csv")


def test_missing_files_are_named(folder, capsys):
    assert "none.csv" in assert_refused(folder, capsys, "--csvfile", "none.csv")
    assert "none.toml" in assert_refused(folder, capsys, "--toml", "none.toml")
    assert "--toml" in assert_refused(folder, capsys)


@pytest.mark.parametrize(
    "options",
    ["-z 65", "-Z 0", "-n -1", "--supersampling 0", "--workers 0", "--supersampling 2 --sampling nearest", "--size 0"],
)
def test_impossible_options_are_refused(folder, capsys, options):
    assert_refused(folder, capsys, "--toml", "dataset.toml", *options.split())


def test_image_source_that_is_no_picture_is_refused(folder, capsys):
    toml = TOML.replace('mode = "SersicSphere"', 'mode = "Image"\nimage = "galaxy.png"')
    Path("dataset.toml").write_text(toml)
    Path("galaxy.png").write_text("not a picture")
    assert "galaxy.png" in assert_refused(folder, capsys, "--toml", "dataset.toml")


@pytest.mark.parametrize("path", ["../galaxy.png", "/etc/passwd", "sub/../../galaxy.png"])
def test_csv_cannot_make_it_read_a_picture_of_another_folder(folder, capsys, path):
    Path("own.csv").write_text(f"filename,lens,einsteinradius,source,theta,x,y,image\na.png,SIS,9,Image,0,5,3,{path}\n")
    line = assert_refused(folder, capsys, "--csvfile", "own.csv")
    assert "column image" in line
    assert "expected" in line


def test_users_own_image_is_drawn_as_a_source(folder):
    toml = TOML.replace('mode = "SersicSphere"', 'mode = "Image"\nimage = "galaxy.png"')
    Path("dataset.toml").write_text(toml)
    Image.fromarray(np.full((12, 12), 200, np.uint8)).save("galaxy.png")
    run("--toml", "dataset.toml", "--csvfile", "dataset.csv")
    assert picture().max() == 200
    run("--csvfile", "dataset.csv", "-Z", "64", "-D", "again")
    np.testing.assert_array_equal(picture(folder="again"), picture())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_an_error_that_names_the_two_ways_out(folder, capsys):
    line = assert_refused(folder, capsys, "--toml", "dataset.toml", "--device", "cuda")
    assert "--device cpu" in line
    assert 'device = "auto"' in line


def test_failure_in_the_middle_of_drawing_leaves_nothing(folder, monkeypatch):
    drawn = []

    class Bar:
        def __init__(self, **options) -> None: ...
        def __enter__(self):
            return self

        def __exit__(self, *error) -> None: ...
        def update(self, count: int) -> None:
            drawn.append(count)
            raise KeyboardInterrupt

    monkeypatch.setattr("tqdm.tqdm", Bar)
    before = written(folder)
    options = ["--toml", "dataset.toml", "--csvfile", "dataset.csv", "--outfile", "roulette.csv"]
    assert datagen.main([*options, "--directory", "images", "--size", "40"]) == 130
    assert drawn
    assert written(folder) == before


@pytest.mark.parametrize("what", ["generate.centre_of_light", "generate.render", "png.encode_all"])
def test_failure_in_any_step_of_drawing_leaves_nothing(folder, capsys, monkeypatch, what):
    def fail(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"droulette.pipeline.{what}", fail)
    before = written(folder)
    options = ["--toml", "dataset.toml", "--csvfile", "dataset.csv", "--outfile", "roulette.csv"]
    assert datagen.main([*options, "--directory", "images", "--centred"]) == 2
    assert "No space left" in capsys.readouterr().err
    assert written(folder) == before


def test_earlier_pictures_and_tables_outlive_a_later_failure(folder, capsys):
    run("--toml", "dataset.toml", "--csvfile", "dataset.csv")
    before = {name: Path(name).read_bytes() for name in written(folder) if Path(name).is_file()}
    Path("own.csv").write_text(second_row(sigma="nan"))
    assert_refused(folder, capsys, "--csvfile", "own.csv")
    assert all(Path(name).read_bytes() == content for name, content in before.items())


def test_killed_run_leaves_no_picture_folder_and_no_table(folder):
    command = (
        "-m droulette.datagen --toml dataset.toml --csvfile dataset.csv --outfile roulette.csv "
        "--directory images --size 100000 -Z 128"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(datagen.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, *command.split()], env=environment)
    try:
        deadline = time.monotonic() + 100
        while not list(folder.glob(".images.*.partial/*.png")):
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not Path("images").exists()
    assert not list(folder.glob("*.csv"))


def test_progress_goes_to_a_terminal_only(folder, capsys):
    run("--toml", "dataset.toml")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_help_is_shown_without_loading_torch():
    code = (
        "import sys\nfrom droulette import datagen\ndatagen.parser().format_help()\n"
        "print('torch' in sys.modules, 'pandas' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(datagen.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "False False\n"


def test_a_source_a_billionth_of_a_pixel_beside_a_point_mass_is_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = "filename,model,lens,einsteinradius,source,sigma,x,y"
    rows = ["1.png,Raytrace,PM,30,Spherical,2,1e-9,0", "2.png,Raytrace,PM,30,Spherical,2,0,1e-6"]
    Path("near.csv").write_text("\n".join([columns, *rows]) + "\n")
    assert datagen.main(["--csvfile", "near.csv", "--outfile", "r.csv", "--directory", "im", "-Z", "128"]) == 0
    table = pd.read_csv("r.csv")
    assert table["xiX"][0] == pytest.approx(30.0000000005, abs=1e-12)
    assert table["xiY"][1] == pytest.approx(30.0000005, abs=1e-11)
    assert np.isfinite(table.select_dtypes("number").to_numpy()).all()
