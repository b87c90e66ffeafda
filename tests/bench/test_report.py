"""Reports: the right curves, deltas, tables and files."""

import json
import math

import numpy as np
import pytest
from codeckit.bench import Measurement, Measurements, SweepError, compare, run_comparison
from codeckit.bench.columns import Columns
from codeckit.bench.comparison import expand, spread
from codeckit.bench.curves import curve_label
from codeckit.codecs.registry import codec, parse_spec
from codeckit.metrics import Measure, Metric, bd_rate, to_decibels
from PIL import Image

QUALITIES = (10, 40, 70, 95)


def row(name, quality, bpp, psnr, similarity=0.9, image="a.png", real=True, **options):
    values = {"psnr": psnr, "ms-ssim": similarity}
    return Measurement(image, name, {"quality": quality, **options}, 10, bpp, real, 0.01, 0.02, values)


def curve(name, factor=1.0, shift=0.0, **options):
    return [
        row(name, q, factor * 2**n / 4, 28.0 + 3 * n + shift, 0.9 + 0.02 * n + shift / 1000, **options)
        for n, q in enumerate(QUALITIES)
    ]


def test_options_besides_quality_make_curves_of_their_own():
    table = Measurements([*curve("libjpeg"), *curve("libjpeg", 0.9, optimize=True), *curve("webp", 0.7, 1.0)])
    report = compare(table)
    assert [c.label for c in report.curves] == ["libjpeg", "libjpeg (optimize)", "webp"]
    assert report.anchor == "libjpeg"
    delta = report.deltas[0]
    assert (delta.label, delta.metric) == ("libjpeg (optimize)", "psnr")
    assert delta.rate.value == pytest.approx(-10.0) and delta.rate.overlap == 1.0
    webp = next(d for d in report.deltas if d.label == "webp" and d.metric == "ms-ssim")
    anchor, test = report.curves[0], report.curves[2]
    expected = bd_rate(
        *([p.bpp for p in c.points] if n == 0 else [to_decibels(p.values["ms-ssim"]) for p in c.points]
          for c in (anchor, test) for n in (0, 1))
    )  # fmt: skip
    assert webp.rate == expected


def test_anchors():
    table = Measurements([*curve("libjpeg", optimize=True), *curve("webp", 0.5)])
    assert compare(table, anchor="libjpeg").anchor == "libjpeg (optimize)"
    assert compare(table, anchor="webp").deltas[0].rate.value == pytest.approx(100.0)
    with pytest.raises(ValueError, match=r"no curve called 'jpg'; the anchor is one of: libjpeg \(optimize\); webp"):
        compare(table, anchor="jpg")


def test_only_points_of_all_images_count():
    partly = [row("webp", 10, 0.1, 20.0, image="b.png")]
    table = [*curve("libjpeg"), *curve("libjpeg", image="b.png"), *curve("webp"), *partly]
    report = compare(Measurements(table))
    assert [len(c.points) for c in report.curves] == [4, 1]
    assert report.images == ("a.png", "b.png")
    assert "left out: webp 40, measured on 1 of 2 images" in report.notes and len(report.notes) == 3


def test_estimated_rates_do_not_enter():
    estimated = row("libjpeg", 99, 0.001, 60.0, real=False)
    report = compare(Measurements([*curve("libjpeg"), estimated]))
    assert len(report.curves[0].points) == 4 and estimated not in list(report.table)
    with pytest.raises(ValueError, match="no real measurements"):
        compare(Measurements([estimated]))


def test_no_number_is_a_dash_and_null():
    table = [*curve("libjpeg"), *curve("far", shift=30.0), row("single", 5, 1.0, 30.0, math.nan)]
    report = compare(Measurements(table))
    text = str(report)
    far = [line.split() for line in text.splitlines() if line.startswith("far ")][-1]
    assert far[1:5] == ["–", "0%", "+30.00", "dB"]  # no quality in common, but rates
    assert [line for line in text.splitlines() if line.startswith("single")][-1].split()[1:] == ["–", "0%", "–"] * 2
    assert json.loads(report.to_json())["deltas"][0]["bd_rate_percent"] is None


def test_measures_that_are_nowhere_defined_leave_an_empty_panel(tmp_path):
    rows = [
        row(name, q, q / 50 * factor, 20 + q / 5, math.nan) for name, factor in (("a", 1), ("b", 2)) for q in (9, 50)
    ]
    report = compare(Measurements(rows), out=tmp_path)
    assert report.deltas[0].rate.value == pytest.approx(100.0) and math.isnan(report.deltas[1].rate.value)


def test_own_measures_have_no_unit():
    values = [(name, n, {"sharpness": 0.1 * n}) for name in "ab" for n in (1, 2, 3)]
    rows = [Measurement("i", name, {"quality": n}, 1, n, True, 0.1, 0.1, measured) for name, n, measured in values]
    assert compare(Measurements(rows)).deltas_table() == [
        ["against a", "BD-rate sharpness", "overlap", "BD-sharpness"],
        ["b", "+0.0 %", "100%", "+0.00"],
    ]


