"""The explorer's page: what stands in it, and what a browser makes of it."""

import contextlib
import json
import re
import sys
from dataclasses import dataclass

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.chromium import NoBrowserError, browser, console, resize
from codeckit.cli import main
from codeckit.pages import explain
from codeckit.pages.explain import Explained
from codeckit.pages.pictures import (
    blocks_by_frequency,
    blocks_in_place,
    map_views,
    principal_axes,
    principal_colors,
    views,
)
from codeckit.primitives import ContextCoded, Stage, register_stage


def photograph(height=72, width=120):
    y, x = np.mgrid[:height, :width].astype(float)
    noise = np.random.default_rng(3).normal(0, 6, (height, width, 3))
    waves = np.stack([np.sin(x / 9) + np.cos(y / 7), np.sin((x + y) / 11), np.cos(x / 5 - y / 13)], -1)
    return np.clip(128 + 50 * waves + noise, 0, 255).astype(np.uint8)


def numbers(page, heading):
    """The figures in the bars called `heading`."""
    found = re.findall(rf"<dt>{heading}</dt><dd><i [^>]*></i><span>([\d ]+) bits", page)
    return [int(text.replace(" ", "")) for text in found]


@pytest.mark.parametrize("name", ["jpeg", "jpeg2000-teaching", "balle2017", "cheng2020", "webp", "libjpeg"])
def test_stages_add_up_to_the_file(name):
    codec, image = codeckit.codec(name), photograph()
    page = explain(image, codec, name="<waves>")
    assert sum(numbers(page, "in the file")) == 8 * len(codec.encode(image))
    steps = len(codec.stages) + 1 + (not codec.native)
    assert page.count('<span class="n">') == steps
    assert "&lt;waves&gt;" in page and "<waves>" not in page
    assert len(page) < 6e6
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing is loaded from elsewhere


def test_two_codecs_side_by_side():
    replaced = codeckit.codec("jpeg", quality=60).replace(entropy=ContextCoded())
    page = explain(photograph(), [codeckit.codec("jpeg", quality=60), replaced])
    assert page.count('class="column"') == 6
    layers = json.loads(re.search(r'id="layers">(.*?)</script>', page, re.S).group(1).replace("\\u003c", "<"))
    assert [layer["label"].rpartition(": ")[2] for layer in layers[1:]].count("decoded") == 2


@dataclass(frozen=True)
class Halve(Stage):
    """Every other row, as bytes behind a byte of height."""

    def forward(self, image):
        return bytes(image.shape[:2]) + image[::2].tobytes()

    def inverse(self, data, max_pixels=0):
        height, width = data[:2]
        rows = np.frombuffer(data[2:], np.uint8).reshape(-1, width, 3)
        return np.repeat(rows, 2, axis=0)[:height]


def test_a_codec_of_ones_own_is_explained_too():
    register_stage(Halve, "tests:Halve@1")
    codec = codeckit.Codec("every-other-row", {"halve": Halve()})
    page = explain(photograph(64, 80), codec)
    assert "Every other row, as bytes behind a byte of height." in page
    assert numbers(page, "in the file")[1] == 8 * (2 + 32 * 80 * 3)


