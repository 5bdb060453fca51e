"""Roulette amplitudes of users' pictures, by a trained model, and their resimulations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from droulette import files
from droulette.default_model import default_model
from droulette.devices import choose_device
from droulette.errors import UserError
from droulette.learning import model_file
from droulette.learning.model_file import Model
from droulette.parameters.simulation import Lens, Source
from droulette.physics.sources import SOURCES
from droulette.pipeline import observed_predictions
from droulette.pipeline.depth import shown
from droulette.pipeline.evaluated import difference, prediction_table
from droulette.pipeline.observed_predictions import Prepared
from droulette.pipeline.pictures import make_views
from droulette.pipeline.resimulate import resimulate
from droulette.pipeline.scenes import parameters_of
from droulette.pipeline.user_pictures import Conversion, prepare
from droulette.quantities import find, least

NOVELTY = "novelty"
SOURCE = "SersicSphere"
INDICES = (1.0, 2.0, 3.0, 4.0, 5.0)  # n_sersic that are tried
LUMINOSITY = 20.0  # from which the light is scaled

Say = Callable[[str], None]


def predict_pictures(
    pictures: Sequence[str | Path | np.ndarray],
    model: str | Path | Model | None = None,
    *,
    resimulation: str | Path | None = None,
    source: str = SOURCE,
    noise: str | Path | None = None,
    psf: str | Path | None = None,
    mask: str | Path | None = None,
    unit: float = 1.0,
    fit: bool | str | Path | None = None,
    family: str | None = None,
    residuals: str | Path | None = None,
    samples: tuple[int, str | Path] | None = None,
    device: str = "auto",
    say: Say = lambda line: None,
    warn: Say = lambda line: warnings.warn(line, stacklevel=3),
    **how,
) -> pd.DataFrame:
    """Amplitudes with standard deviations of a user's pictures.

    pictures: PNG, JPEG, TIFF, FITS or NPY files, or arrays (H, W) or (H, W, 3). model: a file that training wrote, or
    a model that was loaded; None: `default_model`. resimulation: a folder for each picture as the network was given it,
    NAME-seen.png, and for the roulette simulation of what it predicts, NAME-roulette.png, of a `source` of this kind.
    say, warn: told what is done to each picture, and what speaks against a prediction. fit: whether scenes of the
    families that the model was trained on are fitted to each picture, see `fitted`; good fits take the predictions'
    place. A TOML file: those of its distribution. family: `LENS` or `LENS,SOURCE`, or a TOML file, to be fitted in
    their place; or `none`, a roulette without a lens, see `lens_free`. residuals: a folder for picture, fit and what is
    left, NAME-fit.png and NAME-fit.fits. samples: how many draws of each fit are written to which CSV file. how: the
    fields of `user_pictures.Conversion`: pixel_scale, crop, at, centre, black, white.
    With a model of pictures with noise, pictures are best FITS files; noise, psf, mask: files that belong to them, see
    `observing.observe`. unit: what one of the picture's units is in those of the training pictures.

    Returns:
        One row a picture: filename, the model's columns (px and powers of it), their standard deviations as `std:…`,
        and `novelty`: above 1, the picture is unlike all that the model was trained on; NaN if the model can't tell.
        Of a model of pictures with noise also what `observed_predictions.on_the_sky` adds. With `fit` also
        `fit:family`, `fit:good`, `fit:converged`, `fit:chi2` and the number `fit:pixels` of pixels that it is of,
        `fit:probability` of a χ² that large where the family is true, and how many `fit:solutions` there are.

    Raises:
        UserError: what is wrong with a picture, the model or the options, before anything is written.
    """
    conversion = Conversion(**how)
    conversion.check()
    fitting = family is not None or fit not in (None, False)
    for option, given in (("samples", samples), ("residuals", residuals)):
        if given and not fitting:
            raise UserError(f"--{option}: found no --fit, expected one: they are those of a fit")
    if resimulation is not None and source not in SOURCES:
        raise UserError(f"source: found {source!r}, expected one of {', '.join(SOURCES)}")
    if isinstance(pictures, (str, Path, np.ndarray)):
        pictures = [pictures]
    if not len(pictures):
        raise UserError("pictures: found none, expected at least one")
    if not isinstance(model, Model):
        path = default_model(say) if model is None else model
        model = model_file.load(path, choose_device(device))
    files_given = {"noise": noise, "psf": psf, "mask": mask}
    observed_predictions.check_options(model, **files_given, unit=unit)
    names = [f"picture-{k}" if isinstance(one, np.ndarray) else str(one) for k, one in enumerate(pictures, start=1)]
    observed = facts = seen_facts = None
    if model.known is None:
        prepared = seen = np.stack(
            [
                prepare(one, model.input_size, conversion, say, warn, name)
                for one, name in zip(pictures, names, strict=True)
            ]
        )
    else:
        observed = [
            _observe(one, name, model, conversion, files_given, unit, say, warn)
            for one, name in zip(pictures, names, strict=True)
        ]
        prepared, facts = observed_predictions.stacked(observed)
        seen, seen_facts = observed_predictions.stacked([one.shown for one in observed])
    views = make_views(model.network.preprocessing, seen, str(model.device), seen_facts)
    table = prediction_table(model, names, *model.predict(views, facts=seen_facts))
    table[NOVELTY] = model.unlikeness(views)
    if model.novelty is None:
        warn("this model was trained without a measure of novelty: no word on whether it knows such pictures")
    for name, novelty in zip(names, table[NOVELTY], strict=True):
        if novelty > 1:
            warn(
                f"{name}: unlike anything in the training set (novelty {novelty:.2f}, above 1): "
                "do not trust its amplitudes"
            )
    reach = np.broadcast_to(model.reach(views, seen_facts), (len(table), len(model.columns)))
    if observed is not None:
        table = observed_predictions.in_own_frames(table, observed)
        observed_predictions.warn_of_others(observed, model, table, reach, warn)
    fits = None
    if fitting:
        from droulette.pipeline import user_fits  # it loads SciPy's statistics, which takes a second

        count = samples and samples[0]
        fits = user_fits.fits_of(fit, family, model, prepared, facts, observed, table, names, count, say, warn)
        table = fits.merged(table)
        if samples:
            files.write_csv(fits.samples_table(names), samples[1])
    elif model.distribution:
        scenes = _scenes(model.distribution)
        say(f"the model was trained on {scenes}: its intervals are for these, and it may not notice others")
    if observed is not None:
        table = observed_predictions.on_the_sky(table, observed, pd.DataFrame(reach, columns=list(model.columns)))
        table = fits.merged(table) if fits else table  # with the fits' own intervals of 95 %
        prepared = shown(prepared, facts)
    if resimulation is not None:
        drawn, found = resimulate_predictions(table, prepared, source)
        for name, line in zip(names, found, strict=True):
            say(f"{name}: resimulated as {source}{line}")
        with files.atomic_folder(resimulation) as folder:
            for stem, before, after in zip(_stems(names), prepared, drawn, strict=True):
                Image.fromarray(before).save(folder / f"{stem}-seen.png")
                Image.fromarray(after).save(folder / f"{stem}-roulette.png")
            if fits:
                fits.write(folder, _stems(names))
    if residuals is not None:
        with files.atomic_folder(residuals) as folder:
            fits.write(folder, _stems(names))
    return table


def _scenes(distribution: dict[str, dict]) -> str:
    """The lenses and sources of a distribution, in words. distribution: see `parameters.distribution`."""
    lens, cluster, source = (distribution.get(name, {}) for name in ("lens", "cluster", "source"))
    lenses, sources = (
        ", ".join(map(str, one.get("mode") or kind.mode)) for one, kind in ((lens, Lens()), (source, Source()))
    )
    clusters = any(value for key, value in cluster.items() if key.startswith("count"))
    return f"{'clusters of ' if clusters else ''}{lenses} lenses and {sources} sources"


def _observe(
    picture, name: str, model: Model, conversion: Conversion, given: dict, unit: float, say: Say, warn: Say
) -> Prepared:
    """An observation in the pixels of the model's pictures. Raises UserError."""
    for option, default in (("crop", None), ("black", 0.0), ("white", None), ("centre", True)):
        if getattr(conversion, option) != default:
            raise UserError(f"--{option}: this model takes a picture as it is, in units of its noise: expected none")
    scale = conversion.pixel_scale if conversion.pixel_scale != 1 else None
    return observed_predictions.prepare(
        picture, name, model, **given, at=conversion.at, pixel_scale=scale, unit=unit, say=say, warn=warn
    )


