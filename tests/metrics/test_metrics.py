"""Measures against scikit-image, scipy, the definition by hand, and published curves."""

import functools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from codeckit import metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

ANCHORS = Path(os.environ.get("CODECKIT_ANCHORS", Path(__file__).parents[3] / "shared" / "anchors"))

pictures = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(
    lambda size: st.tuples(hnp.arrays(np.uint8, (*size, 3)), hnp.arrays(np.uint8, (*size, 3)))
)


def noisy(shape, amount, seed=1):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 256, (6, 6, *shape[2:]))
    rows, columns = np.arange(shape[0]) * 6 // shape[0], np.arange(shape[1]) * 6 // shape[1]
    reference = low[rows][:, columns].astype(np.uint8)
    image = np.clip(reference + rng.normal(0, amount, shape), 0, 255).round().astype(np.uint8)
    return reference, image


# --- rate ---


def test_bpp_counts_pixels_not_samples():
    assert metrics.bpp(100, (10, 20)) == metrics.bpp(100, (10, 20, 3)) == 4.0
    with pytest.raises(ValueError, match="0×3"):
        metrics.bpp(1, (3, 0))


# --- PSNR ---


@settings(deadline=None)
@given(pictures)
def test_psnr_agrees_with_scikit_image(pair):
    from skimage.metrics import peak_signal_noise_ratio

    reference, image = pair
    if np.array_equal(reference, image):
        assert metrics.psnr(reference, image) == math.inf
    else:
        assert metrics.psnr(reference, image) == pytest.approx(peak_signal_noise_ratio(reference, image), rel=1e-12)


def test_psnr_extremes():
    black, white = np.zeros((5, 7), np.uint8), np.full((5, 7), 255, np.uint8)
    assert metrics.psnr(black, white) == 0.0
    assert metrics.psnr(black, black) == math.inf


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.ms_ssim])
@pytest.mark.parametrize(
    "reference, image, message",
    [
        (np.zeros((4, 4)), np.zeros((4, 4), np.uint8), "float64"),
        (np.zeros((4, 4), np.uint8), [[0]], "list"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8), "differ in shape"),
        (np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), r"\[H,W,3\]"),
        (np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.uint8), "pixels"),
    ],
)
def test_pictures_that_cannot_be_compared_are_refused(measure, reference, image, message):
    with pytest.raises(ValueError, match=message):
        measure(reference, image)


# --- MS-SSIM ---


