"""Meta-training: it learns, it repeats itself to the bit, it resumes."""

import json
import os
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

from mamlkit import MAML, FewShot, SineNetwork, Sinusoids, evaluate, fit, glyphs
from mamlkit.training import checkpoint as checkpoints

SETTINGS = {"shots": 5, "queries": 5, "tasks_per_batch": 4, "progress": False, "device": "cpu"}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_to_adapt(maml, sines):
    run = fit(maml, sines, iterations=600, **{**SETTINGS, "tasks_per_batch": 25})
    test = {"shots": 5, "queries": 20, "tasks": 200, "steps": 1}
    trained, start = (evaluate(maml, p, sines, **test) for p in (run.params, maml.init()))
    assert trained.mean[1] < 0.8 * start.mean[1]
    assert trained.mean[1] < 0.8 * trained.mean[0]
    assert run.iterations == 600 and run.history["loss"][-100:].mean() < run.history["loss"][0]


def test_the_same_seed_gives_the_same_bits(maml, sines):
    one, two = (fit(maml, sines, iterations=20, seed=3, **SETTINGS) for _ in range(2))
    other = fit(maml, sines, iterations=20, seed=4, **SETTINGS)
    assert equal(one.params, two.params) and not equal(one.params, other.params)


def test_training_leaves_the_global_random_state_alone(maml, sines):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(maml, sines, iterations=2, **SETTINGS)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.Adam, lr=1e-3, fused=True),
        partial(torch.optim.AdamW, lr=1e-3, amsgrad=True),
        partial(torch.optim.SGD, lr=1e-2, momentum=0.9),
        partial(torch.optim.SGD, lr=1e-2),
    ],
    ids=["Adam", "AdamW", "momentum", "SGD"],
)
@pytest.mark.parametrize(
    "schedule",
    [
        None,
        partial(torch.optim.lr_scheduler.StepLR, step_size=7),
        partial(torch.optim.lr_scheduler.MultiStepLR, milestones=[3, 15]),
        partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1e-2, total_steps=21),
    ],
    ids=["constant", "step", "milestones", "one cycle"],
)
def test_resuming_equals_never_stopping(optimizer, schedule, sines, tmp_path):
    """train(2n) equals train(n) + resume(n) to the bit; dropout draws go on where they were."""
    torch.manual_seed(0)
    network = SineNetwork()
    network.body.append(torch.nn.Dropout(0.2))
    maml = MAML(network, mse_loss, lr=0.01)
    settings = {**SETTINGS, "optimizer": optimizer, "schedule": schedule, "seed": 2}
    straight = fit(maml, sines, iterations=20, **settings)
    fit(maml, sines, iterations=10, checkpoint=tmp_path, **settings)
    resumed = fit(maml, sines, iterations=20, checkpoint=tmp_path, **settings)
    assert equal(straight.params, resumed.params)
    assert torch.equal(straight.history["loss"], resumed.history["loss"])


def test_a_stopped_run_goes_on(maml, sines, tmp_path):
    """Stopped by an error in the middle, the next call starts from the last checkpoint."""

    class Breaks:
        device, left = sines.device, 8
        to = lambda self, device: self
        settings = lambda self: sines.settings()

        def sample(self, *args, **kwargs):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return sines.sample(*args, **kwargs)

    settings = {**SETTINGS, "checkpoint_every": 3}
    with pytest.raises(KeyboardInterrupt):
        fit(maml, Breaks(), iterations=12, checkpoint=tmp_path, **settings)
    assert checkpoints.newest(tmp_path).metadata["iteration"] == 6
    resumed = fit(maml, sines, iterations=12, checkpoint=tmp_path, **settings)
    assert equal(resumed.params, fit(maml, sines, iterations=12, **settings).params)


