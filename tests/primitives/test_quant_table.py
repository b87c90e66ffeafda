"""Table quantization against libjpeg's tables and rounding."""

import io

import numpy as np
import pytest
from codeckit.primitives import BlockDCT, Picture, QuantTable, StreamError
from codeckit.primitives.quantizers.table import dequantize, quantize, scaled_tables
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image


@pytest.mark.parametrize("quality", range(1, 101))
def test_tables_are_libjpegs(quality):
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG", quality=quality)
    written = Image.open(io.BytesIO(out.getvalue())).quantization  # Pillow gives them in natural order
    for number, table in enumerate(scaled_tables(quality)):
        assert table.ravel().tolist() == list(written[number])


eighths = st.integers(-8192, 8191).map(lambda value: value / 8)


@given(arrays(np.float32, (1, 2, 8, 8), elements=eighths), arrays(np.uint16, (8, 8), elements=st.integers(1, 65535)))
def test_quantize_rounds_half_away_from_zero(coefficients, table):
    exact = np.abs(coefficients.astype(np.float64)) / table
    wanted = np.sign(coefficients) * np.floor(exact + 0.5)
    symbols = quantize(coefficients, table)
    assert symbols.dtype == np.int16 and (symbols == wanted).all()
    restored = dequantize(symbols, table).astype(float)
    inside = np.abs(wanted * table) <= 32767
    assert (np.abs(restored - coefficients) <= table / 2)[inside].all()
    again = quantize(restored.astype(np.float32), table)
    assert (again == symbols)[inside].all()


def test_stage_inverse_and_tables():
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 256, (16, 24), np.uint8)
    picture = BlockDCT().forward(Picture((plane,), (16, 24)))
    stage = QuantTable(90)
    symbols = stage.forward(picture)
    assert (symbols.tables[0] == scaled_tables(90)[0]).all()
    assert (stage.forward(QuantTable().inverse(symbols)).planes[0] == symbols.planes[0]).all()


def test_custom_and_flat_tables():
    flat = QuantTable(50, "flat").steps(0)
    assert (flat == 16).all()
    custom = QuantTable(tables=(np.full((8, 8), 300), np.full((8, 8), 7)))
    assert custom.steps(0).max() == 300 and custom.steps(2).max() == 7
    assert hash(custom) == hash(QuantTable(tables=custom.tables))


@pytest.mark.parametrize(
    "bad", [dict(quality=0), dict(quality=101), dict(quality=7.5), dict(base="none"), dict(tables=((0,),))]
)
def test_bad_tables(bad):
    with pytest.raises(ValueError):
        QuantTable(**bad)


def test_missing_tables_and_wrong_blocks():
    blocks = np.zeros((1, 1, 4, 4), np.float32)
    with pytest.raises(StreamError, match="no quantization tables"):
        QuantTable().inverse(Picture((blocks,), (4, 4)))
    with pytest.raises(ValueError, match="do not fit"):
        QuantTable().forward(Picture((blocks,), (4, 4)))