def ms_ssim_by_definition(reference, image):
    """Equation 7 of Wang, Simoncelli, Bovik 2003 for one component, in float64, with scipy's filters."""
    from scipy.signal import convolve2d

    x, y = reference.astype(np.float64), image.astype(np.float64)
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    product, weights = 1.0, [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    for scale, weight in enumerate(weights):
        mean_x, mean_y = convolve2d(x, window, "valid"), convolve2d(y, window, "valid")
        var_x = convolve2d(x * x, window, "valid") - mean_x**2
        var_y = convolve2d(y * y, window, "valid") - mean_y**2
        cov = convolve2d(x * y, window, "valid") - mean_x * mean_y
        structure = (2 * cov + c2) / (var_x + var_y + c2)
        luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        product *= (structure * luminance if scale == 4 else structure).mean() ** weight
        x, y = (z.reshape(z.shape[0] // 2, 2, -1, 2).mean((1, 3)) if scale < 4 else z for z in (x, y))
    return product


@pytest.mark.parametrize("amount", [2, 20, 60])
def test_ms_ssim_follows_its_definition(amount):
    reference, image = noisy((176, 192, 3), amount)
    expected = np.mean([ms_ssim_by_definition(reference[..., c], image[..., c]) for c in range(3)])
    assert metrics.ms_ssim(reference, image) == pytest.approx(expected, abs=2e-5)


def test_ms_ssim_of_grey_equals_that_of_three_equal_components():
    reference, image = noisy((161, 170), 10)
    colour = metrics.ms_ssim(np.repeat(reference[..., None], 3, 2), np.repeat(image[..., None], 3, 2))
    assert metrics.ms_ssim(reference, image) == pytest.approx(colour, abs=1e-6)
    assert metrics.ms_ssim(reference, reference) == 1.0


def test_ms_ssim_refuses_small_pictures_by_type():
    small = np.zeros((160, 400), np.uint8)
    with pytest.raises(metrics.TooSmallError, match="161 samples, not 400×160"):
        metrics.ms_ssim(small, small)
    assert issubclass(metrics.TooSmallError, ValueError)


def test_decibels():
    assert metrics.to_decibels(1.0) == math.inf
    assert metrics.to_decibels(0.9) == pytest.approx(10.0)
    assert math.isnan(metrics.to_decibels(math.nan))


def test_metrics_are_light_to_import():
    code = "import sys, codeckit.metrics; print({'torch', 'numba', 'scipy', 'matplotlib'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/").stdout
    assert found.strip() == "set()"


def test_resolve_takes_names_and_functions():
    def worst(reference, image):
        return -float(np.abs(reference.astype(int) - image).max())

    similarity, own = metrics.resolve(["ms-ssim", worst])
    assert (similarity.function, own) == (metrics.ms_ssim, metrics.Metric("worst", worst))
    assert metrics.resolve("psnr") == metrics.resolve(["codeckit:psnr", "psnr"])
    for nameless in (functools.partial(worst),):
        with pytest.raises(ValueError, match=r'wrap it: Metric\("name", function\)'):
            metrics.resolve([nameless])
    with pytest.raises(ValueError, match="two different metrics are called 'psnr'"):
        metrics.resolve(["psnr", metrics.Metric("psnr", worst)])


# --- Bjøntegaard ---

RATE = np.array([0.2, 0.4, 0.9, 1.7, 3.0])
QUALITY = np.array([27.0, 30.5, 34.0, 37.2, 40.1])


@settings(max_examples=40, deadline=None)
@given(st.floats(0.2, 5.0), st.floats(-3.0, 3.0))
def test_shifted_curves_give_their_shift(factor, gain):
    assert metrics.bd_rate(RATE, QUALITY, RATE * factor, QUALITY).value == pytest.approx(100 * (factor - 1), abs=1e-9)
    assert metrics.bd_psnr(RATE, QUALITY, RATE, QUALITY + gain).value == pytest.approx(gain, abs=1e-9)


def test_two_straight_lines_by_hand():
    # log10 R = Q/10 − 3 and Q/10 − 3 + (Q − 30)/100: over the shared 30 … 40 dB the mean difference is 0.05.
    q = np.array([30.0, 35.0, 40.0])
    result = metrics.bd_rate(10 ** (q / 10 - 3), q, 10 ** (q / 10 - 3 + (q - 30) / 100), q)
    assert result.value == pytest.approx(100 * (10**0.05 - 1))
    assert result.points == (3, 3)


def test_overlap_is_the_shared_part_of_the_joint_range():
    result = metrics.bd_rate([1, 2, 4], [30, 32, 34], [1, 2, 4], [33, 35, 38])
    assert result.overlap == pytest.approx(1 / 8)


def test_no_number_where_nothing_is_shared():
    result = metrics.bd_rate([1, 2, 4], [30, 32, 34], [1, 2, 4], [34, 35, 38])
    assert math.isnan(result.value) and result.overlap == 0.0


def test_order_duplicates_dominated_and_infinite_points_do_not_matter():
    clean = metrics.bd_rate(RATE, QUALITY, RATE * 0.9, QUALITY)
    rate = [3.0, 0.2, 0.4, 0.9, 0.9, 1.0, 1.7, 12.0]
    quality = [40.1, 27.0, 30.5, 34.0, 33.9, 33.0, 37.2, math.inf]
    assert metrics.bd_rate(rate, quality, RATE * 0.9, QUALITY) == clean


def test_curves_that_carry_no_delta_are_refused():
    with pytest.raises(ValueError, match="test curve keeps 1 points"):
        metrics.bd_rate(RATE, QUALITY, [1, 2], [30, 30])
    with pytest.raises(ValueError, match="anchor curve has a rate that is not positive"):
        metrics.bd_rate([0, 1], [30, 31], RATE, QUALITY)
    with pytest.raises(ValueError, match="one quality a rate"):
        metrics.bd_psnr(RATE, QUALITY[:3], RATE, QUALITY)


PUBLISHED_BD_RATE = {
    "jpeg": 143,
    "jpeg2000": 56,
    "webp": 44,
    "compressai-bmshj2018-factorized_mse_cuda": 32.5,
    "compressai-bmshj2018-hyperprior_mse_cuda": 3.9,
    "compressai-mbt2018-mean_mse_cuda": -3.3,
    "av1": -6.2,
    "compressai-mbt2018_mse_cuda": -11.2,
    "compressai-cheng2020-attn_mse_cuda": -17.6,
    "compressai-cheng2020-anchor_mse_cuda": -18.9,
    "paper-elic2022_mse": -26.6,
}


@pytest.mark.skipif(not ANCHORS.exists(), reason="published curves (CODECKIT_ANCHORS) are not here")
@pytest.mark.parametrize("name", PUBLISHED_BD_RATE)
def test_bd_rates_of_published_curves_against_bpg(name):
    def curve(name):
        results = json.loads((ANCHORS / "compressai-kodak" / f"{name}.json").read_text())["results"]
        return results["bpp"], results["psnr-rgb"]

    result = metrics.bd_rate(*curve("bpg_444_x265_ycbcr"), *curve(name))
    assert result.value == pytest.approx(PUBLISHED_BD_RATE[name], abs=0.5 if PUBLISHED_BD_RATE[name] > 40 else 0.06)


# --- information ---


@settings(deadline=None)
@given(hnp.arrays(np.int16, st.integers(1, 60), elements=st.integers(-3, 3)))
def test_entropy_agrees_with_scipy(symbols):
    from scipy.stats import entropy

    counts = np.unique(symbols, return_counts=True)[1]
    assert metrics.entropy_bits(symbols) == pytest.approx(symbols.size * entropy(counts, base=2), abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 3)), min_size=1, max_size=60))
