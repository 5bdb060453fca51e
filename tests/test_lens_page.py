"""docs/lenses.md says what the code says, and shows each lens."""

from pathlib import Path

import pytest

from droulette.parameters.lens_reference import page
from droulette.physics.lenses import LENSES

ROOT = Path(__file__).parents[1]
OF_DROULETTE = [name for name, model in LENSES.items() if model.__module__.startswith("droulette.")]


def test_the_page_of_lenses_is_that_of_the_models():
    assert (ROOT / "docs/lenses.md").read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("name", OF_DROULETTE)
def test_each_lens_has_its_formula_source_and_picture(name):
    model = LENSES[name]
    section = page().split(f"### `{model.names[0]}`")[1].split("###")[0]
    assert "ψ" in section or "κ" in section
    assert (ROOT / f"docs/images/lenses/{model.names[0]}.png").is_file()
    assert all(f"`{quantity.key}`" in section for quantity in model.parameters)
