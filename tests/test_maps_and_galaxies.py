"""Datasets of map lenses and of galaxies as sources: from TOML to pictures, and again from the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from PIL import Image

from droulette import datagen
from droulette.errors import UserError
from droulette.parameters import parse
from droulette.pipeline import galaxies, maps
from droulette.pipeline.checks import check_rows
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, generate
from droulette.pipeline.picture_files import Recent
from droulette.pipeline.resimulate import resimulate

GALAXIES = Path(__file__).resolve().parents[1] / "data" / "galaxies"
DRAWING = Drawing(imagesize=96, cropsize=64, centred=True, nterms=3)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with two maps and three galaxies, in arrays of their own kind of file."""
    monkeypatch.chdir(tmp_path)
    for cached in (galaxies._levels, galaxies._catalogue, galaxies._opened):
        cached.cache_clear()
    monkeypatch.setattr(galaxies, "_recent", Recent(1 << 28))
    monkeypatch.setattr(maps, "_recent", Recent(1 << 28))
    step = np.arange(48) - 23.5
    x, y = step[None, :], step[:, None]
    Path("maps").mkdir()
    for k, q in enumerate((0.7, 0.9)):
        kappa = 4 / np.sqrt(x * x + (y / q) ** 2 + 4)
        np.save(f"maps/{k}.npy", kappa[::-1])  # row 0 on top
        fits.PrimaryHDU(kappa).writeto(f"{k}.fits")
    pictures = [np.array(Image.open(GALAXIES / name)) for name in ("merger-1.png", "ring-2.png", "spiral-3.png")]
    Path("pictures").mkdir()
    for k, picture in enumerate(pictures):
        Image.fromarray(picture).save(f"pictures/{k}.png")
    planes = np.array(pictures, np.float32)
    Path("arrays").mkdir()
    for k, plane in enumerate(planes):
        np.save(f"arrays/{k}.npy", plane)
    fits.PrimaryHDU(planes[:, ::-1]).writeto("cube.fits")
    write_catalogue(planes[:, ::-1])


