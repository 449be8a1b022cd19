"""Runs that are stopped, moved, damaged or diverge: nothing is lost, nothing is silently wrong."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn.functional import mse_loss

from mamlkit import MAML, MetaSGD, SineNetwork, fit
from mamlkit.training import checkpoint as checkpoints
from mamlkit.training import loop

SETTINGS = {"shots": 5, "queries": 5, "tasks_per_batch": 4, "progress": False, "device": "cpu"}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Signals:
    """Sine tasks that send a signal to this process while batch number `at` is drawn."""

    def __init__(self, sines, at, number):
        self.sines, self.at, self.number = sines, at, number
        self.device, self.drawn = sines.device, -1  # the first is drawn to look at it

    def settings(self):
        return self.sines.settings()

    def to(self, device):
        return self

    def sample(self, *args, **kwargs):
        self.drawn += 1
        if self.drawn == self.at:
            signal.raise_signal(self.number)
        return self.sines.sample(*args, **kwargs)


def test_ctrl_c_saves_before_leaving(maml, sines, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(maml, Signals(sines, 7, signal.SIGINT), iterations=12, checkpoint=tmp_path, **SETTINGS)
    assert checkpoints.newest(tmp_path).metadata["iteration"] == 7
    resumed = fit(maml, sines, iterations=12, checkpoint=tmp_path, **SETTINGS)
    assert equal(resumed.params, fit(maml, sines, iterations=12, **SETTINGS).params)


def test_the_stop_button_of_a_notebook_leaves_a_run(maml, sines, monkeypatch):
    monkeypatch.setattr(loop, "in_notebook", lambda: True)
    run = fit(maml, Signals(sines, 5, signal.SIGINT), iterations=12, **SETTINGS)
    assert run.stopped and run.iterations == 5 and run.history["loss"].shape == (5,)
    assert equal(run.params, fit(maml, sines, iterations=5, **SETTINGS).params)


def test_a_second_ctrl_c_breaks_in(maml, sines):
    class Twice(Signals):
        def sample(self, *args, **kwargs):
            if self.drawn == 3:
                signal.raise_signal(signal.SIGINT)
            return super().sample(*args, **kwargs)

    with pytest.raises(KeyboardInterrupt):
        fit(maml, Twice(sines, 4, signal.SIGINT), iterations=12, **SETTINGS)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


PROGRAM = """
import sys, torch
from mamlkit import MAML, SineNetwork, Sinusoids, fit
torch.manual_seed(0)
maml = MAML(SineNetwork(hidden=(8,)), torch.nn.functional.mse_loss, lr=0.01)
fit(maml, Sinusoids(device="cpu"), iterations=int(sys.argv[2]), shots=5, queries=5, device="cpu",
    tasks_per_batch=2, checkpoint=sys.argv[1], checkpoint_every=3, compile=False, progress=False)
