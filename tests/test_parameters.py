"""The TOML tables: what is accepted, what it means, and the one line for what is not."""

from pathlib import Path

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from droulette.errors import UserError
from droulette.parameters import Parameters, load, parse
from droulette.parameters.reading import Distribution, all_spellings, keys, table_of
from droulette.parameters.reference import reference
from droulette.parameters.simulation import CONFIGS
from droulette.pipeline.streams import sample

ROOT = Path(__file__).parents[1]


def refusal(tables) -> str:
    with pytest.raises(UserError) as caught:
        parse(tables, "params.toml")
    return str(caught.value)


def write(folder: Path, text: str | bytes, name: str = "params.toml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ---------------------------------------------------------------- files that load as they stand

USERS_DATASET = """
[simulator]
configs = [ "raysie", "rs" ]
size = 1000
nterms = 5
[lens]
chi = 50
einstein-min = 10
einstein-max = 50
[source]
mode = "e"
sigma-min = 1
sigma-max = 60
sigma2-min = 1
sigma2-max = 40
theta-min = 0
theta-max = 179
position = "polar"
[position]
phi-min = 0
phi-max = 359
r-min = "einsteinR"
r-max = 100
"""
USERS_PROBLEM = """
[problem]
filename = "_test/dataset.csv"
variables = [ "sigma", "xiX", "xiY" ]
nterms = 5
[dataset.training]
filename = "_test/training.csv"
size = 0.7
[dataset.validation]
filename = "_test/validation.csv"
size = 0.15
[dataset.testing]
filename = "_test/testing.csv"
"""
USERS_EXPERIMENT = """
[settings]
device = "cuda"
model = "wide_resnet50_2"
[hyperparameters]
learning-rate = 1e-4
batch-size = 96
weight-decay = 1e-4
[training]
num-epochs = 1000
patience = 10
out-parameters = 23
[dataset]
directory = "_test/images"
training.filename = "_test/train.csv"
testing.filename = "_test/test.csv"
validation.filename = "_test/validation.csv"
"""


def test_users_dataset_loads_as_it_stands(tmp_path):
    params = load(write(tmp_path, USERS_DATASET))
    assert params.simulator.config == ("raysie", "rs")
    assert params.lens.einstein == Distribution(10, 50)
    assert params.lens.ellipseratio == Distribution(0.3, 0.9)
    assert params.source.mode == ("Ellipsoid",)
    assert (params.position.r_min, params.position.r_max) == ("einsteinR", 100)


def test_users_problem_loads_as_it_stands(tmp_path):
    params = load(write(tmp_path, USERS_PROBLEM))
    assert params.problem.nterms == (0, 5)
    assert params.problem.variables == ("sigma", "xiX", "xiY")
    assert {name: part.size for name, part in params.dataset.parts.items()} == {
        "training": 0.7,
        "validation": 0.15,
        "testing": None,
    }


def test_users_experiment_loads_as_it_stands(tmp_path):
    params = load(write(tmp_path, USERS_EXPERIMENT))
    assert params.settings.device == "cuda"
    assert params.hyperparameters.learning_rate == 1e-4
    assert params.training.out_parameters == 23
    assert params.problem is None
    assert params.dataset.training.filename == "_test/train.csv"


def test_default_params_are_the_published_sie_distribution():
    params = load(ROOT / "params.toml")
    assert (params.simulator.size, params.simulator.imagesize, params.simulator.cropsize) == (15000, 512, 256)
    assert params.simulator.centred and params.simulator.nterms == 4
    assert params.lens.mode == ("SIE",) and params.lens.einstein == Distribution(2.5, 75)
    assert params.lens.ellipseratio == Distribution(0.1, 0.9)
    assert params.source.mode == ("SersicSphere",) and params.source.sigma == Distribution(5, 50)
    assert params.source.luminosity == Distribution(20, 80) and params.source.position == "relative"
    assert params.position.r_relativemax == 1.2 and params.cluster.count.high == 0
    assert params.problem.nterms == (0, 4)
    assert params.dataset.directory == "data/images"


def test_an_empty_file_has_the_defaults(tmp_path):
    params = load(write(tmp_path, ""))
    assert params == Parameters()
    assert params.simulator.size == 10000 and params.simulator.model == ("Raytrace",)
    assert params.lens.mode == ("SIS",) and params.source.mode == ("Ellipsoid",)
    assert params.problem is None and params.dataset is None


def test_parameters_are_immutable():
    params = Parameters()
    with pytest.raises(pydantic.ValidationError):
        params.simulator.size = 3
    with pytest.raises(AttributeError):
        params.lens.einstein.low = 3


# ---------------------------------------------------------------- spellings


@pytest.mark.parametrize(
    ("table", "first", "second", "value"),
    [
        ("simulator", "model", "models", "Roulette"),
        ("simulator", "config", "configs", ["rs", "fs"]),
        ("lens", "mode", "modes", ["SIS", "SIE"]),
        ("source", "mode", "modes", ["s", "t"]),
        ("lens", "einstein", "einsteinradius", 20),
        ("lens", "einstein-min", "einsteinradius-min", 20),
    ],
)
def test_both_spellings_mean_the_same_and_exclude_each_other(table, first, second, value):
    assert parse({table: {first: value}}) == parse({table: {second: value}})
    message = refusal({table: {first: value, second: value}})
    assert message.startswith(f"params.toml: {table}.")
    assert f"another spelling of {first.removesuffix('-min')}, which is given too" in message


def test_short_names_are_the_long_ones():
    assert parse({"source": {"mode": ["s", "e", "t"]}}).source.mode == ("Spherical", "Ellipsoid", "Triangle")
    assert parse({"lens": {"mode": "PointMass"}}).lens.mode == ("PM",)


def test_the_ten_configs_name_lens_model_and_sampling():
    assert CONFIGS["raysie"] == ("Raytrace", "SIE", False) and CONFIGS["rs"] == ("Raytrace", "SIS", False)
    assert CONFIGS["fs"] == ("Roulette", "SIS", False) and CONFIGS["rousie"] == ("Roulette", "SIE", False)
    assert CONFIGS["p"] == ("Raytrace", "PM", False) and CONFIGS["r"] == ("Roulette", "PM", False)
    assert all(CONFIGS[name][2] for name in ("pss", "sraysie", "ss", "srousie"))


def test_cosmosim_keys_with_a_meaning_are_accepted():
    params = parse(
        {
            "simulator": {"xireference": True, "sampled": True},
            "source": {"mode": "s", "lightprofile": "Sersic"},
            "annotation": {"reflines": False, "criticalcurves": False},
            "management": {"mask": True},
            "dataset": {"directory": "./"},
            "r-relativemax": 0.4,
        }
    )
    assert params.source.profiles == ("SersicSphere",)
    assert params.simulator.mask and params.simulator.sampled
    assert params.position.r_relativemax == 0.4
    assert params.dataset.directory == "./"


@pytest.mark.parametrize(
    "tables",
    [
        {"simulator": {"xireference": False}},
        {"annotation": {"reflines": True}},
        {"management": {"psiplot": True}},
        {"management": {"maxcount": 3}},
        {"lens": {"amplitudefile": "sie05.txt"}},
        {"lens": {"cluster": "SIS/0/0/1"}},
        {"settings": {"models": ["resnet18"]}},
        {"hyperparameters": {"array": {"batch-size": [1, 2]}}},
    ],
)
def test_keys_without_a_meaning_here_are_said(tables):
    assert "found" in refusal(tables) and "expected" in refusal(tables)


def test_experiment_lays_problem_and_dataset_files_under_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        '[settings]\nproblem = "p.toml"\n[output]\ndirectory = "runs/1"\n[problem]\nnterms = 3',
        "e.toml",
    )
    write(tmp_path, USERS_PROBLEM.replace("[problem]", '[problem]\ndataset = "d.toml"'), "p.toml")
    write(tmp_path, USERS_DATASET + '[dataset]\ndirectory = "images"', "d.toml")
    params = load("e.toml")
    assert params.output.directory == "runs/1"
    assert params.problem.nterms == (0, 3)  # the experiment's own word counts
    assert params.problem.filename == "_test/dataset.csv"
    assert params.dataset.directory == "images" and params.dataset.training.size == 0.7
    assert params.simulator.config == ("raysie", "rs")

    write(tmp_path, "[lens]\nchy = 5", "d.toml")
    with pytest.raises(UserError, match=r"^d\.toml: lens\.chy: found an unknown key, expected lens\.chi$"):
        load("e.toml")
    Path("p.toml").unlink()
    with pytest.raises(UserError, match=r"^e\.toml: settings\.problem: p\.toml: no such file$"):
        load("e.toml")


