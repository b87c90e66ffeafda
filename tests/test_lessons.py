"""The Python of docs/video.md runs as it stands there, and shows what the page says."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "video.md"


def test_the_lesson_on_video(capsys):
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(block, names)
    assert min(names["closed"]) > names["opened"][-1] + 1  # an open loop decays
    assert names["residual"] > 5 and abs(names["conditional"] - 2) < 0.05
    assert names["drifted"] > 0.05
    assert "(1, 4, 24, 32) (1, 12, 6, 8) (1, 3, 96, 128)" in capsys.readouterr().out
