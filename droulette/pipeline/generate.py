"""Draw the pictures of a dataset table and compute its reference points and roulette amplitudes."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from droulette.errors import UserError
from droulette.physics.amplitudes import amplitudes, orders
from droulette.physics.batches import move
from droulette.physics.lens_equation import apparent_position, residual
from droulette.physics.lenses import Lens
from droulette.physics.mappings import Mapping, Raytrace, Roulette, convergence_radius
from droulette.physics.rendering import Scene, centre_of_light, render
from droulette.pipeline.scenes import Kind, groups, lens_batch, normalise, source_batch

SOURCE_COLUMNS = ("source", "image", "x", "y", "sigma", "sigma2", "theta", "n_sersic", "luminosity")
ROWS_AT_ONCE = 4096  # rows whose amplitudes are computed together
SAMPLED_AT_ONCE = 8  # a sampled lens takes three float64 canvases
PICTURES_AT_ONCE = 8
PNG = {"compress_level": 1, "compress_type": zlib.Z_RLE}  # mostly black: as small as level 6 in half its time


@dataclass(frozen=True)
class Drawing:
    """How pictures are drawn: the part of `[simulator]` that decides pixels."""

    imagesize: int = 512
    cropsize: int | None = None
    centred: bool = False
    nterms: int = 5
    sampling: str = "exact"
    supersampling: int = 1
    mask: bool = False

    @property
    def size(self) -> int:
        return self.cropsize or self.imagesize


def amplitude_columns(nterms: int) -> list[str]:
    """`alpha[m][s]`, `beta[m][s]` for m = 0…nterms."""
    return [f"{name}[{m}][{s}]" for m, s in orders(nterms) for name in ("alpha", "beta")]


class Tables:
    """ξ₀, ∇ψ(ξ₀)'s residual, amplitudes and centres of light of n rows, filled in as they are computed."""

    def __init__(self, count: int, nterms: int) -> None:
        self.xi = np.zeros((2, count))
        self.offset = np.zeros((2, count))
        self.centre = np.zeros((2, count))
        self.alpha = np.zeros((len(orders(nterms)), count))
        self.beta = np.zeros((len(orders(nterms)), count))


def generate(
    frame: pd.DataFrame,
    drawing: Drawing,
    directory: Path,
    *,
    name: str = "dataset.csv",
    workers: int | None = None,
    device: str = "cpu",
    progress: Callable[[int], object] = lambda count: None,
) -> pd.DataFrame:
    """Draw every row's picture into `directory` and return the roulette table.

    Args:
        frame: a dataset table; the row alone decides its picture.
        name: what error messages call the table.
        workers: threads that draw and encode; by default one a core.
        device: where pixels are computed. Reference points and amplitudes are always computed on the CPU.
        progress: called with the number of pictures just finished.

    Raises:
        UserError: a row that cannot be drawn, before any picture is drawn.
    """
    frame = normalise(frame, name)
    check_filenames(frame, name)
    tables = Tables(len(frame), drawing.nterms)
    batches = []
    # PyTorch's own threads would compete with ours; one each, and no thread's share decides a sum.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pool = ThreadPoolExecutor(workers or os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,))
        with pool:
            for kind, rows in groups(frame, name):
                batches += _parts(kind, rows, PICTURES_AT_ONCE)
                parts = _parts(kind, rows, SAMPLED_AT_ONCE if kind.sampled else ROWS_AT_ONCE)
                list(pool.map(lambda part: _solve(frame, part[0], part[1], drawing, name, tables), parts))
            check_sources(frame, name)

            def draw(batch: tuple[Kind, np.ndarray]) -> None:
                kind, rows = batch
                pictures = draw_batch(frame, kind, rows, drawing, name, tables, device)
                for filename, picture in zip(frame["filename"].to_numpy()[rows], pictures, strict=True):
                    Image.fromarray(picture).save(directory / filename, "PNG", **PNG)
                progress(len(rows))

            try:
                list(pool.map(draw, batches))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        torch.set_num_threads(threads)
    return _roulette_table(frame, drawing, tables)


def _parts(kind: Kind, rows: np.ndarray, size: int) -> list[tuple[Kind, np.ndarray]]:
    return [(kind, rows[start : start + size]) for start in range(0, len(rows), size)]