def resimulate_predictions(
    table: pd.DataFrame, prepared: np.ndarray, source: str = SOURCE
) -> tuple[np.ndarray, list[str]]:
    """The roulette simulation of predictions, and in words what of its source was not predicted but fitted.

    table: n predictions. prepared: (n, N, N) uint8, the pictures. The source's Sérsic index and luminosity are fitted
    to them where they are not among the predictions: the index by trial, the luminosity by the picture's light.

    Raises:
        UserError: amplitudes, or something else that this source needs, are not among the predictions.
    """
    columns = [column for column in (f.name for f in parameters_of(SOURCES[source])) if column not in table]
    if missing := [column for column in columns if not find(column).fitted]:
        raise UserError(f"source {source}: found no predictions of {', '.join(missing)}, expected a source without")
    possible = {column: table[column].clip(lower=smallest) for column, smallest in least(table).items()}
    rows = table.assign(source=source, **possible)
    size, light = prepared.shape[-1], prepared.sum(axis=(1, 2), dtype=np.float64)
    best, fitted, errors = None, pd.DataFrame(index=rows.index), np.full(len(rows), np.inf)
    for index in INDICES if "n_sersic" in columns else (None,):
        tried = rows if index is None else rows.assign(n_sersic=index)
        if "luminosity" in columns:
            tried = tried.assign(luminosity=LUMINOSITY)
            for _ in range(2):  # twice, since white cuts off what is brighter
                drawn = resimulate(tried, size, name="predictions").sum(axis=(1, 2), dtype=np.float64)
                factor = np.clip(light / np.maximum(drawn, 1), 1e-3, 1e3)
                tried = tried.assign(luminosity=tried["luminosity"] * factor)
        drawn = resimulate(tried, size, name="predictions")
        found = difference(drawn, prepared)
        better = found < errors
        best = drawn if best is None else np.where(better[:, None, None], drawn, best)
        for column in columns:
            fitted[column] = tried[column].where(better, fitted.get(column, tried[column]))
        errors = np.where(better, found, errors)
    words = []
    for (_, row), error in zip(fitted.iterrows(), errors, strict=True):
        values = ", ".join(f"{column} {value:.3g}" for column, value in row.items())
        words.append((f", {values} fitted" if values else "") + f": mean difference {error:.4f} of white")
    return best, words


def _stems(names: Sequence[str]) -> list[str]:
    """File names without folder and ending, numbered where there are several alike."""
    used: dict[str, int] = {}
    stems = []
    for name in names:
        stem = Path(name).stem or "picture"
        used[stem] = used.get(stem, 0) + 1
        stems.append(stem if used[stem] == 1 else f"{stem}-{used[stem]}")
    return stems