"""


def started(folder, iterations):
    command = [sys.executable, "-c", PROGRAM, str(folder), str(iterations)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoint(folder, process):
    for _ in range(12_000):
        if checkpoints.newest_first(folder) or process.poll() is not None:
            return
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_ends_as_if_it_had_never_stopped(number, tmp_path):
    """`tests/stress/kill_resume.py` does this fifty times, at random moments."""
    process = started(tmp_path / "killed", 100_000)
    wait_for_checkpoint(tmp_path / "killed", process)
    process.send_signal(number)
    process.wait(600)
    assert process.returncode == -number
    done = checkpoints.newest(tmp_path / "killed").metadata["iteration"]
    for folder in ("killed", "straight"):
        finished = started(tmp_path / folder, done + 10)
        assert finished.wait(600) == 0, finished.stderr.read()
    one, other = (checkpoints.newest(tmp_path / f).tensors for f in ("killed", "straight"))
    assert equal(one["params"], other["params"])
    assert equal(one["history"], other["history"])


def test_the_best_by_validation_stays(maml, sines, tmp_path):
    scores = iter([0.2, 0.9, 0.5, 0.4])
    settings = {"validate": lambda _: next(scores), "validate_every": 3, "checkpoint_every": 3}
    kept = {"checkpoint": tmp_path, "keep_last": 2}
    fit(maml, sines, iterations=12, **settings, **kept, **SETTINGS)
    names = [path.name for path in checkpoints.newest_first(tmp_path)]
    assert names == [f"iteration-{n:09d}.safetensors" for n in (12, 9)]
    best = checkpoints.read(tmp_path / checkpoints.BEST)
    assert best.metadata["iteration"] == 6
    assert equal(best.tensors["params"], fit(maml, sines, iterations=6, **SETTINGS).params)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_every_dtype_comes_back(tmp_path, dtype):
    value = torch.arange(6).view(2, 3).to(dtype)
    tensors = {"params": {"w": value, "scalar": value[0, 1]}}
    checkpoints.write(tmp_path, checkpoints.Checkpoint(tensors, {"iteration": 1}), keep_last=1)
    found = checkpoints.newest(tmp_path).tensors["params"]
    assert equal(found, tensors["params"])
    assert found["w"].dtype == dtype


def test_one_flipped_bit_is_noticed(maml, sines, tmp_path):
    fit(maml, sines, iterations=2, checkpoint=tmp_path, **SETTINGS)
    (path,) = checkpoints.newest_first(tmp_path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1  # in the numbers, where safetensors itself sees nothing wrong
    path.write_bytes(content)
    with pytest.raises(ValueError, match="its SHA-256 is not that of its content"):
        checkpoints.read(path)


def test_a_run_moves_to_another_device(maml, sines, tmp_path):
    """The file says it comes from a GPU, whose generator's state means nothing here."""
    fit(maml, sines, iterations=3, checkpoint=tmp_path, **SETTINGS)
    found = checkpoints.newest(tmp_path)
    found.metadata["device"], found.tensors["random"]["tasks"] = "cuda", torch.zeros(16)
    checkpoints.write(tmp_path, found, keep_last=2)
    with pytest.warns(UserWarning, match="was saved on cuda and goes on on cpu"):
        run = fit(maml, sines, iterations=6, checkpoint=tmp_path, **SETTINGS)
    assert run.iterations == 6


class Bad:
    """Sine tasks, some batches of which hold infinity."""

    def __init__(self, sines, bad):
        self.sines, self.bad, self.drawn, self.device = sines, bad, -1, sines.device

    def to(self, device):
        return self

    def sample(self, *args, **kwargs):
        self.drawn += 1
        batch = self.sines.sample(*args, **kwargs)
        batch.query_y[0, 0] = torch.inf if self.drawn in self.bad else batch.query_y[0, 0]
        return batch


def test_bad_batches_may_be_skipped(maml, sines):
    run = fit(maml, Bad(sines, {3, 6}), iterations=8, max_skipped=2, **SETTINGS)
    assert torch.isnan(run.history["loss"]).nonzero().flatten().tolist() == [2, 5]
    assert all(value.isfinite().all() for value in run.params.values())
    with pytest.raises(FloatingPointError, match="iteration 6, after 1 such batches"):
        fit(maml, Bad(sines, {3, 6}), iterations=8, max_skipped=1, **SETTINGS)


def test_divergence_stops_at_once_and_names_the_last_good_checkpoint(maml, sines, tmp_path):
    tasks, settings = Bad(sines, {7}), {"checkpoint": tmp_path, "checkpoint_every": 5}
    with pytest.raises(FloatingPointError, match=r"inf at iteration 7.*iteration-000000005"):
        fit(maml, tasks, iterations=10_000, **settings, **SETTINGS)
    assert tasks.drawn == 7


def test_the_log_is_told_every_loss_once(maml, sines, tmp_path):
    told = []
    settings = {"validate": lambda _: 0.5, "validate_every": 4, "checkpoint_every": 3}
    log = lambda *entry: told.append(entry)
    run = fit(maml, sines, iterations=6, log=log, checkpoint=tmp_path, **settings, **SETTINGS)
    losses = [(name, number) for name, _, number in told if name == "loss"]
    assert losses == [("loss", n) for n in range(1, 7)]
    assert [f for f in told if f[0] == "validation"] == [("validation", 0.5, 4)] * 1 + [
        ("validation", 0.5, 6)
    ]
    assert told[0][1] == run.history["loss"][0].item()