def check_filenames(frame: pd.DataFrame, name: str) -> None:
    """Raise unless every row names one plain .png file of its own."""
    if "filename" not in frame:
        raise UserError(f"{name}: found no column 'filename', expected it")
    seen: set[str] = set()
    for row, filename in enumerate(frame["filename"], start=1):
        plain = isinstance(filename, str) and Path(filename).name == filename and "\\" not in filename
        if not plain or not filename.lower().endswith(".png") or filename.startswith(".") or "\0" in filename:
            raise UserError(
                f"{name}: row {row}, column filename: found {str(filename)[:80]!r}, "
                "expected a plain name that ends in .png, without folders"
            )
        if filename in seen:
            raise UserError(f"{name}: row {row}, column filename: found {filename!r} a second time, expected each once")
        seen.add(filename)


def check_sources(frame: pd.DataFrame, name: str) -> None:
    """Raise for the first row whose source cannot be drawn."""
    for kind, rows in groups(frame, name):
        source_batch(frame.iloc[rows], kind, name)


def _solve(frame: pd.DataFrame, kind: Kind, rows: np.ndarray, drawing: Drawing, name: str, tables: Tables) -> None:
    """Reference points and amplitudes of rows of one kind."""
    part = frame.iloc[rows]
    lens = lens_batch(part, kind, name, drawing.imagesize)
    eta_x, eta_y = _eta(part)
    xi_x, xi_y = apparent_position(lens, eta_x, eta_y)
    alpha, beta = amplitudes(lens, xi_x, xi_y, drawing.nterms)
    rest = residual(lens, xi_x, xi_y, eta_x, eta_y)
    tables.xi[:, rows] = np.stack([xi_x, xi_y])
    tables.offset[:, rows] = np.stack(rest)
    tables.alpha[:, rows], tables.beta[:, rows] = alpha.numpy(), beta.numpy()


def _eta(part: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.from_numpy(part[axis].to_numpy(np.float64, copy=True)) for axis in ("x", "y"))


def draw_batch(
    frame: pd.DataFrame,
    kind: Kind,
    rows: np.ndarray,
    drawing: Drawing,
    name: str,
    tables: Tables,
    device: str,
) -> np.ndarray:
    """Pictures of rows of one kind, (B, size, size) uint8; their centres of light go into `tables`."""
    part = frame.iloc[rows]
    lens = lens_batch(part, kind, name, drawing.imagesize)
    mapping = _mapping(lens, part, kind, rows, drawing, tables)
    scene = move(Scene(mapping, source_batch(part, kind, name)), device)
    centre_x = centre_y = torch.zeros(len(rows), dtype=torch.float64, device=device)
    options = {"sampling": drawing.sampling, "supersampling": drawing.supersampling}
    if drawing.centred:
        centre_x, centre_y = centre_of_light(scene, drawing.imagesize, **options)
        tables.centre[:, rows] = np.stack([centre_x.cpu(), centre_y.cpu()])
    return render(scene, drawing.size, centre_x, centre_y, canvas=drawing.imagesize, **options).cpu().numpy()


def _mapping(lens: Lens, part: pd.DataFrame, kind: Kind, rows: np.ndarray, drawing: Drawing, tables: Tables) -> Mapping:
    if kind.model == "Raytrace":
        return Raytrace(lens, *_eta(part))
    xi_x, xi_y = torch.from_numpy(tables.xi[:, rows])
    radius = convergence_radius(lens, xi_x, xi_y) if drawing.mask else None
    alpha, beta = torch.from_numpy(tables.alpha[:, rows]), torch.from_numpy(tables.beta[:, rows])
    return Roulette.from_amplitudes(xi_x, xi_y, alpha, beta, drawing.nterms, radius)


def _roulette_table(frame: pd.DataFrame, drawing: Drawing, tables: Tables) -> pd.DataFrame:
    columns: dict[str, object] = {"filename": frame["filename"]}
    columns |= {column: frame[column] for column in SOURCE_COLUMNS if column in frame}
    eta = np.stack([frame["x"], frame["y"]]).astype(np.float64)
    for label, values in (
        ("lens", 0.0 - tables.centre),
        ("centre", tables.centre),
        ("releta", eta - tables.centre),
        ("offset", tables.offset),
        ("xi", tables.xi - tables.centre),
    ):
        columns |= {f"{label}X": values[0], f"{label}Y": values[1]}
    for k, (m, s) in enumerate(orders(drawing.nterms)):
        columns |= {f"alpha[{m}][{s}]": tables.alpha[k], f"beta[{m}][{s}]": tables.beta[k]}
    return pd.DataFrame(columns)


def by_rows(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
