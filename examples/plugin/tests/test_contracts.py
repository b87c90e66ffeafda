"""Everything that the distribution adds keeps codeckit's contracts."""

from codeckit.testing import check_codec, check_metric, check_stage, check_task
from codeckit_example_plugin.blobs import BLOBS, picture
from codeckit_example_plugin.mae import MAE
from codeckit_example_plugin.rice import RiceCoded


def test_rice_coder():
    check_stage(RiceCoded())


def test_jpeg_rice():
    check_codec("jpeg-rice", images=[picture(seed=0)[0]])


def test_bmp():
    check_codec("bmp")


def test_mae():
    check_metric(MAE)


def test_blobs():
    check_task(BLOBS, label=picture(seed=0)[1])
