import numpy as np
import pytest
from codeckit.primitives import DeadZone, Embedded, Picture, StreamError, Uniform
from codeckit.primitives.quantizers.deadzone import dequantize_deadzone, quantize_deadzone
from codeckit.primitives.quantizers.embedded import join_planes, split_planes
from codeckit.primitives.quantizers.uniform import dequantize_uniform, quantize_uniform
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

shapes = st.sampled_from([(1, 1), (3, 5), (2, 3, 4), (2, 1, 2, 2)])
values = shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(-5000, 5000)))
steps = st.floats(0.01, 300)
rounding = 1e-3  # of float32 at ±5000


def as_picture(plane):
    return Picture((plane,), size=plane.shape[:2])


@given(values, steps, st.floats(-100, 100))
def test_uniform(x, step, offset):
    stage = Uniform(step, offset)
    symbols = stage.forward(as_picture(x))
    restored = stage.inverse(symbols)
    assert symbols.planes[0].dtype == np.int32 and restored.planes[0].dtype == np.float32
    assert symbols.planes[0].shape == restored.planes[0].shape == x.shape
    assert np.abs(restored.planes[0] - x).max() <= step / 2 + rounding
    np.testing.assert_array_equal(stage.forward(restored).planes[0], symbols.planes[0])


@given(values, steps, st.floats(0.05, 0.95))
def test_dead_zone(x, step, r):
    stage = DeadZone(step, r)
    symbols = stage.forward(as_picture(x))
    restored = stage.inverse(symbols)
    q, error = symbols.planes[0], np.abs(restored.planes[0] - x)
    assert q.dtype == np.int32 and restored.planes[0].dtype == np.float32 and q.shape == error.shape
    assert error[q == 0].max(initial=0) <= step
    assert error[q != 0].max(initial=0) <= max(r, 1 - r) * step + rounding
    assert np.all(q[np.abs(x) < step] == 0)
    np.testing.assert_array_equal(stage.forward(restored).planes[0], q)


@given(values, steps)
def test_quantizers_are_monotonic_and_odd(x, step):
    x = np.sort(x.ravel())
    for quantize, dequantize in ((quantize_uniform, dequantize_uniform), (quantize_deadzone, dequantize_deadzone)):
        symbols = quantize(x, step)
        assert np.all(np.diff(symbols) >= 0) and np.all(np.diff(dequantize(symbols, step)) >= 0)
        np.testing.assert_array_equal(quantize(-x, step), -symbols)


@given(arrays(np.int32, shapes, elements=st.integers(-4095, 4095)))
def test_planes_split_and_join(symbols):
    digits = split_planes(symbols, 12)
    assert digits.dtype == np.int8 and digits.shape == (*symbols.shape, 12)
    np.testing.assert_array_equal(join_planes(digits), symbols)


@given(values, steps, st.integers(1, 16))
def test_a_prefix_of_planes_is_the_dead_zone_quantizer_of_a_coarser_step(x, step, kept):
    step = max(step, 0.1)  # 5000 / 0.1 fits in 16 bits
    stage = Embedded(step, bits=16)
    prefix = stage.forward(as_picture(x)).map(lambda digits: digits[..., :kept])
    coarse = DeadZone(step * 2 ** (16 - kept))
    expected = coarse.inverse(coarse.forward(as_picture(x)))
    np.testing.assert_array_equal(stage.inverse(prefix).planes[0], expected.planes[0])


@given(arrays(np.int8, (2, 3, 6), elements=st.integers(-1, 1)))
def test_digits_are_refused_or_split_again_to_the_same(digits):
    try:
        symbols = join_planes(digits)
    except StreamError:
        return
    np.testing.assert_array_equal(split_planes(symbols, 6), digits)


def test_embedded_by_hand():
    # -5 = -(0101 in binary): insignificant, the 1 that carries the sign, refinement 0, refinement 1
    assert split_planes(np.array([-5]), 4).tolist() == [[0, -1, 0, 1]]
    assert [int(join_planes(np.array([0, -1, 0, 1][:k]))) for k in (1, 2, 3, 4)] == [0, -1, -2, -5]


@pytest.mark.parametrize("stage", [Uniform, DeadZone, Embedded])
@pytest.mark.parametrize("step", [0, -1, float("nan"), float("inf"), "1", True, None])
def test_bad_steps_are_refused(stage, step):
    with pytest.raises(ValueError, match="a quantization step must be a number"):
        stage(step)


def test_errors_name_the_problem():
    for bad in (np.nan, np.inf, 1e9):
        with pytest.raises(ValueError, match="larger step"):
            Uniform().forward(as_picture(np.array([[bad]])))
    with pytest.raises(ValueError, match="reconstruction point"):
        DeadZone(reconstruction=1)
    with pytest.raises(ValueError, match="offset must be a finite"):
        Uniform(offset=float("inf"))
    with pytest.raises(ValueError, match="do not fit in 3 bit planes"):
        Embedded(bits=3).forward(as_picture(np.array([[8.0]])))
    with pytest.raises(ValueError, match="from 1 to 16"):
        Embedded(bits=17)
    with pytest.raises(StreamError, match="5 bit planes where there are 1 to 4"):
        Embedded(bits=4).inverse(as_picture(np.zeros((1, 1, 5), np.int8)))
    with pytest.raises(StreamError, match="digit"):
        join_planes(np.array([1, -1]))
