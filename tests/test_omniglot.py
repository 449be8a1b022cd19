"""Omniglot's archives: right pixels, right names, and one clear error for everything wrong."""

import hashlib
import io
import os
import shutil
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from mamlkit import omniglot as load
from mamlkit.tasks.omniglot import SPLITS, VINYALS, data_folder, decode, find, shrink, vinyals_split


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
        characters = omniglot[split]
        assert (
            characters.images.shape == (count, 20, 1, 28, 28)
            and characters.images.dtype == torch.uint8
        )
        assert characters.checksums() == SPLITS[split][2:]
        assert len(set(characters.alphabets)) == alphabets
        classes = list(zip(characters.alphabets, characters.names, strict=True))
        assert classes == sorted(classes)
        lists[split] = hashlib.sha256(repr(classes).encode()).hexdigest()[:16]
    assert lists == {"background": "be16ebefa3a6904d", "evaluation": "d6bd09a60fead971"}
    assert not set(omniglot["background"].alphabets) & set(omniglot["evaluation"].alphabets)


def test_ink_is_bright_and_sparse(omniglot):
    ink = omniglot["evaluation"].images.float() / 255
    assert 0.03 < ink.mean() < 0.15 and ink.amax((2, 3, 4)).median() > 0.7


def test_choosing_alphabets(omniglot):
    characters = omniglot["background"]
    greek = characters.of("Greek")
    assert set(greek.alphabets) == {"Greek"} and len(greek.images) == len(greek.names) == 24
    assert len(characters.without("Greek").images) == 964 - 24
    with pytest.raises(ValueError, match=r"no alphabet called 'Klingon'; there are: .*Greek"):
        characters.of("Klingon")


def test_shrinking_is_an_exact_mean_over_areas():
    scan = np.zeros((105, 105))
    assert shrink(scan).sum() == 0 and (shrink(scan + 1) == 255).all()
    scan[:15, :15] = 1  # exactly four by four pixels of the result
    small = shrink(scan)
    assert (small[:4, :4] == 255).all() and small.sum() == 16 * 255


def test_the_cache_serves_and_a_spoilt_one_is_made_again(archive, tmp_path):
    settings = {"folder": archive.parents[1], "cache": tmp_path, "download": False}
    first = load("evaluation", **settings)
    cached = tmp_path / "images_evaluation_28.safetensors"
    again = load("evaluation", folder=tmp_path, cache=tmp_path, download=False)
    assert torch.equal(first.images, again.images) and first.names == again.names
    content = bytearray(cached.read_bytes())
    content[-1000] ^= 255
    cached.write_bytes(content)
    mended = load("evaluation", **settings)
    assert torch.equal(first.images, mended.images)


def test_a_truncated_archive(archive, damaged):
    with pytest.raises(ValueError, match=r"images_evaluation.zip is damaged.*fetch it again"):
        load("evaluation", **damaged(archive.read_bytes()[:100_000]))


def test_not_an_archive(damaged):
    settings = damaged(b"<html>404</html>")
    with pytest.raises(ValueError, match=r"is damaged \(File is not a zip file\)"):
        load("evaluation", **settings)
    assert not settings["cache"].exists()


