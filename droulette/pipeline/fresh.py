"""Training pictures that are drawn as they are needed, each of a row that is in no other epoch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np
import torch

from droulette.devices import cores, stream_of
from droulette.errors import UserError
from droulette.learning.fit import Batch, Split
from droulette.learning.scaling import Scaling
from droulette.parameters import DRAWING
from droulette.parameters.reading import Distribution
from droulette.physics.arrays import is_tensor
from droulette.pipeline.batching import slices
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, draw_in_memory

if TYPE_CHECKING:
    import pandas as pd

    from droulette.learning.preprocessing import Preprocessing
    from droulette.parameters import Parameters

NAME = "fresh rows"  # what error messages call their table
ROWS_AT_ONCE = {"cpu": 512, "cuda": 8192}  # drawn together: some batches
VIEWS_AT_ONCE = {"cpu": 64, "cuda": 1024}  # pictures that are preprocessed together, as float32
AHEAD = {"cpu": 1, "cuda": 3}  # chunks that are drawn while one is learnt from


@dataclass(frozen=True)
class FreshPictures:
    """Rows of the distribution that the dataset was drawn from, beyond the dataset's own; see `fit.Pictures`.

    Position p of epoch e is row size + e · count + p of the distribution, whatever the batches, the device or the
    processes: the same weights come out twice, and after a training that was stopped. The pictures are not turned or
    mirrored: their scenes are new anyway.

    count: pictures of an epoch. size: side of a picture, px.
    """

    params: Parameters
    columns: list[str]
    count: int
    size: int
    preprocessing: Preprocessing
    scaling: Scaling
    device: torch.device

    def __post_init__(self) -> None:
        drawing = Drawing.of(self.params.simulator)
        if drawing.size != self.size:
            found = f"pictures of {drawing.size} px by [simulator]"
            raise UserError(f"training.fresh-pictures: {found}, but of {self.size} px in the dataset")
        first = self.params.simulator.size
        with ThreadPoolExecutor(1) as helpers:
            _, _, table = draw_in_memory(draw_table(self.params, first, first + 1), drawing, NAME, "cpu", helpers)
        for column in self.columns:
            if column not in table:
                raise UserError(f"training.fresh-pictures: [simulator] and its tables give no column {column!r}")

    def drawn_by(self) -> tuple:
        """What decides the pictures."""
        return tuple(getattr(self.params, name) for name in DRAWING)

    def batches(self, epoch: int, starts: list[int], size: int, share: slice) -> Iterator[Batch]:
        """See `fit.Pictures`: the shares of some batches are drawn together, while those before are learnt from."""
        together = max(1, ROWS_AT_ONCE[self.device.type] // size)
        groups = [starts[k : k + together] for k in range(0, len(starts), together)]
        waiting: deque[Future] = deque()
        helpers = ThreadPoolExecutor(cores())
        with ThreadPoolExecutor(AHEAD[self.device.type]) as drawers:
            try:
                for group in groups:
                    waiting.append(drawers.submit(self._draw, epoch, group, size, share, helpers))
                    if len(waiting) > AHEAD[self.device.type]:
                        yield from self._handed_over(waiting.popleft())
                while waiting:
                    yield from self._handed_over(waiting.popleft())
            finally:
                drawers.shutdown(cancel_futures=True)
                helpers.shutdown()

    def _draw(self, epoch: int, starts: list[int], size: int, share: slice, helpers: ThreadPoolExecutor) -> list[Batch]:
        """The shares of the batches that begin at these positions."""
        ends = [min(start + size, self.count) for start in starts]
        places = [np.arange(start, end)[share] for start, end in zip(starts, ends, strict=True)]
        first = self.params.simulator.size + epoch * self.count
        frame = draw_table(self.params, first + starts[0], first + ends[-1])
        mine = frame.iloc[np.concatenate(places) - starts[0]].reset_index(drop=True)
        views, targets = self._views_and_targets(mine, helpers)
        parts = np.cumsum([len(rows) for rows in places])[:-1].tolist()
        batches = zip(torch.tensor_split(views, parts), torch.tensor_split(targets, parts), starts, ends, strict=True)
        return [Batch(some, None, wanted, end - start) for some, wanted, start, end in batches]

    def _views_and_targets(self, frame: pd.DataFrame, helpers: ThreadPoolExecutor) -> tuple[torch.Tensor, torch.Tensor]:
        """Views and scaled targets, on the device that trains."""
        device = str(self.device)
        with stream_of(device), torch.no_grad():
            drawing = Drawing.of(self.params.simulator)
            pictures, facts, table = draw_in_memory(frame, drawing, NAME, device, helpers)
            pictures = pictures if is_tensor(pictures) else torch.from_numpy(pictures)
            views = torch.cat(
                [self._views(pictures, facts, part) for part in slices(len(pictures), VIEWS_AT_ONCE[self.device.type])]
            )
            targets = self.scaling.transform(table[self.columns].to_numpy()).astype(np.float32)
            targets = torch.from_numpy(targets).to(self.device)
            if self.device.type == "cuda":
                torch.cuda.current_stream(self.device).synchronize()
        return views, targets

    def _views(self, pictures: torch.Tensor, facts: np.ndarray | None, part: slice) -> torch.Tensor:
        return self.preprocessing.views(pictures[part], None if facts is None else torch.from_numpy(facts[part]))

    def _handed_over(self, drawn: Future) -> Iterator[Batch]:
        """The batches, whose memory is not used again before the training's work on them is done."""
        for batch in drawn.result():
            if self.device.type == "cuda":
                stream = torch.cuda.default_stream(self.device)
                batch.views.record_stream(stream)
                batch.targets.record_stream(stream)
            yield batch