def error_curves(name="error"):
    """Two codecs whose errors halve as the rate doubles; the second needs four fifths of the rate."""
    return [
        Measurement("i", codec, {"quality": n}, 1, factor * 2.0**n, True, 0.1, 0.1, {name: 2.0**-n})
        for codec, factor in (("a", 1.0), ("b", 0.8))
        for n in (1, 2, 3, 4)
    ]


def test_measures_of_which_lower_is_better(tmp_path):
    error = Metric("error", max, title="error", unit="m", digits=1, higher_is_better=False)
    report = compare(Measurements(error_curves(), columns=Columns.of([error])), out=tmp_path)
    (delta,) = report.deltas
    assert delta.rate.value == pytest.approx(-20.0) and delta.rate.overlap == 1.0 and delta.quality.value > 0
    assert report.points_table()[0][3] == "error ↓" and report.points_table()[1][3] == "0.5"
    assert report.deltas_table()[0] == ["against a", "BD-rate error ↓", "overlap", "BD-error ↓"]
    assert report.deltas_table()[1][3].startswith("+") and report.deltas_table()[1][3].endswith(" m")
    assert "↓: lower is better." in str(report)
    assert report.figure().axes[0].get_ylabel() == "error (m), lower is better"
    assert report.figure().axes[0].lines[0].get_ydata().tolist() == [0.5, 0.25, 0.125, 0.0625]  # as measured
    assert json.loads(report.to_json())["measures"]["error"]["higher_is_better"] is False


def test_lpips_of_a_file_is_compared_by_its_declaration(tmp_path):
    Measurements(error_curves("lpips")).to_jsonl(tmp_path / "records.jsonl")
    (delta,) = compare(Measurements.from_jsonl(tmp_path / "records.jsonl")).deltas
    assert delta.rate.value == pytest.approx(-20.0)


def f1(counts):
    hits, false, missed = counts
    return 2 * hits / (2 * hits + false + missed)


class Detector:
    """A task that is no classification: F1, made of counts; and its mean distance, lower for better."""

    name = "boxes"
    measures = (
        Measure("f1", title="F1", unit="%", digits=1, from_counts=f1),
        Measure("offset", unit="px", digits=2, higher_is_better=False),
    )

    def predict(self, decoded):
        return decoded

    def score(self, prediction, label):
        return {"f1": (1, 0, 0), "offset": 0.0}


def detections():
    """Two pictures, one of them with ten times as many things to find; half of these are lost by `a` at quality 1."""
    rows = []
    for name, quality, bpp, lost in (("a", 1, 1.0, 5), ("a", 2, 2.0, 1), ("uncompressed", None, 24.0, 0)):
        setting = {} if quality is None else {"quality": quality}
        for image, counts in (("x", (10 - lost, 0, lost)), ("y", (1, 0, 0))):
            values = {"boxes/f1": f1(counts), "boxes/offset": float(lost)}
            held = {"boxes/f1": tuple(map(float, counts))}
            rows.append(Measurement(image, name, setting, 9, bpp, True, 0.1, 0.1, values, counts=held))
    return Measurements(rows[:4], rows[4:], Columns.of([], [Detector()]))


def test_a_detection_is_a_task_like_any_other(tmp_path):
    table = detections()
    low = table.summary()[0]
    assert low.values["boxes/f1"] == pytest.approx(f1((6, 0, 5)))  # of the sums, not the mean of ⅔ and 1
    report = compare(table, out=tmp_path)
    assert report.tasks == ("boxes",) and report.metrics == () and report.ceilings() == {"boxes/f1": 1.0}
    _, tasks, rates = report.tables()[:3]
    assert tasks[0] == ["codec", "quality", "bpp", "boxes F1", "− uncompressed [95 %]", "offset ↓"]
    assert tasks[1][3] == "70.6" and tasks[1][4].startswith("-29.4 [-33.3, ") and tasks[1][5] == "5.00"
    assert tasks[3][4] == "–" and rates[0][0] == "bpp for uncompressed − 1 point"
    assert math.isnan(report.efficiency(low, "boxes"))
    Measurements.to_jsonl(table, tmp_path / "t.jsonl")
    read = Measurements.from_jsonl(tmp_path / "t.jsonl", tasks=[Detector()])
    assert read == table and str(compare(read)) == str(report)
    with pytest.raises(ValueError, match="pass it to from_jsonl"):
        Measurements.from_jsonl(tmp_path / "t.jsonl").summary()


def test_lossless_points_do_not_spoil_curves(tmp_path):
    lossless = row("libjpeg", 100, 9.0, math.inf, 1.0)
    report = compare(Measurements([*curve("libjpeg"), lossless, *curve("webp", 0.5)]), out=tmp_path)
    assert report.deltas[0].rate.value == pytest.approx(-50.0)
    assert json.loads((tmp_path / "results.json").read_text())["curves"][0]["points"][-1]["values"]["psnr"] == "inf"


