"""The report page: what stands in it, and what a browser makes of it."""

import contextlib
import itertools
import json
import re

import codeckit
import numpy as np
import pytest
from codeckit.bench import Measurement, compare, run_comparison
from codeckit.bench.columns import Columns
from codeckit.bench.crops import crops, matched_rate, most_different
from codeckit.bench.datasets import dataset
from codeckit.bench.records import Measurements
from codeckit.bench.studies.chromium import NoBrowserError, browser, console, resize
from codeckit.metrics import Measure
from codeckit.pages import report_page


def table(**measures):
    """Two curves of three points with these measures, worse and better."""
    rows = []
    for codec, gain in (("old", 0), ("<new>", 1)):
        for quality in (1, 2, 3):
            values = {name: value + 0.03 * quality + 0.02 * gain for name, value in measures.items()}
            rows.append(
                Measurement("a.png", codec, {"quality": quality}, 9, quality / 2, True, 0.01 * quality, 0.02, values)
            )
    return Measurements(rows)


def test_what_stands_in_the_page():
    report = compare(table(psnr=30, lpips=0.5), anchor="old")
    page = report_page(report)
    assert "&lt;new&gt;" in page and "<new>" not in page.replace("\\u003cnew", "")
    assert "Bjøntegaard deltas" in page and "Every point" in page
    assert len(page) < 3e6
    assert "http://" not in page.partition('<script type="text/plain"')[0].replace("http://www.w3.org/2000/svg", "")


def test_crops_are_of_the_same_region_at_a_matched_rate(tmp_path):
    codecs = [codeckit.codec(name, quality=q) for name in ("libjpeg", "webp") for q in (10, 40, 80)]
    images = dataset("sample:chelsea")
    report = compare(codeckit.evaluate(codecs, images, ["psnr"]))
    found = crops(report, codecs, images)
    assert [crop.label for crop in found] == ["original", "libjpeg", "webp"]
    assert len({crop.pixels.shape for crop in found}) == 1
    rate = matched_rate(report.curves)
    shared = [min(abs(np.log(point.bpp / rate)) for point in curve.points) for curve in report.curves]
    assert max(shared) < 1


def test_most_different_of_small_pictures_is_all_of_them():
    region = most_different([np.zeros((5, 9, 3)), np.ones((5, 9, 3))])
    assert region == (slice(0, 5), slice(0, 9))


def test_compare_writes_the_page(tmp_path):
    run_comparison("sample:chelsea", "libjpeg,png", qualities=None, metrics=["psnr"], out=tmp_path, progress=False)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "hold to see the original" in page
    assert {"rd.png", "rd.svg", "report.md", "results.json"} <= {path.name for path in tmp_path.iterdir()}


def test_accuracies_are_drawn_by_their_envelope():
    rows = [
        Measurement("a.png", codec, {"quality": n}, 9, rate, True, 0.01, 0.01, {"imagenet/top1": accuracy})
        for codec, points in {"x": [(0.1, 0.5), (0.2, 0.4), (0.4, 0.8)], "uncompressed": [(24, 0.9)]}.items()
        for n, (rate, accuracy) in enumerate(points)
    ]
    page = report_page(compare(Measurements(rows), anchor="x"))
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))
    assert data["ceilings"] == {"imagenet/top1": 90.0} and data["metrics"][0]["task"]
    (curve,) = data["curves"]
    assert [point["shown"]["imagenet/top1"] for point in curve["points"]] == [50, 40, 80]
    envelope = curve["envelopes"]["imagenet/top1"]
    assert all(a[1] <= b[1] for a, b in itertools.pairwise(envelope)) and envelope[-1] == [0.4, 80]


def test_a_task_of_which_lower_is_better_has_a_falling_envelope():
    class Depth:
        name, measures = "depth", (Measure("error", unit="m", higher_is_better=False),)

        def predict(self, decoded): ...

        def score(self, prediction, label): ...

    rows = [
        Measurement("a.png", "x", {"quality": n}, 9, rate, True, 0.01, 0.01, {"depth/error": error})
        for n, (rate, error) in enumerate([(0.1, 4.0), (0.2, 5.0), (0.4, 1.0)])
    ]
    page = report_page(compare(Measurements(rows, columns=Columns.of(tasks=[Depth()]))))
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))
    assert data["curves"][0]["envelopes"]["depth/error"] == [[0.1, 4.0], [0.4, 1.0]]
    (metric,) = data["metrics"]
    assert metric["name"] == "depth error ↓" and not metric["percent"] and "lower is better" in metric["axis"]


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
    """No console errors; measures, axes and the legend answer; crops give way to the original; a phone is enough."""
    codecs = [codeckit.codec("libjpeg", quality=q) for q in (20, 60)]
    images = dataset("sample:chelsea")
    found = crops(compare(codeckit.evaluate(codecs, images, ["psnr"])), codecs, images)
    path = tmp_path / "report.html"
    page = report_page(compare(table(**{"psnr": 30, "ms-ssim": 0.5, "lpips": 0.2}), anchor="old"), found)
    path.write_text(page, encoding="utf-8")
    with started_browser() as driver:
        from selenium.webdriver import ActionChains
        from selenium.webdriver.support.ui import WebDriverWait

        driver.get(path.as_uri())
        WebDriverWait(driver, 30).until(lambda d: d.execute_script("return document.body.dataset.drawn") == "yes")
        drawn = "return document.getElementById('rd').data.map(trace => [trace.y[0], trace.visible ?? true])"
        axis = "return document.getElementById('rd').layout.xaxis.type"
        psnr = driver.execute_script(drawn)
        assert [round(value, 2) for value, _ in psnr] == [30.03, 30.05]
        buttons = driver.find_elements("css selector", "#metrics button")
        assert [button.text for button in buttons] == ["PSNR", "MS-SSIM", "LPIPS ↓"]
        buttons[2].click()
        assert [round(value, 2) for value, _ in driver.execute_script(drawn)] == [0.23, 0.25]
        assert driver.execute_script(axis) == "log"
        driver.find_element("css selector", "[data-axis='linear']").click()
        assert driver.execute_script(axis) == "linear"
        driver.find_element("css selector", "[data-time='decode']").click()

        toggle = driver.find_element("css selector", "#rd .legendtoggle")
        ActionChains(driver).move_to_element(toggle).click().perform()
        WebDriverWait(driver, 5).until(lambda d: d.execute_script(drawn)[0][1] == "legendonly")
        buttons[0].click()  # another measure leaves it hidden
        assert [visible for _, visible in driver.execute_script(drawn)] == ["legendonly", True]

        crop = driver.find_elements("css selector", ".crop button")[1]
        source = "return arguments[0].querySelector('img').src"
        own, original = driver.execute_script(source, crop), found[0]
        ActionChains(driver).move_to_element(crop).click_and_hold().perform()
        held = driver.execute_script(source, crop)
        ActionChains(driver).release().perform()
        assert held != own == driver.execute_script(source, crop) and original.label == "original"

        resize(driver, 360, 740)
        driver.refresh()
        WebDriverWait(driver, 30).until(lambda d: d.execute_script("return document.body.dataset.drawn") == "yes")
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert console(driver) == []
