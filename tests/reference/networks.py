"""Safetensors files, their fingerprints, and integer networks: docs/format/latents.md."""

import hashlib
import json
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
    """Of any kind of weight file."""
    first = {
        "codeckit weights 1": lambda: said["architecture"].encode(),
        "codeckit video weights 1": lambda: said["architecture"].encode(),
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
    """A convolution with its requantization. Sums stay below 2^53: float64 holds them exactly."""

    def __init__(self, weight, bias, shift, geometry):
        self.weight, self.bias = weight.astype(float), bias.astype(float)  # [kh,kw,C,O], [O]
        self.unit = 2.0 ** -shift.astype(float)
        (
            self.limit, self.transposed, self.stride, self.padding, self.more, self.upscale, self.slope,
            self.downscale, _,
        ) = geometry  # fmt: skip
        if self.downscale > 1:
            self.padding = (len(weight) - 1) // 2

    def __call__(self, x):
        y = self.transposed_sums(x) if self.transposed else self.sums(x)
        y = np.clip(np.floor(y * self.unit), -self.limit, self.limit)
        y = np.where(y < 0, np.floor((self.slope * y + 32768) / 65536), y)
        h, w, channels = y.shape
        r = self.upscale
        y = y.reshape(h, w, channels // (r * r), r, r).transpose(0, 3, 1, 4, 2)
        return y.reshape(r * h, r * w, channels // (r * r))

    def sums(self, x):
        p, s, (kh, kw) = self.padding, self.downscale, self.weight.shape[:2]
        x = np.pad(x, ((p, p), (p, p), (0, 0)))
        h, w = (x.shape[0] - kh) // s + 1, (x.shape[1] - kw) // s + 1
        acc = np.broadcast_to(self.bias, (h, w, self.bias.size)).copy()
        for a in range(kh):
            for b in range(kw):
                acc += x[a : a + s * (h - 1) + 1 : s, b : b + s * (w - 1) + 1 : s] @ self.weight[a, b]
        return acc

    def transposed_sums(self, x):
        (h, w, _), s, p, (kh, kw) = x.shape, self.stride, self.padding, self.weight.shape[:2]
        rows, columns = (h - 1) * s + kh + self.more, (w - 1) * s + kw + self.more
        acc = np.broadcast_to(self.bias, (rows, columns, self.bias.size)).copy()
        for a in range(kh):
            for b in range(kw):
                acc[a : a + (h - 1) * s + 1 : s, b : b + (w - 1) * s + 1 : s] += x @ self.weight[a, b]
        return acc[p : rows - p, p : columns - p]


class Igdn:
    """IGDN. Radicands stay below 2^50."""

    def __init__(self, weight, bias, shift, geometry):
        self.weight, self.bias, self.shift, self.limit = weight.astype(float), bias, shift.astype(int), geometry[0]

    def __call__(self, x):
        n = (x * x @ self.weight).astype(np.int64) + self.bias
        root = np.sqrt(n.astype(float)).astype(np.int64)
        root -= root * root > n
        root += (root + 1) ** 2 <= n
        half = np.where(self.shift > 0, 1 << np.maximum(self.shift - 1, 0), 0)
        y = np.floor((x * root + half) * 2.0**-self.shift)
        return np.clip(y, -self.limit, self.limit)


class Network:
    """One of the integer networks of a weight file: integers [h,w,C] to integers.

    Args:
        tensors: those of the file.
        state: how the names of the network's integers begin.
        floats: how the names of its weights begin.
        weights: the tensors with these weights, if they are another file's.
    """

    def __init__(self, tensors, state, floats, checkerboard=False, weights=None):
        weights = tensors if weights is None else weights
        version, count, self.input_bits, _, self.input_limit = tensors[f"{state}.network"].tolist()
        if version not in (1, 2):
            raise ValueError("another format of integer networks")
        numbers = {key: [int(n) for n in re.findall(r"\d+", key[len(floats) :])] for key in weights}
        keys = [key for key in weights if key.startswith(f"{floats}.") and key.endswith(("weight", "gamma"))]
        keys.sort(key=numbers.get)
        self.layers = []
        for n, key in zip(range(count), keys, strict=True):
            bias, shift, geometry, fraction = (
                tensors[f"{state}.{n}.{part}"] for part in ("bias", "shift", "geometry", "fraction")
            )
            geometry = [*geometry.tolist(), 1, 0][:9]
            unit, weight = 2.0 ** fraction.astype(float), weights[key].astype(float)
            if geometry[8]:
                gamma = np.maximum(np.maximum(weight, 0) ** 2 - 2.0**-36, 0)
                self.layers.append(Igdn(np.rint(gamma.T * unit), bias, shift, geometry))
                continue
            if weight.ndim == 3:
                weight = _unmasked(weight, 2 * geometry[3] + 1, checkerboard)
            elif f"{floats}.mask" in weights:
                weight = weight * weights[f"{floats}.mask"]
            weight = weight.transpose((2, 3, 0, 1) if geometry[1] else (2, 3, 1, 0))
            self.layers.append(Layer(np.rint(weight * unit), bias, shift, geometry))

    @property
    def padding(self):
        return self.layers[0].padding

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


def _unmasked(weight, k, checkerboard):
    """A masked kernel [O,C,positions] as [O,C,k,k]."""
    a, b = np.indices((k, k))
    seen = (a + b) % 2 == 1 if checkerboard else np.arange(k * k).reshape(k, k) < k * k // 2
    whole = np.zeros((*weight.shape[:2], k, k))
    whole[:, :, seen] = weight
    return whole