# ---------------------------------------------------------------- overrides


def test_overrides_win_and_none_is_left_out(tmp_path):
    path = write(tmp_path, '[simulator]\nseed = 1\nsize = 5\nmodels = ["Roulette"]\n[lens]\neinstein-min = 20')
    overrides = {
        "simulator.seed": 3,
        "simulator.size": None,
        "simulator.model": "Raytrace",
        "lens.einstein": 7.5,
        "settings.device": "cpu",
    }
    params = load(path, overrides)
    assert (params.simulator.seed, params.simulator.size) == (3, 5)
    assert params.simulator.model == ("Raytrace",)
    assert params.lens.einstein == Distribution(7.5, 7.5)
    assert params.settings.device == "cpu"
    with pytest.raises(UserError, match=r"^command line: simulator\.seed: found -1"):
        load(path, {"simulator.seed": -1})


def test_without_a_file_the_overrides_are_all():
    assert load(None, {"simulator.imagesize": 64}).simulator.imagesize == 64


# ---------------------------------------------------------------- one line for what is wrong

REFUSED = [
    ({"lens": {"ellipseratio-max": 1.2}}, "lens.ellipseratio-max: found 1.2, expected a number in (0, 1]"),
    ({"lens": {"einstien-max": 9}}, "lens.einstien-max: found an unknown key, expected lens.einstein-max"),
    ({"lense": {}}, "lense: found an unknown table, expected lens"),
    ({"lens": 3}, "lens: found 3, expected a table"),
    ({"lens": {"einstein-min": 60}}, "lens.einstein-min: found 60, expected at most 50, the default maximum"),
    ({"lens": {"einstein-max": 6}}, "lens.einstein-max: found 6, expected at least 10, the default minimum"),
    (
        {"lens": {"einstein-min": 6, "einstein-max": 5}},
        "lens.einstein-min: found 6, expected at most 5, the maximum",
    ),
    (
        {"lens": {"einstein": 5, "einstein-max": 6}},
        "lens.einstein-max: cannot be combined with einstein; remove one of them",
    ),
    ({"lens": {"einsteinradius": 0}}, "lens.einsteinradius: found 0, expected a number in (0, "),
    ({"lens": {"einstein": []}}, "lens.einstein: found [], expected a number"),
    ({"lens": {"einstein": [1, "a"]}}, "lens.einstein: found 'a', expected a number"),
    ({"lens": {"modes": ["SIE", "SEI"]}}, "lens.modes: found 'SEI', expected one or a list of PM, "),
    ({"simulator": {"size": "3"}}, "simulator.size: found '3', expected a whole number in [1, "),
    ({"simulator": {"size": True}}, "simulator.size: found true, expected a whole number"),
    ({"simulator": {"size": 3.0}}, "simulator.size: found 3.0, expected a whole number"),
    ({"simulator": {"size": 0}}, "simulator.size: found 0, expected a whole number"),
    ({"simulator": {"size": 10**5000}}, "simulator.size: found a number of more than 30 digits"),
    ({"simulator": {"cropsize": 513}}, "simulator.cropsize: found 513, expected at most imagesize = 512"),
    ({"simulator": {"nterms": 21}}, "simulator.nterms: found 21, expected a whole number in [0, 20]"),
    ({"simulator": {"sampling": "best"}}, "simulator.sampling: found 'best', expected one of exact, nearest"),
    ({"simulator": {"centred": 1}}, "simulator.centred: found 1, expected true or false"),
    (
        {"simulator": {"config": "raysie", "model": "Roulette"}},
        "simulator.config: found raysie, which is Raytrace",
    ),
    (
        {"simulator": {"configs": ["raysie"]}, "lens": {"mode": "SIS"}},
        "simulator.configs: found raysie, which is SIE",
    ),
    ({"simulator": {"seed": -1}}, "simulator.seed: found -1, expected a whole number in [0, "),
    ({"source": {"sigma": 0}}, "source.sigma: found 0, expected a number in (0, "),
    ({"source": {"sigma": float("nan")}}, "source.sigma: found nan, expected a number"),
    ({"source": {"n_sersic-min": -1}}, "source.n_sersic-min: found -1, expected a number in (0.17, 100]"),
    ({"source": {"luminosity-lambda": -1}}, "source.luminosity-lambda: found -1, expected a number in [0, "),
    (
        {"source": {"mode": "Image"}},
        'source.image: missing; mode = "Image" needs the file name of the picture',
    ),
    ({"source": {"mode": "s/1/2/3"}}, "source.mode: found 's/1/2/3', expected one or a list of Spherical"),
    ({"source": {"position": "polr"}}, "source.position: found 'polr', expected one of cartesian, polar"),
    ({"position": {"r-min": "einstein"}}, "position.r-min: found 'einstein', expected a number in [0, "),
    ({"position": {"r-min": 3, "r-max": 2}}, "position.r-min: found 3, expected at most r-max = 2"),
    (
        {"position": {"r-max": 30}, "source": {"position": "polar"}},
        "position.r-max: found 30, expected at least the",
    ),
    ({"position": {"r-relativemax": 0}}, "position.r-relativemax: found 0, expected a number in (0, "),
    ({"cluster": {"count": 1.5}}, "cluster.count: found 1.5, expected a whole number"),
    ({"cluster": {"count": [0, 2]}}, "cluster.count: found [0, 2], expected 0 alone"),
    ({"settings": {"device": "gpu"}}, "settings.device: found 'gpu', expected auto, cpu, cuda, or cuda:0"),
    (
        {"hyperparameters": {"learning_rate": 1}},
        "hyperparameters.learning_rate: found an unknown key, expected ",
    ),
    (
        {"hyperparameters": {"learning-rate": 0}},
        "hyperparameters.learning-rate: found 0, expected a number in (0, ",
    ),
    (
        {"hyperparameters": {"weight-decay": float("inf")}},
        "hyperparameters.weight-decay: found inf, expected",
    ),
    ({"problem": {"nterms": 3}}, "problem.filename: missing, expected a file name"),
    ({"problem": {"filename": "x"}}, "problem.variables: variables and nterms are both missing"),
    (
        {"problem": {"filename": "x", "nterms": [3, 2]}},
        "problem.nterms: found [3, 2], expected a whole number",
    ),
    (
        {"problem": {"filename": "x", "variables": ["a", "a"]}},
        "problem.variables: found ['a', 'a'], expected a list",
    ),
    (
        {"problem": {"filename": "a\0b", "nterms": 1}},
        "problem.filename: found 'a\\x00b', expected a file name",
    ),
]


