"""Mistakes of users with tasks, losses and functions of their own that once went by in silence."""

import inspect
from functools import partial

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from mamlkit import (
    MAML,
    ConditionalNeuralProcess,
    FewShot,
    InContextLearner,
    InContextTransformer,
    MatchingNetwork,
    NeuralProcess,
    NoisySinusoids,
    PrototypicalNetwork,
    Sinusoids,
    TaskBatch,
    accuracy,
    check_meta_gradient,
    evaluate,
    fit,
    glyphs,
    image_folder,
    masked,
)
from mamlkit.cli import main
from mamlkit.tasks.noisy_sinusoids import log_likelihood, negative_log_likelihood, squared_error

SETTINGS = dict(shots=2, queries=2, tasks_per_batch=3, device="cpu", progress=False, compile=False)


@pytest.fixture
def sines():
    return Sinusoids(device="cpu")


def maml(loss=mse_loss):
    torch.manual_seed(0)
    return MAML(nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)), loss, lr=0.01)


def test_one_score_a_point_is_not_an_accuracy():
    with pytest.raises(ValueError, match=r"one score a point .* metric=lambda scores, y"):
        accuracy(torch.zeros(4, 1), torch.tensor([0, 1, 0, 1]))

    class Signs(Sinusoids):
        def sample(self, *arguments, **options):
            batch = super().sample(*arguments, **options)
            sign = lambda y: (y[..., 0] > 0).long()
            return batch._replace(support_y=sign(batch.support_y), query_y=sign(batch.query_y))

    learner = maml(lambda p, y: binary_cross_entropy_with_logits(p[..., 0], y.float()))
    test = partial(evaluate, learner, learner.init(), Signs(device="cpu"), shots=5, queries=5)
    with pytest.raises(ValueError, match="one score a point"):
        test(tasks=3, steps=1)
    own = lambda p, y: ((p[..., 0] > 0) == (y > 0)).float().mean()
    assert 0 <= test(tasks=3, steps=1, metric=own).mean[1] <= 1


@pytest.mark.parametrize("kind", [PrototypicalNetwork, MatchingNetwork])
@pytest.mark.parametrize("ways", [4, 2])
def test_a_learner_of_other_ways_than_the_tasks_is_refused(kind, ways):
    words = f"labels 0 to {ways - 1} .* these have 0 to 2, 3 in all"
    episodes = FewShot(glyphs(8, drawings=6).images, ways=3, device="cpu")
    body = nn.Sequential(nn.Flatten(), nn.Linear(784, 4))
    learner = kind(body, cross_entropy, ways=ways)
    params = learner.init()
    with pytest.raises(ValueError, match=f"evaluate: .*{words}"):
        evaluate(learner, params, episodes, shots=1, queries=1, tasks=3, steps=0)
    with pytest.raises(ValueError, match=f"fit: .*{words}"):
        fit(learner, episodes, iterations=1, **SETTINGS)
    right = kind(body, cross_entropy, ways=3)  # of the same parameters
    evaluate(right, params, episodes, shots=1, queries=1, tasks=3, steps=0)


def test_a_masked_loss_of_a_point_is_one_number():
    ones = TaskBatch(*[torch.ones(1, 4, 1)] * 4)
    some = ones.masked(torch.tensor([[True, False, False, False]]), torch.ones(1, 4) > 0)
    with pytest.raises(ValueError, match=r"one number, its shape is \[1, 1\]; use reduction"):
        masked(nn.MSELoss(reduction="none"))(torch.full((4, 1), 5.0), some.support_y[0])


@pytest.mark.parametrize("metric", [lambda p, y: (p - y)[:, 0], lambda p, y: (p - y).mean()[None]])
def test_a_metric_returns_one_number(metric, sines):
    learner = maml()
    with pytest.raises(ValueError, match=r"metric must return one number.* shape \[[14]\]"):
        evaluate(learner, learner.init(), sines, shots=2, queries=4, tasks=3, metric=metric)


def test_a_metric_may_count(sines):
    learner = maml()
    test = partial(evaluate, learner, learner.init(), sines, shots=2, queries=4, tasks=3, steps=1)
    counted = test(metric=lambda p, y: ((p > 0) == (y > 0)).sum())
    share = test(metric=lambda p, y: ((p > 0) == (y > 0)).float().mean())
    torch.testing.assert_close(counted.values, 4 * share.values)


@pytest.mark.parametrize("function", [log_likelihood, squared_error])
def test_y_without_its_column_is_refused(function):
    prediction, y = torch.ones(3, 2), torch.arange(3.0)
    plain = inspect.unwrap(function)  # without the tests' own check of shapes
    with pytest.raises(ValueError, match=r"need y \[3, 1\], this is \[3\]; give y one column"):
        plain(prediction, y)


