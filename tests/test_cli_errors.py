"""Every command on every kind of bad input: one line that names the file or option, the right status, nothing written.

Most rows run in this process; those at the end are what a shell sees.
"""

import io
import shlex
import subprocess
import sys
from pathlib import Path

import codeckit
import numpy as np
import pytest
from codeckit.cli import main
from codeckit.codecs.jpeg.repack import repack
from PIL import Image


def picture(channels=3) -> np.ndarray:
    y, x = np.mgrid[:48, :64]
    return np.stack([3 * x + y, 2 * y, x ^ y], -1)[..., :channels].astype(np.uint8)


def encoded(form, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture()).save(out, form, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A folder with a file of each kind."""
    folder = tmp_path_factory.mktemp("inputs")
    jpg, png, ckt = encoded("JPEG"), encoded("PNG"), codeckit.codec("jpeg-context").encode(picture())
    indices = codeckit.codec("token-indices").encode_tokens(np.arange(49, dtype=np.uint16)[:, None], (7, 7))
    files = {
        "photo.png": png,
        "photo.jpg": jpg,
        "photo.ckt": ckt,
        "empty.png": b"",
        "byte.png": b"\x89",
        "text.png": b"hello, this is no picture",
        "cut.png": png[: len(png) // 2],
        "cut.jpg": jpg[: len(jpg) // 2],
        "cut.webp": encoded("WEBP")[:200],
        "cut.ckt": ckt[: len(ckt) // 2],
        "damaged.ckt": ckt[:40] + bytes([ckt[40] ^ 4]) + ckt[41:],
        "packed.ckt": repack(jpg),
        "clip.ckt": codeckit.codec("jpeg").encode_video([picture(), picture()]),
        "clip.mp4": b"\0\0\0\x18ftypisom and no more",
        "raw.yuv": bytes(64 * 48 * 3 // 2),
        "tokens.ckt": indices,
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    codeckit.codec("h264").encode_video([picture(), picture()], folder / "video.mp4")
    (folder / "folder").mkdir()
    (folder / "several").mkdir()
    for name in ("a.png", "b.png"):
        (folder / "several" / name).write_bytes(png)
    Image.fromarray(np.dstack([picture(), picture(1)])).save(folder / "alpha.png")
    Image.fromarray(picture(1)[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    frames = [Image.fromarray(picture()), Image.fromarray(picture()[::-1])]
    frames[0].save(folder / "frames.gif", save_all=True, append_images=frames[1:])
    return folder


@pytest.fixture
def here(inputs, tmp_path, monkeypatch) -> Path:
    """The current folder, with links to the inputs under their names."""
    for path in inputs.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def status_of(line: str) -> int:
    """What a command line returns, also where the parser ends it."""
    try:
        return main(shlex.split(line))
    except SystemExit as stopped:
        return int(stopped.code or 0)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


COMMANDS = {
    "encode": "encode {} new.jpg --codec jpeg",
    "encode with a network": "encode {} new.ckt --codec balle2017",
    "encode to a target": "encode {} new.jpg --codec jpeg --bpp 2",
    "decode": "decode {} new.png",
    "repack": "repack {} new.ckt",
    "unpack": "unpack {} new",
    "info": "info {}",
    "compare": "compare {} --codecs jpeg --qualities 50 --metrics psnr --out new",
    "sweep": "sweep {} --codecs jpeg --qualities 50 --out new",
    "explain": "explain {} --codec jpeg --out new.html",
    "train": "train balle2017-small --data {} --out new",
}

BAD = ("missing.png", "empty.png", "byte.png", "text.png", "cut.png", "cut.jpg", "cut.webp", "cut.ckt", "damaged.ckt")

#: `repack` stores as it is what it cannot model.
FINE = {"repack": set(BAD) - {"missing.png", "empty.png"}}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", BAD)
def test_bad_data(command, name, here, capsys):
    before = names(here)
    status = status_of(COMMANDS[command].format(name))
    told = capsys.readouterr().err
    if name in FINE.get(command, ()):
        assert (status, told) == (0, "")
        return
    assert status == 1, told
    assert told.count("\n") == 1 and name in told and told.startswith("codeckit "), told
    assert names(here) - before <= ({"new"} if command in ("compare", "sweep") else set())


USE = [
    # which codec
    ("encode photo.png new.jpg --codec nope", 2, "nope"),
    ("encode photo.png new.jpg --codec jpeg:qualty=3", 2, "qualty"),
    ("encode photo.png new.jpg --codec jpeg:fast", 2, "OPTION=VALUE"),
    ("encode photo.png new.jpg --codec ''", 2, "no codec"),
    ("encode photo.png new.jpg --codec jpeg:subsampling=4:9:9", 2, "4:9:9"),
    ("encode photo.png new.ckt --codec balle2017:weights=none.safetensors", 1, "none.safetensors"),
    ("encode photo.png new.jpg", 2, "--codec"),
    ("compare photo.png --codecs nope --out new", 2, "nope"),
    ("compare photo.png --codecs jpeg --metrics , --out new", 2, "--metrics"),
    ("compare photo.png --codecs jpeg --out=", 2, "--out"),
    ("compare photo.png --codecs jpeg: --out new", 2, "jpeg:"),
    ("sweep photo.png --codecs jpeg,nope --out new", 2, "nope"),
    ("explain photo.png --codec nope --out new.html", 2, "nope"),
    ("train nope --data photo.png --out new", 2, "nope"),
    # which quality or target
    ("encode photo.png new.jpg --codec jpeg --quality 0", 2, "1 to 100"),
    ("encode photo.png new.jpg --codec jpeg --quality 101", 2, "1 to 100"),
    ("encode photo.png new.jpg --codec jpeg --quality abc", 2, "'abc'"),
    ("encode photo.png new.jpg --codec jpeg --quality nan", 2, "1 to 100"),
    ("encode photo.png new.jpg --codec jpeg --quality inf", 2, "1 to 100"),
    ("encode photo.png new.ckt --codec balle2017 --quality 9", 2, "1 to 8"),
    ("encode several new --codec jpeg --quality 0", 2, "1 to 100"),
    ("encode photo.png new.jpg --codec jpeg --bpp nan", 2, "--bpp"),
    ("encode photo.png new.jpg --codec jpeg --bpp -1", 2, "--bpp"),
    ("encode photo.png new.jpg --codec jpeg --bpp 0.0001", 2, "lowest"),
    ("encode photo.png new.jpg --codec jpeg --psnr 200", 2, "highest"),
    ("encode photo.png new.jpg --codec jpeg --accuracy 2", 2, "probability"),
    ("encode photo.png new.jpg --codec jpeg --accuracy 1 --task nope", 2, "nope"),
    ("encode photo.png new.jpg --codec jpeg --bpp 1 --quality 3", 2, "--bpp"),
    ("encode photo.png new.jpg --codec jpeg:quality=3 --bpp 1", 2, "one of"),
    ("compare photo.png --codecs jpeg --qualities 50,x --out new", 2, "'x'"),
    ("compare photo.png --codecs jpeg --qualities 500 --out new", 2, "500"),
    ("sweep photo.png --codecs jpeg --qualities 0 --out new", 2, "not to 0"),
    ("explain photo.png --codec jpeg --quality 0 --out new.html", 2, "1 to 100"),
    # how pictures are read
    ("encode alpha.png new.jpg --codec jpeg", 2, "background"),
    ("encode alpha.png new.jpg --codec jpeg --background plaid", 2, "plaid"),
    ("encode deep.png new.jpg --codec jpeg", 2, "depth"),
    ("encode deep.png new.jpg --codec jpeg --depth 10", 2, "10"),
    ("encode frames.gif new.jpg --codec jpeg", 2, "frame"),
    ("encode frames.gif new.jpg --codec jpeg --frame 2", 2, "no frame 2"),
    ("encode frames.gif new.jpg --codec jpeg --frame -1", 2, "--frame"),
    ("encode photo.png new.jpg --codec jpeg --metadata all", 2, "--metadata"),
    ("decode alpha.png new.png", 2, "background"),
    ("decode alpha.png new.png --background plaid", 2, "plaid"),
    ("explain alpha.png --codec jpeg --out new.html", 2, "background"),
    ("compare photo.png --codecs jpeg --background plaid --out new", 2, "plaid"),
    ("sweep photo.png --codecs jpeg --depth 7 --out new", 2, "7"),
    # which files
    ("encode photo.png new.webp --codec jpeg", 2, ".webp"),
    ("encode photo.png new.ckt --codec jpeg", 2, ".ckt"),
    ("encode photo.png new.jpg --codec jpeg:entropy=ContextCoded", 2, ".ckt"),
    ("encode photo.png new.mp4 --codec webp", 2, ".mp4"),
    ("encode photo.png ./photo.png --codec png", 2, "the input itself"),
    ("encode photo.png photo.jpg/x.jpg --codec jpeg", 1, "photo.jpg/x.jpg"),
    ("encode folder new --codec jpeg", 2, "no pictures in folder"),
    ("encode several photo.jpg --codec jpeg", 1, "photo.jpg"),
    ("encode several - --codec jpeg", 2, "stdout"),
    ("decode several photo.jpg", 1, "photo.jpg"),
    ("decode clip.ckt -", 2, "stdout"),
    ("repack several -", 2, "stdout"),
    ("unpack several photo.jpg", 1, "photo.jpg"),
    ("encode raw.yuv new.ckt --codec jpeg", 2, "size"),
    ("encode raw.yuv new.ckt --codec jpeg --size 64", 2, "WIDTHxHEIGHT"),
    ("encode raw.yuv new.ckt --codec jpeg --size 0x48", 2, "WIDTHxHEIGHT"),
    ("encode raw.yuv new.ckt --codec jpeg --size 64x48 --fps inf", 2, "--fps"),
    ("encode raw.yuv new.ckt --codec jpeg --size 64x48 --fps 0", 2, "--fps"),
    ("encode raw.yuv new.ckt --codec jpeg --size 64x48 --frames 0", 2, "--frames"),
    ("encode raw.yuv new.png --codec jpeg --size 64x48", 2, ".png"),
    ("encode raw.yuv new.ckt --codec jpeg --size 64x48 --pixel-format nope", 2, "nope"),
    ("encode raw.yuv new.ckt --codec jpeg --size 64x48 --fps 1e300", 2, "1e300"),
    ("encode clip.mp4 new.ckt --codec jpeg --size 64x48", 2, "clip.mp4"),
    ("encode photo.png new.jpg --codec jpeg --size 64x48", 2, "--size"),
    ("encode photo.png new.jpg --codec jpeg --fps 3", 2, "--fps"),
    ("encode several new --codec jpeg --frames 3", 2, "--frames"),
    ("encode photo.png new.jpg --codec jpeg --task imagenet", 2, "--task"),
    ("decode photo.ckt new.png --max-pixels 1e300", 2, "--max-pixels"),
    ("explain video.mp4 --codec jpeg --out new.html", 2, "video.mp4"),
    ("encode clip.mp4 new.ckt --codec jpeg", 1, "clip.mp4"),
    ("encode clip.mp4 new.ckt --codec jpeg --accuracy 0.9", 2, "--accuracy"),
    ("decode photo.jpg new.jpg", 2, ".png"),
    ("decode photo.ckt new.what", 2, ".what"),
    ("decode photo.ckt new", 2, ".png"),
    ("decode photo.ckt new.npz", 2, "a picture"),
    ("decode tokens.ckt new.png", 2, "tokens"),
    ("decode photo.png photo.png", 2, "the input itself"),
    ("decode clip.ckt new.png", 2, "folder"),
    ("decode clip.mp4 new", 1, "clip.mp4"),
    ("decode folder new", 2, "no streams in folder"),
    ("decode photo.ckt new.png --max-pixels 0", 2, "--max-pixels"),
    ("decode photo.ckt new.png --max-pixels 100", 1, "photo.ckt"),
    ("decode photo.jpg new.png --max-pixels 100", 1, "photo.jpg"),
    ("decode photo.ckt new.png --device nope", 2, "nope"),
    ("decode photo.ckt new.png --weights none.safetensors", 1, "none.safetensors"),
    ("decode photo.ckt new.png --weights photo.png", 1, "photo.png"),
    ("repack photo.jpg new.jpg", 2, ".jpg"),
    ("repack photo.jpg photo.jpg", 2, "photo.jpg"),
    ("repack folder new", 2, "no files in folder"),
    ("unpack photo.ckt new.jpg", 1, "photo.ckt"),
    ("unpack packed.ckt new.png", 2, ".png"),
    ("unpack photo.jpg new", 1, "photo.jpg"),
    ("info folder", 1, "folder"),
    ("info clip.mp4", 1, "clip.mp4"),
    ("compare folder --codecs jpeg --out new", 2, "folder"),
    ("compare photo.png photo.png --codecs jpeg --out new", 2, "photo.png"),
    ("compare photo.png --codecs jpeg --out photo.jpg", 1, "photo.jpg"),
    ("sweep folder --codecs jpeg --out new", 2, "folder"),
    ("sweep photo.png --codecs jpeg --out photo.jpg", 1, "photo.jpg"),
    ("explain several --codec jpeg --out new.html", 2, "one picture"),
    ("explain sample:nobody --codec jpeg --out new.html", 2, "nobody"),
    ("explain photo.png --codec jpeg --out new.png", 2, ".html"),
    ("explain photo.png --codec jpeg --out folder", 1, "folder"),
    # how it is done
    ("compare photo.png --codecs jpeg --metrics nope --out new", 2, "nope"),
    ("compare photo.png --codecs jpeg --tasks nope --out new", 2, "nope"),
    ("compare photo.png --codecs jpeg --anchor nope --out new", 2, "nope"),
    ("compare photo.png --codecs jpeg --executor nope --out new", 2, "nope"),
    ("compare photo.png --codecs jpeg --jobs 0 --out new", 2, "--jobs"),
    ("compare photo.png --codecs jpeg", 2, "--out"),
    ("sweep photo.png --codecs jpeg --metrics nope --out new", 2, "nope"),
    ("sweep photo.png --codecs jpeg --part 0 --out new", 2, "--part"),
    ("lab --port 99999", 2, "--port"),
    ("lab --port x", 2, "--port"),
    ("train balle2017-small --data photo.png --out new", 1, "photo.png"),
    ("train balle2017-small --data folder --out new", 1, "folder"),
    ("train balle2017-small --data photo.png --out new --minutes nan", 2, "--minutes"),
    ("train balle2017-small --data photo.png --out new --steps 0", 2, "--steps"),
    ("codecs --fast", 2, "--fast"),
    ("compress photo.png", 2, "compress"),
    ("", 2, "COMMAND"),
]


@pytest.mark.parametrize(("line", "status", "named"), USE)
def test_bad_use(line, status, named, here, capsys):
    before = names(here)
    found = status_of(line)
    printed = capsys.readouterr()
    told = printed.err
    assert told.count("\n") == 1 and named in told and told.startswith("codeckit"), told
    assert (found, printed.out) == (status, ""), told
    assert names(here) - before <= ({"new"} if line.startswith(("compare", "sweep")) else set())


def test_a_shell_sees_the_same(inputs, tmp_path):
    """Processes of their own, one for each status and command."""
    rows = [
        ("encode cut.png new.jpg --codec jpeg", 1, "cut.png"),
        ("encode photo.png new.jpg --codec nope", 2, "nope"),
        ("decode damaged.ckt new.png", 1, "damaged.ckt"),
        ("decode missing.ckt new.png", 1, "missing.ckt"),
        ("repack missing.jpg new.ckt", 1, "missing.jpg"),
        ("unpack photo.jpg new", 1, "photo.jpg"),
        ("info text.png", 1, "text.png"),
        ("codecs --fast", 2, "--fast"),
        ("compare text.png --codecs jpeg --qualities 50 --out new", 1, "text.png"),
        ("explain photo.png --codec jpeg --out new.png", 2, ".html"),
        ("lab --port 99999", 2, "--port"),
        ("train balle2017-small --data missing --out new", 1, "missing"),
    ]
    script = "\n".join(
        f'cd {inputs}; "{sys.executable}" -m codeckit {line.replace("new", f"{tmp_path}/new")}; echo $?'
        for line, *_ in rows
    )
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == [str(status) for _, status, _ in rows], done.stderr
    told = done.stderr.splitlines()
    assert len(told) == len(rows), done.stderr
    assert all(named in line and line.startswith("codeckit") for line, (*_, named) in zip(told, rows, strict=True))