def write_catalogue(planes: np.ndarray) -> None:
    """As GalSim's: a table, and beside it files of many HDUs, the galaxies in another order."""
    Path("cosmos").mkdir()
    empty = fits.PrimaryHDU(np.zeros((9, 9), np.float32))
    fits.HDUList([empty, fits.ImageHDU(planes[2]), fits.ImageHDU(planes[0])]).writeto("cosmos/images_n1.fits")
    fits.HDUList([fits.PrimaryHDU(planes[1])]).writeto("cosmos/images_n2.fits")
    columns = [
        fits.Column("IDENT", "J", array=[100, 200, 300]),
        fits.Column("GAL_FILENAME", "16A", array=["images_n1.fits", "images_n2.fits", "images_n1.fits"]),
        fits.Column("GAL_HDU", "J", array=[2, 0, 1]),
        fits.Column("PIXEL_SCALE", "D", array=[0.03] * 3),
        fits.Column("WEIGHT", "D", array=[1.0, 2.0, 3.0]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto("cosmos/real_galaxy_catalog.fits")


def tables(size=6, **changed) -> dict:
    found = {
        "simulator": {"size": size, "imagesize": 96, "cropsize": 64, "centred": True, "nterms": 3},
        "lens": {"mode": "Map", "map": "maps", "einstein-min": 8, "einstein-max": 15},
        "source": {"mode": "Galaxy", "galaxies": "pictures", "sigma-min": 2, "sigma-max": 6, "luminosity-min": 10},
        "position": {"x-min": -8, "x-max": 8, "y-min": -8, "y-max": 8},
    }
    for table, keys in changed.items():
        found[table] = found[table] | keys
    return found


def drawn(frame: pd.DataFrame, folder: str) -> dict[str, np.ndarray]:
    Path(folder).mkdir()
    generate(frame, DRAWING, Path(folder))
    return {path.name: np.array(Image.open(path)) for path in sorted(Path(folder).iterdir())}


def assert_same(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name])


def test_the_table_alone_draws_the_same_pictures_again():
    frame = draw_table(parse(tables()))
    assert set(frame["map"]) == {"maps/0.npy", "maps/1.npy"}
    assert set(frame["galaxy"]) <= {f"pictures/{k}.png" for k in range(3)} and set(frame["mirror"]) == {0, 1}
    first = drawn(frame, "first")
    assert min(picture.max() for picture in first.values()) > 20
    frame.to_csv("table.csv", index=False)
    assert_same(drawn(pd.read_csv("table.csv"), "again"), first)


@pytest.mark.parametrize("given", ["arrays", "cube.fits", "cosmos/real_galaxy_catalog.fits"])
def test_galaxies_are_the_same_from_every_kind_of_file(given):
    frame, other = (draw_table(parse(tables(source={"galaxies": name}))) for name in ("pictures", given))
    assert other["galaxy"].str.extract(r"(\d)\.npy$|#(\d)$").notna().any(axis=1).all()
    assert_same(drawn(other, "other"), drawn(frame, "first"))


def test_maps_are_the_same_in_fits_and_npy():
    frame = draw_table(parse(tables()))
    other = frame.assign(map=[name.replace("maps/", "").replace("npy", "fits") for name in frame["map"]])
    assert_same(drawn(other, "other"), drawn(frame, "first"))


def test_maps_and_galaxies_in_memory_are_bounded_in_bytes_and_pictures_are_the_same(monkeypatch):
    frame = draw_table(parse(tables(size=12)))
    first = drawn(frame, "first")
    assert len(maps._recent.kept) == 2 and len(galaxies._recent.kept) == 3
    (_, size), *_ = maps._recent.kept.values()
    assert size > 96 * 96 * 8
    most = maps._recent.bytes - 1, galaxies._recent.bytes // 2
    monkeypatch.setattr(maps, "_recent", Recent(most[0]))
    monkeypatch.setattr(galaxies, "_recent", Recent(most[1]))
    assert_same(drawn(frame, "again"), first)
    assert len(maps._recent.kept) == 1 and len(galaxies._recent.kept) < 3
    assert maps._recent.bytes <= most[0] and galaxies._recent.bytes <= most[1]


def test_the_least_recently_used_goes_first():
    @dataclass
    class Prepared:
        numbers: np.ndarray

    recent, made = Recent(2400), []

    def get(key: str, count: int = 100) -> None:
        assert len(recent.get(key, lambda: made.append(key) or Prepared(np.zeros(count))).numbers) == count

    for key in "abcabdabcd":
        get(key)
    assert "".join(made) == "abcdcd"
    get("large", 1000)
    assert list(recent.kept) == ["large"]


def test_a_map_of_the_potential_in_another_unit_is_the_same_lens():
    """ψ = 9 √(R² + 4) in px²; in units of which a pixel has 0.05, 0.0025 times that."""
    step = np.arange(64) - 31.5
    psi = 9 * np.sqrt(step**2 + step[:, None] ** 2 + 4)
    np.save("psi.npy", psi)
    np.save("arcsec.npy", psi * 0.05**2)
    lens = {"map-quantity": "potential", "map": "psi.npy"}
    frame = draw_table(parse(tables(lens=lens)))
    other = draw_table(parse(tables(lens=lens | {"map": "arcsec.npy", "map-pixel": 0.05})))
    first, second = drawn(frame, "first"), drawn(other, "other")
    for name in first:
        assert abs(first[name].astype(int) - second[name]).max() <= 1


def test_resimulations_show_the_galaxy():
    frame = draw_table(parse(tables(simulator={"nterms": 5})))
    Path("images").mkdir()
    roulette = generate(frame, DRAWING, Path("images"))
    assert list(roulette["galaxy"]) == list(frame["galaxy"])
    again = resimulate(roulette, 64)
    names = sorted(path.name for path in Path("images").iterdir())
    assert all(again[k].max() > 20 for k in range(len(names)))


WRONG = {
    "column map: found '../maps/0.npy', expected a path below": {"map": "../maps/0.npy"},
    "column galaxy: found '/etc/passwd', expected a path below": {"galaxy": "/etc/passwd"},
    "expected #1 to #3": {"galaxy": "cube.fits#4"},
    "expected #1 to #0": {"galaxy": "pictures/0.png#1"},
    "not a readable picture": {"galaxy": "table.txt"},
    "maps/none.npy: not a NPY file that can be read": {"map": "maps/none.npy"},
    "expected convergence or potential": {"mapquantity": "mass"},
    "a number above 0": {"mappixel": -1.0},
    "found 96×96×3 numbers, expected a square": {"map": "cube.fits"},
    "no circle about the middle": {"map": "faint.npy"},
    "nothing brighter than the picture's border": {"galaxy": "faint.npy"},
    "found NaN or infinity": {"map": "nan.npy"},
}


@pytest.mark.parametrize("words", WRONG)
def test_what_cannot_be_read_is_one_line(words):
    Path("table.txt").write_text("no picture")
    np.save("faint.npy", np.full((48, 48), 0.01))
    np.save("nan.npy", np.full((48, 48), np.nan))
    frame = draw_table(parse(tables(size=2))).assign(**WRONG[words])
    with pytest.raises(UserError) as error:
        check_rows([frame], "dataset.csv", 96)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_column_that_is_missing_is_named():
    frame = draw_table(parse(tables(size=2)))
    for column in ("map", "mapquantity", "mappixel", "galaxy", "mirror"):
        with pytest.raises(UserError, match=f"found no column '{column}'"):
            check_rows([frame.drop(columns=column)], "dataset.csv", 96)


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"lens": {"map": "nowhere"}}, "lens.map: found no file nowhere"),
        ({"lens": {"map": "pictures"}}, "lens.map: found no file .* in the folder pictures"),
        ({"source": {"galaxies": "nowhere"}}, "source.galaxies: found no file nowhere"),
    ],
)
def test_a_folder_without_files_is_refused(changed, words):
    with pytest.raises(UserError, match=words):
        draw_table(parse(tables(**changed)))


