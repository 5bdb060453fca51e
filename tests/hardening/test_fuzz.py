"""Whatever a file holds, it is taken or refused in one line; and nothing outside the folder is touched.

DROULETTE_FUZZ_CASES sets the number of cases of each kind; `tools/fuzz.py` tries tens of thousands.
"""

from __future__ import annotations

import os

import pytest
from fuzz import SHARES
from hostile import WATCH, Folder, checks
from hypothesis import HealthCheck, given, settings

from droulette.errors import UserError

CASES = int(os.environ.get("DROULETTE_FUZZ_CASES", "0"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    before = os.getcwd()
    yield Folder(tmp_path_factory.mktemp("fuzz"))
    os.chdir(before)


@pytest.fixture(scope="module")
def found(folder):
    return checks(folder)


@pytest.mark.parametrize("name", SHARES)
def test_any_bytes_are_taken_or_refused_in_one_line(found, name):
    strategy, check = found[name]
    options = {"derandomize": not CASES, "database": None, "suppress_health_check": list(HealthCheck)}

    @settings(max_examples=CASES or 40, deadline=None, **options)
    @given(strategy)
    def read(data):
        assert check(data) in ("taken", "refused")

    read()


def test_the_watch_sees_what_it_should(folder):
    outside = folder.work.parent / "outside.txt"

    def write() -> None:
        outside.write_text("x")

    def read() -> None:
        (folder.secret / "t.csv").read_text()

    def start() -> None:
        os.system("true")

    for bad in (write, read, start, outside.unlink):
        with pytest.raises(AssertionError, match=r"outside\.txt|t\.csv|os\.system"):
            folder.check(bad)
    assert not WATCH.allowed


def test_a_refusal_must_name_the_place(folder):
    def refuse() -> None:
        raise UserError("something is wrong somewhere")

    with pytest.raises(AssertionError, match="no place is named"):
        folder.check(refuse, "t.csv")
