"""The JPEG encoder's search: files that libjpeg decodes to the same pixels, and that are a better buy."""

import io

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import extremes, noise, photo
from codeckit.codecs.jpeg.distortion import Distortion
from codeckit.codecs.jpeg.search import _shrunk, base_step
from codeckit.metrics import ms_ssim, psnr
from codeckit.primitives import ContextCoded
from codeckit.primitives.dct import dct_matrix
from codeckit.primitives.subsample import upsample
from PIL import Image


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 2), (40, 33), (64, 80)])
@pytest.mark.parametrize("tune", ["psnr", "ms-ssim"])
def test_every_effort_writes_files_for_everybody(size, tune):
    for channels in 1, 3:
        image = photo(*size, channels, seed=21)
        for effort in 1, 5, 9:
            for quality in 3, 60, 100:
                data = codeckit.codec("jpeg", quality=quality, effort=effort, tune=tune).encode(image)
                assert (codeckit.decode(data) == pixels(data)).all()
                assert pixels(data).shape == image.shape


@pytest.mark.parametrize("make", [noise, extremes])
def test_hard_pictures_come_back_at_full_quality(make):
    image = make(40, 56, 3, seed=22)
    for effort in 1, 6:
        data = codeckit.codec("jpeg", quality=100, effort=effort, subsampling="4:4:4").encode(image)
        assert (codeckit.decode(data) == pixels(data)).all()
        plain = codeckit.codec("jpeg", quality=100, subsampling="4:4:4").encode(image)
        assert psnr(image, pixels(data)) > psnr(image, pixels(plain)) - 1.5


def cost(data, image, tune, quality):
    """J = D + λ R of a file."""
    return Distortion(image, tune).between(image, pixels(data)) + 0.12 * base_step(quality) ** 2 * 8 * len(data)


@pytest.mark.parametrize("tune", ["psnr", "ms-ssim"])
@pytest.mark.parametrize("quality", [15, 50, 85])
def test_searched_files_are_a_better_buy(tune, quality):
    image = photo(96, 128, 3, seed=23)
    flat = codeckit.codec("jpeg", quality=quality, tables="flat", progressive="optimized").encode(image)
    found = [
        cost(codeckit.codec("jpeg", quality=quality, effort=effort, tune=tune).encode(image), image, tune, quality)
        for effort in (1, 4, 9)
    ]
    assert found[0] < 0.95 * cost(flat, image, tune, quality)
    assert found[2] < found[1] * 1.01 and found[1] < found[0] * 1.01


def test_quality_orders_rate_and_distortion():
    image = photo(64, 96, 3, seed=24)
    files = [codeckit.codec("jpeg", quality=q, effort=3).encode(image) for q in (5, 20, 50, 80, 95)]
    assert sorted(map(len, files)) == list(map(len, files))
    ratios = [psnr(image, pixels(data)) for data in files]
    assert sorted(ratios) == ratios


def test_options_hold_with_effort():
    image = photo(48, 64, 3, seed=25)
    table = np.full((8, 8), 13)
    data = codeckit.codec("jpeg", effort=4, tables=table, subsampling="4:2:2", restart_interval=2).encode(image)
    assert set(Image.open(io.BytesIO(data)).quantization[0]) == {13}
    details = codeckit.info(data).details
    assert details["sampling"].startswith("2x1") and details["restart_interval"] == 2
    named = codeckit.codec("jpeg", quality=50, effort=2, tables="annex-k").encode(image)
    plain = codeckit.codec("jpeg", quality=50, progressive="optimized").encode(image)
    assert Image.open(io.BytesIO(named)).quantization == Image.open(io.BytesIO(plain)).quantization
    assert len(named) < len(plain)
    sequential = codeckit.codec("jpeg", quality=50, effort=2, progressive=False).encode(image)
    assert codeckit.info(sequential).details["process"] == "baseline"
    assert (codeckit.decode(sequential) == pixels(sequential)).all()


