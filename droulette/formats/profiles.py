"""What the conversions share: ellipses, Einstein radii and Sérsic profiles. Lengths are in one unit, any."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln

from droulette.formats.description import Component
from droulette.physics.halos import NFW, Hernquist

# ---------------------------------------------------------------- ellipses


def ellipse(along: float, across: float) -> tuple[float, float]:
    """(axis ratio q, direction φ of the major axis in degrees) of the ellipticity e = (1 − q) / (1 + q).

    along: e cos 2φ. across: e sin 2φ.

    Raises:
        ValueError: e is not below 1.
    """
    size = math.hypot(along, across)
    if size >= 1:
        raise ValueError(f"found an ellipticity of {size:g}, expected less than 1")
    return (1 - size) / (1 + size), math.degrees(math.atan2(across, along)) / 2 % 180


def ellipticity(q: float, angle: float) -> tuple[float, float]:
    """(e cos 2φ, e sin 2φ), e = (1 − q) / (1 + q)."""
    size = (1 - q) / (1 + q)
    return size * math.cos(math.radians(2 * angle)), size * math.sin(math.radians(2 * angle))


def mass(q: float, angle: float) -> dict[str, float]:
    """The fields of a lens whose mass has its major axis along `angle`: here it is the minor axis that is given."""
    return {"axis_ratio": q, "orientation": (angle - 90) % 180}


def major_axis(parameters) -> tuple[float, float]:
    """(q, direction of the major axis in degrees) of a lens's fields."""
    return parameters["axis_ratio"], (parameters["orientation"] + 90) % 180


# ---------------------------------------------------------------- Einstein radii


def einstein_radius(mean_convergence: Callable[[float], float], scale: float) -> float:
    """The radius within which the mean convergence, a falling function of the radius, is 1; `scale`: a length of it.

    Raises:
        ValueError: there is none.
    """

    def excess(log_radius: float) -> float:
        return math.log(mean_convergence(scale * math.exp(log_radius)))

    densest = mean_convergence(scale * math.exp(-256.0))
    if not densest > 1:
        raise ValueError(f"found no Einstein radius: the mean convergence is at most {densest:g}, expected more than 1")
    low, high = -1.0, 1.0
    while excess(low) < 0:
        low *= 2
    while excess(high) > 0:
        high += 1
    return scale * math.exp(brentq(excess, low, high, xtol=1e-15, rtol=1e-15, maxiter=1000))


def nfw(x: float) -> float:
    """Mean convergence of an NFW halo within x scale radii, over that within one."""
    return NFW(1.0, 1.0).mean_convergence(np.array([x * x])).item()


def hernquist(x: float) -> float:
    """The same of a Hernquist lens."""
    return Hernquist(1.0, 1.0).mean_convergence(np.array([x * x])).item()


def pjaffe(radius: float, core: float, cut: float) -> float:
    """Mean convergence of a dual pseudo-isothermal sphere within a radius, over its strength b₀ = 2 σ₀ core.

    The deflection b₀ cut / (cut − core) · (R / (core + A) − R / (cut + C)), A = √(core² + R²), C = √(cut² + R²)
    (Elíasdóttir et al. 2007, arXiv 0710.5636, eq. A20), over R, without the difference of nearly equal numbers.
    """
    a, c = math.hypot(core, radius), math.hypot(cut, radius)
    return cut * (1 + (cut + core) / (c + a)) / ((core + a) * (cut + c))


# ---------------------------------------------------------------- light


