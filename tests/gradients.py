"""What the tests of meta-gradients share: double precision, and differences by hand."""

import torch

from mamlkit import TaskBatch, files


def smooth_network(width=6, inputs=1):
    """A small network without kinks, in double precision."""
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, width), torch.nn.Tanh(), torch.nn.Linear(width, 1)
    ).double()


def double(batch):
    """The same batch with its real numbers in double precision."""
    return TaskBatch(*(t.double() if t.is_floating_point() else t for t in batch))


def distance(a, b):
    """The largest difference between two structures of tensors, relative to the larger's norm."""
    a, b = files.flatten(a), files.flatten(b)
    a, b = (torch.cat([d[name].flatten() for name in sorted(d)]) for d in (a, b))
    return float((a - b).norm() / torch.maximum(a.norm(), b.norm()))


def finite_differences(function, params, step=1e-6):
    """The gradient of a scalar function of a structure of tensors by central differences."""
    flat = files.flatten(params)
    gradient = {name: torch.zeros_like(value) for name, value in flat.items()}
    for name, value in flat.items():
        for i in range(value.numel()):
            shifted = []
            for sign in (1, -1):
                moved = {k: v.clone() for k, v in flat.items()}
                moved[name].view(-1)[i] += sign * step
                shifted.append(function(files.unflatten(moved, params)))
            gradient[name].view(-1)[i] = (shifted[0] - shifted[1]) / (2 * step)
    return files.unflatten(gradient, params)