def test_search_is_a_codec_like_any_other():
    image = photo(48, 64, 3, seed=26)
    codec = codeckit.codec("jpeg", quality=40, effort=6)
    assert codec.setting == {"quality": 40, "effort": 6}
    trace = codec.trace(image)
    assert trace.stream == codec.encode(image)
    assert [step.role for step in trace.steps] == ["image", "color", "subsample", "transform", "quantize", "entropy"]
    mixed = codec.replace(entropy=ContextCoded())
    stream = mixed.encode(image)
    assert stream[:3] == b"ckt" and codeckit.decode(stream).shape == image.shape
    with pytest.raises(ValueError, match="effort"):
        codec.replace(transform=codeckit.primitives.BlockDCT(16, "float")).encode(image)


def test_metadata_is_kept_with_effort(tmp_path):
    source = tmp_path / "photo.jpg"
    Image.fromarray(photo(24, 40, 3, seed=27)).save(source, comment=b"hello", quality=95)
    kept = codeckit.codec("jpeg", metadata="keep", effort=3).encode(source)
    assert Image.open(io.BytesIO(kept)).info["comment"] == b"hello"


def test_exhaustive_progressions_are_no_larger():
    image = photo(64, 96, 3, seed=28)
    sizes = {p: codeckit.codec("jpeg", quality=70, progressive=p).encode(image) for p in ("optimized", "exhaustive")}
    assert len(sizes["exhaustive"]) <= len(sizes["optimized"])
    assert (pixels(sizes["exhaustive"]) == pixels(sizes["optimized"])).all()


def test_halving_is_the_least_squares_inverse_of_the_decoders_filter():
    rng = np.random.default_rng(29)
    small = rng.integers(20, 230, (12, 10)).astype(np.uint8)
    assert np.abs(_shrunk(upsample(small, 2, 2, (24, 20)).astype(float), 2, 2) - small).max() < 2  # but for rounding
    plane = rng.uniform(0, 255, (24, 21))
    best = _shrunk(plane, 1, 2)
    error = [np.abs(upsample_exact(best + shift, plane.shape[1]) - plane) ** 2 for shift in (0, 0.5, -0.5)]
    assert error[0].sum() < min(error[1].sum(), error[2].sum())


def upsample_exact(x, width):
    left, right = np.pad(x, ((0, 0), (1, 0)), "edge")[:, :-1], np.pad(x, ((0, 0), (0, 1)), "edge")[:, 1:]
    return np.stack([0.75 * x + 0.25 * left, 0.75 * x + 0.25 * right], -1).reshape(len(x), -1)[:, :width]


@pytest.mark.parametrize(("v", "h"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_weights_are_the_energy_behind_the_decoders_filter(v, h):
    rng = np.random.default_rng(30)
    image = np.zeros((64 * v, 64 * h, 3), np.uint8)
    weights = Distortion(image, "psnr").weights(2, v, h, (8, 8))
    d, coefficients = dct_matrix(8), np.zeros((8, 8, 8, 8))
    u, w = 3, 2
    coefficients[..., u, w] = rng.normal(0, 100, (8, 8))
    plane = np.einsum("abuv,ui,vj->aibj", coefficients, d, d).reshape(64, 64)
    for factor in (h, v):  # the last axis first, then the other
        plane = upsample_exact(plane, 128) if factor == 2 else plane
        plane = plane.T
    energy = (plane**2).sum() / (coefficients**2).sum()
    assert weights.spectrum.reshape(8, 8)[u, w] / 0.7726 == pytest.approx(energy, rel=0.12)  # picture edges repeat


def test_ms_ssim_is_what_the_distortion_says():
    image = photo(192, 224, 3, seed=31)
    for quality in 50, 90:
        decoded = pixels(codeckit.codec("jpeg", quality=quality).encode(image))
        loss = 1 - ms_ssim(image, decoded)
        assert Distortion(image, "ms-ssim").between(image, decoded) == pytest.approx(700 * 192 * 224 * loss, rel=0.15)


@pytest.mark.parametrize("bad", [{"effort": 10}, {"effort": 2.5}, {"effort": -1}, {"tune": "vmaf"}])
def test_bad_options(bad):
    with pytest.raises(ValueError):
        codeckit.codec("jpeg", **bad)
