"""The plane through three settings of a network's parameters: geometry, losses, pictures."""

import matplotlib.pyplot as plt
import pytest
import torch

from mamlkit import adapt
from mamlkit.show import landscape
from mamlkit.show.landscape import Plane


def flat(params):
    return torch.cat([params[name].flatten() for name in params])


def noise(params, scale=1.0):
    return {name: value + scale * torch.randn_like(value) for name, value in params.items()}


@pytest.fixture
def points(maml):
    """A start and two networks elsewhere, of the real shape."""
    torch.manual_seed(1)
    start = maml.init()
    return start, noise(start, 0.1), noise(start, 0.3)


def test_axes_are_orthonormal(points):
    axes = Plane(*points).axes
    torch.testing.assert_close(axes @ axes.T, torch.eye(2), atol=1e-6, rtol=0)


def test_axes_stay_orthonormal_for_nearly_collinear_points(points):
    start, first, _ = points
    nearly = {name: start[name] + 2 * (first[name] - start[name]) for name in start}
    axes = Plane(start, first, noise(nearly, 1e-3)).axes
    torch.testing.assert_close(axes @ axes.T, torch.eye(2), atol=1e-5, rtol=0)


def test_the_three_points_lie_in_the_plane(points):
    plane = Plane(*points)
    for params in points:
        back = plane.at(*plane.coordinates(params))
        assert list(back) == list(params)
        for name in params:
            torch.testing.assert_close(back[name], params[name], atol=1e-5, rtol=1e-5)
    assert [float(c) for c in plane.coordinates(points[0])] == [0, 0]
    assert float(plane.coordinates(points[1])[1]) == pytest.approx(0, abs=1e-5)
    assert float(plane.coordinates(points[2])[1]) > 0


def test_coordinates_are_true_distances(points):
    plane = Plane(*points)
    for here in points:
        for there in points:
            u, v = (a - b for a, b in zip(*map(plane.coordinates, (here, there)), strict=True))
            apart = (flat(here) - flat(there)).norm()
            torch.testing.assert_close(torch.hypot(u, v), apart, atol=1e-4, rtol=1e-5)


def test_nothing_is_missed_within_the_plane(points):
    plane = Plane(*points)
    for params in (*points[1:], plane.at(-0.7, 2.0)):
        assert float(plane.missed(params)) == pytest.approx(0, abs=1e-6)
    assert torch.isnan(plane.missed(points[0]))


def test_all_is_missed_at_right_angles(points):
    plane = Plane(*points)
    aside = torch.randn_like(plane.origin)
    aside -= (plane.axes @ aside) @ plane.axes
    params = plane._unflatten(plane.origin + aside)
    assert float(plane.missed(params)) == pytest.approx(1, abs=1e-5)
    assert [float(c) for c in plane.coordinates(params)] == pytest.approx([0, 0], abs=1e-4)
    half = plane._unflatten(plane.origin + aside / aside.norm() + plane.axes[0])
    assert float(plane.missed(half)) == pytest.approx(0.5, abs=1e-5)


def test_surface_is_the_loss_itself(points, maml, sines):
    plane = Plane(*points)
    query = sines.sample(1, shots=5, queries=50).task(0).query
    us, vs = torch.linspace(-1, 2, 4), torch.linspace(-0.5, 1.0, 3)
    surface = plane.surface(lambda params: maml.task_loss(params, *query), us, vs)
    assert surface.shape == (3, 4) and not surface.requires_grad
    for i, v in enumerate(vs):
        for j, u in enumerate(us):
            direct = maml.task_loss(plane.at(u, v), *query)
            torch.testing.assert_close(surface[i, j], direct, atol=1e-4, rtol=1e-4)


def test_a_mapped_measure_agrees_with_a_loop(points):
    plane = Plane(*points)
    others = [noise(points[0], 0.2) for _ in range(3)]
    stacked = {name: torch.stack([other[name] for other in others]) for name in others[0]}
    mapped = torch.func.vmap(plane.missed)(stacked)
    torch.testing.assert_close(mapped, torch.stack([plane.missed(other) for other in others]))


@pytest.mark.parametrize("case", ["same", "line", "back"])
def test_three_points_on_a_line_are_refused(points, case):
    start, first, _ = points
    if case == "same":
        first, second = start, first
    else:
        factor = 2.5 if case == "line" else -1.0
        second = {name: start[name] + factor * (first[name] - start[name]) for name in start}
    with pytest.raises(ValueError, match=r"one line.*choose a second point"):
        Plane(start, first, second)


def test_points_of_another_network_are_refused(points):
    start, first, second = points
    other = {**second, "head.bias": torch.zeros(3)}
    with pytest.raises(ValueError, match="names or shapes differ"):
        Plane(start, first, other)
    with pytest.raises(ValueError, match="names or shapes differ"):
        Plane(*points).coordinates({"w": torch.zeros(2)})


def test_the_pictures_show_what_they_are_given(points, maml, sines):
    plane = Plane(*points)
    task = sines.sample(1, shots=5, queries=50).task(0)
    path = [
        adapt(points[0], maml.task_loss, task.support, lr=0.01, steps=s, first_order=True)
        for s in range(4)
    ]
    us, vs = torch.linspace(-1, 2, 5), torch.linspace(-1, 1, 4)
    surface = plane.surface(lambda params: maml.task_loss(params, *task.query), us, vs)
    figure, ax = plt.subplots()
    filled = landscape.contours(ax, us, vs, surface, levels=[0.1, 1, 10])
    line = landscape.shadow(ax, plane, path, "MAML")
    name = landscape.mark(ax, plane, points[1], "θ′")
    bar = landscape.scale([ax], filled)
    assert len(line.get_xdata()) == len(path)
    assert [line.get_xdata()[0], line.get_ydata()[0]] == [0, 0]
    assert name.xy == pytest.approx([float(c) for c in plane.coordinates(points[1])])
    assert [text.get_text() for text in bar.ax.get_yticklabels()] == ["0.1", "1", "10"]
    assert ax.get_xlabel() and ax.get_ylabel()
    plt.close(figure)
