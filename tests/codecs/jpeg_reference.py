"""JPEG files by Pillow, and what Pillow (libjpeg-turbo) decodes of them: the reference of the tests of JPEG."""

import io

import codeckit
import numpy as np
from codeckit.bench.studies import jpeg_identity
from PIL import Image


def save(picture, mode=None, **options):
    return jpeg_identity.save(Image.fromarray(picture, mode), **options)


def pillow(data):
    image = Image.open(io.BytesIO(data))
    return np.asarray(image.convert("RGB") if image.mode == "CMYK" else image)


def assert_like_pillow(data):
    np.testing.assert_array_equal(codeckit.decode(data), pillow(data))
