"""Frames of `dvc` and `dcvc`, to the last pixel: docs/format/learned-video.md."""

import zlib

import numpy as np

from . import latents, motion
from .arithmetic import Decoder
from .container import Reader, check
from .networks import Network
from .tables import tables_of


class VideoModel:
    """What the weight file of a video codec says, and that of its I-frames: metadata and tensors of both."""

    def __init__(self, said, tensors, still):
        self.still = latents.Model(*still)
        self.still_network = Network(tensors, "still.g_s", "network.g_s", weights=still[1])
        self.gains, self.steps, self.base = (tensors[name] for name in ("still.gains", "exact.steps", "exact.base"))
        self.tables = tables_of(*(tensors[f"exact.tables.{name}"] for name in ("frequencies", "sizes", "lowest")))
        self.conditional = said["architecture"] == "dcvc"
        names = ["context", "correction", "g_s", "tail"] + (["fusion", "prior"] if self.conditional else [])
        self.networks = {name: Network(tensors, f"exact.{name}", f"network.{name}") for name in names}
        self.experiences = {
            int(name[11:]): data.tobytes() for name, data in tensors.items() if name.startswith("experience.")
        }

    def experience(self, level):
        known = sorted(self.experiences, key=lambda each: (abs(each - level), each))
        return self.experiences[known[0]] if known else None

    def picture(self, symbols, level):
        """The picture of an I-frame [16R,16C,3]."""
        y = 256 * np.clip(symbols.astype(np.int64), -(1 << 20), 1 << 20) + self.still.medians[level]
        shift = 32 - self.still_network.input_bits
        x = (y * self.gains[level].astype(np.int64) + (1 << shift - 1)) >> shift
        samples = np.clip(self.still_network(np.clip(x, 1 - (1 << 17), (1 << 17) - 1)), 0, 1 << 16)
        return (samples * 255 + (1 << 15)) >> 16


def decode_frames(chunks: list[bytes], size: tuple[int, int], model: VideoModel):
    """For each frame its level, and its planes: three, or one if it is grey."""
    frames, group = [], None
    for chunk in chunks:
        body, own = chunk[:-2], int.from_bytes(chunk[-2:], "big")
        check(len(body) >= 2 and zlib.crc32(body) & 0xFFFF == own, "a chunk is damaged")
        kind, level = body[:2]
        check(level < len(model.steps), "no such level")
        if kind == 0:
            group = _Group(model, body[2:], size)
        else:
            check(kind == 1 and group is not None, "no kind of frame, or nothing to predict it from")
            group.predicted(level, Reader(body[2:]))
        frames.append((level, group.planes()))
    return frames


class _Group:
    def __init__(self, model, payload, size):
        self.model, self.size = model, size
        found, self.color, level, symbols, _ = latents.latent_mixed(payload, model.still)
        check(found == size, "an I-frame of another size")
        self.frame = model.picture(symbols[0], level)
        self.memory, self.statistics = {}, None

    def planes(self):
        height, width = self.size
        cut = self.frame[:height, :width]
        return [(cut.sum(2) + 1) // 3] if self.color == 0 else list(np.moveaxis(cut, 2, 0))

    def predicted(self, level, reader):
        model, networks = self.model, self.model.networks
        shape = self.frame.shape[0] // 16, self.frame.shape[1] // 16
        field = motion.decode_field(reader.block(), shape, self.memory)
        p = np.stack([motion.overlapped(self.frame[..., plane], *field) for plane in range(3)], 2)
        seen = np.concatenate((_cells(p), _cells(self.frame)), 2)
        seen = np.concatenate((seen, np.full_like(seen[..., :1], 4 * level)), 2)
        c = networks["context"](seen)
        corrected = 16 * p + networks["correction"](c)
        scale = np.broadcast_to(model.base[level], (*shape, len(model.base[level])))
        if model.conditional:
            scale = scale + networks["prior"](c)
        indices = np.clip((scale + 16) >> 5, 0, len(model.tables) - 1)
        symbols = self.symbols(reader.rest(), indices, level)
        features = networks["g_s"](symbols * model.steps[level].astype(np.int64))
        total = corrected + networks["tail"](features)
        if model.conditional:
            total = total + networks["fusion"](np.concatenate((features, c), 2))
        self.frame = np.clip((total + 8) >> 4, 0, 255)

    def symbols(self, data, indices, level):
        base = self.model.base[level].tolist()
        if self.statistics is None:
            self.statistics = latents.Statistics(len(base), self.model.experience(level), temporal=True)
            self.past = np.zeros(indices.shape, np.int64)
        order = sorted(range(len(base)), key=lambda channel: -base[channel])
        plane, decoder = latents.Plane(self.statistics, self.past), Decoder(data)
        self.past = np.zeros(indices.shape, np.int64)
        for where in np.ndindex(*indices.shape[:2]):
            distributions = [self.model.tables[index] for index in indices[where]]
            self.past[where] = plane.position(decoder, where, distributions, order)
        decoder.finish()
        return self.past


def _cells(frame):
    """Frames [H,W,3] as [H/4,W/4,48]: channel 16 · plane + 4 · row + column."""
    height, width, planes = frame.shape
    cells = frame.reshape(height // 4, 4, width // 4, 4, planes).transpose(0, 2, 4, 1, 3)
    return cells.reshape(height // 4, width // 4, 16 * planes)
