"""The widgets of the page: a slider for each quantity, named, limited and explained by the registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import resources

from bokeh.models import CheckboxGroup, Column, InlineStyleSheet, MultiChoice, RadioButtonGroup, Select, Slider

from droulette.exploring import settings as choices
from droulette.exploring.settings import SCENES, Settings
from droulette.parameters.simulation import MAX_NTERMS
from droulette.quantities import Quantity
from droulette.registry import LENSES, SOURCES

TEMPLATE = resources.files("droulette.exploring") / "template"
SIZES = (128, 256, 512)
OWN_SCENE = "—"  # of no preset
LONGEST_TITLE = 40  # letters, that fit beside the value


def title(quantity: Quantity) -> str:
    """A few words for a quantity, and its unit."""
    words = re.split(r"[:;.]", quantity.meaning)[0]
    words = words.replace(" θ_E", "")  # an index cannot be lowered here
    words = words if len(words) <= LONGEST_TITLE else words.split(",")[0]
    return f"{words}, {quantity.unit}" if quantity.unit else words


class Controls:
    """All widgets, and what they say as `Settings`. changed: called after each change of one of them."""

    def __init__(self, first: Settings, changed: Callable[[], None]) -> None:
        self._quiet = False
        self.style = InlineStyleSheet(css=(TEMPLATE / "widgets.css").read_text())
        self.preset = self._select("preset", "preset of a scene", [OWN_SCENE, *SCENES])
        self.lens = self._select("lens", "lens", choices.lens_names())
        self.added = MultiChoice(
            title="added to it", options=choices.added_names(), name="added", placeholder="nothing", **self._common()
        )
        self.source = self._select("source", "source", choices.source_names())
        self.instrument = self._select("instrument", "instrument", list(choices.INSTRUMENTS))
        self.imagesize = RadioButtonGroup(labels=[f"{size}² px" for size in SIZES], name="imagesize", **self._common())
        self.centred = CheckboxGroup(labels=["middle at the centre of light"], name="centred", **self._common())
        self.nterms = self._slider("nterms", "highest order m of the amplitudes", 0, MAX_NTERMS, 1, first.nterms, "0")
        self.seed = self._slider("seed", "seed of the noise", 0, 100, 1, first.seed, "0")
        self.parameters: dict[str, dict[str, Slider]] = {}
        self._made: dict[tuple[str, Quantity], Slider] = {}
        self.columns = {
            kind: Column(name=f"{kind}_values", sizing_mode="stretch_width")
            for kind in ("lens", "source", "position", "instrument")
        }
        self.preset.on_change("value", lambda attr, old, new: self._chosen(new))
        for widget in (self.lens, self.added, self.source, self.instrument):
            widget.on_change("value", lambda attr, old, new: self._rebuilt())
        for widget in (self.imagesize, self.centred):
            widget.on_change("active", lambda attr, old, new: self._tell())
        self._changed = lambda: None
        self.show(first)
        self._changed = changed

    # ------------------------------------------------------------ what they say

    def settings(self) -> Settings:
        values = {kind: {name: s.value for name, s in sliders.items()} for kind, sliders in self.parameters.items()}
        return Settings(
            lens="+".join([self.lens.value, *self.added.value]),
            lens_values=values["lens"],
            source=self.source.value,
            source_values=values["source"],
            position=(values["position"]["x"], values["position"]["y"]),
            instrument=self.instrument.value,
            instrument_values=values["instrument"],
            seed=int(self.seed.value),
            nterms=int(self.nterms.value),
            imagesize=SIZES[self.imagesize.active],
            centred=bool(self.centred.active),
        )

    def show(self, settings: Settings) -> None:
        """Bring all widgets to these settings."""
        self._quiet = True
        self.preset.value = next((name for name, preset in SCENES.items() if preset is settings), OWN_SCENE)
        lens, *added = choices.parts(settings.lens)
        self.lens.value, self.added.value = lens, added
        self.source.value, self.instrument.value = settings.source, settings.instrument
        self.imagesize.active = SIZES.index(settings.imagesize) if settings.imagesize in SIZES else 1
        self.centred.active = [0] if settings.centred else []
        self.nterms.value, self.seed.value = settings.nterms, settings.seed
        x, y = settings.position
        self._build("position", choices.position_quantities(), {"x": x, "y": y})
        self._build("lens", LENSES[settings.lens].parameters, settings.lens_values)
        self._build("source", SOURCES[settings.source].parameters, settings.source_values)
        instrument = choices.instrument_quantities(settings.instrument)
        self._build("instrument", instrument, settings.instrument_values)
        self._quiet = False
        self._changed()

    # ------------------------------------------------------------ how they change

    def _chosen(self, preset: str) -> None:
        if preset in SCENES and not self._quiet:
            self.show(SCENES[preset])

    def _rebuilt(self) -> None:
        """After another model: its sliders, with the values of those that it shares with the one before."""
        if self._quiet:
            return
        before = self.settings()
        self._build("lens", LENSES[before.lens].parameters, before.lens_values)
        self._build("source", SOURCES[before.source].parameters, before.source_values)
        self._build("instrument", choices.instrument_quantities(before.instrument), before.instrument_values)
        self._tell()

    def _build(self, kind: str, quantities: tuple[Quantity, ...], values: Mapping[str, float]) -> None:
        """Sliders for quantities: each is made once."""
        wanted = choices.complete(quantities, values)
        sliders = {}
        for quantity in quantities:
            if (kind, quantity) not in self._made:
                self._made[kind, quantity] = self._of_quantity(kind, quantity, wanted[quantity.name])
            sliders[quantity.name] = self._made[kind, quantity]
        for name, slider in sliders.items():
            slider.start, slider.end = min(slider.start, wanted[name]), max(slider.end, wanted[name])
            slider.value = wanted[name]
        self.parameters[kind] = sliders
        more = [self.seed] if kind == "instrument" and quantities else []
        if [*sliders.values(), *more] != self.columns[kind].children:
            self.columns[kind].children = [*sliders.values(), *more]

    def leave_preset(self) -> None:
        """What is shown is no preset any more, so that each can be chosen."""
        self.preset.value = OWN_SCENE

    def _tell(self) -> None:
        if self._quiet:
            return
        self.leave_preset()
        self._changed()

    # ------------------------------------------------------------ widgets

    def _of_quantity(self, kind: str, quantity: Quantity, value: float) -> Slider:
        limits = choices.slider_range(quantity, value)
        form = "0" if limits.decimals == 0 else f"0.{'0' * limits.decimals}"
        return self._slider(
            f"{kind}.{quantity.name}", title(quantity), limits.start, limits.end, limits.step, value, form
        )

    def _slider(self, name: str, title: str, start: float, end: float, step: float, value: float, form: str) -> Slider:
        slider = Slider(
            name=name, title=title, start=start, end=end, step=step, value=value, format=form, tooltips=False,
            **self._common(),
        )  # fmt: skip
        slider.on_change("value", lambda attr, old, new: self._tell())
        return slider

    def _select(self, name: str, title: str, options: list[str]) -> Select:
        return Select(name=name, title=title, options=options, value=options[0], **self._common())

    def _common(self) -> dict[str, object]:
        return {"sizing_mode": "stretch_width", "stylesheets": [self.style]}