def test_toml_without_the_files_or_with_a_cluster_is_refused():
    with pytest.raises(UserError, match=r"lens\.map: missing; mode"):
        parse({"lens": {"mode": "Map"}})
    with pytest.raises(UserError, match=r"source\.galaxies: missing; mode"):
        parse({"source": {"mode": "Galaxy"}})
    with pytest.raises(UserError, match=r"lens\.mode: found Map, which"):
        parse(tables() | {"cluster": {"count": 2}})


def test_a_cluster_has_no_place_for_a_map():
    frame = draw_table(parse(tables(size=1))).assign(cluster="Map/0/0/10/0")
    with pytest.raises(UserError, match="column cluster: found 'Map', expected one of"):
        check_rows([frame], "dataset.csv", 96)


def test_more_orders_than_a_map_has_are_refused_before_anything_is_drawn():
    for mode in ("Map", "SIE+Map", ["SIS", "Map"]):
        asked = tables(lens={"mode": mode}, simulator={"nterms": 6})
        with pytest.raises(UserError, match=r"nterms: found 6, expected at most 5 with the lens (SIE\+)?Map"):
            parse(asked)
    frame = draw_table(parse(tables(size=1)))
    with pytest.raises(UserError, match="row 1: found nterms = 6 for a lens Map, expected at most 5"):
        check_rows([frame], "dataset.csv", 96, 6)
    Path("images").mkdir()
    with pytest.raises(UserError, match="found nterms = 6 for a lens Map, expected at most 5"):
        generate(frame, Drawing(imagesize=96, nterms=6), Path("images"))


TOML = """
[simulator]
size = 6
nterms = 3
imagesize = 96
cropsize = 64
centred = true
[lens]
mode = "SIE"
einstein-min = 8
einstein-max = 15
[source]
mode = "Galaxy"
galaxies = "cosmos/real_galaxy_catalog.fits"
[position]
x-min = -8
x-max = 8
y-min = -8
y-max = 8
"""


def test_a_row_alone_draws_the_same_bytes_of_a_galaxy():
    Path("g.toml").write_text(TOML)
    assert not datagen.main(
        ["--toml", "g.toml", "--csvfile", "g.csv", "--outfile", "r.csv", "--directory", "all", "--device", "cpu"]
    )
    frame = pd.read_csv("g.csv")
    assert frame["galaxy"].nunique() > 1 and set(frame["mirror"]) == {0, 1}
    frame.iloc[4:5].to_csv("one.csv", index=False)
    options = ["-Z", "96", "-z", "64", "-C", "-n", "3", "--device", "cpu"]
    assert not datagen.main(["--csvfile", "one.csv", "--outfile", "o.csv", "--directory", "one", *options])
    assert Path("one/image-000005.png").read_bytes() == Path("all/image-000005.png").read_bytes()
    assert Path("o.csv").read_text().splitlines()[1] == Path("r.csv").read_text().splitlines()[5]


def test_names_of_files_are_taken_as_they_are():
    """A `#` in a name chooses nothing, and what a Mac keeps beside a file is no picture."""
    Path("pictures/0.png").rename("pictures/a#1.png")
    Path("pictures/._1.png").write_bytes(b"no picture")
    frame = draw_table(parse(tables(size=30)))
    assert set(frame["galaxy"]) == {"pictures/1.png", "pictures/2.png", "pictures/a#1.png"}
    check_rows([frame], "dataset.csv", 96)


def test_a_catalogue_leads_to_no_other_folder():
    with fits.open("cosmos/real_galaxy_catalog.fits") as opened:
        opened[1].data["GAL_FILENAME"][0] = "../cube.fits"
        opened.writeto("cosmos/wrong.fits")
    frame = draw_table(parse(tables(size=1))).assign(galaxy="cosmos/wrong.fits#1")
    with pytest.raises(UserError, match=r"cosmos/wrong.fits: found GAL_FILENAME '../cube.fits', expected a plain name"):
        check_rows([frame], "dataset.csv", 96)


def test_a_galaxy_is_mirrored_or_not():
    frame = draw_table(parse(tables(size=1))).assign(mirror=0.5)
    with pytest.raises(UserError, match=r"column mirror: found 0.5, expected a whole number in \[0, 1\]"):
        check_rows([frame], "dataset.csv", 96)
