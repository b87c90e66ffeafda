"""`balle2017` for MS-SSIM instead of the squared error; as long, on the same patches."""

from dataclasses import replace

from .balle2017 import RECIPE as FOR_MSE

RECIPE = replace(FOR_MSE, name="balle2017-ms-ssim", distortion="ms-ssim")
