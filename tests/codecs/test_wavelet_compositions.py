"""Codecs composed of the wavelet transform and every quantizer, through `.ckt` streams."""

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies import pictures
from codeckit.codecs import Codec
from codeckit.primitives import ContextCoded, DeadZone, HuffmanCoded, Subsample, Uniform, Wavelet, YCbCr


def compose(entropy, **stages):
    return Codec("wavelet-test", {"color": YCbCr(), **stages, "entropy": entropy})


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize("entropy", [ContextCoded(), HuffmanCoded()])
@pytest.mark.parametrize("quantizer", [Uniform(6), DeadZone(6)])
def test_97_with_every_quantizer(quantizer, entropy):
    image = pictures.photo(45, 61)
    codec = compose(entropy, transform=Wavelet("9/7", 3), quantize=quantizer)
    decoded = codeckit.decode(codec.encode(image))
    assert decoded.shape == image.shape and decoded.dtype == np.uint8
    assert psnr(decoded, image) > 36


def test_53_without_quantizer_is_lossless():
    image = pictures.photo(45, 61, channels=1)
    codec = compose(ContextCoded(), transform=Wavelet("5/3", 4))
    np.testing.assert_array_equal(codeckit.decode(codec.encode(image)), image)


def test_wavelets_of_subsampled_planes():
    image = pictures.photo(45, 61)
    codec = compose(
        ContextCoded(), subsample=Subsample("4:2:0", align=1), transform=Wavelet("9/7", 3), quantize=DeadZone(4)
    )
    assert codeckit.decode(codec.encode(image)).shape == image.shape


def test_more_levels_take_fewer_bits():
    image = pictures.photo(96, 128, channels=1)
    sizes = [
        len(compose(ContextCoded(), transform=Wavelet("9/7", n), quantize=DeadZone(8)).encode(image)) for n in (0, 1, 4)
    ]
    assert sizes[0] > sizes[1] > sizes[2]