def test_other_settings_are_refused(maml, sines, tmp_path):
    fit(maml, sines, iterations=2, checkpoint=tmp_path, **SETTINGS)
    with pytest.raises(ValueError, match=r"seed = 0, this one has 1.*another folder"):
        fit(maml, sines, iterations=4, checkpoint=tmp_path, seed=1, **SETTINGS)
    with pytest.raises(ValueError, match=r"with learner.lr = 0.01, this one has 0.02;"):
        other = MAML(maml.module, mse_loss, lr=0.02)
        fit(other, sines, iterations=4, checkpoint=tmp_path, **SETTINGS)
    with pytest.raises(ValueError, match="start = the module's own, this one has"):
        settings = {**SETTINGS, "params": maml.init()}
        fit(maml, sines, iterations=4, checkpoint=tmp_path, **settings)
    with pytest.raises(ValueError, match="optimizer = "):
        optimizer = lambda leaves: torch.optim.Adam(leaves, lr=0.1, fused=True)
        fit(maml, sines, iterations=4, checkpoint=tmp_path, optimizer=optimizer, **SETTINGS)
    with pytest.raises(ValueError, match="holds 2 iterations, more than the 1"):
        fit(maml, sines, iterations=1, checkpoint=tmp_path, **SETTINGS)


def test_frozen_weights_belong_to_the_settings(sines, tmp_path):
    def learner(seed):
        torch.manual_seed(seed)
        network = SineNetwork()
        network.body[0].requires_grad_(False)
        return MAML(network, mse_loss, lr=0.01)

    fit(learner(0), sines, iterations=2, checkpoint=tmp_path, **SETTINGS)
    fit(learner(0), sines, iterations=3, checkpoint=tmp_path, **SETTINGS)
    with pytest.raises(ValueError, match="with frozen = "):
        fit(learner(1), sines, iterations=4, checkpoint=tmp_path, **SETTINGS)


def test_other_images_are_other_settings():
    one, two = (FewShot(glyphs(5, seed=s).images, 5, device="cpu").settings() for s in (0, 1))
    assert one != two


def test_a_folder_without_a_checkpoint_is_free(maml, sines, tmp_path):
    wild = MAML(maml.module, mse_loss, lr=1e6)
    with pytest.raises(FloatingPointError):
        fit(wild, sines, iterations=50, checkpoint=tmp_path, **SETTINGS)
    assert fit(maml, sines, iterations=2, checkpoint=tmp_path, **SETTINGS).iterations == 2


def test_odd_names_and_numpy_numbers_survive(sines, tmp_path):
    module = torch.nn.Module()
    module.register_parameter("w/x", torch.nn.Parameter(torch.ones(1)))
    module.forward = lambda x: getattr(module, "w/x") * x
    learner = MAML(module, mse_loss, lr=0.01)
    settings = {**SETTINGS, "shots": np.int64(5), "seed": np.int64(3), "checkpoint": tmp_path}
    fit(learner, sines, iterations=2, **settings)
    assert fit(learner, sines, iterations=4, **settings).params["w/x"] != 1


def test_parameters_that_are_not_finite_stop_the_run(sines, tmp_path):
    """A root at zero: the loss is finite, its gradient is not."""
    module = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(module.weight)
    root = lambda prediction, y: mse_loss(prediction, y) + module_root(prediction)
    module_root = lambda prediction: (0 * prediction).abs().sqrt().mean()
    learner = MAML(module, root, lr=0.01, steps=0)
    with pytest.raises(FloatingPointError, match=r"left '(bias|weight)' not finite"):
        fit(learner, sines, iterations=1, checkpoint=tmp_path, **SETTINGS)
    assert not list(tmp_path.glob("iteration-*"))


def test_files_can_be_read_by_others(maml, sines, tmp_path):
    fit(maml, sines, iterations=1, checkpoint=tmp_path, **SETTINGS)
    umask = os.umask(0)
    os.umask(umask)
    assert all(path.stat().st_mode & 0o777 == 0o666 & ~umask for path in tmp_path.iterdir())


def test_a_damaged_checkpoint_falls_back_to_the_one_before(maml, sines, tmp_path):
    settings = {**SETTINGS, "checkpoint_every": 4}
    whole = fit(maml, sines, iterations=8, checkpoint=tmp_path, **settings)
    newest = tmp_path / "iteration-000000008.safetensors"
    newest.write_bytes(newest.read_bytes()[:200])
    with pytest.warns(UserWarning, match="000008.safetensors is damaged.*going on from iteration"):
        again = fit(maml, sines, iterations=8, checkpoint=tmp_path, **settings)
    assert equal(again.params, whole.params)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"is damaged.*there is no older one; delete the folder"):
        fit(maml, sines, iterations=8, checkpoint=tmp_path, **settings)