@pytest.mark.parametrize("learner", [
    ConditionalNeuralProcess(NeuralProcess(width=8), negative_log_likelihood),
    InContextLearner(InContextTransformer(width=8, heads=2, layers=1), negative_log_likelihood,
                     vary_shots=True),
], ids=["neural process", "transformer"])  # fmt: skip
def test_learners_that_hide_points_in_training_have_a_right_gradient(learner):
    batch = NoisySinusoids(device="cpu").sample(3, 5, 5)
    assert check_meta_gradient(learner, batch).ok
    task = batch.task(0)
    losses = lambda: {learner.outer_loss(learner.init(), task).item() for _ in range(20)}
    assert len(losses()) > 1
    with learner.mode(training=False):
        assert len(losses()) == 1


def test_a_check_of_one_task_without_its_dimension_says_so(sines):
    with pytest.raises(ValueError, match="lead with the tasks"):
        check_meta_gradient(maml(), sines.sample(2, 3, 2).task(0))


def test_a_position_code_is_for_one_input():
    for build in (NeuralProcess, InContextTransformer):
        with pytest.raises(ValueError, match="code=True is for one number in x, there are 3"):
            build(inputs=3, code=True)
        with pytest.raises(ValueError, match="inputs must be"):
            build(inputs=0)


def test_an_optimiser_of_other_tensors_is_refused(sines):
    learner = maml()
    wrong = lambda tensors: torch.optim.Adam(learner.module.parameters())
    with pytest.raises(ValueError, match="moves other tensors"):
        fit(learner, sines, iterations=1, optimizer=wrong, **SETTINGS)


@pytest.mark.parametrize("options", [{"log": lambda name, value: 0}, {"validate": lambda: 0.0}])
def test_functions_of_other_arguments_are_refused_before_any_work(options, sines, tmp_path):
    with pytest.raises(TypeError, match=rf"fit: {next(iter(options))}\(.* takes other arguments"):
        fit(maml(), sines, iterations=1, checkpoint=tmp_path / "run", **options, **SETTINGS)
    assert not (tmp_path / "run").exists()


def test_what_was_trained_outlives_a_faulty_function(sines, tmp_path):
    def faulty(params):
        raise KeyError("oops")

    with pytest.raises(KeyError):
        fit(maml(), sines, iterations=5, checkpoint=tmp_path, validate=faulty, **SETTINGS)
    run = fit(maml(), sines, iterations=8, checkpoint=tmp_path, **SETTINGS)
    straight = fit(maml(), sines, iterations=8, **SETTINGS)
    assert all(torch.equal(value, straight.params[name]) for name, value in run.params.items())


def test_a_first_validation_that_is_no_number_does_not_count(sines, tmp_path):
    values = iter([float("nan"), 2.0, 3.0])
    fit(maml(), sines, iterations=3, checkpoint=tmp_path, validate=lambda _: next(values),
        validate_every=1, **SETTINGS)  # fmt: skip
    assert (tmp_path / "best.safetensors").exists()


def test_a_refused_command_leaves_the_run_that_can_be_resumed(tmp_path):
    from click.testing import CliRunner

    run = ["--iterations=4", "--compile=no", "--quiet", f"--checkpoint={tmp_path / 'run'}",
           f"--out={tmp_path / 'out'}"]  # fmt: skip
    call = lambda *arguments: CliRunner().invoke(main, list(arguments))
    assert call("train", "sinusoid-maml", *run).exit_code == 0
    assert "lr" in call("train", "sinusoid-maml", *run, "--lr=0.02").output
    assert call("resume", str(tmp_path / "run"), "--iterations=6").exit_code == 0


def test_pictures_are_what_they_look_like(tmp_path):
    def folder(name, *pictures, ending="png", **options):
        for number, picture in enumerate(pictures):
            place = tmp_path / name / "a"
            place.mkdir(parents=True, exist_ok=True)
            picture.save(place / f"{number}.{ending}", **options)
        return tmp_path / name

    ink = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    ink.paste((0, 0, 0, 255), (5, 5, 15, 15))  # black on a transparent ground
    clear = image_folder(folder("clear", ink, ink), size=20).images[0][0, 0]
    assert clear[0, 0] == 255 and clear[10, 10] == 0
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a right angle, clockwise
    half = Image.new("L", (20, 20))
    half.paste(255, (0, 0, 10, 20))  # white on the left, so on top when turned
    upright = image_folder(
        folder("exif", half, half, ending="jpg", exif=turned), size=20, grey=True
    )
    assert upright.images[0][0, 0, 2, 10] > 200 > 55 > upright.images[0][0, 0, 17, 10]
    deep = Image.new("I;16", (20, 20))
    with pytest.raises(ValueError, match=r"8 bits a channel .its mode is I;16.*convert"):
        image_folder(folder("deep", deep, deep), size=20)
