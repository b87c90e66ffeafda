"""The README's Python runs as it stands there."""

import re
from pathlib import Path

import codeckit
import numpy as np
from codeckit.bench.studies.pictures import photo
from PIL import Image

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
    assert len(rows) == 7
    for name, size in rows:
        swapped = codec if name == "JpegHuffman" else codeckit.codec("jpeg", quality=75, entropy=name)
        assert len(swapped.encode(image)) == int(size.replace(",", "")), name
