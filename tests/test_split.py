"""Rows are shared out as the TOML says; what is wrong is said in one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from droulette import files, split
from droulette.errors import UserError
from droulette.pipeline.splitting import share_out, split_file
from droulette.pipeline.targets import amplitude_columns, read_targets

PROBLEM = """
[problem]
filename = "dataset.csv"
variables = ["sigma", "xiX", "xiY"]
nterms = 4
[dataset.training]
filename = "training.csv"
size = 0.7
[dataset.validation]
filename = "validation.csv"
size = 30
[dataset.testing]
filename = "testing.csv"
"""
PARTS = ("training", "validation", "testing")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    columns = ["sigma", "xiX", "xiY", *amplitude_columns(0, 5)]
    table = pd.DataFrame(rng.normal(size=(200, len(columns))) * 10.0 ** rng.integers(-9, 9, 200)[:, None])
    table.columns = columns
    table["beta[1][0]"] = table["beta[3][0]"] = table["beta[5][0]"] = 0.0
    table.insert(0, "filename", [f"image-{k:06}.png" for k in range(1, 201)])
    files.write_csv(table, "dataset.csv")
    Path("problem.toml").write_text(PROBLEM)
    return tmp_path


def parts() -> list[pd.DataFrame]:
    return [files.read_csv(f"{name}.csv") for name in PARTS]


def test_the_example_gives_23_columns_and_the_rows_asked_for(folder, capsys):
    assert split.main(["problem.toml"]) == 0
    assert "beta[1][0], beta[3][0]" in capsys.readouterr().out
    assert [len(part) for part in parts()] == [140, 30, 30]
    assert all(part.shape[1] == 1 + 23 for part in parts())


def test_every_row_is_in_one_part_unchanged_to_the_last_bit(folder):
    split.main(["problem.toml"])
    together = pd.concat(parts()).sort_values("filename", ignore_index=True)
    pd.testing.assert_frame_equal(together, files.read_csv("dataset.csv")[list(together)], check_exact=True)


def test_rows_are_shuffled_by_the_seed_or_kept_in_order(folder):
    def names(*options) -> list[str]:
        assert split.main(["problem.toml", *options]) == 0
        return [name for part in parts() for name in part["filename"]]

    first = names("--seed", "1")
    assert first == names("--seed", "1") and first != names("--seed", "2")
    assert sorted(first) != first
    assert names("--keep-order") == sorted(first)


def test_orders_may_have_a_least_one(folder):
    Path("problem.toml").write_text(PROBLEM.replace("nterms = 4", "nterms = [2, 3]"))
    split.main(["problem.toml"])
    expected = ["sigma", "xiX", "xiY", *amplitude_columns(2, 3)]
    expected.remove("beta[3][0]")
    assert list(parts()[0])[1:] == expected


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((0.7, 0.15, None), (70, 15, 15)),
        ((None, 10, 20), (70, 10, 20)),
        ((0.29, 0.01, 0.7), (29, 1, 70)),
        ((50, 0.1, 5), (50, 10, 5)),
    ],
)
def test_sizes_are_shares_or_counts_and_one_takes_the_rest(sizes, expected):
    assert tuple(share_out(100, dict(zip(PARTS, sizes, strict=True)), name="x").values()) == expected


@pytest.mark.parametrize("sizes", [(90, 20, None), (100, 0.5, None), (99, 1, None), (0.001, 0.1, None)])
def test_sizes_that_cannot_be_are_one_line(sizes):
    with pytest.raises(UserError, match=r"x\.csv: found 100 rows"):
        share_out(100, dict(zip(PARTS, sizes, strict=True)), name="x.csv")


def broken(folder, **columns) -> str:
    """The error of a split whose table has been changed."""
    table = files.read_csv("dataset.csv")
    for column, change in columns.items():
        table = change(table) if callable(change) else table.assign(**{column: change})
    files.write_csv(table, "dataset.csv")
    with pytest.raises(UserError) as caught:
        split_file("dataset.csv", {"training": ("t.csv", None)}, variables=["sigma", "xiX"])
    assert not Path("t.csv").exists()
    return str(caught.value)


def test_a_missing_column_names_the_nearest(folder):
    error = broken(folder, xiX=lambda table: table.rename(columns={"xiX": "xi_X"}))
    assert error == "dataset.csv: found no column 'xiX', expected it; nearest: 'xi_X'"


def test_a_value_that_is_no_number_names_row_and_column(folder):
    values = [1.5] * 6 + ["six"] + [1.5] * 193
    line = "dataset.csv: row 7, column sigma: found 'six', expected a finite number"
    assert broken(folder, sigma=values) == line


def test_infinite_values_and_names_twice_are_said(folder):
    infinite = broken(folder, sigma=[np.inf] + [1.0] * 199)
    assert infinite == "dataset.csv: row 1, column sigma: found inf, expected a finite number"
    twice = broken(folder, filename=["a"] * 200)
    assert twice == "dataset.csv: row 2, column filename: found 'a', expected a name that no other row has"


def test_targets_that_are_all_constant_are_said(folder):
    line = "dataset.csv: found all targets constant in the training rows, expected one that varies"
    assert broken(folder, sigma=1.0, xiX=2.0) == line


def test_rows_of_held_out_lenses_and_galaxies_are_all_testing_rows(folder, capsys):
    lenses = pd.DataFrame({"filename": [f"image-{k:06}.png" for k in range(1, 201)]})
    lenses["lens"] = ["SIE", "SIE+Shear", "PointMass", "SIE"] * 50
    lenses["galaxy"] = [f"sky/galaxy-{k % 10}.png" for k in range(200)]
    files.write_csv(lenses, "lenses.csv")
    held = 'lenses = "lenses.csv"\nhold-out = ["SIE+Shear", "sky/*-9.png"]\n'
    Path("held.toml").write_text(PROBLEM.replace("nterms = 4\n", "nterms = 4\n" + held))
    split.main(["held.toml"])
    parts = {name: set(pd.read_csv(f"{name}.csv")["filename"]) for name in PARTS}
    expected = {f"image-{k:06}.png" for k in range(1, 201) if k % 4 == 2 or k % 10 == 0}
    assert expected < parts["testing"] and not expected & (parts["training"] | parts["validation"])
    Path("held.toml").write_text(Path("held.toml").read_text().replace("*-9", "*-x"))
    assert split.main(["held.toml"]) == 2
    assert "hold-out: found 'sky/*-x.png', expected a lens or a galaxy of lenses.csv" in capsys.readouterr().err


def test_the_command_says_it_in_one_line_with_status_2(folder, capsys):
    Path("problem.toml").write_text(PROBLEM.replace('"sigma"', '"sigmo"'))
    assert split.main(["problem.toml"]) == 2
    line = "error: dataset.csv: found no column 'sigmo', expected it; nearest: 'sigma'\n"
    assert capsys.readouterr().err == line
    assert not Path("training.csv").exists()


def test_targets_are_read_as_numbers_of_the_columns_asked_for(folder):
    table = read_targets("dataset.csv", ["xiY", "sigma"])
    assert list(table) == ["filename", "xiY", "sigma"]
    assert all(table[column].dtype == np.float64 for column in ("xiY", "sigma"))


def test_a_table_is_written_as_pandas_writes_it(tmp_path):
    names = ["plain", "a,b", 'c"d', "two\nlines", "ünïcode", ""]
    rows = {name: [f"{name}1", None, "x,y"] for name in names} | {"number": [0.1, 1e-300, -0.0], "count": [1, 2, 3]}
    table = pd.DataFrame(rows)
    files.write_csv(table, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == table.to_csv(index=False, lineterminator="\n")