def test_text_is_aligned_and_markdown_has_the_same_cells():
    report = compare(Measurements([*curve("libjpeg"), *curve("webp", 0.5)]))
    table = str(report).split("\n\n")[1].splitlines()
    assert table[0].split() == ["codec", "quality", "bpp", "PSNR", "MS-SSIM", "encode", "ms", "decode", "ms"]
    assert len({len(line) for line in table}) == 1
    assert table[1].split() == ["libjpeg", "10", "0.250", "28.00", "0.9000", "10.0", "20.0"]
    assert "| libjpeg | 10 | 0.250 | 28.00 | 0.9000 | 10.0 | 20.0 |" in report.to_markdown()
    deltas = str(report).split("\n\n")[2].splitlines()
    assert deltas[1].split()[:6] == ["webp", "-50.0", "%", "100%", "+3.00", "dB"]


def test_files(tmp_path):
    table = Measurements([*curve("libjpeg"), *curve("webp", 0.5)])
    report = compare(table, out=tmp_path / "one")
    report.write(tmp_path / "two")
    names = ["rd.png", "rd.svg", "records.jsonl", "report.html", "report.md", "results.json"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    for name in ("rd.svg", "results.json", "report.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert Measurements.from_jsonl(tmp_path / "one" / "records.jsonl") == table
    assert Image.open(tmp_path / "one" / "rd.png").size[0] > 1000
    assert b"<svg" in (tmp_path / "one" / "rd.svg").read_bytes()


# --- the command's engine ---


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rows, columns = np.mgrid[:32, :48]
    for n in range(2):
        wave = 128 + 90 * np.sin((rows + n) / 5.0) * np.cos(columns / 7.0)
        Image.fromarray(np.stack([wave, 255 - wave, wave / 2], 2).astype(np.uint8)).save(pictures / f"{n}.png")
    return pictures


def test_comparison_writes_and_continues(folder, tmp_path):
    def run():
        return run_comparison(folder, "libjpeg,libjpeg:optimize=true", [20, 60, 90], ["psnr"], out=tmp_path / "out")

    report = run()
    assert [c.label for c in report.curves] == ["libjpeg", "libjpeg (optimize)"]
    assert report.deltas[0].rate.value < 0 and report.failures == ()
    assert run().table == report.table  # times and all: nothing was measured twice
    assert {"journal.jsonl", "rd.svg", "report.md"} <= {path.name for path in (tmp_path / "out").iterdir()}
    anchored = run_comparison(
        folder, "libjpeg,libjpeg:optimize=true", [20, 60], ["psnr"], "libjpeg:optimize=true", tmp_path / "out"
    )
    assert anchored.anchor == "libjpeg (optimize)"


def test_comparison_tells_of_failures(folder, tmp_path):
    (folder / "x.png").write_bytes(b"damaged")
    report = run_comparison(folder, "libjpeg", [20, 60], ["psnr"], out=tmp_path / "out")
    assert [failure.image for failure in report.failures] == ["x.png", "x.png"]
    assert "failed: libjpeg" in str(report) and report.images == ("0.png", "1.png")
    for name in "01":
        (folder / f"{name}.png").unlink()
    with pytest.raises(SweepError):
        run_comparison(folder, "libjpeg", [20, 60], ["psnr"], out=tmp_path / "new")


def test_specifications():
    assert parse_spec("webp") == ("webp", {})
    name, options = parse_spec("libjpeg:subsampling=4:4:4:optimize=true:quality=30")
    assert codec(name, **options).setting == {"quality": 30, "subsampling": "4:4:4", "optimize": True}
    assert [c.setting["quality"] for c in expand(["libjpeg:quality=33", codec("webp", quality=8)])] == [33, 8]
    assert curve_label(*parse_spec("libjpeg:optimize=true:quality=3")) == "libjpeg (optimize)"
    assert spread(1, 8) == [1, 2, 3, 4, 5, 6, 7, 8] and spread(0, 63) == [6, 18, 31, 44, 56]


@pytest.mark.parametrize(
    "codecs, qualities, anchor, message",
    [
        ("gif", None, None, "no codec is called 'gif'"),
        ("libjpeg:best", None, None, "OPTION=VALUE, not 'best'"),
        ("libjpeg", [0], None, "quality goes from 1 to 100, not to 0"),
        ("libjpeg:colour=red", None, None, "no option 'colour'"),
        ("libjpeg", None, "webp", "no curve called 'webp'"),
    ],
)
def test_bad_comparisons_fail_before_any_work(folder, tmp_path, codecs, qualities, anchor, message):
    with pytest.raises(ValueError, match=message):
        run_comparison(folder, codecs, qualities, ["psnr"], anchor, tmp_path / "out")
    assert not (tmp_path / "out").exists()