def test_conditional_entropy_is_the_sum_of_its_classes_and_no_more_than_order_0(pairs):
    symbols, contexts = np.array(pairs).T
    conditional = metrics.conditional_entropy_bits(symbols, contexts)
    classes = sum(metrics.entropy_bits(symbols[contexts == c]) for c in np.unique(contexts))
    assert conditional == pytest.approx(classes, abs=1e-9)
    assert conditional <= metrics.entropy_bits(symbols) + 1e-9


def test_conditional_entropy_with_one_context_a_coefficient_is_the_class_entropy():
    blocks = np.random.default_rng(0).poisson(np.arange(1, 17).reshape(4, 4), (9, 11, 4, 4))
    classes = np.arange(16).reshape(4, 4)
    assert metrics.conditional_entropy_bits(blocks, classes) == pytest.approx(metrics.class_entropy_bits(blocks))


def test_real_bits_against_entropy():
    import constriction

    symbols = np.random.default_rng(0).integers(0, 4, 4000).astype(np.int32) ** 2
    encoder = constriction.stream.queue.RangeEncoder()
    counts = np.bincount(symbols).astype(np.float32)
    model = constriction.stream.model.Categorical(counts / counts.sum(), perfect=False)
    encoder.encode(symbols, model)
    cost = metrics.coding_cost(symbols, encoder.get_compressed().tobytes())
    assert cost.symbols == 4000
    assert 0 < cost.overhead < 0.01
    assert metrics.coding_cost(np.zeros(5, int), b"").overhead == 0.0
    assert metrics.coding_cost(np.zeros(5, int), b"x").overhead == math.inf