def test_a_folder_that_cannot_be_written_says_so(maml, sines, tmp_path, monkeypatch):
    fit(maml, sines, iterations=2, checkpoint=tmp_path, **SETTINGS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def refuse(*_args, **_more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(OSError, match=r"could not be written \(Permission denied\); earlier ones"):
        fit(maml, sines, iterations=4, checkpoint=tmp_path, **SETTINGS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_clock_that_jumps_back_changes_nothing(maml, sines, tmp_path, monkeypatch):
    settings = {**SETTINGS, "checkpoint": tmp_path, "checkpoint_every": 2}
    fit(maml, sines, iterations=4, **settings)
    monkeypatch.setattr("time.time", partial(float, 0))
    for path in tmp_path.iterdir():
        os.utime(path, (2e9, 2e9))  # the old files seem to come from the future
    fit(maml, sines, iterations=6, **settings)
    assert checkpoints.newest(tmp_path).metadata["iteration"] == 6


def test_another_loss_than_mse_resumes(sines, tmp_path):
    """What a run is resumed with is the loss's name: losses without names must not differ."""
    maml = MAML(SineNetwork(), lambda p, y: mse_loss(p, y), lr=0.01)
    fit(maml, sines, iterations=2, checkpoint=tmp_path, **SETTINGS)
    assert fit(maml, sines, iterations=3, checkpoint=tmp_path, **SETTINGS).iterations == 3


def test_learned_step_sizes_resume_from_other_initial_weights(sines, tmp_path):
    """The module's own weights are not what a run goes on from."""
    for iterations in (2, 4):
        torch.manual_seed(iterations)
        learner = MetaSGD(SineNetwork(hidden=(8,)), mse_loss, lr=0.01)
        run = fit(learner, sines, iterations=iterations, checkpoint=tmp_path, **SETTINGS)
    assert run.iterations == 4


def test_schedules_within_schedules_resume(maml, sines, tmp_path):
    """A MultiStepLR in another schedule keeps its milestones, which JSON had as text."""
    schedules = torch.optim.lr_scheduler
    schedule = lambda optimizer: schedules.SequentialLR(
        optimizer, [schedules.MultiStepLR(optimizer, [2, 4], 0.1)] * 1, milestones=[]
    )
    settings = {**SETTINGS, "schedule": schedule}
    for iterations in (3, 6):
        run = fit(maml, sines, iterations=iterations, checkpoint=tmp_path, **settings)
    assert equal(run.params, fit(maml, sines, iterations=6, **settings).params)


def test_a_distribution_without_settings_is_told_by_its_repr(maml, sines, tmp_path):
    @dataclass
    class Shifted:
        shift: float
        device: str = "cpu"
        to = lambda self, device: self

        def sample(self, *args, **kwargs):
            batch = sines.sample(*args, **kwargs)
            return batch._replace(query_y=batch.query_y + self.shift)

    fit(maml, Shifted(1.0), iterations=2, checkpoint=tmp_path, **SETTINGS)
    with pytest.raises(ValueError, match=r"distribution = .*shift=1.0.*this one has .*shift=2.0"):
        fit(maml, Shifted(2.0), iterations=4, checkpoint=tmp_path, **SETTINGS)


def test_paths_may_be_text_or_path(maml, sines, tmp_path):
    fit(maml, sines, iterations=1, checkpoint=str(tmp_path / "a" / "b"), **SETTINGS)
    assert checkpoints.newest(Path(tmp_path, "a", "b")).metadata["iteration"] == 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here; it takes root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_that_fills_up_or_turns_read_only(maml, sines, small_disk, trouble):
    """An error that says so, and the earlier checkpoint whole; with room again the run goes on."""
    run = partial(fit, maml, sines, checkpoint=small_disk, **SETTINGS)
    run(iterations=2)
    before = {path.name: path.read_bytes() for path in small_disk.iterdir()}
    reason = {"full": "No space left on device", "read-only": "Read-only file system"}[trouble]

    def spoil(_):
        if trouble == "full":
            with pytest.raises(OSError, match="No space left"):
                (small_disk / "big").write_bytes(bytes(300_000))
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        return 0.0

    with pytest.raises(OSError, match=rf"could not be written \({reason}\); earlier ones"):
        run(iterations=4, validate=spoil, validate_every=1)
    with pytest.raises(OSError, match=rf"nothing can be written to .* \({reason}\); choose"):
        run(iterations=4)
    found = {path.name: path.read_bytes() for path in small_disk.iterdir() if path.name != "big"}
    assert found == before
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    (small_disk / "big").unlink(missing_ok=True)
    assert equal(run(iterations=4).params, fit(maml, sines, iterations=4, **SETTINGS).params)
