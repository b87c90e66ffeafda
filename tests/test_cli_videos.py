"""Videos on the command line: targets, ranges of frames, damaged files, and what is told of them."""

import json

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.cli import main
from PIL import Image


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    still = photo(48, 88, 3, seed=3)
    frames = [np.ascontiguousarray(still[:, 2 * n : 2 * n + 64]) for n in range(8)]
    codeckit.codec("jpeg").encode_video(frames, "jpeg.ckt", fps=30)
    codeckit.codec("h264", qp=4, preset="veryfast").encode_video(frames, "clip.mkv", fps=30)
    return tmp_path


def said(capsys):
    return json.loads(capsys.readouterr().out)


def test_targets(capsys):
    assert main("encode clip.mkv a.ckt --codec video-teaching:gop=4 --bpp 0.4 --json".split()) == 0
    facts = said(capsys)
    assert 8 * facts["bytes"] / (8 * 48 * 64) <= 0.4 and facts["frames"] == 8
    assert (facts["I-frames"], facts["longest group"]) == (2, 4) and facts["encode_fps"] > 0 < facts["encode_s"]
    assert main("encode clip.mkv b.mp4 --codec h264:preset=veryfast --psnr 30".split()) == 0
    assert " fps" in capsys.readouterr().out.rpartition("encoded in")[2]
    assert main("encode clip.mkv c.ckt --codec jpeg --bpp 0.001".split()) == 2
    assert "at its lowest quality, 1; not 0.001" in capsys.readouterr().err
    assert main("encode clip.mkv c.ckt --codec jpeg --accuracy 0.5".split()) == 2
    assert "--accuracy is for pictures" in capsys.readouterr().err
    assert main("info a.ckt".split()) == 0
    assert capsys.readouterr().out.endswith("2 I-frames, longest group 4\n")


def test_frames_of_a_video(here, capsys):
    whole = list(codeckit.decode_video("jpeg.ckt"))
    assert main("decode jpeg.ckt all".split()) == 0
    assert "8 frames of 64×48 in" in capsys.readouterr().out
    assert main("decode jpeg.ckt some --frames 3:-2 --json".split()) == 0
    assert said(capsys)["frames"] == 3
    assert [path.name for path in sorted((here / "some").iterdir())] == ["000004.png", "000005.png", "000006.png"]
    for path in (here / "some").iterdir():
        assert path.read_bytes() == (here / "all" / path.name).read_bytes()
    for number in (2, -1):
        assert main(["decode", "jpeg.ckt", "one.png", f"--frames={number}"]) == 0
        assert (np.asarray(Image.open("one.png")) == whole[number]).all()
    assert main("decode clip.mkv all/ --frames 5".split()) == 0
    assert (np.asarray(Image.open("all/000006.png")) == codeckit.decode_video("clip.mkv")[5]).all()
    capsys.readouterr()
    for wanted, message in (("8", "no frame 8; it has 8"), ("9:", "no frames in this range"), ("a", "a range of them")):
        try:
            status = main(["decode", "jpeg.ckt", "x.png" if wanted == "8" else "x", "--frames", wanted])
        except SystemExit as stopped:
            status = stopped.code
        assert status == 2 and message in capsys.readouterr().err
    Image.fromarray(whole[0]).save("still.webp")
    assert main("decode still.webp out.png --frames 1".split()) == 2
    assert "--frames is for videos" in capsys.readouterr().err


def test_cut_videos(here, capsys):
    data = (here / "jpeg.ckt").read_bytes()
    (here / "cut.ckt").write_bytes(data[: len(data) // 2])
    assert main("decode cut.ckt out".split()) == 1
    assert not (here / "out").exists()
    capsys.readouterr()
    assert main("decode cut.ckt out --partial --json".split()) == 0
    told = capsys.readouterr()
    facts = json.loads(told.out)
    assert 2 <= facts["frames"] == len(list((here / "out").iterdir())) <= 5 and facts["promised"] is None
    assert told.err == f"codeckit decode: {facts['damage']}; {facts['frames']} frames are given\n"
    assert facts["damage"].startswith("cut.ckt: the stream ends")
    (here / "head.ckt").write_bytes(data[:60])
    assert main("decode head.ckt out --partial".split()) == 1
    (here / "cut.jpg").write_bytes(codeckit.codec("jpeg").encode(photo(64, 64, 3))[:-200])
    assert main("decode cut.jpg out.png".split()) == 1
    assert main("decode cut.jpg out.png --partial".split()) == 0
    assert main("decode out out2/ --partial".split()) == 2
