"""The terrain is the mean loss after m steps, at each place of the plane."""

import pytest
import torch

from mamlkit import MAML, SineNetwork, adapt
from mamlkit.show.landscape import Plane
from mamlkit.show.widgets.terrain import TerrainExplorer


@pytest.fixture
def explorer(maml, sines):
    starts = [MAML(SineNetwork(), maml.loss, lr=0.01).init() for _ in range(4)]
    planes = {"MAML": Plane(*starts[:3]), "random": Plane(starts[3], *starts[1:3])}
    tasks = sines.sample(3, shots=5, queries=20, generator=torch.Generator().manual_seed(0))
    at = torch.linspace(-1, 1, 5), torch.linspace(-0.5, 1, 4)
    made = TerrainExplorer(maml, planes, tasks, us=at[0], vs=at[1])
    made.inputs = maml, tasks
    return made


@pytest.mark.parametrize("m", [0, 1, 10])
@pytest.mark.parametrize("name", ["MAML", "random"])
def test_a_place_has_the_mean_loss_after_m_steps_from_it(explorer, name, m):
    maml, tasks = explorer.inputs
    start = explorer.planes[name].at(explorer.us[3], explorer.vs[1])
    losses = []
    for i in range(3):
        task = tasks.task(i)
        theta = adapt(start, maml.task_loss, task.support, lr=0.01, steps=m, first_order=True)
        losses.append(maml.task_loss(theta, *task.query))
    expected = torch.stack(losses).mean().detach()
    torch.testing.assert_close(explorer.surfaces[name][m, 1, 3], expected, rtol=1e-4, atol=1e-5)


def test_the_slider_shows_another_map_and_says_how_low_it_is(explorer):
    pictures, sentences = set(), set()
    for m in (0, 5, 10):
        explorer.m.value = m
        pictures.add(bytes(explorer.picture.value))
        sentences.add(explorer.summary())
        surface = explorer.surfaces["random"][m]
        lowest = float(surface.min())
        assert explorer.lowest["random"] == lowest and f"{lowest:.2f}" in explorer.summary()
        (u,), (v,) = explorer._stars["random"].get_data()
        row, column = divmod(int(surface.argmin()), len(explorer.us))
        assert (u, v) == (explorer.us[column], explorer.vs[row])
    assert len(pictures) == len(sentences) == 3


def test_the_height_at_the_start_is_that_of_the_start(explorer):
    maml, tasks = explorer.inputs
    start = explorer.planes["MAML"].at(0.0, 0.0)
    explorer.m.value = 1
    adapted = [
        adapt(start, maml.task_loss, tasks.task(i).support, lr=0.01, steps=1) for i in range(3)
    ]
    pairs = [maml.task_loss(theta, *tasks.task(i).query) for i, theta in enumerate(adapted)]
    assert abs(explorer.here["MAML"] - float(torch.stack(pairs).mean())) < 1e-4


def test_a_name_without_a_role_is_refused(explorer):
    maml, tasks = explorer.inputs
    plane = explorer.planes["MAML"]
    with pytest.raises(ValueError, match="a plane's name must be one of"):
        TerrainExplorer(maml, {"mine": plane}, tasks, us=explorer.us, vs=explorer.vs)