@pytest.mark.parametrize(("tables", "line"), REFUSED, ids=[line.split(": found")[0] for _, line in REFUSED])
def test_what_is_wrong_is_said_in_one_line(tables, line):
    message = refusal(tables)
    assert message.startswith("params.toml: " + line) and "\n" not in message


def parts(**sizes):
    return {
        name: {"filename": name + ".csv"} | ({} if size is None else {"size": size}) for name, size in sizes.items()
    }


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        (
            {"training": 0.9, "testing": 0.2},
            "dataset.testing.size: found shares that sum to 1.1, expected at most 1",
        ),
        (
            {"training": 0.5, "validation": 0.5, "testing": None},
            "dataset.testing.size: no rows are left for this part",
        ),
        (
            {"training": 0.5, "validation": None, "testing": None},
            "dataset.testing.size: missing; only one part may leave it out",
        ),
        ({"training": 1.5}, "dataset.training.size: found 1.5, expected a share in (0, 1) or a count"),
        ({"training": 0}, "dataset.training.size: found 0, expected a share"),
        ({"training": True}, "dataset.training.size: found true, expected a share"),
    ],
)
def test_impossible_splits_are_refused(sizes, line):
    assert refusal({"dataset": parts(**sizes)}).startswith("params.toml: " + line)


