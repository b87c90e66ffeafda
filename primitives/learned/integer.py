"""Integer networks: what a decoder computes to predict symbols and pictures, exact to the last bit on every machine.

**Why.** An entropy decoder reads symbols with the probabilities that the encoder wrote them with. In a learned codec
these come out of a network (hyper synthesis, context model, parameter network). In floating point the order of
additions changes a sum's last bits, and that order depends on the processor, the number of threads, the library and its
version. Let one mean differ by 1e-6: now and then a symbol falls to the other side of an edge, and from there on
everything that is read is noise, as an entropy decoder cannot find its way back. (In a test with a range coder, a
relative change of the means by 1e-6 made 787 of 1000 symbols wrong.) So these networks run in integers, where a + b + c
has one value (Ballé, Johnston and Minnen, "Integer networks for data compression with latent-variable models", ICLR
2019). The same holds for pictures that a video's next frames are predicted from: an error of one grey level is small,
but it feeds on itself, and features of such a picture may choose probabilities.

**How.** Fast matrix products exist for floats, on every device. Floats are exact on integers as long as these are small
enough: a float64 holds every integer up to 2^53, a float32 up to 2^24. So weights and activations are integers that
*travel as floats*. A layer computes for each output channel o::

    acc[o] = bias[o] + Σ weight[tap, c, o] · x[tap, c]            integers
    y[o]   = clamp(floor(acc[o] / 2^shift[o]), -limit, limit)     back to the scale of activations
    y[o]   = floor((slope · y[o] + 2^15) / 2^16)   where y[o] < 0     LeakyReLU (slope 0: ReLU)

and the next layer takes y. Activations and weights stand for reals in units of 2^-f, with f fixed by `quantize_network`
for each layer's activations and for each output channel's weights, so that going from one scale to the next is a shift;
rounding to nearest is an addend 2^(shift - 1) in the bias.

Two more kinds of layers are the same sums in other places. A convolution with stride s sees its input after a
sub-pixel *unshuffle* by s, which makes channels of each s × s block; its kernel is rearranged accordingly. A transposed
convolution with stride s makes s × s outputs at each input position, its *phases*: each is an ordinary convolution of
the input with every s-th tap of the kernel, and a shuffle puts them in place.

**IGDN** (`gdn`) multiplies each channel by a root::

    n[o] = bias[o] + Σ weight[c, o] · x[c]²                       β and γ, not negative
    r[o] = floor(√n[o])
    y[o] = clamp(floor((x[o] · r[o] + half[o]) / 2^shift[o]), -limit, limit)      half: 2^(shift - 1), or 0

**Proof of exactness.** *Sums.* An activation's magnitude is at most `limit`, by the clamp, whatever the input was (a
damaged stream's, say). So every product is an integer, and every sum of some of the products, with the bias or without,
has a magnitude of at most::

    bound = max over o of ( Σ |weight[tap, c, o]| · limit + |bias[o]| )

If bound < 2^53, each of these numbers is a float64. The result of a floating-point operation (fused or not) is the
exact result rounded to the nearest float, so where the exact result is a float, it is that. By induction no operation
rounds, in whatever order a library adds, and all orders give the same integers. Division by a power of two and
``floor`` are exact. `IntegerNetwork` computes the bound when it is made and raises ValueError if it does not hold.
Convolutions are sums of matrix products, one a kernel tap, and no library routine is used that transforms its input
(Winograd, FFT) and would go through fractions.

*Roots.* An IGDN layer must have n < 2^50, so r < 2^25. What is computed is floor(√(n + ½)). It equals r, as no square
lies between n and n + ½, and no library's root can miss it: n + ½ is at least r² + ½ and at most (r + 1)² - ½, so its
root is farther than 1 / (4r + 4) ≥ 2^-27 from both r and r + 1. Floats below 2^25 are at most 2^-28 apart. Hence a root
that is wrong by up to two units in its last place has the same floor (IEEE 754 asks for half a unit). The sums before
are multiples of ½ below 2^50, and are exact as above. `IntegerNetwork` also sees to limit² < 2^50 for the inputs; then
|x · r| < 2^50 and half ≤ 2^49 are exact, too.

float32 carries a layer whose bound is below 2^24 and whose weights and activations are at most 256: these are exact
even in the shortened formats (TF32, bfloat16) in which libraries may be told to multiply. That takes networks of about
8 bits; all others go in float64, and IGDN always does.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from .gdn import GDN

#: Slopes of LeakyReLU are integers in units of 2^-SLOPE_BITS.
SLOPE_BITS = 16

#: Magnitude of inputs and outputs that no useful network exceeds.
LIMIT = 1 << 20

#: Calibration leaves room for activations so many times larger than those seen.
HEADROOM = 2.0

_LARGEST_LIMIT, _LARGEST_SHIFT, _FINEST = 1 << 30, 60, 30

#: Sums of convolutions stay below the first number, those under the roots of IGDN below the second.
_SUMS, _RADICANDS = 1 << 53, 1 << 50

#: Bits of activations that IGDN squares: so many leave 16 for the sum of γ.
_SQUARED_BITS = 18

#: Numbers that stay in a processor's cache from one operation to the next.
_CACHED = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A convolution in integers, with the shuffles before and after it and the activation; or IGDN.

    Args:
        weight: integers [kh,kw,C,O]; of IGDN the factors γ [1,1,C,C].
        bias: integers [O], in units of the accumulator, rounding included; of IGDN the addends β.
        shift: integers [O], -60 … 60 (IGDN: 50): the accumulator, or the product with the root, is divided by 2^shift.
        fraction: integers [O]: the weights of a channel stand for reals in units of 2^-fraction. A network's `state`
            has it; what the layer computes does not depend on it.
        limit: the largest magnitude of an output, up to 2^30.
        transposed: whether the convolution is a transposed one; only then there may be a stride. (What an ordinary one
            with a stride computes, one with `downscale` does.)
        stride, padding, output_padding: as in ``torch.nn.ConvTranspose2d``, the same in both directions.
        upscale: factor r of ``torch.nn.PixelShuffle``, O = r²·channels.
        slope: of the negative side, in units of 2^-16: 0 is ReLU, 2^16 no activation.
        downscale: factor r of a ``torch.nn.PixelUnshuffle`` of the input, C = r²·channels.
        igdn: whether the layer is IGDN. All fields from `transposed` to `downscale` then have their default values.

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
    downscale: int = 1
    igdn: bool = False

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
            "downscale": (self.downscale, 1, 8),
        }
        for name, (value, low, high) in ranges.items():
            if not low <= value <= high:
                raise ValueError(f"an integer layer's {name} is {low} … {high}, not {value}")
        if shape[3] % self.upscale**2:
            raise ValueError(f"{shape[3]} channels cannot be shuffled by a factor of {self.upscale}")
        if shape[2] % self.downscale**2:
            raise ValueError(f"a shuffle by a factor of {self.downscale} does not make {shape[2]} channels")
        if self.igdn:
            self._check_igdn()

    def _check_igdn(self):
        if self.weight.shape != (1, 1, *2 * self.bias.shape):
            raise ValueError("IGDN has as many outputs as inputs, and no kernel")
        if any(getattr(self, name) != IntegerLayer.__dataclass_fields__[name].default for name in _GEOMETRY[1:8]):
            raise ValueError("IGDN has no geometry, and no activation follows it in its layer")
        if min(int(self.weight.min()), int(self.bias.min())) < 0 or int(self.shift.max()) > 50:
            raise ValueError("IGDN has no negative factors and addends, and shifts up to 50")

    @property
    def pointwise(self) -> bool:
        """Whether an output depends on the input at its own position alone, and stands there."""
        return self.weight.shape[:2] == (1, 1) and self.stride == self.upscale == self.downscale == 1

    @property
    def input_channels(self) -> int:
        """Channels before the unshuffle."""
        return self.weight.shape[2] // self.downscale**2

    @property
    def output_channels(self) -> int:
        """Channels after the shuffle."""
        return self.weight.shape[3] // self.upscale**2

    def bound(self, limit: int) -> int:
        """The largest magnitude of any partial sum, or square, if inputs have magnitudes up to `limit`."""
        absolute, largest = self.weight.abs().sum((0, 1, 2)).tolist(), limit**2 if self.igdn else limit
        sums = [total * largest + abs(bias) for total, bias in zip(absolute, self.bias.tolist(), strict=True)]
        return max(*sums, largest)


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
        ValueError: channels do not fit, or some layer's sums could pass 2^53 (IGDN: 2^50) and would not be exact.

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
        stages, limit, channels = [], self.input_limit, self.layers[0].input_channels
        for number, layer in enumerate(self.layers):
            if layer.input_channels != channels:
                raise ValueError(f"layer {number} takes {layer.input_channels} channels, but is given {channels}")
            bound, exact = layer.bound(limit), _RADICANDS if layer.igdn else _SUMS
            if bound >= exact:
                raise ValueError(
                    f"layer {number} may sum up to {bound:.3g}, which float64 does not hold exactly "
                    f"(2^{exact.bit_length() - 1}); use fewer bits for weights or activations"
                )
            small = bound < 1 << 24 and max(limit, int(layer.weight.abs().max())) <= 256
            if layer.igdn:
                stages.append(_Igdn(layer, self.device))
            else:
                stages.append(_Convolution(layer, torch.float32 if small else torch.float64, self.device))
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
        if x.ndim != 4 or x.shape[1] != self.layers[0].input_channels:
            raise ValueError(f"the network takes [N,{self.layers[0].input_channels},H,W], not {tuple(x.shape)}")
        x = self._clamped(x.permute(0, 2, 3, 1))
        for stage in self._stages:
            x = stage.everywhere(x)
        return x.permute(0, 3, 1, 2).to(torch.int32)

    @_exact
    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """A network of 1×1 convolutions and IGDN on single positions: int32 [N,O] for [N,C].

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
        time), the others are 1×1 or IGDN.

        Args:
            canvas: inputs, shaped and padded as by `canvas`; what no tap sees may be unknown yet.
            rows, columns: positions in the output [n] (int64).

        Raises:
            ValueError: the network has another shape, or the canvas does.
        """
        first = self.layers[0]
        self._require_pointwise(self.layers[1:], "at")
        if first.transposed or first.upscale > 1 or first.downscale > 1 or first.igdn:
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
        newer = any(layer.downscale > 1 or layer.igdn for layer in self.layers)
        version = max(_FORMATS) if newer else min(_FORMATS)
        header = [version, len(self.layers), self.input_bits, self.output_bits, self.input_limit]
        state = {"network": torch.tensor(header)}
        groups = _layers(modules)
        if len(groups) != len(self.layers) or not all(map(_is_of, self.layers, groups)):
            raise ValueError("the integer network was made of other modules than these")
        for number, layer in enumerate(self.layers):
            state[f"{number}.bias"] = layer.bias
            state[f"{number}.shift"] = layer.shift.to(torch.int8)
            state[f"{number}.fraction"] = layer.fraction.to(torch.int8)
            numbers = [int(getattr(layer, name)) for name in _GEOMETRY[: _FORMATS[version]]]
            state[f"{number}.geometry"] = torch.tensor(numbers)
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
            if version not in _FORMATS:
                raise ValueError(f"an integer network of format {version}; this version reads up to {max(_FORMATS)}")
            if count != len(groups):
                raise ValueError(f"the state of an integer network of {count} layers is given {len(groups)} modules")
            layers = []
            for number, group in enumerate(groups):
                bias, shift, fraction, geometry = (state[f"{number}.{name}"] for name in _TENSORS)
                fields = dict(zip(_GEOMETRY[: _FORMATS[version]], geometry.tolist(), strict=True))
                fields |= {name: bool(fields[name]) for name in ("transposed", "igdn") if name in fields}
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
_GEOMETRY = (
    "limit", "transposed", "stride", "padding", "output_padding", "upscale", "slope",
    "downscale", "igdn",
)  # fmt: skip

#: Formats of states: how many of these numbers they have.
_FORMATS = {1: 7, 2: 9}


class _Convolution:
    """A convolution made ready: its weights as floats on a device, without the taps that are all zero.

    Where all positions are computed, a convolution is a sum of matrix products, each with the input as a list of
    positions, moved by some offset. For a transposed one all phases are computed side by side.
    """

    def __init__(self, layer, dtype, device):
        self.layer, self.dtype, self.device = layer, dtype, device
        self.taps = [tuple(tap) for tap in layer.weight.abs().amax((2, 3)).nonzero().tolist()]
        phases, self.first = _phases(layer)
        self.kernel, (count, outputs) = phases.shape[:2], phases.shape[3:]
        self.products = []
        for row, column, first, last in _runs(phases.abs().amax((2, 4)).nonzero().tolist()):
            weight = phases[row, column, :, first:last].flatten(1).to(device, dtype)
            self.products.append((row, column, slice(first * outputs, last * outputs), weight))
        self.bias = layer.bias.repeat(count).to(device, dtype)
        self.scale = _reciprocals(layer.shift).repeat(count).to(device)

    @functools.cached_property
    def weight(self):
        """The weights [O,taps·C]: in this order they are read along memory where few positions are computed."""
        weight = torch.stack([self.layer.weight[tap] for tap in self.taps]) if self.taps else self.layer.weight[0, :0]
        return weight.permute(2, 0, 1).flatten(1).to(self.device, self.dtype).contiguous()

    def rows(self, x):
        """[N,O] for the taps' inputs [N,taps·C]."""
        return self._requantize(F.linear(x.to(self.dtype), self.weight, self.bias))

    def everywhere(self, x):
        """[N,H',W',O'] for [N,H,W,C]."""
        x = _unshuffled(x.to(self.dtype), self.layer.downscale)
        batch, *size, channels = x.shape
        layer, s = self.layer, self.layer.stride
        if layer.transposed:
            more = layer.output_padding - 2 * layer.padding
            full = [(n - 1) * s + k + more for n, k in zip(size, layer.weight.shape, strict=False)]
        else:
            full = [n + 2 * layer.padding - k + 1 for n, k in zip(size, layer.weight.shape, strict=False)]
        if min(full) < 1:
            raise ValueError("the input is smaller than the {}×{} kernel".format(*layer.weight.shape[:2]))
        height, width = (-(-n // s) for n in full)
        # In the padded input as a list of positions [N·H·W,C], what a tap sees of all positions is one slice. Positions
        # too near to the right and lower border get sums across it, which are cut off.
        padded = [height + self.kernel[0] - 1, width + self.kernel[1] - 1]
        (top, left), (bottom, right) = self.first, (p - n - f for p, n, f in zip(padded, size, self.first, strict=True))
        x = F.pad(x, (0, 0, left, right, top, bottom)).reshape(-1, channels)
        inner = len(x) - (self.kernel[0] - 1) * padded[1] - (self.kernel[1] - 1)
        y = torch.empty(len(x), self.bias.numel(), dtype=torch.float64, device=x.device)
        step = max(1, _CACHED // self.bias.numel())
        for start in range(0, inner, step):
            stop = min(start + step, inner)
            acc = self.bias.repeat(stop - start, 1)
            for row, column, outputs, weight in self.products:
                offset = row * padded[1] + column
                acc[:, outputs].addmm_(x[start + offset : stop + offset], weight)
            y[start:stop] = self._requantize(acc)
        y = _shuffled(y.view(batch, *padded, s, s, -1)[:, :height, :width])[:, : full[0], : full[1]]
        r = layer.upscale
        return y if r == 1 else _shuffled(y.unflatten(3, (-1, r, r)).permute(0, 1, 2, 4, 5, 3))

    def _requantize(self, acc):
        y = acc.to(torch.float64).mul_(self.scale).floor_().clamp_(-self.layer.limit, self.layer.limit)
        if self.layer.slope < 1 << SLOPE_BITS:
            # With a slope below 1 this is above y where y is negative, and not where it is positive.
            sloped = (y * self.layer.slope).add_(1 << SLOPE_BITS - 1).mul_(2.0**-SLOPE_BITS).floor_()
            y = torch.maximum(y, sloped)
        return y


class _Igdn:
    """IGDN made ready."""

    dtype = torch.float64

    def __init__(self, layer, device):
        self.layer = layer
        self.gamma = layer.weight[0, 0].to(device, torch.float64)
        self.beta = layer.bias.to(device, torch.float64) + 0.5
        self.half = torch.where(layer.shift > 0, 1 << (layer.shift - 1).clamp(min=0), 0).to(device, torch.float64)
        self.scale = _reciprocals(layer.shift).to(device)

    def rows(self, x):
        """[N,C] for [N,C]."""
        x = x.to(torch.float64)
        y = torch.addmm(self.beta, x.square(), self.gamma).sqrt_().floor_()
        return y.mul_(x).add_(self.half).mul_(self.scale).floor_().clamp_(-self.layer.limit, self.layer.limit)

    def everywhere(self, x):
        """[N,H,W,C] for [N,H,W,C]."""
        rows = x.reshape(-1, x.shape[3])
        parts = rows.split(max(1, _CACHED // rows.shape[1]))
        return torch.cat([self.rows(part) for part in parts]).view(x.shape)


def _reciprocals(shift):
    """2^-shift."""
    return torch.tensor([math.ldexp(1.0, -s) for s in shift.tolist()], dtype=torch.float64)


def _phases(layer):
    """A layer's convolution as an ordinary one, and how far its first tap lies before the output, down and right.

    With phases of a transposed convolution as outputs [kh',kw',C,s²,O]. An input at q reaches with tap a the output
    q · s + a - padding, which is phase (a - padding) mod s at the position q + floor((a - padding) / s).
    """
    (kh, kw, channels, outputs), s, p = layer.weight.shape, layer.stride, layer.padding
    if not layer.transposed:
        return layer.weight[:, :, :, None], (p, p)
    first, last = [(k - 1 - p) // s for k in (kh, kw)], -(-p // s)
    weight = layer.weight.new_zeros(first[0] + last + 1, first[1] + last + 1, channels, s * s, outputs)
    for a in range(kh):
        for b in range(kw):
            (y, row), (x, column) = divmod(a - p, s), divmod(b - p, s)
            weight[first[0] - y, first[1] - x, :, row * s + column] = layer.weight[a, b]
    return weight, tuple(first)


def _runs(used):
    """Runs (row, column, first phase, last phase + 1) of the phases (row, column, phase) that use a tap."""
    runs: list[list[int]] = []
    for row, column, phase in used:
        if runs and runs[-1][:2] == [row, column] and runs[-1][3] == phase:
            runs[-1][3] += 1
        else:
            runs.append([row, column, phase, phase + 1])
    return runs


def _shuffled(y):
    """[N,r·H,r·W,C] of [N,H,W,r,r,C]."""
    batch, height, width, r, _, channels = y.shape
    return y.permute(0, 1, 3, 2, 4, 5).reshape(batch, r * height, r * width, channels)


def _unshuffled(x, r):
    """[N,H,W,C·r²] of [N,r·H,r·W,C], as ``torch.nn.PixelUnshuffle``."""
    batch, height, width, channels = x.shape
    if height % r or width % r:
        raise ValueError(f"the network goes down by {r} and takes sides that are multiples of it, not {height}×{width}")
    x = x.view(batch, height // r, r, width // r, r, channels)
    return x.permute(0, 1, 3, 5, 2, 4).reshape(batch, height // r, width // r, channels * r * r)


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

    The network is a sequence of IGDN (`gdn.GDN` with ``inverse=True``), Conv2d (masked: with a buffer `mask` that its
    weights are multiplied with; with a stride only if kernel = 2 · padding + 1) and ConvTranspose2d, these with
    PixelUnshuffle before and PixelShuffle, ReLU and LeakyReLU after them. This is done once, when a model is exported:
    the result, not the float network, is what encoders and decoders run.

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
        activation_bits: hidden activations likewise; those that IGDN takes have at most 18.
        input_limit, output_limit: magnitudes, in these units, to which inputs and outputs are clamped. Where IGDN comes
            first, inputs of more than 18 bits leave few for its factors.

    Raises:
        ValueError: a module is of another kind, there are no samples, a number is not finite, or some layer's sums
            would not be exact.

    >>> modules = nn.Conv2d(1, 4, 1), nn.PixelShuffle(2), nn.ReLU()
    >>> network = quantize_network(modules, [torch.ones(1, 1, 2, 2)], weight_bits=8, input_limit=255)
    >>> network(torch.ones(1, 1, 2, 2)).shape
    torch.Size([1, 1, 4, 4])
    >>> synthesis = GDN(2, inverse=True), nn.ConvTranspose2d(2, 1, 5, 2, padding=2, output_padding=1)
    >>> network = quantize_network(synthesis, [torch.ones(1, 2, 4, 4)], input_limit=(1 << 17) - 1)
    >>> network(torch.ones(1, 2, 4, 4)).shape
    torch.Size([1, 1, 8, 8])
    """
    if not (2 <= weight_bits <= 24 and 2 <= activation_bits <= 24):
        raise ValueError(f"weights and activations have 2 … 24 bits, not {weight_bits} and {activation_bits}")
    groups = _layers(modules)
    seen = _calibrate(groups, samples)
    layers, fraction, inputs = [], input_bits, input_limit
    for number, group in enumerate(groups):
        limit, target = output_limit, output_bits
        if number < len(groups) - 1:
            squared = isinstance(groups[number + 1].module, GDN)
            limit = (1 << (min(activation_bits, _SQUARED_BITS) if squared else activation_bits) - 1) - 1
            target = min(_FINEST, _fraction(limit, HEADROOM * seen[number]))
        if isinstance(group.module, GDN):
            layers.append(_quantize_igdn(group.module, fraction, target, inputs, limit))
        else:
            layers.append(_quantize_convolution(group, fraction, target, weight_bits, limit))
        fraction, inputs = target, limit
    return IntegerNetwork(layers, input_bits, output_bits, input_limit)


@dataclasses.dataclass
class _FloatLayer:
    """A convolution with what comes before and after it, or IGDN."""

    module: nn.Module
    downscale: int = 1
    upscale: int = 1
    slope: float = 1.0


def _layers(modules):
    """The sequence of modules as a list of `_FloatLayer`."""
    groups, downscale = [], 1
    for module in _flat(modules):
        group = groups[-1] if groups and downscale == 1 and not isinstance(groups[-1].module, GDN) else None
        stride = module.stride[0] if isinstance(module, nn.Conv2d) else 1  # a transposed one makes pictures larger
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and 1 in (downscale, stride):
            _check_geometry(module)
            groups.append(_FloatLayer(module, max(downscale, stride)))
            downscale = 1
        elif isinstance(module, GDN) and module.inverse and downscale == 1:
            groups.append(_FloatLayer(module))
        elif isinstance(module, nn.PixelUnshuffle) and downscale == 1:
            downscale = module.downscale_factor
        elif isinstance(module, nn.PixelShuffle) and group and group.upscale == 1:
            group.upscale = module.upscale_factor
        elif isinstance(module, nn.LeakyReLU) and group and group.slope == 1 and 0 <= module.negative_slope <= 1:
            group.slope = module.negative_slope
        elif isinstance(module, nn.ReLU) and group and group.slope == 1:
            group.slope = 0.0
        elif not isinstance(module, nn.Identity):
            raise ValueError(
                f"an integer network cannot have {module} there: it takes IGDN and convolutions, each of these with at "
                "most one PixelUnshuffle before it (if it has no stride), and one PixelShuffle and one ReLU or "
                "LeakyReLU after it"
            )
    if not groups or downscale > 1:
        raise ValueError("an integer network has at least one convolution or IGDN, and none ends with PixelUnshuffle")
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
    if not plain or isinstance(module.padding, str):
        raise ValueError(
            "an integer network has ungrouped, undilated, zero-padded convolutions with the same stride and padding in "
            f"both directions, not {module}"
        )
    if not transposed and module.stride[0] > 1 and set(module.kernel_size) != {2 * module.padding[0] + 1}:
        raise ValueError(f"a convolution with a stride has kernels of 2 · padding + 1, in an integer network: {module}")


@torch.no_grad()
def _calibrate(groups, samples):
    """The largest magnitude before each layer's activation."""
    seen, count = [0.0] * len(groups), 0
    for x in samples:
        count += 1
        for number, group in enumerate(groups):
            if group.downscale > 1 and not _is_strided(group.module):
                x = F.pixel_unshuffle(x, group.downscale)
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


def _quantize_convolution(group, fraction, target, weight_bits, limit):
    """From inputs in units of 2^-fraction to outputs in units of 2^-target."""
    module = group.module
    transposed, weight = isinstance(module, nn.ConvTranspose2d), _float_weight(module)
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
        transposed,
        module.stride[0] if transposed else 1,
        -(-module.padding[0] // group.downscale) if _is_strided(module) else module.padding[0],
        module.output_padding[0],
        group.upscale,
        round(group.slope * (1 << SLOPE_BITS)),
        group.downscale,
    )


def _quantize_igdn(module, fraction, target, inputs, limit):
    """From inputs in units of 2^-fraction, of magnitudes up to `inputs`, to outputs in units of 2^-target.

    Radicands are in units of 2^-(fraction of γ + 2 · fraction), which is an even number of bits, so that roots are in
    units of 2^-(half of it).
    """
    gamma, beta = _float_weight(module)[0, 0], _nonnegative(module.beta, module.beta_reparam)
    if not (gamma.isfinite().all() and beta.isfinite().all()):
        raise ValueError("quantization needs finite weights and biases")
    room = _RADICANDS - (len(beta) + 1) * inputs**2  # rounding adds up to half a unit to each factor
    if room <= 0:
        raise ValueError(f"IGDN of {len(beta)} channels cannot take inputs up to {inputs}: use fewer bits for them")
    fractions, biases, shifts = [], [], []
    for total, b in zip(gamma.sum(0).tolist(), beta.tolist(), strict=True):
        finest = min(_FINEST, _fraction(room, total * inputs**2 + b * 4.0**fraction)) // 2 * 2
        fractions.append(finest)
        biases.append(round(b * 2.0 ** (finest + 2 * fraction)))
        shifts.append(finest // 2 + 2 * fraction - target)
    fractions = torch.tensor(fractions)
    return IntegerLayer(
        _scaled(module, fractions), torch.tensor(biases), torch.tensor(shifts), fractions, limit, igdn=True
    )


def _nonnegative(stored, reparam):
    """What the stored form of β or γ stands for, in float64: `gdn.NonNegative` in steps that no machine does otherwise.

    The larger one of p and a bound, squared, is the larger one of the squares. The square of a float32 is exact in
    float64; the subtraction is rounded once.
    """
    pedestal = reparam.pedestal.double().cpu()
    return (stored.detach().double().cpu().clamp(min=0).square() - pedestal).clamp(min=reparam.minimum)


def _float_weight(module):
    """The weights of a convolution in the order of an integer layer, or γ of IGDN: float64 [kh,kw,C,O]."""
    if isinstance(module, GDN):
        return _nonnegative(module.gamma, module.gamma_reparam).t()[None, None]
    weight = module.weight.detach().double().cpu()
    if hasattr(module, "mask"):
        weight = weight * module.mask.detach().double().cpu()
    if isinstance(module, nn.ConvTranspose2d):
        return weight.permute(2, 3, 0, 1)
    weight = weight.permute(2, 3, 1, 0)
    return _unshuffled_kernel(weight, module.stride[0], module.padding[0]) if _is_strided(module) else weight


def _is_strided(module):
    return isinstance(module, nn.Conv2d) and module.stride[0] > 1


def _unshuffled_kernel(weight, s, p):
    """The kernel [k',k',C·s²,O] that does on the unshuffled input what [k,k,C,O] does with stride `s`, k = 2p + 1."""
    (k, _, channels, outputs), reach = weight.shape, -(-p // s)
    unshuffled = weight.new_zeros(2 * reach + 1, 2 * reach + 1, channels, s, s, outputs)
    for a in range(k):
        for b in range(k):
            (y, row), (x, column) = divmod(a - p, s), divmod(b - p, s)
            unshuffled[reach + y, reach + x, :, row, column] = weight[a, b]
    return unshuffled.flatten(2, 4)


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