@dataclass(frozen=True)
class Light:
    """Brightness `peak` exp(−(r / scale)^(1/n)) with r² = q x′² + y′² / q, x′ along `angle`, degrees.

    A Sérsic profile without the number b that its half-light radius R is defined by: R = scale bⁿ, and the brightness
    there is peak e^(−b). Packages differ in b; the light does not. n = ½ is a Gaussian.
    """

    x: float
    y: float
    peak: float
    scale: float
    n: float
    q: float = 1.0
    angle: float = 0.0

    @classmethod
    def sersic(cls, x: float, y: float, level: float, radius: float, n: float, b: float, q: float, angle: float):
        """level: the brightness at the half-light radius."""
        if not (level > 0 and radius > 0 and n > 0 and b > 0):
            raise ValueError("found a brightness, radius or index that is not positive, expected positive ones")
        return cls(x, y, level * math.exp(b), radius / b**n, n, q, angle)

    @classmethod
    def gaussian(cls, x: float, y: float, flux: float, sigma: float, q: float, angle: float):
        """sigma: √(σ₁ σ₂) of the standard deviations along the axes."""
        if not (flux > 0 and sigma > 0):
            raise ValueError("found a brightness or sigma that is not positive, expected positive ones")
        return cls(x, y, flux / (2 * math.pi * sigma**2), math.sqrt(2) * sigma, 0.5, q, angle)

    def half_light(self, b: float) -> tuple[float, float]:
        """(half-light radius, brightness there), as b defines them."""
        return self.scale * b**self.n, self.peak * math.exp(-b)

    @property
    def flux(self) -> float:
        """The integral over the plane: 2π n Γ(2n) peak scale²."""
        return 2 * math.pi * self.n * math.exp(gammaln(2 * self.n)) * self.peak * self.scale**2


LOWEST_INDEX = 0.17  # of Sérsic profiles here: below, their b = 1.992 n − 0.3271 is not positive
GAUSSIAN_LEVEL = 255.0  # of Spherical and Ellipsoid


def source(light: Light) -> Component:
    """The source of a light in px and grey levels: its luminosity is its flux / 1000, whatever b.

    Raises:
        ValueError: the Sérsic index is too low, or there is no light.
    """
    if light.n <= LOWEST_INDEX:
        raise ValueError(f"found a Sérsic index of {light.n:g}, expected more than {LOWEST_INDEX}")
    if not light.flux > 0:
        raise ValueError(f"found a light whose flux is {light.flux:g}, expected more than 0")
    radius, _ = light.half_light(1.992 * light.n - 0.3271)
    both = {"n_sersic": light.n, "luminosity": light.flux / 1000}
    if light.q == 1:
        return Component("SersicSphere", light.x, light.y, {"sigma": radius, **both})
    axes = {"sigma": radius * math.sqrt(light.q), "sigma2": radius / math.sqrt(light.q)}
    return Component("SersicEllipsoid", light.x, light.y, {**axes, "theta": light.angle, **both})


def light(part: Component) -> Light:
    """The inverse of `source`, also of the Gaussians Spherical and Ellipsoid.

    Raises:
        ValueError: the source is of another kind.
    """
    given = part.parameters
    if part.name in ("Spherical", "s"):
        return Light(part.x, part.y, GAUSSIAN_LEVEL, math.sqrt(2) * given["sigma"], 0.5)
    if part.name in ("Ellipsoid", "e"):
        q, angle, mean = _axes(given["sigma"], given["sigma2"], given["theta"])
        return Light(part.x, part.y, GAUSSIAN_LEVEL, math.sqrt(2) * mean, 0.5, q, angle)
    if part.name == "SersicSphere":
        q, angle, radius = 1.0, 0.0, given["sigma"]
    elif part.name == "SersicEllipsoid":
        q, angle, radius = _axes(given["sigma2"], given["sigma"], given["theta"])
    else:
        raise ValueError(f"found source {part.name}, which has no counterpart, expected a Sérsic profile or a Gaussian")
    n = given["n_sersic"]
    scale = radius / (1.992 * n - 0.3271) ** n
    unit = Light(part.x, part.y, 1.0, scale, n)
    return Light(part.x, part.y, 1000 * given["luminosity"] / unit.flux, scale, n, q, angle)


def _axes(along: float, across: float, theta: float) -> tuple[float, float, float]:
    """(q, direction of the longer axis, geometric mean) of an ellipse's semi-axes along theta and across it."""
    mean = math.sqrt(along * across)
    if along >= across:
        return across / along, theta % 180, mean
    return along / across, (theta + 90) % 180, mean
