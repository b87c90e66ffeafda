"""The public functions and the command line, used as a newcomer uses them."""

import json
import subprocess
import sys

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.cli import main
from codeckit.metrics import bpp, psnr
from PIL import Image


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo(96, 120, 3, seed=1)).save(path)
    return path


@pytest.mark.parametrize("name", ["jpeg", "libjpeg", "webp"])
def test_rate_control(name, picture):
    image = np.asarray(Image.open(picture))
    stream = codeckit.encode(picture, name, bpp=1.5)
    assert 1.0 < bpp(len(stream), image.shape) <= 1.5
    stream = codeckit.encode(picture, name, psnr=32)  # WebP's PSNR does not rise from 98 on, where it is 33
    assert 32 <= psnr(image, codeckit.decode(stream)) < 33.5
    assert codeckit.encode(picture, name, quality=40) == codeckit.codec(name, quality=40).encode(image)


def test_rate_control_between_whole_qualities(picture):
    """Codecs with gain units come closer to a target than whole qualities do."""
    image = np.asarray(Image.open(picture))
    sizes = [len(codeckit.codec("balle2017", quality=1 + level / 8).encode(image)) for level in range(17)]
    stream = codeckit.encode(picture, "balle2017", bpp=8 * sizes[12] / (96 * 120))
    assert len(stream) == sizes[12] > sizes[8]
    reached = psnr(image, codeckit.decode(codeckit.encode(picture, "balle2017", psnr=28)))
    assert 28 <= reached < 28.5
    with pytest.raises(ValueError, match="lowest quality, 1; not"):
        codeckit.encode(picture, "balle2017", bpp=0.001)


def test_targets_out_of_reach(picture):
    with pytest.raises(ValueError, match="lowest quality"):
        codeckit.encode(picture, "jpeg", bpp=0.01)
    with pytest.raises(ValueError, match="highest quality"):
        codeckit.encode(picture, "jpeg", psnr=90)
    with pytest.raises(ValueError, match="one of"):
        codeckit.encode(picture, "jpeg", psnr=30, quality=3)


def test_info(tmp_path, picture):
    for name in "jpeg", "webp":
        found = codeckit.info(codeckit.encode(picture, name))
        assert (found.codec, found.size, found.channels) == (name, (96, 120), 3)
    from codeckit.primitives import ContextCoded

    codec = codeckit.codec("jpeg").replace(entropy=ContextCoded())
    found = codeckit.info(codec.encode(picture))
    assert found.codec == "jpeg" and found.size == (96, 120) and "ContextCoded" in found.details["stages"]["entropy"]


def test_encode_decode_commands(tmp_path, picture, capsys):
    jpg, png, webp = tmp_path / "out.jpg", tmp_path / "out.png", tmp_path / "out.webp"
    assert main(["encode", str(picture), str(jpg), "--codec", "jpeg:subsampling=4:4:4", "--quality", "80"]) == 0
    assert "bpp" in capsys.readouterr().out
    assert jpg.read_bytes() == codeckit.codec("jpeg", quality=80, subsampling="4:4:4").encode(picture)
    assert main(["decode", str(jpg), str(png)]) == 0
    assert (np.asarray(Image.open(png)) == codeckit.decode(jpg)).all()
    assert main(["encode", str(picture), str(webp), "--codec", "webp", "--bpp", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["bpp"] <= 1
    assert main(["info", str(webp), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["codec"] == "webp"


@pytest.mark.parametrize("codec", ["balle2017", "jpeg"])
def test_folders(codec, tmp_path, capsys):
    sizes = {"a.png": (40, 60), "b.png": (40, 60), "c.webp": (30, 20)}
    for n, (name, size) in enumerate(sizes.items()):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(photo(*size, 3, seed=n)).save(tmp_path / "in" / name, lossless=True)
    folders = [str(tmp_path / name) for name in ("in", "streams", "out")]
    assert main(["encode", *folders[:2], "--codec", codec, "--json"]) == 0
    total = json.loads(capsys.readouterr().out)
    streams = sorted((tmp_path / "streams").iterdir())
    assert total["files"] == 3 and total["bytes"] == sum(path.stat().st_size for path in streams)
    assert [path.name for path in streams] == [name + (".jpg" if codec == "jpeg" else ".ckt") for name in sizes]
    assert main(["decode", *folders[1:]]) == 0
    for name, size in sizes.items():
        decoded = np.asarray(Image.open(tmp_path / "out" / f"{name}.png"))
        assert decoded.shape == (*size, 3)
        stream = next(path for path in streams if path.name.startswith(name))
        assert np.abs(decoded.astype(int) - codeckit.decode(stream)).max() <= 1
    assert main(["encode", *folders[:2], "--codec", codec, "--bpp", "9"]) == 0
    assert main(["decode", str(tmp_path), folders[2]]) == 2
    assert "no streams" in capsys.readouterr().err


def test_transparency(tmp_path, capsys):
    pixels = np.dstack([photo(20, 30, 3), np.full((20, 30), 255, np.uint8)])
    pixels[:10, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "in.png")
    command = ["encode", str(tmp_path / "in.png"), str(tmp_path / "out.jpg"), "--codec", "jpeg"]
    assert main(command) == 2
    assert "background='white'" in capsys.readouterr().err
    assert main([*command, "--background", "white"]) == 0
    for background in ("white", (255, 255, 255)):
        decoded = codeckit.decode(codeckit.encode(pixels, "jpeg", background=background))
        assert (decoded == codeckit.decode(tmp_path / "out.jpg")).all()
        assert decoded[:6].min() > 230 and decoded[14:].mean() < 200
    with pytest.raises(ValueError, match="plaid"):
        codeckit.encode(pixels, "jpeg", background="plaid")


def test_decode_turns_photographs_upright(tmp_path):
    image = photo(24, 40, 3, seed=2)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / "phone.jpg", exif=exif, quality=95)
    assert main(["decode", str(tmp_path / "phone.jpg"), str(tmp_path / "up.png")]) == 0
    assert Image.open(tmp_path / "up.png").size == (24, 40)


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["encode", "missing.png", "x.jpg", "--codec", "jpeg"], 1, "missing.png"),
        (["encode", "{picture}", "x.jpg", "--codec", "jpg"], 2, "no codec"),
        (["encode", "{picture}", "x.jpg", "--codec", "jpeg", "--quality", "0"], 2, "1 to 100"),
        (["encode", "{picture}", "x.jpg", "--codec", "jpeg", "--bpp", "0.001"], 2, "lowest"),
        (["decode", "{text}", "x.png"], 1, "neither"),
        (["decode", "{picture}", "x.what"], 2, ".png"),
        (["info", "{text}"], 1, "neither"),
        (["compare", "{picture}", "--codecs", "jpeg", "--anchor", "nobody", "--out", "report"], 2, "nobody"),
    ],
)
def test_errors_are_one_line(arguments, status, message, picture, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "text"
    text.write_text("no stream")
    assert main([argument.format(picture=picture, text=text) for argument in arguments]) == status
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.glob("x.*"))


