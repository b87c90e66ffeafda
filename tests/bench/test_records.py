"""Records survive JSON Lines and pandas, and their means are means."""

import json
import math

import pytest
from codeckit.bench import Measurement, Measurements
from hypothesis import given, settings
from hypothesis import strategies as st

options = st.dictionaries(st.text(max_size=5), st.integers(-5, 100) | st.booleans() | st.text(max_size=5), max_size=3)
measurements = st.builds(
    Measurement,
    image=st.text(max_size=8),
    codec=st.text(max_size=8),
    setting=options,
    bytes=st.integers(0, 2**40),
    bpp=st.floats(0, 100),
    real=st.booleans(),
    encode_s=st.floats(0, 100),
    decode_s=st.floats(0, 100),
    values=st.dictionaries(st.text(max_size=5), st.floats(), max_size=3),
)


def same(a, b):
    """Equality in which NaN equals NaN."""
    return repr(list(a)) == repr(list(b))


@settings(deadline=None)
@given(st.lists(measurements, max_size=4))
def test_json_lines_round_trip(tmp_path_factory, records):
    path = tmp_path_factory.getbasetemp() / "records.jsonl"
    Measurements(records).to_jsonl(path)
    assert same(Measurements.from_jsonl(path), records)


def test_json_lines_are_strict_json(tmp_path):
    record = row("a", 5, 1.0, math.inf)
    Measurements([record]).to_jsonl(tmp_path / "r.jsonl")

    def refuse(constant):
        raise ValueError(constant)

    assert json.loads((tmp_path / "r.jsonl").read_text(), parse_constant=refuse)["values"] == {"psnr": "inf"}


def test_damaged_lines_are_named(tmp_path):
    path = tmp_path / "records.jsonl"
    Measurements([row("a", 5, 1.0, 30.0)]).to_jsonl(path)
    path.write_text(path.read_text() + '{"image": "b"}\n')
    with pytest.raises(ValueError, match="line 2: not a measurement"):
        Measurements.from_jsonl(path)


def row(image, quality, bpp, psnr):
    return Measurement(image, "x", {"quality": quality}, 10, bpp, True, 0.5, 0.25, {"psnr": psnr})


def test_summary_takes_means_over_images():
    on_a = [row("a", 5, 1.0, 30.0), row("a", 9, 4.0, 40.0)]
    on_b = [row("b", 5, 3.0, 31.0), row("b", 9, 6.0, 42.0)]
    low, high = Measurements(on_a + on_b).summary()
    assert (low.setting, low.images, low.bpp, low.values) == ({"quality": 5}, ("a", "b"), 2.0, {"psnr": 30.5})
    assert (high.setting, high.bpp, high.values, high.encode_s) == ({"quality": 9}, 5.0, {"psnr": 41.0}, 0.5)


def test_a_mean_over_an_undefined_value_is_undefined():
    (summary,) = Measurements([row("a", 5, 1.0, math.nan), row("b", 5, 1.0, 30.0)]).summary()
    assert math.isnan(summary.values["psnr"])


def test_a_table_is_an_immutable_sequence():
    table = Measurements([row("a", 5, 1.0, 30.0), row("b", 5, 1.0, 30.0)])
    assert table[1].image == "b" and isinstance(table[:1], Measurements) and table[:1] + table[1:] == table
    with pytest.raises(TypeError):
        table[0] = row("c", 5, 1.0, 30.0)


def test_pandas_and_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", exc_type=ImportError)
    other = Measurement("a", "y", {"mode": "fast", "lossless": True}, 10, 1.0, True, 0.5, 0.25, {"psnr": math.inf})
    table = Measurements([row("a", 5, 1.0, 30.0), other])
    frame = table.to_pandas()
    assert list(frame["setting.quality"][:1]) == [5] and frame["setting.mode"][1] == "fast"
    assert list(frame["psnr"]) == [30.0, math.inf]
    table.to_parquet(tmp_path / "t.parquet")
    read = pandas.read_parquet(tmp_path / "t.parquet")
    assert list(read.columns) == list(frame.columns) and list(read["psnr"]) == [30.0, math.inf]
