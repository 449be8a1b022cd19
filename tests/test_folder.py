"""A folder of one's own pictures: unequal classes, odd sizes, and what is wrong with them."""

import numpy as np
import pytest
import torch
from PIL import Image

from mamlkit import MAML, FewShot, evaluate, fit, image_folder


@pytest.fixture
def pictures(tmp_path):
    """Four classes of 3, 5, 9 and 4 pictures: coloured and grey, wide and tall."""
    draw = np.random.default_rng(0)
    for name, count in {"cat": 3, "dog": 5, "eel": 9, "fox": 4}.items():
        (tmp_path / name).mkdir()
        for i in range(count):
            shape = (20 + i, 30) if i % 3 == 0 else (24, 20 + 2 * i, 3)
            pixels = draw.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    (tmp_path / "cat" / "notes.txt").write_text("not a picture", encoding="utf8")
    return tmp_path


def test_a_folder_becomes_tasks(pictures):
    images, names = image_folder(pictures, size=16)
    assert names == ["cat", "dog", "eel", "fox"]
    assert [tuple(own.shape) for own in images] == [(n, 3, 16, 16) for n in (3, 5, 9, 4)]
    assert image_folder(pictures, size=16, grey=True).images[0].shape == (3, 1, 16, 16)
    training, test = image_folder(pictures, size=16).split("fox", "cat")
    assert training.names == ["dog", "eel"] and test.names == ["cat", "fox"]
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2))
    maml = MAML(module, torch.nn.functional.cross_entropy, lr=0.1)
    tasks = [FewShot(part.images, ways=2, device="cpu") for part in (training, test)]
    run = fit(maml, tasks[0], iterations=2, shots=1, queries=2, device="cpu", progress=False)
    assert evaluate(maml, run.params, tasks[1], shots=1, queries=2, tasks=4, steps=1).mean[1] <= 1


def test_only_what_is_there_is_drawn(pictures):
    """No filling, no drawing twice in a task, and every picture in the end."""
    images = [torch.full((n, 1, 2, 2), 0.1 * n) + torch.arange(n).view(n, 1, 1, 1) for n in (3, 7)]
    episodes = FewShot(images, ways=2, device="cpu")
    generator = torch.Generator().manual_seed(0)
    _, chosen, example = episodes.draw(300, 3, 1, generator=generator)
    sizes = torch.tensor([3, 7])
    assert (example < sizes[chosen][..., None]).all()
    assert all(len(set(row.tolist())) == 3 for row in example.flatten(0, 1))
    assert set(example[chosen == 1].flatten().tolist()) == set(range(7))
    assert (episodes.sample(50, 1, 2, generator=generator).query_x > 0).all()


def test_what_is_wrong_ends_in_a_sentence(pictures, tmp_path):
    with pytest.raises(ValueError, match=r"1 shots \+ 3 queries need 4 .* class 0 has 3"):
        FewShot(image_folder(pictures, size=8).images, 2, device="cpu").sample(1, 1, 3)
    with pytest.raises(ValueError, match="class 'cat' has fewer than 4 pictures"):
        image_folder(pictures, size=8, least=4)
    with pytest.raises(ValueError, match="no class 'cow'; there are: cat, dog"):
        image_folder(pictures, size=8).split("cow")
    with pytest.raises(ValueError, match="differ in form"):
        FewShot([torch.zeros(3, 1, 8, 8), torch.zeros(3, 3, 8, 8)], 2, device="cpu")
    (pictures / "dog" / "broken.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(ValueError, match=r"broken.png cannot be read as a picture"):
        image_folder(pictures, size=8)
    with pytest.raises(FileNotFoundError):
        image_folder(tmp_path / "nowhere")
