"""Integer networks: what a decoder computes to choose probabilities, exact to the last bit on every machine.

**Why.** An entropy decoder reads symbols with the probabilities that the encoder wrote them with. In a learned codec
these come out of a network (hyper synthesis, context model, parameter network). In floating point the order of
additions changes a sum's last bits, and that order depends on the processor, the number of threads, the library and its
version. Let one mean differ by 1e-6: now and then a symbol falls to the other side of an edge, and from there on
everything that is read is noise, as an entropy decoder cannot find its way back. (In a test with a range coder, a
relative change of the means by 1e-6 made 787 of 1000 symbols wrong.) So these networks run in integers, where a + b + c
has one value (Ballé, Johnston and Minnen, "Integer networks for data compression with latent-variable models", ICLR
2019).

**How.** Fast matrix products exist for floats, on every device. Floats are exact on integers as long as these are small
enough: a float64 holds every integer up to 2^53, a float32 up to 2^24. So weights and activations are integers that
*travel as floats*. A layer computes for each output channel o::

    acc[o] = bias[o] + Σ weight[tap, c, o] · x[tap, c]            integers
    y[o]   = clamp(floor(acc[o] / 2^shift[o]), -limit, limit)     back to the scale of activations
    y[o]   = floor((slope · y[o] + 2^15) / 2^16)   where y[o] < 0     LeakyReLU (slope 0: ReLU)

and the next layer takes y. Activations and weights stand for reals in units of 2^-f, with f fixed by `quantize_network`
for each layer's activations and for each output channel's weights, so that going from one scale to the next is a shift;
rounding to nearest is an addend 2^(shift - 1) in the bias.

**Proof of exactness.** An activation's magnitude is at most `limit`, by the clamp, whatever the input was (a damaged
stream's, say). So every product is an integer, and every sum of some of the products, with the bias or without,
has a magnitude of at most::

    bound = max over o of ( Σ |weight[tap, c, o]| · limit + |bias[o]| )

If bound < 2^53, each of these numbers is a float64. The result of a floating-point operation (fused or not) is the
exact result rounded to the nearest float, so where the exact result is a float, it is that. By induction no operation
rounds, in whatever order a library adds, and all orders give the same integers. Division by a power of two and
``floor`` are exact. `IntegerNetwork` computes the bound when it is made and raises ValueError if it does not hold.
Convolutions are sums of matrix products, one a kernel tap, and no library routine is used that transforms its input
(Winograd, FFT) and would go through fractions.

float32 carries a layer whose bound is below 2^24 and whose weights and activations are at most 256: these are exact
even in the shortened formats (TF32, bfloat16) in which libraries may be told to multiply. That takes networks of about
8 bits; all others go in float64.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

#: Slopes of LeakyReLU are integers in units of 2^-SLOPE_BITS.
SLOPE_BITS = 16

#: Magnitude of inputs and outputs that no useful network exceeds.
LIMIT = 1 << 20

#: Calibration leaves room for activations so many times larger than those seen.
HEADROOM = 2.0

_FORMAT = 1
_LARGEST_LIMIT, _LARGEST_SHIFT, _FINEST = 1 << 30, 60, 30


@dataclasses.dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A convolution in integers, with the sub-pixel shuffle and the activation that follow it.

    Args:
        weight: integers [kh,kw,C,O].
        bias: integers [O], in units of the accumulator, rounding included.
        shift: integers [O], -60 … 60: the accumulator is divided by 2^shift.
        fraction: integers [O]: the weights of a channel stand for reals in units of 2^-fraction. A network's `state`
            has it; what the layer computes does not depend on it.
        limit: the largest magnitude of an output, up to 2^30.
        transposed: whether the convolution is a transposed one; only then there may be a stride.
        stride, padding, output_padding: as in ``torch.nn.ConvTranspose2d``, the same in both directions.
        upscale: factor r of ``torch.nn.PixelShuffle``, O = r²·channels.
        slope: of the negative side, in units of 2^-16: 0 is ReLU, 2^16 no activation.

    Raises:
        ValueError: the tensors do not fit each other, or a number is out of range.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    shift: torch.Tensor
    fraction: torch.Tensor
    limit: int
    transposed: bool = False
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    upscale: int = 1
    slope: int = 1 << SLOPE_BITS

    def __post_init__(self):
        for name in ("weight", "bias", "shift", "fraction"):
            value = getattr(self, name)
            if value.is_floating_point() or value.is_complex():
                raise ValueError(f"a layer's {name} holds integers, not {value.dtype}")
            object.__setattr__(self, name, value.detach().to("cpu", torch.int64))
        shape = self.weight.shape
        if len(shape) != 4 or 0 in shape or not self.bias.shape == self.shift.shape == self.fraction.shape == shape[3:]:
            raise ValueError("a layer has weights [kh,kw,C,O], O biases, O shifts and O fractions")
        ranges = {
            "weight": (int(self.weight.abs().max()), 0, _LARGEST_LIMIT),
            "limit": (self.limit, 1, _LARGEST_LIMIT),
            "shift": (int(self.shift.abs().max()), 0, _LARGEST_SHIFT),
            "stride": (self.stride, 1, 8 if self.transposed else 1),
            "padding": (self.padding, 0, min(shape[:2]) - 1),
            "output_padding": (self.output_padding, 0, self.stride - 1),
            "upscale": (self.upscale, 1, 8),
            "slope": (self.slope, 0, 1 << SLOPE_BITS),
        }
        for name, (value, low, high) in ranges.items():
            if not low <= value <= high:
                raise ValueError(f"an integer layer's {name} is {low} … {high}, not {value}")
        if shape[3] % self.upscale**2:
            raise ValueError(f"{shape[3]} channels cannot be shuffled by a factor of {self.upscale}")

    @property
    def pointwise(self) -> bool:
        """Whether an output depends on the input at its own position alone, and stands there."""
        return self.weight.shape[:2] == (1, 1) and self.stride == self.upscale == 1

    @property
    def output_channels(self) -> int:
        """Channels after the shuffle."""
        return self.weight.shape[3] // self.upscale**2

    def bound(self, limit: int) -> int:
        """The largest magnitude of any partial sum, if inputs have magnitudes up to `limit`."""
        absolute = self.weight.abs().sum((0, 1, 2)).tolist()
        return max(total * limit + abs(bias) for total, bias in zip(absolute, self.bias.tolist(), strict=True))


def _exact(method):
    """Run a network's method without what could change its arithmetic: autocast would shorten the carriers."""

    @functools.wraps(method)
    def run(self, *args, **kwargs):
        with torch.no_grad(), torch.autocast(torch.device(self.device).type, enabled=False):
            return method(self, *args, **kwargs)

    return run


