import numpy as np
import pytest
from codeckit.primitives import DeadZone, Picture, Uniform
from codeckit.primitives.quantizers.deadzone import dequantize_deadzone, quantize_deadzone
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


@pytest.mark.parametrize("stage", [Uniform, DeadZone])
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
