"""Layers that several networks have."""

from torch import nn


def down(channels_in: int, channels_out: int, kernel_size: int = 5, stride: int = 2) -> nn.Conv2d:
    """A convolution that goes down in resolution."""
    return nn.Conv2d(channels_in, channels_out, kernel_size, stride, padding=kernel_size // 2)


def up(channels_in: int, channels_out: int, kernel_size: int = 5, stride: int = 2) -> nn.ConvTranspose2d:
    """A transposed convolution that goes up in resolution."""
    return nn.ConvTranspose2d(
        channels_in, channels_out, kernel_size, stride, padding=kernel_size // 2, output_padding=stride - 1
    )


def leaky() -> nn.LeakyReLU:
    """The nonlinearity of predicting networks."""
    return nn.LeakyReLU(inplace=True)