def test_an_archive_of_something_else(damaged, tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a/b/c/d_1.png", b"")
    with pytest.raises(ValueError, match=r"is damaged \(it should hold 13180 drawings, found 1\)"):
        load("evaluation", **damaged((tmp_path / "other.zip").read_bytes()))


def test_wrong_pixels(archive, damaged, monkeypatch):
    monkeypatch.setitem(SPLITS, "evaluation", SPLITS["evaluation"]._replace(pixels="0" * 64))
    settings = damaged(archive.read_bytes())
    with pytest.raises(ValueError, match=r"its pixels and names hash to .'d46e.*, not .'0000"):
        load("evaluation", **settings)
    assert not settings["cache"].exists()


def test_wrong_names(archive, damaged, monkeypatch):
    monkeypatch.setitem(SPLITS, "evaluation", SPLITS["evaluation"]._replace(names="0" * 64))
    with pytest.raises(ValueError, match=r"its pixels and names hash to .* 'd96f.*, not .*'0000"):
        load("evaluation", **damaged(archive.read_bytes()))


def test_nothing_here_and_no_network(tmp_path, monkeypatch):
    import torchvision.datasets.utils

    def no_network(*_):
        raise URLError("Name or service not known")

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", no_network)
    with pytest.raises(FileNotFoundError) as caught:
        load("background", folder=tmp_path, cache=tmp_path)
    for part in ("images_background.zip", "Name or service", "MAMLKIT_DATA", "mamlkit.glyphs()"):
        assert part in str(caught.value)


def test_nothing_here_and_no_download(tmp_path):
    message = r"no images_background.zip; looked for .*not allowed.*glyphs\(\)"
    with pytest.raises(FileNotFoundError, match=message):
        load("background", folder=tmp_path, cache=tmp_path, download=False)


def test_a_download_that_breaks_leaves_nothing(tmp_path, monkeypatch):
    import torchvision.datasets.utils

    def half(url, root, filename, md5):
        (Path(root) / filename).write_bytes(b"half")
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", half)
    with pytest.raises(FileNotFoundError, match=r"downloading failed \(File not found or corr"):
        load("background", folder=tmp_path, cache=tmp_path)
    assert list((tmp_path / "omniglot-py").iterdir()) == []


def test_a_download_lands_whole(archive, tmp_path, monkeypatch):
    import torchvision.datasets.utils

    copy = lambda url, root, filename, md5: shutil.copy(archive, Path(root) / filename)
    monkeypatch.setattr(torchvision.datasets.utils, "download_url", copy)
    characters = load("evaluation", folder=tmp_path, cache=tmp_path)
    assert len(characters.images) == 659
    assert (tmp_path / "omniglot-py" / "images_evaluation.zip").is_file()


def test_a_full_disk(archive, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"could not write the 10 MB cache .*free some space"):
        characters = load("evaluation", folder=archive.parents[1], cache=tmp_path)
    assert len(characters.images) == 659  # all the same
    assert list(tmp_path.iterdir()) == []


def test_a_bomb_is_not_unpacked(tmp_path):
    """A drawing that unpacks to 200 megabytes, and one ten million pixels wide."""
    buffer = io.BytesIO()
    Image.new("1", (105, 105)).save(buffer, "png")
    wide = bytearray(buffer.getvalue())
    wide[16:20] = (10**7).to_bytes(4, "big")
    wide[29:33] = zlib.crc32(wide[12:29]).to_bytes(4, "big")
    bombs = {bytes(200_000_000): "cannot identify image", bytes(wide): "exceeds limit"}
    for content, message in bombs.items():
        path = tmp_path / "bomb.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for drawing in range(20):
                made.writestr(f"a/b/c/0001_{drawing + 1:02d}.png", content if not drawing else b"")
        tracemalloc.start()
        with pytest.raises(ValueError, match=f"is damaged.*{message}"):
            decode(path, SPLITS["evaluation"]._replace(characters=1))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        tracemalloc.stop()
        path.unlink()


def test_entries_that_climb_out_are_never_written(tmp_path):
    path = tmp_path / "climbs.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name in ("../../../evil.png", "/etc/evil.png", "a/../../evil.png"):
            made.writestr(name, b"evil")
    with pytest.raises(ValueError, match="is damaged"):
        decode(path, SPLITS["evaluation"])
    assert [file.name for file in tmp_path.rglob("*")] == ["climbs.zip"]


@pytest.fixture
def lists(omniglot):
    """The folder of the published lists, wherever it was found."""
    try:
        return find("splits/vinyals/test.txt", None, download=False).parent
    except FileNotFoundError as error:
        pytest.skip(str(error))


def test_the_vinyals_split(lists):
    """As published: 1,028, 172 and 423 characters, all apart; test characters of 13 alphabets."""
    parts = vinyals_split(download=False)
    assert [part.images.shape for part in parts] == [(n, 20, 1, 28, 28) for n in (1028, 172, 423)]
    classes = [set(zip(part.alphabets, part.names, strict=True)) for part in parts]
    assert len(set.union(*classes)) == 1623
    assert len(set(parts[2].alphabets)) == 13
    for part, name in zip(parts, VINYALS, strict=True):
        listed = (lists / f"{name}.txt").read_text("utf8").split()
        assert listed[::4] == [f"{a}/{n}/rot000" for a, n in zip(*part[1:], strict=True)]


def test_the_vinyals_split_takes_each_characters_own_drawings(omniglot, lists):
    drawings = lambda part: zip(zip(*part[1:], strict=True), part.images, strict=True)
    both = dict(drawings(omniglot["background"])) | dict(drawings(omniglot["evaluation"]))
    for part in vinyals_split(download=False):
        assert all(torch.equal(images, both[name]) for name, images in drawings(part))


def test_damaged_or_missing_lists(omniglot, lists, tmp_path, monkeypatch):
    """Checked by their SHA-256; what is missing is named, with the remedy."""
    import torchvision.datasets.utils

    with pytest.raises(
        FileNotFoundError, match=r"no train.txt; looked for .*prototypical-networks"
    ):
        vinyals_split(folder=tmp_path, download=False)
    fetch = lambda url, root, name, md5: shutil.copy(lists / name, Path(root) / name)
    monkeypatch.setattr(torchvision.datasets.utils, "download_url", fetch)
    assert len(vinyals_split(folder=tmp_path)) == 3
    fetched = tmp_path / "omniglot-py" / "splits" / "vinyals"
    assert sorted(file.name for file in fetched.iterdir()) == ["test.txt", "train.txt", "val.txt"]
    (fetched / "val.txt").write_text("Greek/character01/rot000\n", encoding="utf8")
    with pytest.raises(ValueError, match=r"val.txt is damaged; delete it"):
        vinyals_split(folder=tmp_path)