NO_LENS_ROWS = 2000  # pictures of galaxies without a lens
LENS_LIGHT_ROWS = 6000  # and of lenses that shine: with a third of them a tenth of the faint ones pass
NEIGHBOUR_ROWS = 4000  # and of lenses beside other galaxies
NOVELTY_ROWS = 3000  # more rows, beside the validation part, to measure what a model knows
CALIBRATION_ROWS = 5000  # and further ones to measure its errors on
END_ROWS = 4000  # the same at the ends of the instrument's ranges, where few of the distribution's rows lie
CORNER_ROWS = 4000  # and where two of its numbers are at an end each
OTHER_LIGHT = np.geomspace(0.1, 5.0, 12)  # over that of the lensed source
NO_LENS = 1e-3  # px, Einstein radius
# Changes the seed of all these rows. Those of the dataset's seed may have been learnt from, by the weights that a
# training began with: intervals measured on such rows held 66 % in place of 68 % of others, where there is no noise.
UNSEEN = 0x5EED_0000


def novelty_rows(
    params: Parameters, preprocessing: Preprocessing, columns: list[str], device: torch.device
) -> tuple[Split, np.ndarray]:
    """NOVELTY_ROWS rows of the distribution that no training has seen, and the facts of their pictures, (n, 6)."""
    rows, facts = zip(*_taken(params, preprocessing, columns, 0, NOVELTY_ROWS, device), strict=True)
    return Split.of(rows), np.concatenate(facts)


