"""Scalp maps: spherical splines on the electrode sphere, drawn as filled contours on a flat head.

Source: Perrin et al. 1989, "Spherical splines for scalp potential and current density mapping" (order m = 3, 50
terms). Deliberate differences: m = 3 for their 4, which pulls less at sharp peaks; a ridge of 1e-9 on the diagonal,
so that electrodes at one place do no harm. Projection: azimuthal equidistant from the top of the head; the outline
is the sphere's equator, electrodes below it lie outside. Shapes: n channels, q query points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .content import ScalpMap, ScalpMaps
from .markup import Html, coordinate, el, join, number, significant
from .svg import label, line, rect, svg

Array = NDArray[np.float64]
BANDS = 14  # even, so that zero is the edge of a band
_TERMS, _ORDER, _RIDGE = 50, 3, 1e-9
_GRID = 58
_SIZE, _R = 172.0, 62.0  # of one map's drawing, and of its head


def head_sphere(positions: Array) -> tuple[Array, float]:
    """Return (centre (3,), radius) in metres of the sphere that fits the electrodes best.

    Where the fit is not that of a head (few or coplanar electrodes) the frame's origin and the mean distance serve.
    """
    design = np.c_[2 * positions, np.ones(len(positions))]
    if len(positions) >= 8 and np.linalg.cond(design) < 1e3:
        solution = np.linalg.lstsq(design, (positions**2).sum(1), rcond=None)[0]
        centre = solution[:3]
        radius = math.sqrt(max(float(solution[3] + centre @ centre), 0.0))
        if 0.05 < radius < 0.16 and np.linalg.norm(centre) < 0.07:
            return centre, radius
    return np.zeros(3), float(np.linalg.norm(positions, axis=1).mean())


def unit_directions(positions: Array) -> Array:
    """Return the electrodes as unit vectors (n, 3) from the centre of the head."""
    centre, radius = head_sphere(positions)
    away = positions - centre
    length = np.linalg.norm(away, axis=1, keepdims=True)
    return np.asarray(away / np.where(length > 0, length, radius or 1.0))


def flatten(directions: Array) -> Array:
    """Return unit vectors (n, 3) on the plane (n, 2): the top of the head 0, the equator at distance 1."""
    angle = np.arccos(np.clip(directions[:, 2], -1, 1)) / (np.pi / 2)
    level = np.hypot(directions[:, 0], directions[:, 1])
    return np.asarray(directions[:, :2] * (angle / np.where(level > 1e-12, level, 1.0))[:, None])


def unflatten(points: Array) -> Array:
    """Return points of the plane (q, 2) as unit vectors (q, 3)."""
    r = np.hypot(points[:, 0], points[:, 1])
    angle = np.minimum(r, 2.0) * (np.pi / 2)
    around = points * (np.sin(angle) / np.where(r > 1e-12, r, 1.0))[:, None]
    return np.column_stack([around, np.cos(angle)])


def spherical_spline(directions: Array, values: Array) -> Callable[[Array], Array]:
    """Return the function that interpolates values (n,) at other unit vectors (q, 3) -> (q,)."""
    n = len(directions)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = _kernel(directions @ directions.T) + _RIDGE * np.eye(n)
    system[n, n] = 0.0
    weights = np.linalg.lstsq(system, np.r_[values, 0.0], rcond=None)[0]
    return lambda query: _kernel(query @ directions.T) @ weights[:n] + weights[n]


def _kernel(cosine: Array) -> Array:
    """Perrin 1989, equation 3: g(x) = 1 / 4 pi sum of (2n + 1) / (n (n + 1))^m P_n(x)."""
    orders = np.arange(1, _TERMS + 1, dtype=float)
    terms = np.r_[0.0, (2 * orders + 1) / (orders * (orders + 1)) ** _ORDER]
    return np.asarray(np.polynomial.legendre.legval(np.clip(cosine, -1, 1), terms) / (4 * np.pi), np.float64)


def correlation(scalp_map: ScalpMap) -> float | None:
    """Return how well a map agrees with its reference: as given, or Pearson's r over the channels."""
    if scalp_map.reference is None or scalp_map.correlation is not None:
        return scalp_map.correlation
    a, b = np.asarray(scalp_map.values, float), np.asarray(scalp_map.reference, float)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else math.nan


def scalp_figure(maps: ScalpMaps) -> Html:
    """Return all maps in a grid that wraps, references beside theirs, and a colour bar for each unit."""
    limit = _limit([m.values for m in maps.maps])
    reference = _limit([m.reference for m in maps.maps if m.reference is not None])
    cells = []
    for i, m in enumerate(maps.maps):
        r = correlation(m)
        found = [_cell(maps, m.title, np.asarray(m.values, float), limit, maps.unit, f"m{i}")]
        if m.reference is not None:
            title = "truth" if r is None else f"truth, r = {number(r)}"
            found.append(_cell(maps, title, np.asarray(m.reference, float), reference, maps.reference_unit, f"t{i}"))
        cells.append(el("div", *found, class_="maps"))
    bars = [_colour_bar(limit, maps.unit, "pattern")]
    if any(m.reference is not None for m in maps.maps):
        bars.append(_colour_bar(reference, maps.reference_unit, "truth"))
    return Html(el("div", *cells, class_="mapgrid") + el("div", *bars, class_="bars"))


def _limit(values: list[NDArray[np.float64]]) -> float:
    """Return the largest magnitude: the colours are symmetric around zero."""
    finite = [np.abs(np.asarray(v, float)[np.isfinite(v)]) for v in values]
    largest = max((float(f.max()) for f in finite if f.size), default=0.0)
    return largest if largest > 0 else 1.0