def test_splits_are_checked_against_problem_and_simulation():
    problem = {"filename": "a.csv", "nterms": 4}
    none = parts(training=None, validation=None, testing=None)
    parse({"dataset": none})  # of a training whose rows were split before
    assert "found no size" in refusal({"dataset": none, "problem": problem})
    counts = parts(training=70, validation=20, testing=None)
    tables = {"dataset": counts, "problem": problem, "simulator": {"size": 91, "nterms": 4}}
    parse(tables)
    line = "dataset.validation.size: found 90 rows in the parts with a size, and none for the rest"
    assert line in refusal(tables | {"simulator": {"size": 90}})
    assert "problem.nterms: found 4" in refusal(tables | {"simulator": {"size": 91, "nterms": 3}})
    shares = parts(training=0.7, validation=0.2, testing=0.1)
    parse({"dataset": shares, "problem": problem, "simulator": {"size": 10}})


def test_parts_have_files_of_their_own():
    tables = {"dataset": {"training": {"filename": "a.csv"}, "testing": {"filename": "a.csv"}}}
    assert "dataset.testing.filename: found 'a.csv', expected another file" in refusal(tables)


# ---------------------------------------------------------------- files that are none


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"[lens]\nchi 50\n", r"not TOML: .*line 2"),
        (b"[lens]\nchi = 1\nchi = 2\n", r"not TOML: .*line 3"),
        (b"[lens]\n# \xe6\n", "line 2: found byte 0xe6, expected UTF-8 text"),
        (b"[simulator]\nsize = " + b"9" * 5000, "not TOML"),
        (b"x = " + b"[" * 20000, "not TOML"),
        (b"#" * (1 << 20) + b"\n", "found more than 1 MiB"),
        (b"\x89PNG\r\n\x1a\n\0\0", "found byte 0x89"),
    ],
    ids=["syntax", "twice", "latin-1", "digits", "nested", "large", "picture"],
)
def test_a_file_that_is_no_toml_is_refused_with_its_line(tmp_path, data, line):
    path = write(tmp_path, data)
    with pytest.raises(UserError, match=f"^{path}: .*{line}"):
        load(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(UserError, match="no regular file"):
        load(tmp_path)
    with pytest.raises(UserError):
        load("x" * 5000)
    with pytest.raises(UserError):
        load("a\0b")


def test_a_byte_order_mark_is_no_error(tmp_path):
    assert load(write(tmp_path, b"\xef\xbb\xbf[simulator]\nsize = 3\n")).simulator.size == 3


# ---------------------------------------------------------------- properties

TABLES = [name for name, _ in keys(Parameters)]
KEYS = sorted(
    {s for _, table in keys(Parameters) for name, field in keys(table_of(table)) for s in all_spellings(name, field)}
)
SCALARS = (
    st.booleans()
    | st.integers()
    | st.integers(-3, 600)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["SIS", "raysie", "Raytrace", "Image", "e", "s/1/2/3/4/5/6/7", "einsteinR", "polar", "cuda:1"])
    | st.dates()
    | st.datetimes()
    | st.integers(10**300, 10**310)
)
NAMES = st.sampled_from([*KEYS, "filename", "size"]) | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
JUNK = st.dictionaries(
    st.sampled_from([*TABLES, "annotation", "management", "r-relativemax"]) | st.text(max_size=4),
    st.dictionaries(NAMES, VALUES, max_size=4) | VALUES,
    max_size=4,
)