def test_a_checkpoint_is_written_whole_or_not_at_all(maml, sines, tmp_path, monkeypatch):
    fit(maml, sines, iterations=2, checkpoint=tmp_path, **SETTINGS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fit(maml, sines, iterations=4, checkpoint=tmp_path, **SETTINGS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_identity_is_readable(maml, sines, tmp_path):
    fit(maml, sines, iterations=1, checkpoint=tmp_path, **SETTINGS)
    recipe = json.loads((tmp_path / "identity.json").read_text())
    assert recipe["seed"] == 0 and "Adam" in recipe["optimizer"]


def test_a_subclass_with_a_sample_of_its_own_is_asked(maml):
    class Shifted(Sinusoids):
        def sample(self, *args, **kwargs):
            batch = super().sample(*args, **kwargs)
            return batch._replace(query_y=batch.query_y + 100)

    run = fit(maml, Shifted(device="cpu"), iterations=1, **SETTINGS)
    assert run.history["loss"][0] > 1_000


def test_parameters_may_lie_in_memory_as_they_like(sines):
    """Fused Adam reads by position: it must not meet a transposed parameter."""
    module = SineNetwork()
    module.body[2].weight = torch.nn.Parameter(module.body[2].weight.detach().t().clone().t())
    plain = SineNetwork()
    plain.load_state_dict(module.state_dict())
    ends = [
        fit(MAML(each, mse_loss, lr=0.01), sines, iterations=3, **SETTINGS).params
        for each in (module, plain)
    ]
    assert equal(*ends)


def test_divergence_stops_with_its_iteration(sines):
    torch.manual_seed(0)
    wild = MAML(SineNetwork(), mse_loss, lr=1e6, steps=5)
    with pytest.raises(FloatingPointError, match=r"iteration 1; try a smaller step size"):
        fit(wild, sines, iterations=5, **SETTINGS)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none found")
def test_on_a_gpu(maml, sines):
    run = fit(maml, sines, iterations=50, **{**SETTINGS, "device": "cuda"})
    assert next(iter(run.params.values())).is_cuda
    evaluate(maml, run.params, sines.to("cuda"), shots=5, queries=5, tasks=10, steps=1)


def test_validation_is_kept_and_changes_nothing(maml, sines, tmp_path):
    seen = []

    def validate(params):
        torch.rand(3)  # may draw from the global random state
        seen.append({name: value.clone() for name, value in params.items()})
        for value in params.values():
            value.zero_()  # and spoil what it was given
        return len(seen)

    settings = {**SETTINGS, "validate": validate, "validate_every": 4}
    run = fit(maml, sines, iterations=10, checkpoint=tmp_path, **settings)
    assert run.history["validation"][:, [0, 2]].tolist() == [[4, 1], [8, 2], [10, 3]]
    seconds = run.history["validation"][:, 1]
    assert (seconds.diff() > 0).all() and seconds[-1] <= run.seconds
    assert equal(run.params, fit(maml, sines, iterations=10, **SETTINGS).params)
    assert equal(seen[-1], run.params)
    longer = fit(maml, sines, iterations=12, checkpoint=tmp_path, **settings)
    assert longer.history["validation"][:, 0].tolist() == [4, 8, 10, 12]


def test_the_time_of_validation_does_not_count(maml, sines, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def slow(params):
        clock[0] += 100
        return 0.0

    run = fit(maml, sines, iterations=4, validate=slow, validate_every=1, **SETTINGS)
    assert clock[0] == 400 and run.seconds == 0


def test_validate_must_be_a_function(maml, sines):
    with pytest.raises(TypeError, match="validate must be a function"):
        fit(maml, sines, iterations=4, validate=0.9, **SETTINGS)


@pytest.mark.parametrize("wrong", [None, "high", torch.zeros(2)])
def test_validate_must_return_one_number(maml, sines, wrong):
    with pytest.raises(TypeError, match="validate must return one number"):
        fit(maml, sines, iterations=1, validate=lambda params: wrong, **SETTINGS)


def test_a_finished_run_without_validation_has_no_rows(maml, sines, tmp_path):
    fit(maml, sines, iterations=2, checkpoint=tmp_path, **SETTINGS)
    settings = {**SETTINGS, "validate": lambda params: 1.0}
    again = fit(maml, sines, iterations=2, checkpoint=tmp_path, **settings)
    assert again.history["validation"].shape == (0, 3)
