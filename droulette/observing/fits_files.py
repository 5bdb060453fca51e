"""Pictures in FITS files, chosen by `file.fits[NAME]`, `file.fits[2]` or `file.fits[SCI,2]`, and what belongs to them.

Observatories keep a picture, its noise, its flags and its PSF as extensions of one file. Their names tell which is
which: SCI, ERR and DQ, or VIS_BGSUB, VIS_RMS and VIS_PSF. Extensions that differ only in that word are one set.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from droulette.errors import UserError

if TYPE_CHECKING:
    from astropy.io import fits

PICTURE, SIGMA, VARIANCE, INVERSE_VARIANCE, WEIGHT = "picture", "sigma", "variance", "inverse variance", "weight"
QUALITY, PSF = "quality", "psf"
NOISES = (SIGMA, VARIANCE, INVERSE_VARIANCE, WEIGHT)  # the first that a set has is taken
WORDS = {
    PICTURE: ("SCI", "BGSUB", "IMAGE", "SCIENCE"),
    SIGMA: ("ERR", "ERROR", "RMS", "NOISE", "SIGMA"),
    VARIANCE: ("VAR", "VARIANCE"),
    INVERSE_VARIANCE: ("IVAR", "INVVAR"),
    WEIGHT: ("WHT", "WEIGHT"),
    QUALITY: ("DQ", "MASK", "BPM", "FLAGS"),
    PSF: ("PSF",),
}
ROLES = {word: role for role, words in WORDS.items() for word in words}
GZIP = b"\x1f\x8b"
FITS = b"SIMPLE  ="
MOST_UNPACKED = 1 << 30  # bytes of a gzip file's content
CHUNK = 1 << 20
MOST_LISTED = 20


@dataclass(frozen=True)
class Extension:
    """A picture in a FITS file, before its numbers are read. shape: without axes of length 1. role: see ROLES, ""
    for other words. prefix: what its set's names have in common."""

    number: int
    name: str
    version: int
    shape: tuple[int, ...]
    role: str
    prefix: str

    @property
    def set(self) -> tuple[str, int]:
        return self.prefix, self.version


@dataclass(frozen=True)
class Plane:
    """A picture that was read. label: the file and the extension. array: rows from below, the file's own numbers.

    header: the extension's cards; those that it lacks are looked up in `primary`, the file's first header.
    """

    label: str
    number: int
    role: str
    array: np.ndarray
    header: fits.Header
    primary: fits.Header

    def card(self, *keys: str) -> Any:
        """The first of these cards that the headers have and that can be read, or None."""
        from astropy.io.fits import VerifyError

        for header in (self.header, self.primary):
            for key in keys:
                try:
                    return header[key]
                except (KeyError, VerifyError):
                    continue
        return None


def plane_of(array: np.ndarray, label: str) -> Plane:
    """An array, rows from below, as a picture without cards."""
    from astropy.io import fits

    return Plane(label, 0, PICTURE, array, fits.Header(), fits.Header())


def split_choice(text: str | Path) -> tuple[Path, str | None]:
    """A file, and the extension in brackets behind it. A file with this very name goes before."""
    text = str(text)
    if not text.endswith("]") or "[" not in text or Path(text).exists():
        return Path(text), None
    path, _, choice = text[:-1].rpartition("[")
    return Path(path), choice.strip()


def is_fits(path: Path) -> bool:
    """By the first bytes, also of what a gzip file holds. Raises UserError for what is no file."""
    try:
        with path.open("rb") as opened:
            start = opened.read(len(FITS))
        if not start.startswith(GZIP):
            return start == FITS
        with gzip.open(path) as unpacked:
            return unpacked.read(len(FITS)) == FITS
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file, expected a FITS file") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: found a folder, expected a FITS file") from error
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def check_size(shape: Sequence[int], path: str | Path) -> None:
    """Raises UserError for a picture without numbers, or with more than Pillow's bound in three colours."""
    most = Image.MAX_IMAGE_PIXELS or np.inf
    if not 0 < np.prod([float(length) for length in shape]) <= 3 * most:
        found = "×".join(map(str, shape))
        raise UserError(f"{path}: found {found} numbers, expected at least one and at most {most} pixels")


def read_plane(text: str | Path, roles: Sequence[str] = (PICTURE,)) -> Plane:
    """The picture that was chosen, the only one, or the one of its set that has one of these roles, the first first."""
    path, choice = split_choice(text)
    with open_fits(path) as opened:
        return _read(opened, _chosen(_extensions(opened), path, choice, roles), path)


def read_set(text: str | Path) -> dict[str, Plane]:
    """The picture that was chosen, under PICTURE, and under their roles the others of its set.

    Of several kinds of noise only the first of NOISES is read; a weight besides, since it tells pixels without data.
    """
    path, choice = split_choice(text)
    with open_fits(path) as opened:
        extensions = _extensions(opened)
        chosen = _chosen(extensions, path, choice, (PICTURE,))
        found = {PICTURE: _read(opened, chosen, path)}
        others = [one for one in extensions if one.set == chosen.set and one.role not in ("", PICTURE)]
        noises = [role for role in NOISES if any(one.role == role for one in others)]
        wanted = {*noises[:1], WEIGHT, QUALITY, PSF}
        for one in others:
            if chosen.role == PICTURE and one.role in wanted and one.role not in found:
                found[one.role] = _read(opened, one, path)
    return found


