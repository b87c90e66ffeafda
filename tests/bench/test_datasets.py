"""Pictures are found by name, read late, and read right."""

import pickle

import numpy as np
import pytest
from codeckit.bench import DatasetImage, dataset
from codeckit.primitives import StreamError
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8)).save(tmp_path / "b.png")
    Image.fromarray(rng.integers(0, 256, (5, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "inner").mkdir()
    Image.fromarray(rng.integers(0, 256, (2, 2, 3), np.uint8)).save(tmp_path / "inner" / "c.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_gives_its_pictures_sorted(folder):
    images = dataset(folder)
    assert [image.name for image in images] == ["a.png", "b.png"]
    assert [image.load().shape for image in images] == [(5, 3), (4, 6, 3)]
    assert [image.name for image in dataset(folder, recursive=True)] == ["a.png", "b.png", "inner/c.png"]
    assert np.asarray(images[1]).shape == (4, 6, 3)


def test_labels(folder):
    (folder / "labels.csv").write_text("file,label,author\nb.png,17,someone\n")
    assert [image.label for image in dataset(folder)] == [None, 17]
    (folder / "labels.csv").write_text("file,label\nb.png,tench\n")
    assert dataset(folder)[1].label == "tench"
    (folder / "labels.csv").write_text("file,label\nz.png,1\n")
    with pytest.raises(FileNotFoundError, match=r"lists 'z\.png'"):
        dataset(folder)
    (folder / "labels.csv").write_text("name,class\n")
    with pytest.raises(ValueError, match="columns 'file' and 'label'"):
        dataset(folder)


def test_finding_reads_nothing(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    (image,) = dataset(tmp_path)
    with pytest.raises(StreamError):
        image.load()


def test_exif_orientation_is_applied(tmp_path):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: turn by 90° clockwise to view
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    upright = dataset(tmp_path)[0].load()
    assert upright.shape == (32, 16, 3)
    assert (upright[:16] == 255).all() and (upright[16:] == 0).all()


def test_samples_are_photographs_of_scikit_image():
    from skimage import data

    images = dataset("sample")
    for image in images:
        assert np.array_equal(image.load(), getattr(data, image.name)())
        assert min(image.load().shape[:2]) > 161
    assert [image.name for image in dataset(["sample:chelsea", "sample:coffee"])] == ["chelsea", "coffee"]
    with pytest.raises(ValueError, match="astronaut, coffee, chelsea"):
        dataset("sample:lena")


def test_handles_are_small_and_travel(folder):
    images = dataset(folder)
    sent = pickle.dumps(images[1])
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent).load(), images[1].load())


def test_arrays_and_lists(folder):
    array = np.zeros((3, 4, 3), np.uint8)
    images = dataset([folder / "a.png", array, DatasetImage("mine", array)])
    assert [image.name for image in images] == ["a.png", "image-1", "mine"]
    assert dataset(images) is images and len(dataset(images[:2])) == 2


def test_fingerprints_follow_the_content(folder):
    image = dataset(folder)[1]
    before = image.fingerprint()
    assert before == dataset(folder)[1].fingerprint()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(folder / "b.png")
    assert image.fingerprint() != before
    arrays = [np.zeros((2, 6), np.uint8), np.zeros((3, 4), np.uint8), np.ones((3, 4), np.uint8)]
    assert len({DatasetImage("x", array).fingerprint() for array in arrays}) == 3


def test_bad_sources(folder, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        dataset(folder / "nowhere")
    with pytest.raises(ValueError, match="no pictures in"):
        dataset(tmp_path_factory.mktemp("empty"))
    with pytest.raises(ValueError, match=r"two pictures are called 'a\.png'"):
        dataset([folder, folder / "a.png"])
    with pytest.raises(ValueError, match="not int"):
        dataset(3)
