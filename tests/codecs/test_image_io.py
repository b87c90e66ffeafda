"""Finding picture files."""

import pytest
from codeckit.codecs.image_io import picture_files


def test_picture_files(tmp_path):
    for name in ("b.PNG", "a.jpg", "notes.txt", "deep/c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert picture_files(tmp_path) == [tmp_path / "a.jpg", tmp_path / "b.PNG"]
    assert picture_files(tmp_path, recursive=True) == [tmp_path / name for name in ("a.jpg", "b.PNG", "deep/c.webp")]
    assert picture_files(str(tmp_path / "a.jpg")) == [tmp_path / "a.jpg"]
    with pytest.raises(FileNotFoundError, match="no picture or folder at"):
        picture_files(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no pictures in .* \(folders in it are not searched\)"):
        picture_files(tmp_path / "empty")
