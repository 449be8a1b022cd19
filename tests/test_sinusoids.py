"""The sine waves: shapes, ranges, seeds, noise, and the closed form of the best single answer."""

import json
import math

import torch

from mamlkit import Sinusoids, Waves, sine
from mamlkit.devices import generator


def test_shapes_ranges_and_the_formula(sines):
    waves = sines.waves(20_000, generator=generator(0, "cpu"))
    assert 0.1 <= waves.amplitude.min() < 0.11 and 4.99 < waves.amplitude.max() <= 5
    assert 0 <= waves.phase.min() < 0.01 and 3.13 < waves.phase.max() <= math.pi
    batch = sines.points(waves, 2, 3)
    assert batch.support_x.shape == (20_000, 2, 1) and batch.query_y.shape == (20_000, 3, 1)
    assert batch.query_x.min() >= -5 and batch.query_x.max() <= 5
    torch.testing.assert_close(batch.query_y, sine(batch.query_x, *waves))


def test_settings_are_json_and_tell_arguments_apart(sines):
    settings = sines.settings()
    assert json.loads(json.dumps(settings)) == settings == sines.to("cpu").settings()
    changes = {"amplitude": (1.0, 2.0), "phase": (0.0, 1.0), "x": (0.0, 1.0), "noise": 0.1}
    others = [Sinusoids(**{name: value}) for name, value in (changes | {"reveal": True}).items()]
    assert all(other.settings() != settings for other in others)


def test_the_same_seed_draws_the_same_tasks(sines):
    one, two = (sines.sample(3, 5, 5, generator=generator(7, "cpu")) for _ in range(2))
    other = sines.sample(3, 5, 5, generator=generator(8, "cpu"))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one.support_x, other.support_x)


def test_support_and_query_points_differ(sines):
    batch = sines.sample(100, 10, 10)
    assert not (batch.support_x == batch.query_x.mT).any()


def test_the_oracle_sees_amplitude_and_phase():
    batch = Sinusoids(reveal=True, device="cpu").sample(4, 5, 6)
    x, amplitude, phase = batch.query_x.split(1, -1)
    torch.testing.assert_close(batch.query_y, sine(x, amplitude, phase))


def test_noise_is_on_the_support_only():
    noisy = Sinusoids(amplitude=(1, 1), phase=(0, 0), noise=0.5, device="cpu")
    batch = noisy.sample(2_000, 5, 5)
    assert abs(float((batch.support_y - batch.support_x.sin()).std()) - 0.5) < 0.02
    torch.testing.assert_close(batch.query_y, batch.query_x.sin())


def test_best_single_answer_is_the_mean_wave(sines):
    """E[A sin(x - φ)] = -(2/π) 2.55 cos x: what pretraining on all tasks can at best learn."""
    waves = sines.waves(200_000, generator=generator(0, "cpu"))
    x = torch.linspace(-5, 5, 11)[:, None]
    mean = sine(x[None], *waves).mean(0)
    torch.testing.assert_close(mean, -(2 / math.pi) * 2.55 * torch.cos(x), atol=0.02, rtol=0)


def test_points_on_given_waves(sines):
    waves = Waves(torch.full((1, 1, 1), 2.0), torch.full((1, 1, 1), 0.5))
    batch = sines.points(waves, 3, 1, generator(0, "cpu"))
    torch.testing.assert_close(batch.support_y, 2 * torch.sin(batch.support_x - 0.5))
