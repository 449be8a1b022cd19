"""MAML in JAX with optax: jit of a whole meta-iteration, or of many in `lax.scan`.

Sampling happens inside the compiled function, from a key that is part of the state. Parameters and
optimiser state are donated. Weights lie as JAX's users have them: `[in, out]`, and `HWIO`.
"""

from functools import partial
from itertools import cycle, islice

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

ADAM = optax.adam(1e-3)


def from_torch(params):
    """Turn parameters of torch's layout into JAX's: axes in reverse, but for the image's."""
    turned = {
        k: v.permute(2, 3, 1, 0) if v.ndim == 4 else v.mT if v.ndim == 2 else v
        for k, v in params.items()
    }
    return {k: jnp.array(v.numpy(force=True)) for k, v in turned.items()}


def to_torch(params):
    """Turn parameters of JAX's layout into torch's."""
    tensors = {k: torch.from_numpy(np.array(v)) for k, v in params.items()}
    return {
        k: v.permute(3, 2, 0, 1) if v.ndim == 4 else v.mT if v.ndim == 2 else v
        for k, v in tensors.items()
    }


def to_jax(batch):
    """Return a TaskBatch as JAX arrays, images as `[..., height, width, channels]`."""
    tensors = [t.movedim(-3, -1) if t.ndim == 5 else t for t in batch]
    return tuple(jnp.array(t.numpy(force=True)) for t in tensors)


def maml(task_loss, lr):
    """Return the meta-objective of `task_loss(params, x, y)`: one inner step, mean over tasks."""

    def outer_loss(params, support_x, support_y, query_x, query_y):
        gradients = jax.grad(task_loss)(params, support_x, support_y)
        adapted = jax.tree.map(lambda p, g: p - lr * g, params, gradients)
        return task_loss(adapted, query_x, query_y)

    def objective(params, batch):
        return jax.vmap(outer_loss, (None, 0, 0, 0, 0))(params, *batch).mean()

    return objective


def update(objective, params, state, batch):
    """Take a step of Adam along the meta-gradient."""
    gradients = jax.grad(objective)(params, batch)
    changes, state = ADAM.update(gradients, state)
    return optax.apply_updates(params, changes), state


def sine_loss(params, x, y):
    for layer in ("body.0", "body.2"):
        x = jax.nn.relu(x @ params[f"{layer}.weight"] + params[f"{layer}.bias"])
    return ((x @ params["head.weight"] + params["head.bias"] - y) ** 2).mean()


def sample(key, tasks, shots, queries):
    """Draw what `mamlkit.Sinusoids` draws."""
    a, b, c = jax.random.split(key, 3)
    amplitude = jax.random.uniform(a, (tasks, 1, 1), minval=0.1, maxval=5.0)
    phase = jax.random.uniform(b, (tasks, 1, 1), maxval=jnp.pi)
    x = jax.random.uniform(c, (tasks, shots + queries, 1), minval=-5.0, maxval=5.0)
    y = amplitude * jnp.sin(x - phase)
    return x[:, :shots], y[:, :shots], x[:, shots:], y[:, shots:]


class Sine:
    """The sinusoid case, one call of the compiled function per meta-iteration."""

    block = 1

    def __init__(self, params, *, tasks, shots, queries, seed):
        params = from_torch(params)
        self.objective = maml(sine_loss, lr=0.01)
        self.carry = params, ADAM.init(params), jax.random.key(seed)

        def step(carry, _=None):
            params, state, key = carry
            key, now = jax.random.split(key)
            batch = sample(now, tasks, shots, queries)
            return (*update(self.objective, params, state, batch), key), None

        self.train = self.compiled(step)

    def compiled(self, step):
        return jax.jit(lambda carry: step(carry)[0], donate_argnums=0)

    def meta_gradient(self, batch):
        return to_torch(jax.jit(jax.grad(self.objective))(self.carry[0], to_jax(batch)))

    def run(self, iterations):
        for _ in range(iterations // self.block):
            self.carry = self.train(self.carry)
        jax.block_until_ready(self.carry)


class SineScan(Sine):
    """The sinusoid case, a thousand meta-iterations a call."""

    block = 1_000

    def compiled(self, step):
        many = lambda carry: jax.lax.scan(step, carry, length=self.block)[0]
        return jax.jit(many, donate_argnums=0)


def convolution(x, weight):
    return jax.lax.conv_general_dilated(
        x, weight, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def patches_and_matmul(x, weight):
    """Convolve by nine shifted slices and one matrix product."""
    size = (x.shape[1] + 1) // 2
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    slices = [
        x[:, i : i + 2 * size - 1 : 2, j : j + 2 * size - 1 : 2] for i in range(3) for j in range(3)
    ]
    return jnp.concatenate(slices, axis=-1) @ weight.reshape(-1, weight.shape[-1])


def omniglot_loss(convolve, params, x, y):
    for i in range(4):
        x = convolve(x, params[f"body.{i}.0.weight"])
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        x = (x - mean) * jax.lax.rsqrt(variance + 1e-5)
        x = jax.nn.relu(x * params[f"body.{i}.1.weight"] + params[f"body.{i}.1.bias"])
    scores = x.mean((1, 2)) @ params["head.weight"] + params["head.bias"]
    return optax.softmax_cross_entropy_with_integer_labels(scores, y).mean()


class Omniglot:
    """The Omniglot case with XLA's convolution."""

    convolve = staticmethod(convolution)

    def __init__(self, params, batches, *, ways, lr):
        params = from_torch(params)
        objective = maml(partial(omniglot_loss, self.convolve), lr)
        self.carry = params, ADAM.init(params)
        self.train = jax.jit(partial(update, objective), donate_argnums=(0, 1))
        self.batches = cycle([to_jax(batch) for batch in batches])

    def meta_gradient(self, batch):
        """Return the gradient that the timed program computes.

        Adam's first moment after one step is 0.1 times it. A second compilation would take as
        long as the first.
        """
        self.carry = self.train(*self.carry, to_jax(batch))
        return to_torch({k: v / (1 - 0.9) for k, v in self.carry[1][0].mu.items()})

    def run(self, iterations):
        for batch in islice(self.batches, iterations):
            self.carry = self.train(*self.carry, batch)
        jax.block_until_ready(self.carry)


class OmniglotPatches(Omniglot):
    """The Omniglot case with patches and a matrix product, which XLA can batch over tasks."""

    convolve = staticmethod(patches_and_matmul)