def _cell(maps: ScalpMaps, title: str, values: Array, limit: float, unit: str, name: str) -> Html:
    known = np.isfinite(values)
    peak = int(np.argmax(np.where(known, np.abs(values), -1.0)))
    words = (
        f"largest at {maps.ch_names[peak]}: {significant(float(values[peak]), 2)} {unit}"
        if known.any()
        else "no values"
    )
    description = f"Scalp map, {title}; {words}."
    drawing = draw_map(
        np.asarray(maps.positions, float)[known],
        values[known],
        limit,
        np.array(maps.ch_names)[known].tolist(),
        name,
        description,
    )
    return el(
        "div", el("p", el("strong", title), class_="maptitle"), drawing, el("p", words, class_="mapnote"), class_="map"
    )


def draw_map(positions: Array, values: Array, limit: float, names: list[str], name: str, description: str) -> Html:
    """Return one head from above, nose up. `name` makes its clip path unique on the page."""
    if not len(values):
        return svg(_SIZE, _SIZE, description, *_head(1.0))
    directions = unit_directions(positions)
    flat = flatten(directions)
    reach = max(1.0, min(float(np.hypot(flat[:, 0], flat[:, 1]).max()) * 1.06, 1.32))
    scale = _R / max(1.0, reach / 1.2)  # a wide cap shrinks the head so that all electrodes stay in the picture
    field = _bands(directions, values, limit, reach, scale)
    clip = el("clipPath", el("circle", cx=_SIZE / 2, cy=_SIZE / 2, r=reach * scale), id=f"clip-{name}")
    dots = [
        el(
            "circle",
            el("title", f"{n}: {significant(float(v), 2)}"),
            cx=_SIZE / 2 + p[0] * scale,
            cy=_SIZE / 2 - p[1] * scale,
            r=1.4,
            class_="electrode",
        )
        for n, v, p in zip(names, values, flat, strict=True)
    ]
    return svg(
        _SIZE, _SIZE, description, clip, el("g", field, clip_path=f"url(#clip-{name})"), *_head(scale / _R), *dots
    )


def _bands(directions: Array, values: Array, limit: float, reach: float, scale: float) -> Html:
    """Return nested areas, each "at least this level", so that neighbours leave no seam between them."""
    from matplotlib.figure import Figure  # late: half a second, and only maps need it

    axes = Figure().add_subplot()  # never drawn; it only finds the contours
    axis = np.linspace(-reach * 1.03, reach * 1.03, _GRID)
    xs, ys = np.meshgrid(axis, axis)
    field = spherical_spline(directions, values)(unflatten(np.c_[xs.ravel(), ys.ravel()])).reshape(xs.shape) / limit
    levels = np.linspace(-1, 1, BANDS + 1)[1:-1]
    lowest = int(np.searchsorted(levels, field.min(), side="right"))
    side = 2 * reach * scale * 1.03
    parts = [rect(_SIZE / 2 - side / 2, _SIZE / 2 - side / 2, side, side, f"d{lowest}")]
    for i in range(lowest, len(levels)):
        path = _at_least(axes, axis, field, float(levels[i]), scale)
        if path:
            parts.append(el("path", d=path, class_=f"d{i + 1}" + (" contour" if i % 2 == 0 else "")))
    return join(parts)


def _at_least(axes: Any, axis: Array, field: Array, level: float, scale: float) -> str:
    if field.max() <= level:
        return ""
    areas = axes.contourf(axis, axis, field, levels=[level, float(field.max()) + 1.0])
    pieces = []
    for path in areas.get_paths():
        for polygon in path.to_polygons(closed_only=True):
            vertices = np.asarray(polygon, dtype=np.float64)
            xy = zip(_SIZE / 2 + vertices[:, 0] * scale, _SIZE / 2 - vertices[:, 1] * scale, strict=True)
            pieces.append("M" + "L".join(f"{coordinate(float(x))} {coordinate(float(y))}" for x, y in xy) + "Z")
    return "".join(pieces)


def _head(scale: float) -> list[Html]:
    """Return outline, nose and ears of a head of radius `_R * scale`."""
    c, r = _SIZE / 2, _R * scale
    at = partial(_point, c, r)
    nose = f"M{at(-0.13, 0.99)}L{at(0, 1.15)}L{at(0.13, 0.99)}"
    ears = [
        f"M{at(s * 0.985, 0.2)}Q{at(s * 1.115, 0.25)} {at(s * 1.085, 0)}Q{at(s * 1.075, -0.22)} {at(s * 0.985, -0.17)}"
        for s in (-1, 1)
    ]
    return [el("path", d="".join([nose, *ears]), class_="head"), el("circle", cx=c, cy=c, r=r, class_="head")]


def _point(centre: float, r: float, right: float, up: float) -> str:
    return f"{coordinate(centre + right * r)} {coordinate(centre - up * r)}"


def _colour_bar(limit: float, unit: str, name: str) -> Html:
    width, step = 220.0, 200.0 / BANDS
    bands = [rect(10 + i * step, 20, step + (0.5 if i < BANDS - 1 else 0), 10, f"d{i}") for i in range(BANDS)]
    ticks = [(10, -limit), (110, 0.0), (210, limit)]
    texts = [
        label(x, 45, significant(v, 2), anchor=a, class_="tick")
        for (x, v), a in zip(ticks, ("start", "middle", "end"), strict=True)
    ]
    marks = [line(x, 30, x, 33, "base") for x, _ in ticks]
    title = label(110, 14, f"{name}, {unit}", anchor="middle", class_="small")
    return svg(
        width,
        50,
        f"Colour bar of {name}: {significant(-limit, 2)} to {significant(limit, 2)} {unit}.",
        title,
        *bands,
        *marks,
        *texts,
    )