@dataclasses.dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Integer layers one after the other: a function from integers to integers, the same everywhere.

    Args:
        layers: the layers, at least one.
        input_bits, output_bits: inputs are in units of 2^-input_bits, outputs in units of 2^-output_bits.
        input_limit: inputs are clamped to this magnitude.
        device: where it runs.

    Raises:
        ValueError: channels do not fit, or some layer's sums could pass 2^53 and would not be exact.

    >>> torch.manual_seed(0)
    <torch._C.Generator object at ...>
    >>> layers = nn.Conv2d(2, 8, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(8, 3, 1)
    >>> network = quantize_network(layers, [torch.randn(4, 2, 8, 8)])
    >>> x = torch.tensor([256, -512]).view(1, 2, 1, 1).expand(1, 2, 5, 5)         # 1.0 and -2.0
    >>> network(x).shape, network(x).dtype
    (torch.Size([1, 3, 5, 5]), torch.int32)
    >>> error = network(x) / 256 - nn.Sequential(*layers)(x / 256)
    >>> error.abs().max().item() < 0.003
    True
    """

    layers: Sequence[IntegerLayer]
    input_bits: int
    output_bits: int
    input_limit: int = LIMIT
    device: str | torch.device = "cpu"

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers or not 1 <= self.input_limit <= _LARGEST_LIMIT:
            raise ValueError(f"a network has layers, and an input limit of 1 … 2^30, not {self.input_limit}")
        stages, limit, channels = [], self.input_limit, self.layers[0].weight.shape[2]
        for number, layer in enumerate(self.layers):
            if layer.weight.shape[2] != channels:
                raise ValueError(f"layer {number} takes {layer.weight.shape[2]} channels, but is given {channels}")
            bound = layer.bound(limit)
            if bound >= 1 << 53:
                raise ValueError(
                    f"layer {number} may sum up to {bound:.3g}, which float64 does not hold exactly (2^53); "
                    "use fewer bits for weights or activations"
                )
            small = bound < 1 << 24 and max(limit, int(layer.weight.abs().max())) <= 256
            stages.append(_Stage(layer, torch.float32 if small else torch.float64, self.device))
            limit, channels = layer.limit, layer.output_channels
        object.__setattr__(self, "_stages", tuple(stages))

    def to(self, device) -> "IntegerNetwork":
        """The same network on another device."""
        return dataclasses.replace(self, device=device)

    @_exact
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs [N,O,H',W'], int32, for inputs [N,C,H,W], integers of any type, in whatever memory format.

        Raises:
            ValueError: the input's shape does not fit.
        """
        if x.ndim != 4 or x.shape[1] != self.layers[0].weight.shape[2]:
            raise ValueError(f"the network takes [N,{self.layers[0].weight.shape[2]},H,W], not {tuple(x.shape)}")
        x = self._clamped(x.permute(0, 2, 3, 1))
        for stage in self._stages:
            x = stage.everywhere(x)
        return x.permute(0, 3, 1, 2).to(torch.int32)

    @_exact
    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """A network of 1×1 convolutions on single positions: int32 [N,O] for [N,C].

        Raises:
            ValueError: the network has larger kernels, or the input's shape does not fit.
        """
        self._require_pointwise(self.layers, "rows")
        if x.ndim != 2 or x.shape[1] != self.layers[0].weight.shape[2]:
            raise ValueError(f"rows takes [N,{self.layers[0].weight.shape[2]}], not {tuple(x.shape)}")
        x = self._clamped(x)
        for stage in self._stages:
            x = stage.rows(x)
        return x.to(torch.int32)

    def canvas(self, batch: int, height: int, width: int) -> torch.Tensor:
        """Zeros [N,H+2p,W+2p,C] in the first layer's type, p its padding, for inputs that become known step by step."""
        layer, stage = self.layers[0], self._stages[0]
        margin = 2 * layer.padding
        size = (batch, height + margin, width + margin, layer.weight.shape[2])
        return torch.zeros(size, dtype=stage.dtype, device=self.device)

    @_exact
    def at(self, canvas: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """The outputs at some positions: int32 [N,n,O].

        The same integers that calling the network gives there, for a context model that decodes position by position.
        The first layer may be any convolution with stride 1 (taps whose weights are all 0, as behind a mask, take no
        time), the others are 1×1.

        Args:
            canvas: inputs, shaped and padded as by `canvas`; what no tap sees may be unknown yet.
            rows, columns: positions in the output [n] (int64).

        Raises:
            ValueError: the network has another shape, or the canvas does.
        """
        first = self.layers[0]
        self._require_pointwise(self.layers[1:], "at")
        if first.transposed or first.upscale > 1:
            raise ValueError("at needs a network that begins with an ordinary convolution")
        if canvas.ndim != 4 or canvas.shape[3] != first.weight.shape[2]:
            raise ValueError(f"a canvas is [N,H,W,{first.weight.shape[2]}], not {tuple(canvas.shape)}")
        batch, _, width, _ = canvas.shape
        stage = self._stages[0]
        offsets = torch.tensor([y * width + x for y, x in stage.taps], dtype=torch.int64, device=canvas.device)
        positions = (rows * width + columns).to(canvas.device)[:, None] + offsets
        seen = canvas.flatten(1, 2)[:, positions.flatten()].reshape(batch * len(rows), -1)
        x = stage.rows(self._clamped(seen))
        for stage in self._stages[1:]:
            x = stage.rows(x)
        return x.view(batch, len(rows), -1).to(torch.int32)

    def state(self, modules: nn.Module | Iterable[nn.Module]) -> dict[str, torch.Tensor]:
        """All there is to know of the network beside the float layers it was made of, as integer tensors.

        Weights are left out: `from_state` computes them again from the same floats. In float64 these are exact, as are
        their products with powers of two, so all machines round the same numbers.

        Args:
            modules: those that `quantize_network` was given.

        Raises:
            ValueError: the network was made of other modules.

        >>> layer = nn.Conv2d(1, 1, 1)
        >>> network = quantize_network([layer], [torch.ones(1, 1, 1, 1)])
        >>> sorted(network.state([layer]))
        ['0.bias', '0.fraction', '0.geometry', '0.shift', 'network']
        >>> restored = IntegerNetwork.from_state(network.state([layer]), [layer])
        >>> x = torch.arange(9).view(1, 1, 3, 3)
        >>> torch.equal(network(x), restored(x))
        True
        """
        header = [_FORMAT, len(self.layers), self.input_bits, self.output_bits, self.input_limit]
        state = {"network": torch.tensor(header)}
        groups = _layers(modules)
        if len(groups) != len(self.layers) or not all(map(_is_of, self.layers, groups)):
            raise ValueError("the integer network was made of other modules than these")
        for number, layer in enumerate(self.layers):
            state[f"{number}.bias"] = layer.bias
            state[f"{number}.shift"] = layer.shift.to(torch.int8)
            state[f"{number}.fraction"] = layer.fraction.to(torch.int8)
            state[f"{number}.geometry"] = torch.tensor([int(getattr(layer, name)) for name in _GEOMETRY])
        return state

    @classmethod
    def from_state(
        cls, state: dict[str, torch.Tensor], modules: nn.Module | Iterable[nn.Module], device="cpu"
    ) -> "IntegerNetwork":
        """The inverse of `state`, with the same modules.

        Raises:
            ValueError: tensors are missing, do not fit the modules, or do not describe a network whose sums are exact.
        """
        groups = _layers(modules)
        try:
            version, count, input_bits, output_bits, input_limit = state["network"].tolist()
            if version != _FORMAT:
                raise ValueError(f"an integer network of format {version}; this version reads {_FORMAT}")
            if count != len(groups):
                raise ValueError(f"the state of an integer network of {count} layers is given {len(groups)} modules")
            layers = []
            for number, group in enumerate(groups):
                bias, shift, fraction, geometry = (state[f"{number}.{name}"] for name in _TENSORS)
                fields = dict(zip(_GEOMETRY, geometry.tolist(), strict=True))
                fields["transposed"] = bool(fields["transposed"])
                layers.append(IntegerLayer(_scaled(group.module, fraction), bias, shift, fraction, **fields))
        except KeyError as error:
            raise ValueError(f"the state of an integer network lacks {error}") from error
        return cls(layers, input_bits, output_bits, input_limit, device)

    def _clamped(self, x):
        """Inputs within the limit, as the carrier of the first layer."""
        if x.is_floating_point() and not torch.equal(x, x.round()):
            raise ValueError(f"inputs are integers, in units of 2^-{self.input_bits}; round them first")
        return x.to(self.device, torch.float64).clamp(-self.input_limit, self.input_limit).to(self._stages[0].dtype)

    @staticmethod
    def _require_pointwise(layers, caller):
        if not all(layer.pointwise for layer in layers):
            raise ValueError(f"{caller} needs 1×1 convolutions, and this network has others there")


#: Tensors of a layer in a state; the last one holds its numbers, in the order below.
_TENSORS = ("bias", "shift", "fraction", "geometry")
_GEOMETRY = ("limit", "transposed", "stride", "padding", "output_padding", "upscale", "slope")


class _Stage:
    """A layer made ready: the taps whose weights are not all zero, as floats [O,taps,C] on a device.

    In this order the weights are read along memory where few positions are computed, which is twice as fast.
    """

    def __init__(self, layer, dtype, device):
        self.layer, self.dtype = layer, dtype
        used = layer.weight.abs().amax((2, 3)).nonzero()
        self.taps = [tuple(tap) for tap in used.tolist()]
        weight = layer.weight[used[:, 0], used[:, 1]].permute(2, 0, 1)
        self.weight = weight.to(device, dtype).contiguous()
        self.bias = layer.bias.to(device, dtype)
        self.scale = torch.tensor([math.ldexp(1.0, -s) for s in layer.shift.tolist()], dtype=torch.float64).to(device)

    def rows(self, x):
        """[N,O] for the taps' inputs [N,taps·C]."""
        return self._requantize(F.linear(x.to(self.dtype), self.weight.flatten(1), self.bias))

    def everywhere(self, x):
        """[N,H',W',O'] for [N,H,W,C]."""
        sums = self._transposed_sums if self.layer.transposed else self._sums
        y = self._requantize(sums(x.to(self.dtype)))
        batch, height, width, _ = y.shape
        r = self.layer.upscale
        if r > 1:
            y = y.view(batch, height, width, -1, r, r).permute(0, 1, 4, 2, 5, 3)
            y = y.reshape(batch, r * height, r * width, -1)
        return y

    def _sums(self, x):
        # In the padded input as a list of rows [N·H·W,C], what a tap sees of all positions is one slice. Positions too
        # near to the right and lower border get sums across it, which are cut off.
        p = self.layer.padding
        x = F.pad(x, (0, 0, p, p, p, p))
        batch, height, width, channels = x.shape
        (kh, kw), outputs = self.layer.weight.shape[:2], self.bias.numel()
        if height < kh or width < kw:
            raise ValueError(f"the input is smaller than the {kh}×{kw} kernel")
        x = x.reshape(-1, channels)
        acc = self.bias.repeat(x.shape[0], 1)
        inner = acc[: x.shape[0] - (kh - 1) * width - (kw - 1)]
        for (row, column), weight in zip(self.taps, self.weight.unbind(1), strict=True):
            first = row * width + column
            inner.addmm_(x[first : first + inner.shape[0]], weight.t())
        return acc.view(batch, height, width, outputs)[:, : height - kh + 1, : width - kw + 1]

    def _transposed_sums(self, x):
        # Every input adds its share, tap by tap, to the outputs around its own position times the stride.
        batch, height, width, channels = x.shape
        layer, (kh, kw), outputs = self.layer, self.layer.weight.shape[:2], self.bias.numel()
        s, p = layer.stride, layer.padding
        size = [(n - 1) * s + k + layer.output_padding for n, k in ((height, kh), (width, kw))]
        acc = self.bias.expand(batch, *size, outputs).contiguous()
        x = x.reshape(-1, channels)
        for (row, column), weight in zip(self.taps, self.weight.unbind(1), strict=True):
            reached = acc[:, row : row + (height - 1) * s + 1 : s, column : column + (width - 1) * s + 1 : s]
            reached += (x @ weight.t()).view(batch, height, width, outputs)
        return acc[:, p : size[0] - p, p : size[1] - p]

    def _requantize(self, acc):
        y = (acc.to(torch.float64) * self.scale).floor_().clamp_(-self.layer.limit, self.layer.limit)
        if self.layer.slope < 1 << SLOPE_BITS:
            half = 1 << SLOPE_BITS - 1
            negative = ((y * self.layer.slope + half) * 2.0**-SLOPE_BITS).floor_()
            y = torch.where(y < 0, negative, y)
        return y


def quantize_network(
    modules: nn.Module | Iterable[nn.Module],
    samples: Iterable[torch.Tensor],
    *,
    input_bits: int = 8,
    output_bits: int = 8,
    weight_bits: int = 16,
    activation_bits: int = 20,
    input_limit: int = LIMIT,
    output_limit: int = LIMIT,
) -> IntegerNetwork:
    """Turn a trained network into an integer network (post-training quantization).

    The network is a sequence of Conv2d (masked: with a buffer `mask` that its weights are multiplied with; stride 1),
    ConvTranspose2d, PixelShuffle, ReLU and LeakyReLU. This is done once, when a model is exported: the result, not the
    float network, is what encoders and decoders run.

    16 bits for weights are as good as floats: coding the latents of a small random hyperprior took 0.08 % more than
    their entropy with 16 bits for weights and activations, as much as with exact parameters and the 64 scales alone;
    0.12 % with 12 bits, 0.9 % with weights of 8 bits and activations of 10. Fewer need training with quantization.
    Activations have 20 because one network may serve all rates: their unit fits the largest seen, at the finest gain.
    At the coarsest, where they are a hundredth of that, `cheng2020` took 1.0 % more than its entropy with 16 bits, and
    no more with 20.

    Args:
        modules: the layers, or an ``nn.Sequential`` of them (nested ones too).
        samples: batches of typical inputs [N,C,H,W] in real units, which show how large hidden activations become.
        input_bits, output_bits: the units of inputs and outputs are 2^-input_bits and 2^-output_bits.
        weight_bits: weights are integers of so many bits, sign included, 2 … 24.
        activation_bits: hidden activations likewise.
        input_limit, output_limit: magnitudes, in these units, to which inputs and outputs are clamped.

    Raises:
        ValueError: a module is of another kind, there are no samples, a number is not finite, or some layer's sums
            would not be exact.

    >>> modules = nn.Conv2d(1, 4, 1), nn.PixelShuffle(2), nn.ReLU()
    >>> network = quantize_network(modules, [torch.ones(1, 1, 2, 2)], weight_bits=8, input_limit=255)
    >>> network(torch.ones(1, 1, 2, 2)).shape
    torch.Size([1, 1, 4, 4])
    """
    if not (2 <= weight_bits <= 24 and 2 <= activation_bits <= 24):
        raise ValueError(f"weights and activations have 2 … 24 bits, not {weight_bits} and {activation_bits}")
    groups = _layers(modules)
    seen = _calibrate(groups, samples)
    layers, fraction = [], input_bits
    for number, group in enumerate(groups):
        last = number == len(groups) - 1
        limit = output_limit if last else (1 << activation_bits - 1) - 1
        target = output_bits if last else min(_FINEST, _fraction(limit, HEADROOM * seen[number]))
        layers.append(_quantize_layer(group, fraction, target, weight_bits, limit))
        fraction = target
    return IntegerNetwork(layers, input_bits, output_bits, input_limit)


@dataclasses.dataclass
class _FloatLayer:
    """A convolution and what follows it."""

    module: nn.Module
    upscale: int = 1
    slope: float = 1.0


def _layers(modules):
    """The sequence of modules as a list of `_FloatLayer`."""
    groups = []
    for module in _flat(modules):
        group = groups[-1] if groups else None
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            _check_geometry(module)
            groups.append(_FloatLayer(module))
        elif isinstance(module, nn.PixelShuffle) and group and group.upscale == 1:
            group.upscale = module.upscale_factor
        elif isinstance(module, nn.LeakyReLU) and group and group.slope == 1 and 0 <= module.negative_slope <= 1:
            group.slope = module.negative_slope
        elif isinstance(module, nn.ReLU) and group and group.slope == 1:
            group.slope = 0.0
        elif not isinstance(module, nn.Identity):
            raise ValueError(
                f"an integer network cannot have {module} there: it takes convolutions of stride 1 or transposed, each "
                "with at most one PixelShuffle and one ReLU or LeakyReLU behind it"
            )
    if not groups:
        raise ValueError("an integer network has at least one convolution")
    return groups


def _flat(modules):
    for module in [modules] if isinstance(modules, nn.Module) else modules:
        if isinstance(module, nn.Sequential):
            yield from _flat(module.children())
        else:
            yield module


def _check_geometry(module):
    transposed = isinstance(module, nn.ConvTranspose2d)
    same = all(len(set(pair)) == 1 for pair in (module.stride, module.padding) if not isinstance(pair, str))
    plain = module.groups == 1 and set(module.dilation) == {1} and module.padding_mode == "zeros" and same
    if not plain or isinstance(module.padding, str) or (not transposed and module.stride[0] != 1):
        raise ValueError(
            "an integer network has ungrouped, undilated, zero-padded convolutions that do not go down in size, with "
            f"the same stride and padding in both directions, not {module}"
        )


@torch.no_grad()
def _calibrate(groups, samples):
    """The largest magnitude before each layer's activation."""
    seen, count = [0.0] * len(groups), 0
    for x in samples:
        count += 1
        for number, group in enumerate(groups):
            x = group.module(x)
            largest = float(x.abs().amax())
            if not math.isfinite(largest):
                raise ValueError("quantization needs samples on which all activations are finite")
            seen[number] = max(seen[number], largest)
            x = F.leaky_relu(x, group.slope)
            if group.upscale > 1:
                x = F.pixel_shuffle(x, group.upscale)
    if not count:
        raise ValueError("quantization needs samples of typical inputs")
    return seen


def _fraction(limit, magnitude):
    """The largest f with magnitude · 2^f ≤ limit."""
    return math.floor(math.log2(limit / max(magnitude, 1e-30)))


def _quantize_layer(group, fraction, target, weight_bits, limit):
    """From inputs in units of 2^-fraction to outputs in units of 2^-target."""
    module = group.module
    weight = _float_weight(module)
    bias = torch.zeros(weight.shape[3]) if module.bias is None else module.bias.detach().cpu()
    fractions, biases, shifts = [], [], []
    for w, b in zip(weight.unbind(3), bias.double().tolist(), strict=True):
        largest = float(w.abs().max())
        if not math.isfinite(largest + b):
            raise ValueError("quantization needs finite weights and biases")
        # As fine as the bits allow; a channel of tiny weights need not be finer than its bias leaves room for.
        finest = min(_FINEST, _fraction((1 << weight_bits - 1) - 1, largest), _fraction(2**44, abs(b)) - fraction)
        shift = fraction + finest - target
        fractions.append(finest)
        biases.append(round(b * 2.0 ** (fraction + finest)) + (1 << shift - 1 if shift > 0 else 0))
        shifts.append(shift)
    fractions = torch.tensor(fractions)
    return IntegerLayer(
        _scaled(module, fractions),
        torch.tensor(biases),
        torch.tensor(shifts),
        fractions,
        limit,
        isinstance(module, nn.ConvTranspose2d),
        module.stride[0],
        module.padding[0],
        module.output_padding[0],
        group.upscale,
        round(group.slope * (1 << SLOPE_BITS)),
    )


def _float_weight(module):
    """The weights of a convolution in the order of an integer layer, float64 [kh,kw,C,O]."""
    weight = module.weight.detach().double().cpu()
    if hasattr(module, "mask"):
        weight = weight * module.mask.detach().double().cpu()
    return weight.permute(2, 3, 0, 1) if isinstance(module, nn.ConvTranspose2d) else weight.permute(2, 3, 1, 0)


def _is_of(layer, group):
    """Whether the weights of an integer layer are those of a float layer."""
    return torch.equal(layer.weight, _scaled(group.module, layer.fraction))


def _scaled(module, fraction):
    """The weights as integers in units of 2^-fraction [O]; exact but for the rounding, so the same everywhere."""
    units = torch.tensor([2.0**bits for bits in fraction.tolist()], dtype=torch.float64)
    weight = _float_weight(module)
    if len(units) != weight.shape[3]:
        raise ValueError(f"a convolution of {weight.shape[3]} channels has so many fractions, not {len(units)}")
    return (weight * units).round().to(torch.int64)
