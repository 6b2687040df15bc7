"""Scalp maps: the spline is exact where it must be, the picture is where the electrodes are."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from neural_foundation.evaluation import report as r
from neural_foundation.evaluation.report import topomap


def cap(n: int = 64, lowest: float = -0.2) -> np.ndarray:
    """Return n unit vectors spread evenly over the upper part of a sphere (a golden spiral)."""
    z = np.linspace(1, lowest, n)
    angle = np.arange(n) * np.pi * (3 - np.sqrt(5))
    level = np.sqrt(1 - z**2)
    return np.c_[level * np.cos(angle), level * np.sin(angle), z]


def test_the_spline_passes_through_the_electrodes() -> None:
    directions = cap()
    values = np.random.default_rng(0).normal(size=64)
    assert topomap.spherical_spline(directions, values)(directions) == pytest.approx(values, abs=0.02)


@pytest.mark.parametrize(
    "field", [lambda d: 3 + 0 * d[:, 0], lambda d: d[:, 0], lambda d: d[:, 2] ** 2, lambda d: d[:, 0] * d[:, 1]]
)
def test_the_spline_recovers_smooth_fields_between_electrodes(field: object) -> None:
    directions, query = cap(), cap(37, lowest=0.0)
    found = topomap.spherical_spline(directions, field(directions))(query)  # type: ignore[operator]
    assert found == pytest.approx(field(query), abs=0.01)  # type: ignore[operator]


def test_flattening_keeps_the_angle_from_the_top_and_can_be_undone() -> None:
    directions = cap()
    flat = topomap.flatten(directions)
    assert np.hypot(*flat.T) == pytest.approx(np.arccos(directions[:, 2]) / (np.pi / 2))
    assert topomap.unflatten(flat) == pytest.approx(directions, abs=1e-12)
    assert topomap.flatten(np.array([[1.0, 0, 0], [0, 0, 1]])) == pytest.approx(np.array([[1.0, 0], [0, 0]]))


def test_the_head_is_found_where_it_is() -> None:
    centre, radius = topomap.head_sphere(cap() * 0.09 + [0.001, 0.01, 0.04])
    assert centre == pytest.approx([0.001, 0.01, 0.04])
    assert radius == pytest.approx(0.09)


@pytest.mark.parametrize("positions", [cap(3) * 0.09, np.c_[cap(20)[:, :2], np.full(20, 0.5)] * 0.09])
def test_few_or_coplanar_electrodes_take_the_frame_as_it_is(positions: np.ndarray) -> None:
    centre, radius = topomap.head_sphere(positions)
    assert (centre == 0).all()
    assert radius == pytest.approx(np.linalg.norm(positions, axis=1).mean())


def test_correlation_is_pearsons_unless_given() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20))
    assert topomap.correlation(r.ScalpMap(title="x", values=a, reference=b)) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert topomap.correlation(r.ScalpMap(title="x", values=a, reference=b, correlation=0.5)) == 0.5
    assert topomap.correlation(r.ScalpMap(title="x", values=a)) is None


def picture(values: np.ndarray, positions: np.ndarray) -> ElementTree.Element:
    names = [f"E{i}" for i in range(len(values))]
    return ElementTree.fromstring(topomap.draw_map(positions, values, 1.0, names, "a", "a map of something"))


def highest(root: ElementTree.Element) -> int:
    return max(
        int((e.get("class") or "d0").split()[0][1:])
        for e in root.iter("path")
        if (e.get("class") or "").startswith("d")
    )


def test_electrodes_are_drawn_where_they_are_nose_up() -> None:
    positions = 0.09 * np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
    dots = [
        (float(e.get("cx", "nan")), float(e.get("cy", "nan")))
        for e in picture(np.arange(5.0), positions).iter("circle")
        if e.get("class") == "electrode"
    ]
    top, right, front, left, back = dots
    assert right[0] > top[0] > left[0]
    assert front[1] < top[1] < back[1]


def test_a_peak_reaches_the_last_colour_and_its_negative_the_first() -> None:
    d = cap()
    bump = np.exp(-((d - d[5]) ** 2).sum(1) / 0.1)
    assert highest(picture(bump, d * 0.09)) == topomap.BANDS - 1
    lowest = next(e for e in picture(-bump, d * 0.09).iter("rect"))
    assert lowest.get("class") == "d0"


@pytest.mark.parametrize("n", [1, 2, 64])
def test_a_flat_map_is_drawn_without_contours(n: int) -> None:
    root = picture(np.zeros(n), cap(64)[:n] * 0.09)
    assert not [e for e in root.iter("path") if "contour" in (e.get("class") or "")]


def test_channels_without_a_value_are_left_out() -> None:
    values = np.ones(12)
    values[3] = np.nan
    maps = r.ScalpMaps(
        ch_names=tuple(f"E{i}" for i in range(12)),
        positions=cap(12) * 0.09,
        maps=(r.ScalpMap(title="x", values=values),),
        unit="µV",
    )
    html = topomap.scalp_figure(maps)
    assert "E3:" not in html
    assert html.count('class="electrode"') == 11
    assert "largest at E0: 1.0 µV" in html