def calibration_rows(
    params: Parameters, preprocessing: Preprocessing, columns: list[str], device: torch.device
) -> Iterator[tuple[Split, np.ndarray]]:
    """CALIBRATION_ROWS rows, END_ROWS at each end in turn and CORNER_ROWS at each corner, some at a time; see
    `novelty_rows`.
    """
    first = NOVELTY_ROWS
    for kinds, count in _to_calibrate(params):
        for number, kind in enumerate(kinds):
            part = slice(count * number // len(kinds), count * (number + 1) // len(kinds))
            yield from _taken(kind, preprocessing, columns, first + part.start, part.stop - part.start, device)
        first += count


def rows_to_measure(params: Parameters, others: bool) -> int:
    """How many `calibration_rows` there are, and `out_of_distribution_views` if these are wanted."""
    kinds = _other_kinds(params) if others else []
    return sum(count for rows, count in _to_calibrate(params) if rows) + sum(count for _, count in kinds)


def _to_calibrate(params: Parameters) -> list[tuple[list[Parameters], int]]:
    """Distributions that share so many rows."""
    ends = [(_at_ends(params, together), count) for together, count in ((1, END_ROWS), (2, CORNER_ROWS))]
    return [([params], CALIBRATION_ROWS), *ends]


def _at_ends(params: Parameters, together: int) -> list[Parameters]:
    """The distribution with so many of the instrument's numbers that vary at their least or greatest, all ways."""
    varying = [
        (name, value) for name, value in params.instrument if isinstance(value, Distribution) and not value.fixed
    ]
    found = []
    for numbers in combinations(varying, together):
        for ends in product(*((value.low, value.high) for _, value in numbers)):
            at = {name: Distribution(end, end) for (name, _), end in zip(numbers, ends, strict=True)}
            found.append(params.model_copy(update={"instrument": params.instrument.model_copy(update=at)}))
    return found


def out_of_distribution_views(
    params: Parameters, preprocessing: Preprocessing, device: torch.device
) -> Iterator[tuple[int, np.ndarray]]:
    """Views of pictures of other kinds than the distribution's, by the same instrument, some at a time: galaxies
    without a lens; with the light of the lens, or with neighbours, where the distribution has none.

    Yields: which kind, from 0 on, and views.
    """
    first = 0
    for number, (kind, count) in enumerate(_other_kinds(params)):
        for part, _ in _taken(kind, preprocessing, [], first, count, device):
            yield number, part.views
        first += count


def _other_kinds(params: Parameters) -> list[tuple[Parameters, int]]:
    """Distributions that are not this one, and how many rows of each are drawn."""
    kinds = []
    if not params.cluster.count.high:
        none = params.lens.model_copy(update={"einstein": Distribution(NO_LENS, NO_LENS)})
        kinds.append((params.model_copy(update={"lens": none}), NO_LENS_ROWS))
        if not params.lens_light.given:
            light = type(params.lens_light).model_validate({"flux-ratio": OTHER_LIGHT.tolist()})
            kinds.append((params.model_copy(update={"lens_light": light}), LENS_LIGHT_ROWS))
    if not params.neighbours.given:
        side = params.simulator.cropsize or params.simulator.imagesize
        given = {"count": [1, 2], "poisson": False, "distance-max": side / 2, "flux-ratio": OTHER_LIGHT.tolist()}
        beside = type(params.neighbours).model_validate(given)
        kinds.append((params.model_copy(update={"neighbours": beside}), NEIGHBOUR_ROWS))
    return kinds


def _taken(
    params: Parameters, preprocessing: Preprocessing, columns: list[str], first: int, count: int, device: torch.device
) -> Iterator[tuple[Split, np.ndarray]]:
    """Rows of another seed than the dataset's, and the facts of their pictures, some at a time."""
    simulator = params.simulator.model_copy(update={"seed": params.simulator.seed ^ UNSEEN})
    params = params.model_copy(update={"simulator": simulator})
    drawing = Drawing.of(params.simulator)
    with ThreadPoolExecutor(cores()) as helpers:
        for part in slices(count, VIEWS_AT_ONCE[device.type] * 4):
            frame = draw_table(params, first + part.start, first + part.stop)
            pictures, facts, table = draw_in_memory(frame, drawing, NAME, str(device), helpers)
            pictures = pictures if is_tensor(pictures) else torch.from_numpy(pictures)
            views = preprocessing.views(pictures, torch.from_numpy(facts)).cpu().numpy()
            yield Split(views, table[columns].to_numpy()), facts
