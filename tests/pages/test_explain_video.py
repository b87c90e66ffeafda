"""The explorer's page of a video: what stands in it."""

import contextlib
import re
import sys

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.chromium import NoBrowserError, browser, console, resize
from codeckit.cli import main
from codeckit.pages import explain_video
from codeckit.pages.explain_video import Watched, motion_picture
from PIL import Image

STEPS = ["The frame", "Motion", "Prediction", "Correction", "What is left to say", "Symbols", "Where the bits went"]
STEPS += ["What the decoder adds", "The decoded frame"]


def titles(page):
    """The steps of each frame that the page shows."""
    frames = page.split('<div class="frame" data-shown=')[1:]
    return [re.findall(r"<h4>(.*?)</h4></header>", frame) for frame in frames]


@pytest.mark.parametrize("name", ["dvc", "dcvc"])
def test_a_learned_video(small_video_codec, moving_clip, name):
    page = explain_video(moving_clip(), small_video_codec(name, quality=4, gop=3), name="<clip>", shown=4)
    assert titles(page)[1] == titles(page)[2] == STEPS
    assert titles(page)[0] == titles(page)[3] == [STEPS[0], *STEPS[5:7], STEPS[8]]  # I-frames
    assert page.count('<g data-frame="') == 5 and page.count("<circle") == 2
    assert "&lt;clip&gt;" in page and "<clip>" not in page
    assert len(page) < 2e6
    assert not re.search(r'(src|href)="(?!data:)', page) and "http" not in re.sub(
        r"http://www.w3.org/\w+/svg", "", page
    )


def test_the_parts_of_frames_are_the_stream(small_video_codec, moving_clip):
    frames = moving_clip()
    for codec in (small_video_codec("dvc", gop=3), codeckit.codec("video-teaching", gop=3), codeckit.codec("jpeg")):
        watched = Watched.of(codec, codeckit.read_video(frames), shown=2)
        traces = list(codeckit.trace_video(codec.encode_video(frames), frames))
        assert watched.bits == pytest.approx([8 * trace.bytes for trace in traces])
        assert watched.psnr.tolist() == [trace.psnr for trace in traces]
        assert len(watched.frames) == 2 and all((bits >= 0).all() for bits in watched.parts.values())


def test_codecs_side_by_side():
    """A codec without a network has no correction, and one of stills has only what goes in and comes out."""
    y, x = np.mgrid[:48, :64]
    clip = np.stack([128 + 60 * np.sin((x + 2 * n) / 6) + 50 * np.cos(y / 5) for n in range(3)]).astype(np.uint8)
    page = explain_video(clip, [codeckit.codec("video-teaching"), codeckit.codec("jpeg")], shown=9)
    _, predicted, _ = titles(page)
    assert predicted == [step for step in STEPS if step != "Correction"] + [STEPS[0], STEPS[-1]]


def test_motion_points_to_where_blocks_come_from():
    """A still field has no hue; lines lead down where blocks come from below."""
    frame, motion = np.zeros((64, 64), np.uint8), np.zeros((4, 4, 2))
    assert motion_picture(motion, frame).std(2).max() == 0
    motion[..., 0] = 5
    drawn = motion_picture(motion, frame)
    scale = drawn.shape[0] // 64
    assert (drawn[scale * 11, scale * 8] == 255).all() and (drawn[scale * 4, scale * 8] < 255).any()


def test_a_page_has_its_limits(monkeypatch, moving_clip):
    with pytest.raises(ValueError, match="at least one codec"):
        explain_video(moving_clip(), [])
    with pytest.raises(ValueError, match="at least 1"):
        explain_video(moving_clip(), codeckit.codec("jpeg"), shown=0)
    whole = explain_video(moving_clip(2, 300, 400), codeckit.codec("video-teaching"))
    monkeypatch.setattr(sys.modules["codeckit.pages.explain_video"], "LIMIT", len(whole) - 1)
    assert len(explain_video(moving_clip(2, 300, 400), codeckit.codec("video-teaching"))) < len(whole)


def test_command_line(tmp_path, capsys, moving_clip):
    for number, frame in enumerate(moving_clip(6)):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    codeckit.codec("h264").encode_video(moving_clip(6), tmp_path / "clip.mp4")
    out = tmp_path / "page.html"
    command = ["explain", str(tmp_path / "clip.mp4"), "--codec", "video-teaching:gop=2", "--quality", "30"]
    assert main([*command, "--frames", "4", "--shown", "3", "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert "video-teaching, quality 30, gop 2" in page
    assert page.count("<g data-frame=") == 4 and page.count("data-shown=") == 3
    assert "clip.mp4" in capsys.readouterr().out
    assert main(["explain", str(tmp_path / "clip.mp4"), "--codec", "h264", "--out", str(out)]) == 2
    assert "does not tell its frames apart" in capsys.readouterr().err


@pytest.mark.flaky(reruns=2)  # a browser may hang, too, and is stopped then
def test_in_a_browser(tmp_path, moving_clip):
    """Slider and bars choose the frame that is seen; no console errors; a phone's width is enough."""
    path = tmp_path / "page.html"
    path.write_text(explain_video(moving_clip(), codeckit.codec("video-teaching", gop=3), shown=4), encoding="utf-8")
    with contextlib.ExitStack() as stack:
        try:
            driver = stack.enter_context(browser())
        except NoBrowserError as error:
            pytest.skip(str(error))
        driver.get(path.as_uri())

        def seen():
            frames = driver.find_elements("css selector", "[data-shown]")
            return [frame.get_attribute("data-shown") for frame in frames if frame.is_displayed()]

        assert seen() == ["0"]
        slider = driver.find_element("id", "frame")
        slider.send_keys("\ue014", "\ue014")  # arrow right
        assert seen() == ["2"] and driver.find_element("id", "frame-number").text == "2"
        click = (
            "document.querySelector('[data-frame=\"{}\"]').dispatchEvent(new MouseEvent('click', {{bubbles: true}}))"
        )
        driver.execute_script(click.format(3))
        assert seen() == ["3"]
        driver.execute_script(click.format(4))  # not among those that are shown
        assert seen() == ["3"]
        resize(driver, 360, 740)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 360
        assert console(driver) == []
