"""Several processes end with the numbers of one; a run moves between any number of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mamlkit.training import checkpoint as checkpoints

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not sys.platform.startswith("linux"),
    reason="needs torch.distributed with gloo, and /proc",
)


def begun(processes, *program, more=()):
    """torchrun of this Python; its output goes to a pipe."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", *more, *map(str, program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment, **pipe)


def finished(processes, *program, more=()):
    started = begun(processes, *program, more=more)
    output, _ = started.communicate(timeout=600)
    assert started.returncode == 0, output[-3000:]
    return output


@pytest.mark.parametrize("mode", ["eager", "compile", "parts"])
def test_the_meta_gradient_is_that_of_one_process(mode, tmp_path):
    """Of ten tasks, which four processes cannot share evenly; clipped, so clipping comes last."""
    counts = (1, 2, 4) if mode == "eager" else (1, 2)
    for count in counts:
        finished(count, HERE / "multiprocess.py", tmp_path / f"{count}", 10, mode)
    alone = load_file(tmp_path / "1.0")
    alone_share = alone.pop("share")
    for count in counts[1:]:
        shares = []
        for rank in range(count):
            found = load_file(tmp_path / f"{count}.{rank}")
            shares.append(int(found.pop("share")))
            for name, value in alone.items():
                torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)
        if mode == "eager":
            assert sum(shares) == int(alone_share) == 10
            assert max(shares) - min(shares) <= 1


def test_one_process_of_several_tells_the_answer():
    output = finished(2, "-m", "mamlkit", "evaluate", "sinusoid-maml", "--tasks", 20)
    assert output.count("after  0 steps") == 1


SHORT = ("-m", "mamlkit", "train", "sinusoid-maml", "--quiet", "--compile", "no", "--device", "cpu")


def test_a_run_saved_on_two_processes_goes_on_on_four(tmp_path):
    def train(count, folder, iterations):
        where = ["--checkpoint", tmp_path / folder, "--out", tmp_path / "out" / folder]
        finished(count, *SHORT, "--iterations", iterations, *where)

    train(2, "moved", 6)
    train(4, "moved", 10)
    train(1, "alone", 10)
    moved, alone = (checkpoints.newest(tmp_path / f).tensors for f in ("moved", "alone"))
    for part in ("params", "history"):
        for name, value in alone[part].items():
            if name != "validation":
                torch.testing.assert_close(moved[part][name], value, rtol=1e-5, atol=1e-6)


def worker(parent, rank):
    """The process number of the worker of that rank."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            wanted = f"RANK={rank}\0".encode()
            if parents == parent and b"\0" + wanted in b"\0" + (path / "environ").read_bytes():
                return int(path.name)
        except OSError:
            continue  # it has just ended
    return None


def test_a_killed_process_ends_the_job_and_restarts_recover_it(tmp_path):
    where = ["--checkpoint", tmp_path / "run", "--out", tmp_path / "out"]
    long = [*SHORT, "--checkpoint-every", 2, *where, "--iterations"]

    def killed(iterations, restarts):
        before = checkpoints.newest_first(tmp_path / "run")
        started = begun(2, *long, iterations, more=[f"--max-restarts={restarts}"])
        for _ in range(1200):
            if checkpoints.newest_first(tmp_path / "run") != before:
                break
            time.sleep(0.05)
        os.kill(worker(started.pid, 1), signal.SIGKILL)
        output, _ = started.communicate(timeout=600)
        return started.returncode, output

    code, output = killed(100_000, restarts=0)
    assert code != 0 and "another process was lost" in output and "mamlkit resume" in output
    done = checkpoints.newest(tmp_path / "run").metadata["iteration"]
    code, output = killed(done + 300, restarts=2)
    assert code == 0, output[-3000:]
    assert checkpoints.newest(tmp_path / "run").metadata["iteration"] == done + 300


def test_fewer_tasks_than_processes_are_refused(tmp_path):
    started = begun(2, *SHORT, "--tasks-per-batch", 1, "--iterations", 2, "--out", tmp_path)
    output, _ = started.communicate(timeout=600)
    assert started.returncode != 0
    assert "tasks_per_batch must be at least 2, got 1; every process takes at least one" in output
