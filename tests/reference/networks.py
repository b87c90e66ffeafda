"""Safetensors files, their fingerprints, and integer networks: docs/format/latents.md."""

import hashlib
import json
import math
import re

import numpy as np

_TYPES = {"F16": "<f2", "F32": "<f4", "I8": "|i1", "U8": "|u1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}


def read_safetensors(data: bytes) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Metadata and tensors."""
    length = int.from_bytes(data[:8], "little")
    head, tensors = json.loads(data[8 : 8 + length]), {}
    said = head.pop("__metadata__", {})
    for name, entry in head.items():
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[8 + length + begin : 8 + length + end], _TYPES[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return said, tensors


def fingerprint(said, tensors) -> bytes:
    """Of any of the three kinds of files."""
    first = {
        "codeckit weights 1": lambda: said["architecture"].encode(),
        "codeckit token model 1": lambda: bytes.fromhex(said["backbone"]),
        "codeckit tokenizer 1": lambda: f"tokens-fsq {said['levels']} {said['widths']}".encode(),
    }
    digest = hashlib.sha256(first[said["format"]]())
    for name in sorted(tensors):
        array = tensors[name]
        line = f"\n{name} {array.dtype.newbyteorder('<').str} {list(array.shape)}\n"
        digest.update(line.encode() + array.tobytes())
    return digest.digest()[:4]


class Layer:
    """A layer with its requantization. Sums stay below 2^53: float64 holds them exactly."""

    def __init__(self, weight, bias, shift, geometry):
        self.weight, self.bias = weight.astype(float), bias.astype(float)  # [kh,kw,C,O], [O]
        self.unit = 2.0 ** -shift.astype(float)
        self.half = np.floor(2.0 ** (shift.astype(float) - 1))
        numbers = [*geometry.tolist(), 1, 0][:9]  # format 1 lacks the last two
        self.limit, self.transposed, self.stride, self.padding, self.more, self.upscale, self.slope, *new = numbers
        self.downscale, self.igdn = new

    def __call__(self, x):
        d, (h, w, channels) = self.downscale, x.shape
        x = x.reshape(h // d, d, w // d, d, channels).transpose(0, 2, 4, 1, 3).reshape(h // d, w // d, channels * d * d)
        y = self.products(x) if self.igdn else self.transposed_sums(x) if self.transposed else self.sums(x)
        y = np.clip(np.floor(y * self.unit), -self.limit, self.limit)
        y = np.where(y < 0, np.floor((self.slope * y + 32768) / 65536), y)
        h, w, channels = y.shape
        r = self.upscale
        y = y.reshape(h, w, channels // (r * r), r, r).transpose(0, 3, 1, 4, 2)
        return y.reshape(r * h, r * w, channels // (r * r))

    def products(self, x):
        n = self.bias + (x * x) @ self.weight[0, 0]
        roots = np.array([math.isqrt(int(each)) for each in n.flat], float).reshape(n.shape)
        return x * roots + self.half

    def sums(self, x):
        p, (kh, kw) = self.padding, self.weight.shape[:2]
        x = np.pad(x, ((p, p), (p, p), (0, 0)))
        h, w = x.shape[0] - kh + 1, x.shape[1] - kw + 1
        acc = np.broadcast_to(self.bias, (h, w, self.bias.size)).copy()
        for a in range(kh):
            for b in range(kw):
                acc += x[a : a + h, b : b + w] @ self.weight[a, b]
        return acc

    def transposed_sums(self, x):
        (h, w, _), s, p, (kh, kw) = x.shape, self.stride, self.padding, self.weight.shape[:2]
        rows, columns = (h - 1) * s + kh + self.more, (w - 1) * s + kw + self.more
        acc = np.broadcast_to(self.bias, (rows, columns, self.bias.size)).copy()
        for a in range(kh):
            for b in range(kw):
                acc[a : a + (h - 1) * s + 1 : s, b : b + (w - 1) * s + 1 : s] += x @ self.weight[a, b]
        return acc[p : rows - p, p : columns - p]


class Network:
    """One of the integer networks of a file: integers [h,w,C] to integers.

    `name` is what the names of its own tensors begin with, `floats` what those of its float weights begin with,
    `strided` the numbers of layers whose float convolutions have a stride.
    """

    def __init__(self, tensors, name, floats, checkerboard=False, strided=()):
        version, count, self.input_bits, _, self.input_limit = tensors[f"{name}.network"].tolist()
        if version not in (1, 2):
            raise ValueError("another format of integer networks")
        numbers = {key: [int(n) for n in re.findall(r"\d+", key[len(floats) :])] for key in tensors}
        weights = [key for key in tensors if key.startswith(f"{floats}.") and key.endswith(("weight", "gamma"))]
        weights.sort(key=numbers.get)
        self.layers = []
        for n, key in zip(range(count), weights, strict=True):
            bias, shift, geometry = (tensors[f"{name}.{n}.{part}"] for part in ("bias", "shift", "geometry"))
            weight = tensors[key].astype(float)
            if key.endswith("gamma"):
                weight = np.maximum(np.maximum(weight, 0) ** 2 - 2.0**-36, 0)[:, :, None, None]
            if weight.ndim == 3:
                weight = _unmasked(weight, 2 * int(geometry[3]) + 1, checkerboard)
            elif f"{floats}.mask" in tensors:
                weight = weight * tensors[f"{floats}.mask"]
            weight = weight.transpose((2, 3, 0, 1) if geometry[1] else (2, 3, 1, 0))
            if n in strided:
                weight = _unshuffled(weight, int(geometry[7]))
            fraction = tensors[f"{name}.{n}.fraction"].astype(float)
            self.layers.append(Layer(np.rint(weight * 2.0**fraction), bias, shift, geometry))
        self.padding = self.layers[0].padding

    def __call__(self, x):
        y = np.clip(x, -self.input_limit, self.input_limit).astype(float)
        for layer in self.layers:
            y = layer(y)
        return y.astype(np.int64)

    def at(self, x, row, column):
        """The output at one position, of a network whose first layer has a kernel and whose others have none."""
        p = self.padding
        top, left = max(row - p, 0), max(column - p, 0)
        return self(x[top : row + p + 1, left : column + p + 1])[row - top, column - left]


def _unshuffled(weight, s):
    """The kernel of a convolution with stride s, [k,k,C,O], for the unshuffled input."""
    k, _, channels, outputs = weight.shape
    p, reach = k // 2, -(-(k // 2) // s)
    whole = np.zeros((2 * reach + 1, 2 * reach + 1, channels, s, s, outputs))
    for a in range(k):
        for b in range(k):
            whole[reach + (a - p) // s, reach + (b - p) // s, :, (a - p) % s, (b - p) % s] = weight[a, b]
    return whole.reshape(2 * reach + 1, 2 * reach + 1, channels * s * s, outputs)


def exact_picture(symbols, level, integers, tensors):
    """The picture of symbols of balle2017 in integers, uint8 [16h,16w,3].

    Args:
        integers: the tensors `gains` and `g_s.*`.
        tensors: those of the weight file of balle2017.
    """
    network = Network({**tensors, **integers}, "g_s", "network.g_s")
    latents = 256 * np.clip(symbols.astype(np.int64), -(1 << 20), 1 << 20) + tensors["probabilities.medians"][level]
    shift = 32 - network.input_bits
    x = (latents * integers["gains"][level].astype(np.int64) + (1 << shift - 1)) >> shift
    return ((255 * np.clip(network(x), 0, 1 << 16) + (1 << 15)) >> 16).astype(np.uint8)


def _unmasked(weight, k, checkerboard):
    """A masked kernel [O,C,positions] as [O,C,k,k]."""
    a, b = np.indices((k, k))
    seen = (a + b) % 2 == 1 if checkerboard else np.arange(k * k).reshape(k, k) < k * k // 2
    whole = np.zeros((*weight.shape[:2], k, k))
    whole[:, :, seen] = weight
    return whole