@contextmanager
def open_fits(path: Path) -> Iterator[fits.HDUList]:
    """A FITS file; whatever astropy says of foreign bytes becomes one UserError."""
    from astropy.io import fits

    if not is_fits(path):
        raise UserError(f"{path}: not a FITS file: its first bytes are others")
    try:
        check_unpacked(path)
        with warnings.catch_warnings(action="ignore"), fits.open(path, memmap=False) as opened:
            yield opened
    except UserError:
        raise
    except Exception as error:  # astropy answers foreign bytes with errors of every family
        raise UserError(f"{path}: not a FITS file that can be read: {error}") from error


def check_unpacked(path: Path) -> None:
    """Unpack a gzip file once without keeping it, so that a small file cannot fill the memory."""
    with path.open("rb") as opened:
        if opened.read(len(GZIP)) != GZIP:
            return
    size = 0
    with gzip.open(path) as unpacked:
        while chunk := unpacked.read(CHUNK):
            size += len(chunk)
            if size > MOST_UNPACKED:
                most = f"{MOST_UNPACKED / 1e9:.1f} GB"
                raise UserError(f"{path}: unpacks to more than {most}, expected less: cut the picture out first")


def _extensions(opened: fits.HDUList) -> list[Extension]:
    found = []
    for number, hdu in enumerate(opened):
        shape = tuple(length for length in hdu.shape if length != 1) if hdu.is_image and hdu.shape else ()
        if len(shape) < 2:
            continue
        name = hdu.name.upper()
        prefix, role = _role(name)
        found.append(Extension(number, name, hdu.ver, shape, role, prefix))
    if not any(one.role == PICTURE and not one.prefix for one in found):
        # A picture in the first HDU has no name; its noise may have one.
        found = [
            Extension(one.number, one.name, one.version, one.shape, PICTURE, "") if one.name == "PRIMARY" else one
            for one in found
        ]
    return found


def _role(name: str) -> tuple[str, str]:
    """DES_G_RMS → DES_G, sigma. VAR_POISSON, a part of JWST's noise, has no role."""
    if name in ROLES:
        return "", ROLES[name]
    prefix, _, word = name.rpartition("_")
    return (prefix, ROLES[word]) if prefix and word in ROLES else (name, "")


def _chosen(extensions: list[Extension], path: Path, choice: str | None, roles: Sequence[str]) -> Extension:
    if not extensions:
        raise UserError(f"{path}: found no picture in this FITS file, expected one")
    if choice is not None:
        return _by_choice(extensions, path, choice, roles)
    if len(extensions) == 1:
        return extensions[0]
    sets = _sets(extensions, roles)
    if len(sets) == 1:
        return sets[0]
    if sets:
        names = [_set_name(one, sets) for one in sets]
        listed = ", ".join(f"{name} ({_size(one)})" for name, one in zip(names, sets, strict=True))
        raise UserError(
            f"{path}: found {len(sets)} sets of pictures, {listed}: choose one, for example {path}[{names[0]}]"
        )
    first = extensions[0]
    example = first.name if [one.name for one in extensions].count(first.name) == 1 else f"{first.name},{first.version}"
    raise UserError(
        f"{path}: found {len(extensions)} pictures, {_listed(extensions)}: choose one by its name or number, "
        f"for example {path}[{example or first.number}] or {path}[{first.number}]"
    )


def _sets(extensions: list[Extension], roles: Sequence[str]) -> list[Extension]:
    """Of each set of at least two, the extension with the first of these roles that it has."""
    sets: dict[tuple[str, int], dict[str, Extension]] = {}
    for one in extensions:
        if one.role:
            sets.setdefault(one.set, {}).setdefault(one.role, one)
    found = []
    for members in sets.values():
        wanted = [members[role] for role in roles if role in members]
        if len(members) > 1 and PICTURE in members and wanted:
            found.append(wanted[0])
    return found


def _set_name(one: Extension, sets: list[Extension]) -> str:
    is_alone = [other.prefix for other in sets].count(one.prefix) == 1
    name = one.prefix or one.name
    return name if is_alone else f"{name},{one.version}"


def _by_choice(extensions: list[Extension], path: Path, choice: str, roles: Sequence[str]) -> Extension:
    name, comma, version = choice.rpartition(",")
    if not comma:
        name, version = choice, ""
    name, version = name.strip().upper(), version.strip()
    if name.isdecimal() and not version:
        found = [one for one in extensions if one.number == int(name)]
    else:
        candidates = [one for one in extensions if not version or str(one.version) == version]
        found = [one for one in candidates if one.name == name]
        found = found or [one for one in _sets(candidates, roles) if one.prefix == name]
    if len(found) == 1:
        return found[0]
    expected = "expected one of" if not found else "which is several of"
    raise UserError(f"{path}: found no one picture {choice!r}, {expected} {_listed(extensions)}")


def _listed(extensions: list[Extension]) -> str:
    names = [one.name for one in extensions]
    lines = []
    for one in extensions[:MOST_LISTED]:
        version = f",{one.version}" if names.count(one.name) > 1 else ""
        lines.append(" ".join([str(one.number), f"{one.name}{version}".strip(), f"({_size(one)})"]).replace("  ", " "))
    if len(extensions) > MOST_LISTED:
        lines.append(f"and {len(extensions) - MOST_LISTED} more")
    return ", ".join(lines)


def _size(one: Extension) -> str:
    return "×".join(map(str, one.shape[::-1]))


def _read(opened: fits.HDUList, one: Extension, path: Path) -> Plane:
    check_size(one.shape, path)
    label = f"{path}[{one.name or one.number}]" if one.number else str(path)
    hdu = opened[one.number]
    array = np.array(hdu.data).reshape(one.shape)
    if array.dtype.kind not in "buif":
        raise UserError(f"{label}: found numbers of {array.dtype}, expected real ones")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return Plane(label, one.number, one.role, array, hdu.header.copy(), opened[0].header.copy())