def test_bad_use_exits_with_2():
    for arguments in ["encode"], ["compress"], []:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2


def test_compare_command(picture, tmp_path, capsys):
    out = tmp_path / "report"
    arguments = ["compare", str(picture), "--codecs", "jpeg,libjpeg", "--qualities", "20,50,80,90", "--metrics", "psnr"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert "libjpeg" in capsys.readouterr().out
    assert main([*arguments, "--out", str(out), "--keep"]) == 0  # the streams were not kept before: run again
    kept = out / "streams" / "photo.png-jpeg-quality=50.jpg"
    assert kept.read_bytes() == codeckit.codec("jpeg", quality=50).encode(picture)
    assert len(list(kept.parent.iterdir())) == 8
    assert {"records.jsonl", "results.json", "report.md", "rd.png", "rd.svg"} <= {file.name for file in out.iterdir()}


def test_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "codeckit", "codecs"], capture_output=True, text=True)
    assert done.returncode == 0 and "jpeg" in done.stdout


def test_video_commands(tmp_path, capsys):
    frames = tmp_path / "frames"
    frames.mkdir()
    still = photo(64, 80, 3, seed=1)
    for n in range(4):
        Image.fromarray(np.ascontiguousarray(still[:, 2 * n : 2 * n + 64])).save(frames / f"{n}.png")
    clip, again = tmp_path / "clip.mp4", tmp_path / "clip.ckt"
    assert main(["encode", str(frames), str(clip), "--codec", "hevc:preset=ultrafast", "--video", "--fps", "30"]) == 0
    assert "hevc" in capsys.readouterr().out or clip.exists()
    assert main(["encode", str(clip), str(again), "--codec", "video-teaching", "--frames", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["codec"], told["size"], told["frames"], told["fps"]) == ("video-teaching", [64, 64], 3, 30)
    assert main(["info", str(again)]) == 0
    assert "3 frames at 30 fps" in capsys.readouterr().out
    assert main(["decode", str(again), str(tmp_path / "out")]) == 0
    decoded = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "out").iterdir())]
    assert all((a == b).all() for a, b in zip(decoded, codeckit.decode_video(again), strict=True))
    assert main(["decode", str(again), str(tmp_path / "out.png")]) == 2
    assert main(["encode", str(clip), str(again), "--codec", "hevc", "--accuracy", "0.9"]) == 2
    (tmp_path / "raw.yuv").write_bytes(bytes(3 * 64 * 64 * 3 // 2))
    assert main(["encode", str(tmp_path / "raw.yuv"), str(again), "--codec", "jpeg", "--size", "64x64"]) == 0
    assert codeckit.decode_video(again).count == 3
    capsys.readouterr()
    assert main(["encode", str(tmp_path / "raw.yuv"), str(again), "--codec", "jpeg", "--size", "64"]) == 2
    assert "WIDTHxHEIGHT" in capsys.readouterr().err