@settings(max_examples=500, deadline=None)
@given(JUNK)
def test_any_tables_are_parameters_or_one_line(tables):
    try:
        assert isinstance(parse(tables), Parameters)
    except UserError as error:
        assert str(error).isprintable()


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(KEYS), value=VALUES, table=st.sampled_from(TABLES))
def test_any_value_of_any_key_is_a_parameter_or_one_line(name, value, table):
    try:
        assert isinstance(parse({table: {name: value}}), Parameters)
    except UserError as error:
        assert str(error).startswith("parameters: ") and str(error).isprintable()


NUMBERS = st.floats(-1e5, 1e5)
UNIFORM = np.append(np.linspace(0, 1, 11)[:-1], np.nextafter(1, 0))


@given(ends=st.tuples(NUMBERS, NUMBERS).map(sorted), rate=st.floats(0, 1000))
def test_samples_stay_within_their_bounds_and_grow_with_u(ends, rate):
    x = sample(Distribution(*ends, rate=rate), UNIFORM)
    assert (ends[0] <= x).all() and (x <= ends[1]).all()
    assert (np.diff(x) >= -1e-9 * (1 + abs(x[:-1]))).all() and x[0] == pytest.approx(ends[0])


@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_each_of_a_list_is_drawn_and_nothing_else(choices):
    drawn = parse({"position": {"x": choices}}).position.x
    assert (drawn.low, drawn.high) == (min(choices), max(choices))
    assert set(sample(drawn, UNIFORM)) == set(choices)


def test_whole_numbers_are_drawn_with_both_ends():
    count = parse({"cluster": {"count-min": 2, "count-max": 4}}).cluster.count
    assert set(sample(count, UNIFORM)) == {2, 3, 4}


def test_luminosity_is_truncated_exponential():
    luminosity = parse({"source": {"luminosity-min": 20, "luminosity-max": 80}}).source.luminosity
    assert luminosity.rate == 2
    x = (sample(luminosity, (np.arange(200_000) + 0.5) / 200_000) - 20) / 60
    rate = 2.0
    assert x.mean() == pytest.approx(1 / rate - np.exp(-rate) / -np.expm1(-rate), abs=1e-6)
    assert (x < 0.5).mean() == pytest.approx(np.expm1(-rate / 2) / np.expm1(-rate), abs=1e-5)


def test_the_reference_is_not_stale():
    assert (ROOT / "docs/toml.md").read_text(encoding="utf-8") == reference()


def test_every_key_has_a_meaning():
    for _, table in keys(Parameters):
        for name, field in keys(table_of(table)):
            assert field.description or table_of(field), name