def test_a_noisy_picture_makes_no_larger_page(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    codec = codeckit.codec("jpeg", quality=95)
    whole = explain(noise, codec)
    monkeypatch.setattr(sys.modules["codeckit.pages.explain"], "LIMIT", len(whole) // 2)
    assert len(explain(noise, codec)) <= len(whole) // 2


def test_grey_and_tiny_pictures():
    assert "PSNR" in explain(np.zeros((5, 3), np.uint8), codeckit.codec("jpeg"))
    assert "MS-SSIM" not in explain(photograph(20, 30), codeckit.codec("jpeg2000-teaching"))


def test_tokens_are_explained_without_pixels():
    pytest.importorskip("efficientnet_lite_pytorch", reason="the backbone of tokens is not installed")
    page = explain(photograph(224, 224), codeckit.codec("tokens"))
    assert "tokens decoded" in page and "PSNR" not in page


def test_blocks_are_rearranged_not_changed():
    blocks = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert blocks_in_place(blocks)[5, 7] == blocks[1, 1, 1, 2]
    assert blocks_by_frequency(blocks)[3 * 2 + 1, 2 * 3 + 2] == blocks[1, 2, 3, 2]


@pytest.mark.parametrize("name", ["jpeg", "cheng2020", "jpeg2000-teaching"])
def test_bits_lie_where_they_were_spent(name):
    """Half the picture is flat and takes nearly nothing; what padding takes lies outside."""
    image = photograph(72, 120)
    image[:, :64] = 90
    one = Explained.of(codeckit.codec(name), image)
    where = one.trace.bits_in_place()
    spent = sum(costs.sum() for costs in one.anatomy.costs)
    assert where.shape == (72, 120) and spent / 2 < where.sum() <= spent + 1e-6
    assert where[:, 80:].sum() > 3 * where[:, :48].sum()


def test_principal_colors_of_one_and_the_same_axes_agree():
    channels = np.random.default_rng(0).normal(size=(4, 5, 9))
    axes = principal_axes(channels.reshape(20, 9))
    assert np.array_equal(principal_colors(channels), principal_colors(channels, axes))


def test_views_of_every_step_are_pictures():
    for name in ("jpeg", "jpeg2000-teaching"):
        for step in codeckit.codec(name).trace(photograph()).steps:
            shown = views(step.value)
            assert shown and all(view.image.dtype == np.uint8 and view.image.ndim in (2, 3) for view in shown)


def test_a_list_of_tokens_lies_and_labels_have_colours():
    trace = codeckit.codec("tokens-vit", quality=3).trace(photograph(96, 96))
    reduce = next(step for step in trace.steps if step.role == "reduce")
    own, _ = map_views(reduce)
    assert {view.caption.partition(":")[0] for view in own} == set(reduce.maps)
    for step in trace.steps[2:5]:
        assert all(view.image.shape[0] <= 2 * view.image.shape[1] for view in views(step.value)), step.role


def test_command_line(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert (
        main(["explain", "sample:chelsea", "--codec", "jpeg,webp:quality=30", "--quality", "50", "--out", str(out)])
        == 0
    )
    page = out.read_text(encoding="utf-8")
    assert "jpeg, quality 50" in page and "webp, quality 30" in page
    assert main(["explain", "sample", "--codec", "jpeg", "--out", str(out)]) == 2
    assert "explain takes one picture" in capsys.readouterr().err


@contextlib.contextmanager
def started_browser():
    with contextlib.ExitStack() as stack:
        try:
            driver = stack.enter_context(browser())
        except NoBrowserError as error:
            pytest.skip(str(error))
        yield driver


@pytest.mark.flaky(reruns=2)  # a browser may hang, too, and is stopped then
def test_in_a_browser(tmp_path):
    """No console errors; divider, layers, zoom, bytes and theme answer; a phone's width is enough."""
    path = tmp_path / "page.html"
    path.write_text(
        explain(photograph(), [codeckit.codec("jpeg"), codeckit.codec("jpeg2000-teaching")]), encoding="utf-8"
    )
    with started_browser() as driver:
        from selenium.webdriver import ActionChains, Keys
        from selenium.webdriver.support.ui import Select

        driver.get(path.as_uri())

        def split():
            style = "getComputedStyle(document.querySelector('.split')).getPropertyValue('--split')"
            return float(driver.execute_script(f"return parseFloat({style})"))

        divider = driver.find_element("id", "divider")
        assert split() == 50
        driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", divider)
        width = divider.size["width"]
        ActionChains(driver).move_to_element(divider).click_and_hold().move_by_offset(
            int(width / 4), 0
        ).release().perform()
        assert 70 < split() < 80
        before = split()
        divider.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
        assert abs(split() - (before - 4)) < 0.2
        clip = driver.execute_script("return getComputedStyle(document.querySelector('.split .left')).clipPath")
        assert clip.startswith("inset")

        left = driver.execute_script("return document.querySelector('.split .left').src")
        Select(driver.find_element("id", "left")).select_by_index(2)
        assert driver.execute_script("return document.querySelector('.split .left').src") != left
        driver.find_element("css selector", "[data-zoom='4']").click()
        assert driver.execute_script("return document.querySelector('.split').clientWidth") == 4 * 120

        driver.execute_script("document.querySelector('.hex').focus()")
        ActionChains(driver).send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN).perform()
        assert driver.execute_script("return document.querySelectorAll('.fields p.on').length") >= 1
        theme = "return document.documentElement.dataset.theme"
        assert driver.execute_script(theme) == "light"
        driver.find_element("id", "theme").click()
        assert driver.execute_script(theme) == "dark"
        loaded = "return [...document.images].every(image => image.complete ? image.naturalWidth > 0 : true)"
        assert driver.execute_script(loaded)

        resize(driver, 360, 740)
        driver.refresh()
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        size = "return parseFloat(getComputedStyle(document.querySelector('.card p')).fontSize)"
        assert driver.execute_script(size) >= 14
        assert console(driver) == []
