"""The command line with real files and folders: odd names, pipes, files that fail among many."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import codeckit
import numpy as np
import pytest
from codeckit.cli import main
from codeckit.codecs.jpeg.repack import unpack
from PIL import Image


def photo(height=40, width=56, seed=0) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([3 * x + seed, 2 * y + x, (x ^ y) + 5 * seed], -1).astype(np.uint8)


def encoded(form, image=None, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(photo() if image is None else image).save(out, form, **options)
    return out.getvalue()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("photo.png").write_bytes(encoded("PNG"))
    return tmp_path


def shell(command: str, **options) -> subprocess.CompletedProcess:
    """A command line with `codeckit` in it, run by a shell."""
    options = {"capture_output": True, "timeout": 120, **options}
    script = f'codeckit() {{ "{sys.executable}" -m codeckit "$@"; }}\n{command}'
    return subprocess.run(["bash", "-c", script], **options)


def fill(folder, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def tree(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


# --- names ---


@pytest.mark.parametrize(
    "name", ["あ" * 80, "a" * 250, " x ", "two\nlines", os.fsdecode(b"\xff\xfe"), "-v", "日本.jpg"]
)
def test_odd_names(name, capsys):
    fill(".", {f"{name}.png": encoded("PNG")})
    given = [f"./{name}.png", f"./{name}.jpg"]
    assert main(["encode", *given, "--codec", "jpeg"]) == 0
    assert main(["decode", given[1], "./out.png"]) == 0
    assert main(["info", given[1]]) == 0
    assert main(["decode", given[1], f"./{name}.what"]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and ".what" in printed.err
    if name == "-v":
        assert main(["info", "--", "-v.jpg"]) == 0


def test_existing_outputs(capsys):
    Path("target").touch()
    os.symlink("target", "link")
    os.chmod("target", 0o600)
    for name in ("link", "out.jpg", "out.jpg"):
        assert main(["encode", "photo.png", name, "--codec", "jpeg"]) == 0
    assert os.path.islink("link") and os.stat("target").st_mode & 0o777 == 0o600
    assert Path("target").read_bytes() == Path("out.jpg").read_bytes()


def test_a_folder_as_output(capsys):
    """As `cp` does, with the name that a folder run gives."""
    os.mkdir("out")
    assert main(["encode", "photo.png", "out", "--codec", "jpeg"]) == 0
    assert main(["encode", "photo.png", "new/", "--codec", "jpeg-context"]) == 0
    assert main(["decode", "out/photo.png.jpg", "out"]) == 0
    assert main(["repack", "out/photo.png.jpg", "out"]) == 0
    assert main(["unpack", "out/photo.png.jpg.ckt", "new/"]) == 0
    assert tree("out") == ["photo.png.jpg", "photo.png.jpg.ckt", "photo.png.png"]
    assert tree("new") == ["photo.png.ckt", "photo.png.jpg"]


@pytest.mark.parametrize("other", ["photo.png", "./photo.png", "hard", "soft", "sub/../photo.png"])
def test_the_input_is_not_overwritten(other, capsys):
    os.link("photo.png", "hard")
    os.symlink("photo.png", "soft")
    os.mkdir("sub")
    before = Path("photo.png").read_bytes()
    for command in (
        ["encode", "photo.png", other, "--codec", "png"],
        ["decode", other, "photo.png"],
        ["explain", "photo.png", "--codec", "jpeg", "--out", other],
    ):
        assert main(command) == 2, command
    assert Path("photo.png").read_bytes() == before


def test_a_video_is_not_overwritten(capsys):
    clip = codeckit.codec("h264").encode_video([photo(), photo()], "clip.mp4")
    before = clip.read_bytes()
    with pytest.raises(ValueError, match="the input itself"):
        codeckit.codec("h264").encode_video("clip.mp4", "./clip.mp4")
    assert main(["encode", "clip.mp4", "./clip.mp4", "--codec", "h264"]) == 2
    assert clip.read_bytes() == before and "the input itself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("codec", "good", "bad"),
    [
        ("jpeg", "a.JPG a.jpeg a.jpe a.jfif a.bin a", "a.png a.ckt a.webp a.mp4 a.j2k a.tiff"),
        ("webp", "a.webp a.WebP a.dat", "a.jpg a.avif a.gif"),
        ("jpeg2000", "a.jp2", "a.j2k a.jxl"),
        ("jpeg-context", "a.ckt a.tmp", "a.jpg a.mkv"),
        ("jpeg:entropy=ContextCoded", "a.ckt", "a.jpg"),
    ],
)
def test_endings(codec, good, bad, capsys):
    for name in good.split():
        assert main(["encode", "photo.png", name, "--codec", codec]) == 0
        os.unlink(name)
    for name in bad.split():
        assert main(["encode", "photo.png", name, "--codec", codec]) == 2
        told = capsys.readouterr().err
        assert Path(name).suffix in told and codec.split(":")[0] in told and not os.path.exists(name)


@pytest.mark.parametrize("ending", ["png", "tif", "tiff", "bmp", "ppm", "webp", "jp2", "tga"])
def test_decode_loses_nothing(ending, capsys):
    fill(".", {"a.jpg": encoded("JPEG")})
    assert main(["decode", "a.jpg", f"b.{ending}"]) == 0
    assert (np.asarray(Image.open(f"b.{ending}").convert("RGB")) == codeckit.decode("a.jpg")).all()
    for lossy in ("jpg", "avif", "gif", "pdf"):
        assert main(["decode", "a.jpg", f"c.{lossy}"]) == 2
    assert not list(Path().glob("c.*"))


# --- pipes ---


def test_standard_input_and_output():
    done = shell(
        """
        set -eo pipefail
        codeckit encode photo.png a.jpg --codec jpeg > told
        codeckit encode - - --codec jpeg < photo.png | cmp - a.jpg
        codeckit decode - - < a.jpg | codeckit encode - - --codec png > b.png
        codeckit repack - - < a.jpg | codeckit unpack - - | cmp - a.jpg
        codeckit info - --json < a.jpg
        """
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["size"] == [40, 56]  # messages about results went to stderr
    assert done.stderr.count(b"stdout: ") == 5
    assert (np.asarray(Image.open("b.png")) == codeckit.decode("a.jpg")).all()


def test_names_of_pipes():
    done = shell(
        """
        set -eo pipefail
        codeckit encode /dev/stdin a.jpg --codec jpeg < photo.png > told
        cat photo.png | codeckit encode /dev/stdin /dev/stdout --codec jpeg | cmp - a.jpg
        codeckit encode <(cat photo.png) >(cmp - a.jpg >&2) --codec jpeg > told
        cat a.jpg | codeckit info /dev/stdin --json
        mkfifo pipe
        cat pipe > b.jpg & codeckit encode photo.png pipe --codec jpeg > told; wait
        cmp a.jpg b.jpg
        cat a.jpg > pipe & codeckit decode pipe out.png > told
        """
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] == os.path.getsize("a.jpg") and b"differ" not in done.stderr
    assert Path("out.png").exists()


def test_videos_through_pipes(capsys, monkeypatch):
    codeckit.codec("h264").encode_video([photo(), photo(seed=9)], "clip.mp4")
    stdin = io.TextIOWrapper(io.BytesIO(Path("clip.mp4").read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["encode", "-", "a.ckt", "--codec", "jpeg"]) == 0
    assert codeckit.decode_video("a.ckt").count == 2
    os.mkfifo("pipe")
    for arguments in (["decode", "pipe", "frames"], ["info", "pipe"]):
        data = Path("a.ckt").read_bytes()
        threading.Thread(target=lambda data=data: Path("pipe").write_bytes(data), daemon=True).start()
        assert main(arguments) == 0
    assert tree("frames") == ["000001.png", "000002.png"] and "2 frames" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(2 * 40 * 56 * 3 // 2))))
    assert main(["encode", "-", "b.ckt", "--codec", "jpeg", "--size", "56x40"]) == 0
    assert codeckit.decode_video("b.ckt").count == 2


def test_pipes_that_fail():
    done = shell(
        """
        codeckit codecs | head -n 1 > /dev/null; echo ${PIPESTATUS[0]}
        codeckit codecs >&-; echo $?
        codeckit decode - out.png < /dev/null; echo $?
        codeckit encode - out.jpg --codec jpeg <&-; echo $?
        codeckit encode - photo.png --codec png < photo.png; echo $?
        codeckit encode photo.png - --codec png >> photo.png; echo $?
        """
    )
    status = done.stdout.split()
    assert status[0] in (b"0", b"141") and status[1:] == [b"0", b"1", b"1", b"2", b"2"], (done.stdout, done.stderr)
    assert done.stderr.count(b"\n") == 4 and b"stdin is empty" in done.stderr and b"Traceback" not in done.stderr
    assert Path("photo.png").read_bytes() == encoded("PNG") and not Path("out.png").exists()


def test_a_terminal_gets_no_stream(monkeypatch, capsysbinary):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["encode", "photo.png", "-", "--codec", "jpeg"]) == 2
    assert b"terminal" in capsysbinary.readouterr().err


# --- folders ---


BAD = {
    "cut.png": encoded("PNG")[:200],
    "empty.png": b"",
    "readme.txt": b"hello",
    "text.jpg": b"no picture",
}


@pytest.mark.parametrize("codec", ["jpeg", "webp", "balle2017", "jpeg --bpp 8"])
def test_encode_goes_on(codec, capsys):
    good = {"a.png": encoded("PNG"), "m.gif": encoded("GIF"), "z.JPG": encoded("JPEG"), "z.tiff": encoded("TIFF")}
    fill("in", {**good, **BAD, ".hidden.png": b"", "._a.png": b"\0\5\x16\7", "sub/b.png": encoded("PNG")})
    os.mkfifo("in/pipe.png")
    os.symlink("nowhere", "in/link.png")
    failing = [*BAD, "pipe.png", "link.png"]
    assert main(["encode", "in", "out", "--codec", *codec.split()]) == 1
    printed = capsys.readouterr()
    ending = {"webp": ".webp", "balle2017": ".ckt"}.get(codec, ".jpg")
    assert tree("out") == sorted(name + ending for name in good)
    assert printed.err.count("\n") == len(failing) and all(f"in/{name}: " in printed.err for name in failing)
    assert "4 files" in printed.out and "6 failed" in printed.out and "hidden" not in printed.err + printed.out
    assert main(["encode", "in", "out", "--codec", *codec.split(), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["failed"]) == (4, 6)
    assert sorted(each["file"] for each in told["failures"]) == sorted(f"in/{name}" for name in failing)


def test_a_bad_picture_does_not_take_its_batch_along():
    codec = codeckit.codec("balle2017")
    fill("in", {f"{n}.png": encoded("PNG", photo(seed=n)) for n in range(4)} | {"2.png": BAD["cut.png"]})
    assert main(["encode", "in", "out", "--codec", "balle2017"]) == 1
    found = list(codec.encode_many([photo(seed=n) for n in (0, 1, 3)]))
    assert [Path("out", f"{n}.png.ckt").read_bytes() for n in (0, 1, 3)] == found
    data = bytearray(found[1])
    data[len(data) // 2] ^= 1
    Path("out/1.png.ckt").write_bytes(data)
    assert main(["decode", "out", "decoded"]) == 1
    assert tree("decoded") == ["0.png.png", "3.png.png"]


def test_decode_goes_on(capsys):
    good = {
        "a.jpg": encoded("JPEG"),
        "b.webp": encoded("WEBP"),
        "c.ckt": codeckit.codec("jpeg-context").encode(photo()),
    }
    video = codeckit.codec("jpeg").encode_video([photo()])
    tokens = codeckit.codec("token-indices").encode_tokens(np.zeros((4, 1), np.uint8), (2, 2))
    fill("in", {**good, **BAD, "cut.ckt": good["c.ckt"][:50], "clip.ckt": video, "t.ckt": tokens, ".a.jpg": b""})
    assert main(["decode", "in", "out"]) == 1
    printed = capsys.readouterr()
    assert tree("out") == ["a.png", "b.png", "c.png", "t.npz"]
    assert "4 files; 6 failed" in printed.out and printed.err.count("\n") == 6
    assert main(["decode", "in", "out", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["failed"] == 6


def test_repack_goes_on(capsys):
    jpg = encoded("JPEG")
    good = {"a.jpg": jpg, "deep/b.JFIF": jpg, "camera.mpo": jpg, "damaged.jpg": jpg[:300], ".deep/c.jpg": jpg}
    fill("in", {**good, "readme.txt": b"hello", "deep/d.png": encoded("PNG"), "empty.jpg": b""})
    assert main(["repack", "in", "out"]) == 1
    printed = capsys.readouterr()
    made = ["a.jpg.ckt", "camera.mpo.ckt", "damaged.jpg.ckt", "deep/b.JFIF.ckt"]
    assert tree("out") == made and printed.err.count("\n") == 3 and "3 failed" in printed.out
    assert all(unpack(Path("out", name).read_bytes()) == good[name[:-4]] for name in made)
    fill("out", {"x.ckt": b"ckt", "y.txt": b"", "z.ckt": codeckit.codec("jpeg-context").encode(photo())})
    assert main(["unpack", "out", "back", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["failed"]) == (4, 3) and tree("back") == [name[:-4] for name in made]


def test_compare_goes_on(capsys):
    fill(
        "in",
        {
            "a.png": encoded("PNG"),
            "b.png": encoded("PNG", photo(seed=7)),
            ".c.png": b"",
            **BAD,
            "labels.csv": b"file,label\n",
        },
    )
    command = ["compare", "in", "--codecs", "jpeg,webp", "--qualities", "30,60", "--metrics", "psnr", "--out", "report"]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 4 and all(name in printed.err for name in BAD)
    assert "2 images" in printed.out


def test_folders_in_which_nothing_is_good(capsys):
    fill("bad", BAD)
    os.mkdir("empty")
    fill("hidden", {".a.png": encoded("PNG")})
    for command in ("encode {} out --codec jpeg", "decode {} out", "unpack {} out"):
        assert main(command.format("bad").split()) == 1
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 4 and "0 files" in printed.out and not os.path.exists("out")
        for folder in ("empty", "hidden"):
            assert main(command.format(folder).split()) == 2
            assert capsys.readouterr().err.count(folder) == 1


def test_outputs_do_not_collide(capsys):
    files = {
        "x.jpg": "JPEG",
        "x.webp": "WEBP",
        "x.jpg.webp": "WEBP",
        "X.png": "PNG",
        "y.jpg": "JPEG",
        "Y.png.jpg": "JPEG",
    }
    fill("in", {name: encoded(form, photo(seed=n)) for n, (name, form) in enumerate(files.items())})
    assert main(["decode", "in", "out"]) == 0
    assert tree("out") == ["X.png.png", "Y.png.png", "x.jpg.png", "x.jpg.webp.png", "x.webp.png", "y.png"]
    assert main(["repack", "in/x.jpg", "packed/a.jpg.ckt"]) == 0
    fill("packed", {"a.jpg.CKT": Path("packed/a.jpg.ckt").read_bytes()})
    capsys.readouterr()
    assert main(["unpack", "packed", "back"]) == 1  # both would be a.jpg
    assert tree("back") == ["a.jpg"] and "would take the place of" in capsys.readouterr().err


def test_output_among_the_input(capsys):
    fill("in", {"a.png": encoded("PNG"), "a.png.jpg": encoded("JPEG", photo(seed=3))})
    before = Path("in/a.png.jpg").read_bytes()
    assert main(["encode", "in", "in", "--codec", "jpeg"]) == 1
    assert Path("in/a.png.jpg").read_bytes() == before and "would take the place" in capsys.readouterr().err
    assert tree("in") == ["a.png", "a.png.jpg", "a.png.jpg.jpg"]
    fill("photos", {"a.jpg": encoded("JPEG"), "b/c.jpg": encoded("JPEG")})
    for _ in range(2):
        assert main(["repack", "photos", "photos/packed"]) == 0
    assert tree("photos/packed") == ["a.jpg.ckt", "b/c.jpg.ckt"]


@pytest.mark.parametrize("command", ["encode in out --codec jpeg", "repack in out"])
def test_an_interrupt_stops_a_folder(command):
    """In the middle of a run: what is done stays, nothing is half-written, and nobody waits for the rest."""
    picture = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    fill("in", {f"{n:03}.jpg": encoded("JPEG", picture, quality=95) for n in range(300)})
    arguments = [sys.executable, "-m", "codeckit", *command.split()]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and not list(Path("out").glob("[!.]*")):  # not what is being written
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    made = os.listdir("out")
    assert 0 < len(made) < 300 and not [name for name in made if name.startswith(".")]


# --- reading options ---


@pytest.mark.parametrize("command", ["encode", "encode to a target", "compare", "sweep", "explain"])
def test_reading_options(command, capsys):
    frames = [Image.fromarray(np.dstack([photo(seed=n), photo(seed=n)[..., 0]])) for n in range(2)]
    frames[0].save("a.png", save_all=True, append_images=frames[1:])  # an animation with transparent pixels
    line = {
        "encode": "encode a.png out.webp --codec webp",
        "encode to a target": "encode a.png out.webp --codec webp --bpp 4",
        "compare": "compare a.png --codecs webp --qualities 50 --metrics psnr --out out",
        "sweep": "sweep a.png --codecs webp --qualities 50 --out out",
        "explain": "explain a.png --codec webp --out out.html",
    }[command].split()
    assert main(line) in (1, 2)
    told = capsys.readouterr().err
    assert "a.png" in told and "frame" in told
    assert main([*line, "--background", "#8090a0", "--frame", "1"]) == 0
    assert "a.png" not in capsys.readouterr().err


@pytest.mark.parametrize("codec", ["jpeg", "balle2017"])
def test_reading_options_in_folders(codec, capsys):
    Path("in").mkdir()
    Image.fromarray(np.dstack([photo(), photo()[..., 0]])).save("in/alpha.png")
    Image.fromarray(photo()[..., 0].astype(np.uint16) * 257).save("in/deep.png")
    assert main(["encode", "in", "out", "--codec", codec]) == 1
    assert capsys.readouterr().err.count("\n") == 2 and not os.path.exists("out")
    assert main(["encode", "in", "out", "--codec", codec, "--background", "white", "--depth", "8"]) == 0
    assert len(tree("out")) == 2


# --- what stands on stdout and stderr ---


def test_text_does_not_follow_a_stream_into_a_file():
    done = shell(
        "codeckit encode photo.png /dev/stdout --codec jpeg > out.jpg; codeckit encode photo.png - --codec jpeg"
    )
    assert Path("out.jpg").read_bytes() == done.stdout
    assert done.stderr.count(b"jpeg, 56") == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_stdout_is_named():
    done = shell("PYTHONUNBUFFERED=1 codeckit info photo.png > /dev/full; codeckit info photo.png > /dev/full")
    assert done.stderr.decode().splitlines() == ["codeckit info: [Errno 28] No space left on device: 'stdout'"] * 2


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_libtiff_does_not_speak(compression, capfd):
    data = bytearray(encoded("TIFF", compression=compression))
    middle = slice(len(data) // 3, len(data) // 3 + 12)
    data[middle] = bytes(each ^ 0x5A for each in data[middle])
    Path("damaged.tif").write_bytes(data)
    assert main(["encode", "damaged.tif", "out.jpg", "--codec", "jpeg"]) == 1
    told = capfd.readouterr().err
    assert told.startswith("codeckit encode: damaged.tif: ") and told.count("\n") == 1, told
