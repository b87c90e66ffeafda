"""The Python of README and docs/extend.md runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import codeckit
import numpy as np
from codeckit.bench.studies.pictures import photo
from PIL import Image

ROOT = Path(__file__).parent.parent
README = (Path(__file__).parent.parent / "README.md").read_text()


def test_python_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo(176, 200, seed=1)).save("photo.png")
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(block, names)
    assert np.abs(names["frames"][7].astype(int) - names["pan"][7]).mean() < 6
    assert "BD-rate" in capsys.readouterr().out
    assert names["stages"] == codeckit.codec("jpeg").stages  # the codec on one screen is the codec
    assert (
        codeckit.decode(names["smaller"].encode("photo.png")) == codeckit.decode(names["codec"].encode("photo.png"))
    ).all()
    decoded = codeckit.decode(codeckit.codec("wavelet", quality=80).encode("photo.png"))
    assert np.abs(decoded.astype(int) - np.asarray(Image.open("photo.png"))).mean() < 3


def test_table_of_entropy_stages_is_measured():
    codec, image = codeckit.codec("jpeg", quality=75), codeckit.dataset("sample:astronaut")[0].load()
    rows = re.findall(r"\| `(\w+)\(\)` \| \**([\d,]+)\** \|", README)
    assert len(rows) == 8
    for name, size in rows:
        swapped = codec if name == "JpegHuffman" else codeckit.codec("jpeg", quality=75, entropy=name)
        assert len(swapped.encode(image)) == int(size.replace(",", "")), name


def test_the_package_of_the_page_on_extending(tmp_path):
    """The files of docs/extend.md, laid out as an installation does, keep the contracts in a process of their own."""
    page = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```", page, re.DOTALL))
    assert len(files) == 7
    project = files.pop("pyproject.toml")
    points = re.sub(r'\[project.entry-points."(.*?)"\]', r"[\1]", project[project.index("[project.entry-points") :])
    files["my_package-1.0.dist-info/METADATA"] = "Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n"
    files["my_package-1.0.dist-info/entry_points.txt"] = points.replace('"', "")
    files["my_package/__init__.py"] = ""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    paths = [str(tmp_path), str(Path(codeckit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "tests"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
