"""Omniglot's archives: right pixels, right names, and one clear error for everything wrong."""

import hashlib
import io
import os
import shutil
import zipfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from mamlkit import characters
from mamlkit.tasks import archive as module
from mamlkit.tasks.archive import SPLITS, data_folder, digest, shrink


@pytest.fixture
def archive(omniglot):
    """The evaluation archive itself, wherever it was found."""
    for place in (os.environ.get("MAMLKIT_DATA"), data_folder()):
        path = Path(place or ".") / "omniglot-py" / "images_evaluation.zip"
        if path.is_file():
            return path
    pytest.skip("Omniglot is cached, its archive is not here; see data/README.md")


@pytest.fixture
def damaged(tmp_path):
    """A folder whose evaluation archive holds these bytes."""

    def put(content):
        path = tmp_path / "omniglot-py" / "images_evaluation.zip"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return {"folder": tmp_path, "cache": tmp_path / "cache"}

    return put


def test_counts_names_and_pixels(omniglot):
    """Golden: 964 and 659 characters of 20 drawings; hashes of pixels and of the class list."""
    lists = {}
    for split, count, alphabets in (("background", 964, 30), ("evaluation", 659, 20)):
        found = omniglot[split]
        assert found.images.shape == (count, 20, 1, 28, 28) and found.images.dtype == torch.uint8
        assert digest(found.images) == SPLITS[split].pixels
        assert len(set(found.alphabets)) == alphabets
        classes = list(zip(found.alphabets, found.names, strict=True))
        assert classes == sorted(classes)
        lists[split] = hashlib.sha256(repr(classes).encode()).hexdigest()[:16]
    assert lists == {"background": "be16ebefa3a6904d", "evaluation": "d6bd09a60fead971"}
    assert not set(omniglot["background"].alphabets) & set(omniglot["evaluation"].alphabets)


def test_ink_is_bright_and_sparse(omniglot):
    ink = omniglot["evaluation"].images.float() / 255
    assert 0.03 < ink.mean() < 0.15 and ink.amax((2, 3, 4)).median() > 0.7


def test_choosing_alphabets(omniglot):
    found = omniglot["background"]
    greek = found.of("Greek")
    assert set(greek.alphabets) == {"Greek"} and len(greek.images) == len(greek.names) == 24
    assert len(found.without("Greek").images) == 964 - 24
    with pytest.raises(ValueError, match=r"no alphabet called 'Klingon'; there are: .*Greek"):
        found.of("Klingon")


def test_shrinking_is_an_exact_mean_over_areas():
    scan = np.zeros((105, 105))
    assert shrink(scan).sum() == 0 and (shrink(scan + 1) == 255).all()
    scan[:15, :15] = 1  # exactly four by four pixels of the result
    small = shrink(scan)
    assert (small[:4, :4] == 255).all() and small.sum() == 16 * 255


def test_the_cache_serves_and_a_spoilt_one_is_made_again(archive, tmp_path):
    settings = {"folder": archive.parents[1], "cache": tmp_path, "download": False}
    first = characters("evaluation", **settings)
    cached = tmp_path / "images_evaluation_28.safetensors"
    again = characters("evaluation", folder=tmp_path, cache=tmp_path, download=False)
    assert torch.equal(first.images, again.images) and first.names == again.names
    content = bytearray(cached.read_bytes())
    content[-1000] ^= 255
    cached.write_bytes(content)
    mended = characters("evaluation", **settings)
    assert torch.equal(first.images, mended.images)


def test_a_truncated_archive(archive, damaged):
    with pytest.raises(ValueError, match=r"images_evaluation.zip is damaged.*fetch it again"):
        characters("evaluation", **damaged(archive.read_bytes()[:100_000]))


def test_not_an_archive(damaged):
    settings = damaged(b"<html>404</html>")
    with pytest.raises(ValueError, match=r"is damaged \(File is not a zip file\)"):
        characters("evaluation", **settings)
    assert not settings["cache"].exists()


def test_an_archive_of_something_else(damaged, tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a/b/c/d_1.png", b"")
    with pytest.raises(ValueError, match="should hold 659 characters, found 1"):
        characters("evaluation", **damaged((tmp_path / "other.zip").read_bytes()))


def test_wrong_pixels(archive, damaged, monkeypatch):
    monkeypatch.setitem(SPLITS, "evaluation", SPLITS["evaluation"]._replace(pixels="0" * 64))
    settings = damaged(archive.read_bytes())
    with pytest.raises(ValueError, match=r"its pixels hash to d46e.*, not 0000"):
        characters("evaluation", **settings)
    assert not settings["cache"].exists()


def test_nothing_here_and_no_network(tmp_path, monkeypatch):
    def no_network(*_):
        raise URLError("Name or service not known")

    monkeypatch.setattr(module, "_download", no_network)
    with pytest.raises(FileNotFoundError) as caught:
        characters("background", folder=tmp_path, cache=tmp_path)
    for part in ("images_background.zip", "Name or service", "MAMLKIT_DATA", "mamlkit.glyphs()"):
        assert part in str(caught.value)


def test_nothing_here_and_no_download(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no Omniglot; looked for .*glyphs\(\)"):
        characters("background", folder=tmp_path, cache=tmp_path, download=False)


def test_a_download_that_breaks_leaves_nothing(tmp_path, monkeypatch):
    import torchvision.datasets.utils

    def half(url, root, filename, md5):
        (Path(root) / filename).write_bytes(b"half")
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", half)
    with pytest.raises(FileNotFoundError, match=r"downloading failed \(File not found or corr"):
        characters("background", folder=tmp_path, cache=tmp_path)
    assert list((tmp_path / "omniglot-py").iterdir()) == []


def test_a_download_lands_whole(archive, tmp_path, monkeypatch):
    import torchvision.datasets.utils

    copy = lambda url, root, filename, md5: shutil.copy(archive, Path(root) / filename)
    monkeypatch.setattr(torchvision.datasets.utils, "download_url", copy)
    found = characters("evaluation", folder=tmp_path, cache=tmp_path)
    assert len(found.images) == 659
    assert (tmp_path / "omniglot-py" / "images_evaluation.zip").is_file()


def test_a_full_disk(archive, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"could not write the 10 MB cache .*free some space"):
        characters("evaluation", folder=archive.parents[1], cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_bomb_is_not_unpacked(tmp_path):
    """A drawing that unpacks to 200 megabytes, and one that says it is a million pixels wide."""
    buffer = io.BytesIO()
    Image.new("1", (105, 105)).save(buffer, "png")
    wide = bytearray(buffer.getvalue())
    wide[16:20] = (10**6).to_bytes(4, "big")
    for content, message in ((bytes(200_000_000), "more than 100000 bytes"), (bytes(wide), "")):
        path = tmp_path / "bomb.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for drawing in range(20):
                made.writestr(f"a/b/c/0001_{drawing + 1:02d}.png", content if not drawing else b"")
        with pytest.raises(ValueError, match=f"is damaged.*{message}"):
            module.decode(path, SPLITS["evaluation"]._replace(characters=1))
        path.unlink()


def test_entries_that_climb_out_are_never_written(tmp_path):
    path = tmp_path / "climbs.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name in ("../../../evil.png", "/etc/evil.png", "a/../../evil.png"):
            made.writestr(name, b"evil")
    with pytest.raises(ValueError, match="is damaged"):
        module.decode(path, SPLITS["evaluation"])
    assert [found.name for found in tmp_path.rglob("*")] == ["climbs.zip"]
