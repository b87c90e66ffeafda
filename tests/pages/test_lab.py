"""The lab: what it takes, whom it answers, and that its app runs."""

import importlib.util
import io
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import codeckit.pages
import numpy as np
import pytest
from codeckit.pages.lab_server import MAX_BYTES, read_upload
from PIL import Image

APP = Path(codeckit.pages.__file__).parent / "lab" / "app.py"


def png(image):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "png")
    return out.getvalue()


def test_uploads():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(read_upload(png(image)), image)
    with pytest.raises(ValueError, match="the lab takes 21 MB"):
        read_upload(bytes(MAX_BYTES + 1))
    with pytest.raises(ValueError, match=r"9\.0 megapixels; the lab takes 4"):
        read_upload(png(np.zeros((3000, 3000), np.uint8)))
    with pytest.raises(ValueError, match="holds no picture"):
        read_upload(png(image)[:300])
    assert (read_upload(png(np.zeros((4, 4, 4), np.uint8))) == 255).all()  # transparent pixels are shown on white


@pytest.fixture(scope="module")
def address():
    pytest.importorskip("marimo", reason="the lab needs marimo: pip install 'codeckit[teach]'")
    process = subprocess.Popen([sys.executable, "-m", "codeckit", "lab"], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().split()[2]
    finally:
        process.kill()
        process.wait()


def ask(address, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_it_answers_this_machine_alone(address):
    status, page = ask(address)
    assert status == 200 and b"codeckit lab" in page
    assert ask(address, Host="evil.example")[0] == 400
    assert ask(address, **{"Content-Length": str(10 * MAX_BYTES)})[0] == 413
    port = int(address.rstrip("/").rpartition(":")[2])
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", port), timeout=5):
        pass


def test_the_app_runs():
    pytest.importorskip("marimo", reason="the lab needs marimo: pip install 'codeckit[teach]'")
    found = importlib.util.spec_from_file_location("lab_app", APP)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    _, names = module.app.run()
    assert "jpeg, quality 60" in names["shown"].text and "video-teaching" in names["names"]
