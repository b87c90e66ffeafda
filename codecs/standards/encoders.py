"""The encoders and decoders behind the video standards: planes in, packets out, and the other way round.

=======  =================================  ==================
name     encoder                            decoder
=======  =================================  ==================
h264     x264, through PyAV                 FFmpeg's h264
hevc     x265, through PyAV                 FFmpeg's hevc
av1      SVT-AV1, through PyAV              dav1d
vp9      libvpx, through PyAV               FFmpeg's vp9
vvc      VVenC, in imageio-ffmpeg's FFmpeg  FFmpeg's vvc
=======  =================================  ==================

A *packet* is one coded picture as the standard's bitstream holds it. Encoders that look ahead return a picture's packet
some pictures later, and packets come in decoding order. Pictures go in as planes of the encoder's own pixel format: no
scaler or colour converter of FFmpeg's is involved.
"""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ...primitives.errors import StreamError
from ..timing import Clock


@dataclass(frozen=True)
class Standard:
    """What differs from standard to standard.

    Attributes:
        encoder, decoder: FFmpeg's names.
        highest: the coarsest quantization parameter; 0 is the finest.
        presets: names of the encoder's speed presets, slow ones first.
        preset: the one to use unless told otherwise.
        chroma: samplings that the encoder has; grey where it has a grey format.
        bits: sample depths that it has, the usual one first.
        smallest: the smallest side it codes; smaller pictures are padded.
        largest: the most rows and columns that encoder and decoder take.
        fastest: the most pictures a second that the encoder takes.
    """

    encoder: str
    decoder: str
    highest: int
    presets: tuple[str, ...]
    preset: str
    chroma: tuple[str, ...]
    bits: tuple[int, ...]
    smallest: int
    largest: tuple[int, int]
    fastest: int = 1000


_X26 = ("placebo", "veryslow", "slower", "slow", "medium", "fast", "faster", "veryfast", "superfast", "ultrafast")

STANDARDS = {
    "h264": Standard(
        "libx264", "h264", 51, _X26, "medium", ("4:2:0", "4:2:2", "4:4:4", "grey"), (8, 10), 2, (16384, 16384)
    ),
    "hevc": Standard(
        "libx265", "hevc", 51, _X26, "medium", ("4:2:0", "4:2:2", "4:4:4", "grey"), (8, 10, 12), 16, (1 << 20, 1 << 20)
    ),
    "av1": Standard(
        "libsvtav1", "libdav1d", 63, tuple(map(str, range(14))), "4", ("4:2:0",), (10, 8), 64, (8704, 16384)
    ),
    "vp9": Standard(
        "libvpx-vp9", "vp9", 63, tuple(map(str, range(9))), "1", ("4:2:0", "4:2:2", "4:4:4"), (8,), 8, (65536, 65536)
    ),
    "vvc": Standard(
        "libvvenc",
        "vvc",
        63,
        ("slower", "slow", "medium", "fast", "faster"),
        "medium",
        ("4:2:0",),
        (10,),
        16,
        (25332, 25332),
    ),
}

#: Encoders that take QP offsets of regions, on blocks of 16×16 samples; offsets are shares of this range for FFmpeg.
REGIONAL, REGION_CELL, QP_RANGE = ("h264", "hevc"), 16, 51

# Code points of ITU-T H.273: matrix coefficients by our names; BT.709 primaries and the sRGB transfer function.
_MATRIX_CODES = {"bt601": 6, "bt709": 1}
_PRIMARIES, _TRANSFER = 1, 13
_RANGE_CODES = {"limited": 1, "full": 2}


@dataclass(frozen=True)
class Settings:
    """How to code: every encoder's options in one vocabulary.

    Attributes:
        standard: a key of `STANDARDS`.
        level: quantization parameter, or constant rate factor if `rate` says so; lower is better.
        rate: ``"qp"`` (the same quantizer in all pictures of a kind) or ``"crf"`` (the encoder spends more where it
            shows or lasts).
        preset: one of the standard's presets.
        chroma: ``"4:2:0"``, ``"4:2:2"``, ``"4:4:4"`` or ``"grey"``.
        matrix, value_range, bits: as in `primitives.color.rgb_to_planes`.
        still: there is a single picture.
        gop: pictures from one intra picture to the next.
        low_delay: code pictures in the order in which they come, each predicted from earlier ones alone.
        tune: ``"psnr"``, ``"ssim"`` or ``"none"``, for encoders that shift bits to where they are seen.
        threads: threads that the encoder may use.
        regions: (x, y, width, height, QP offset) of luma samples, which do not overlap; for encoders in `REGIONAL`,
            with a constant rate factor.
    """

    standard: str
    level: int
    rate: str = "qp"
    preset: str = ""
    chroma: str = "4:2:0"
    matrix: str = "bt601"
    value_range: str = "full"
    bits: int = 8
    still: bool = False
    gop: int = 1
    low_delay: bool = False
    tune: str = "psnr"
    threads: int = 1
    regions: tuple[tuple[int, int, int, int, int], ...] = ()

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of the planes' layout.

        >>> Settings("hevc", 30, chroma="4:4:4", bits=10).pixel_format
        'yuv444p10le'
        """
        name = "gray" if self.chroma == "grey" else "yuv" + self.chroma.replace(":", "") + "p"
        return name + (f"{self.bits}le" if self.bits > 8 else "")


def _join(**options) -> str:
    return ":".join(f"{name.replace('_', '-')}={value}" for name, value in options.items())


def _offsets_taken(s: Settings) -> dict[str, Any]:
    """Private options of x264 and x265 that make them take regions.

    They do as a part of adaptive quantization alone, which a strength near 0 leaves without effect of its own.
    """
    return {"aq_mode": 1, "aq_strength": 0.01} if s.regions else {}


def regions(offsets: np.ndarray, cell: int) -> tuple[tuple[int, int, int, int, int], ...]:
    """QP offsets of cells [rows,columns] as few rectangles (x, y, width, height, offset) without those of offset 0.

    >>> regions(np.array([[0, -6, -6], [2, -6, -6]]), 16)
    ((16, 0, 32, 32, -6), (0, 16, 16, 16, 2))
    """
    found: list[tuple[int, int, int, int, int]] = []
    open_runs: dict[tuple[int, int, int], int] = {}  # (first column, number of columns, offset): number in `found`
    for row, line in enumerate(offsets.tolist()):
        runs, column = {}, 0
        for value, group in itertools.groupby(line):
            length = len(list(group))
            if value:
                runs[column, length, value] = len(found)
                if (above := open_runs.get((column, length, value))) is not None:
                    x, y, width, height, _ = found[above]
                    found[above] = x, y, width, height + cell, value
                    runs[column, length, value] = above
                else:
                    found.append((cell * column, cell * row, cell * length, cell, value))
            column += length
        open_runs = runs
    return tuple(found)


def encoder_options(s: Settings) -> dict[str, str]:
    """The options that PyAV hands to the encoder.

    >>> encoder_options(Settings("h264", 30, preset="fast"))["preset"]
    'fast'
    """
    still = s.still or s.gop == 1
    if s.standard == "h264":
        tunes = [s.tune] * (s.tune != "none") + ["zerolatency"] * (s.low_delay or still)
        private = _join(keyint=s.gop, chromaloc=1, **({"ipratio": 1} if still else {}), **_offsets_taken(s))
        options = {"preset": s.preset, s.rate: str(s.level), "x264-params": private}
        return {**options, "tune": ",".join(tunes)} if tunes else options
    if s.standard == "hevc":
        private = {s.rate: s.level, "keyint": s.gop, "chromaloc": 1, "info": 0, "log_level": "error"}
        private |= _offsets_taken(s)
        if still:
            private |= {"ipratio": 1}
        if still or s.low_delay:
            private |= {"bframes": 0, "rc_lookahead": 0, "b_adapt": 0, "cutree": 0}
        if s.threads == 1:
            private |= {"pools": "none", "frame_threads": 1, "wpp": 0}
        options = {"preset": s.preset, "x265-params": _join(**private)}
        return {**options, "tune": s.tune} if s.tune != "none" else options
    if s.standard == "av1":
        private = {"keyint": s.gop, "tune": {"none": 0, "psnr": 1, "ssim": 2}[s.tune], "lp": s.threads}
        private |= {"rc": 0, "aq_mode": 0 if s.rate == "qp" else 2, s.rate: s.level, "enable_overlays": 0}
        if s.still:
            private |= {"avif": 1}
        elif s.low_delay:
            private |= {"pred_struct": 1}
        return {"preset": s.preset, "svtav1-params": _join(**private)}
    options = {"deadline": "good", "cpu-used": s.preset, "row-mt": "0", "aq-mode": "0", "b": "0"}
    options |= {"lag-in-frames": "0", "auto-alt-ref": "0"} if still or s.low_delay else {"lag-in-frames": "25"}
    if s.tune == "ssim":
        options |= {"tune": "ssim"}
    if s.rate == "crf":
        return {**options, "crf": str(s.level)}
    return {**options, "qmin": str(s.level), "qmax": str(s.level), "crf": str(s.level)}


@dataclass(frozen=True)
class File:
    """A file for an encoder's packets.

    Attributes:
        path: where it is.
        form: FFmpeg's name of its format, such as ``"mp4"``, or of a raw bitstream's.
        clock: when frames are shown; None for a constant rate.
        aspect: width by height of a pixel.
    """

    path: str
    form: str
    clock: Clock | None = None
    aspect: Fraction = Fraction(1)


def configure(context, s: Settings, size: tuple[int, int], fps: Fraction) -> None:
    """Set an encoder's PyAV context up: size (H, W), pixel format, colour tags, options."""
    context.height, context.width = size
    context.pix_fmt = s.pixel_format
    context.time_base = 1 / fps
    context.framerate = fps
    context.gop_size = s.gop
    context.colorspace = _MATRIX_CODES[s.matrix]
    context.color_range = _RANGE_CODES[s.value_range]
    context.color_primaries, context.color_trc = _PRIMARIES, _TRANSFER
    context.thread_count = s.threads
    context.options = encoder_options(s)
    if s.standard == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # its only way to keep the encoder's chatter off stderr: errors alone


def to_frame(planes: tuple[np.ndarray, ...], s: Settings, number: int, fps: Fraction):
    """An FFmpeg frame that holds the planes."""
    from av import VideoFrame

    height, width = planes[0].shape
    frame = VideoFrame(width, height, s.pixel_format)
    for target, plane in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(target, plane.dtype).reshape(target.height, -1)
        rows[:, : plane.shape[1]] = plane
    frame.pts, frame.time_base = number, 1 / fps
    frame.colorspace, frame.color_range = _MATRIX_CODES[s.matrix], _RANGE_CODES[s.value_range]
    return frame


def from_frame(frame) -> tuple[tuple[np.ndarray, ...], int]:
    """The planes of an FFmpeg frame in a planar format, copied, and their number of bits."""
    bits = frame.format.components[0].bits
    dtype = np.uint16 if bits > 8 else np.uint8
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)
        planes.append(rows[:, : plane.width].copy())
    return tuple(planes), bits


def open_encoder(settings: Settings, size: tuple[int, int], fps: Fraction = Fraction(25), file: File | None = None):
    """An encoder at work: ``encode(planes)`` a picture at a time, then ``flush()``, each returning the packets done.

    Args:
        settings: how to code.
        size: (H, W) of the luma plane.
        fps: pictures a second.
        file: a file for the packets, which are then not returned; closed by ``flush()``.

    Its ``close()`` lets go of the encoder, also before its end.

    Raises:
        ValueError: the encoder codes no pictures of that size.
    """
    (height, width), (rows, columns) = size, STANDARDS[settings.standard].largest
    if height > rows or width > columns:
        raise ValueError(f"{settings.standard} codes pictures of at most {columns}×{rows} pixels, not {width}×{height}")
    if settings.standard == "vvc":
        return _Vvenc(settings, size, fps, file)
    fastest = Fraction(STANDARDS[settings.standard].fastest)
    if not file:  # what holds the packets states the rate
        return _Pyav(settings, size, min(fps, fastest))
    if fps > fastest:
        raise ValueError(f"{settings.standard} codes at most {fastest} pictures a second, not {float(fps):.6g}")
    return _PyavFile(settings, size, fps, file)


def _region_graph(s: Settings, size: tuple[int, int], fps: Fraction):
    """A filter graph that notes the regions of every frame for the encoder, cut where the frame ends."""
    import av

    (height, width), graph = size, av.filter.Graph()
    last = graph.add_buffer(width=width, height=height, format=s.pixel_format, time_base=1 / fps)
    for x, y, across, down, offset in s.regions:
        across, down = min(across, width - x), min(down, height - y)
        if across > 0 and down > 0:
            share = Fraction(max(-QP_RANGE, min(offset, QP_RANGE)), QP_RANGE)
            region = graph.add(
                "addroi", f"x={x}:y={y}:w={across}:h={down}:qoffset={share.numerator}/{share.denominator}"
            )
            last.link_to(region)
            last = region
    last.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


class _Pyav:
    """An encoder that PyAV has."""

    def __init__(self, settings, size, fps):
        import av

        av.logging.set_level(av.logging.FATAL)
        self._settings, self._fps, self._count = settings, fps, 0
        self._context = self._open(settings, fps)
        configure(self._context, settings, size, fps)
        self._graph = _region_graph(settings, size, fps) if settings.regions else None

    def _open(self, settings, fps):
        import av

        return av.CodecContext.create(STANDARDS[settings.standard].encoder, "w")

    def encode(self, planes):
        frame = to_frame(planes, self._settings, self._count, self._fps)
        self._count += 1
        if self._graph is not None:
            self._graph.push(frame)
            frame = self._graph.pull()
        return self._packets(frame)

    def flush(self):
        return self._packets(None)

    def close(self):
        pass

    def _packets(self, frame):
        import av

        try:
            with usual_scheduling():
                return self._take(self._context.encode(frame))
        except (av.error.FFmpegError, ValueError) as error:
            raise ValueError(self._complaint(error)) from error

    def _take(self, packets):
        packets = [bytes(packet) for packet in packets]
        return [without_sei(data, "h264") for data in packets] if self._settings.standard == "h264" else packets

    def _complaint(self, error) -> str:
        s, name = self._settings, STANDARDS[self._settings.standard].encoder
        size = f"{self._context.width}×{self._context.height}"
        what = f"{s.pixel_format} pictures of {size}, {float(self._fps):.6g} a second, with preset {s.preset!r}"
        return f"{name} cannot code {what}: {said(error)}"


class _PyavFile(_Pyav):
    """The same with a file for its packets."""

    def __init__(self, settings, size, fps, file):
        self._target = file
        super().__init__(settings, size, fps)
        if file.aspect != 1:
            self._context.sample_aspect_ratio = file.aspect
        if file.clock is not None:
            self._stream.time_base = Fraction(1, file.clock.scale)

    def _open(self, settings, fps):
        import av

        self._file = av.open(f"file:{self._target.path}", "w", format=self._target.form)
        try:
            self._stream = self._file.add_stream(STANDARDS[settings.standard].encoder, rate=fps)
        except ValueError as error:
            raise ValueError(f"{self._target.form} files do not hold {settings.standard}: {error}") from error
        return self._stream.codec_context

    def _packets(self, frame):
        # The stream's own `encode` gives packets that belong to it.
        import av

        try:
            with usual_scheduling():
                packets = self._stream.encode(frame)
        except (av.error.FFmpegError, ValueError) as error:
            raise ValueError(self._complaint(error)) from error
        try:
            for packet in packets:
                if self._settings.standard == "hevc" and self._count <= 2:
                    # x265 leaves the time of decoding unset where a video is shorter than its delay by reordering.
                    packet.dts = packet.pts
                if self._target.clock is not None:
                    # Their time stamps count pictures at a constant rate.
                    shown, decoded = (
                        None if stamp is None else round(stamp * packet.time_base * self._fps)
                        for stamp in (packet.pts, packet.dts)
                    )
                    show_at(packet, self._target.clock, shown, decoded)
                self._file.mux(packet)
        except (av.error.FFmpegError, ValueError) as error:
            standard, form = self._settings.standard, self._target.form
            raise ValueError(f"{standard} cannot be written as {form}: {said(error)}") from error
        return []

    def flush(self):
        self._packets(None)
        self._file.close()
        return []

    def close(self):
        self._file.close()


@contextlib.contextmanager
def usual_scheduling() -> Iterator[None]:
    """Set the scheduling of this thread back at the end.

    SVT-AV1, started by root, makes the thread that opens it a real-time one, and nothing else runs beside it any more.
    """
    if not hasattr(os, "sched_getscheduler"):  # Linux alone has it
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != before[0]:
            os.sched_setscheduler(0, *before)


def show_at(packet, clock: Clock, shown: int, decoded: int | None) -> None:
    """Give a packet the time stamps of a clock, by its picture's numbers in the orders of display and decoding."""
    packet.time_base = Fraction(1, clock.scale)
    packet.pts, packet.dts = clock.at(shown), None if decoded is None else clock.at(decoded)
    packet.duration = clock.at(shown + 1) - clock.at(shown)


def said(error) -> str:
    """What FFmpeg says of an error, without its number and the file's name; a temporary one tells nobody anything."""
    log = getattr(error, "log", None)
    return log[2].strip() if log else getattr(error, "strerror", None) or str(error)


# Position of the type in a unit's header, and the types of supplemental information (H.264 7.3.1, H.266
# 7.3.1.2).
_SEI = {"h264": (0, 0, 31, (6,)), "vvc": (1, 3, 31, (23, 24))}


def without_sei(data: bytes, standard: str) -> bytes:
    """An access unit (Annex B) without supplemental information: encoders write their settings there, 150 to 700 bytes.

    >>> without_sei(bytes.fromhex("00000106aabb00000165cc"), "h264").hex()
    '00000165cc'
    """
    byte, shift, mask, types = _SEI[standard]
    first, *units = data.split(b"\0\0\1")
    kept = [unit for unit in units if len(unit) > byte and unit[byte] >> shift & mask not in types]
    return first + b"".join(b"\0\0\1" + unit for unit in kept)


class _Vvenc:
    """VVenC in imageio-ffmpeg's FFmpeg, a process: raw pictures into its stdin, the bitstream from a pipe."""

    def __init__(self, settings: Settings, size: tuple[int, int], fps: Fraction, file: File | None):
        import av

        self._settings, self._size, self._fps, self._file = settings, size, fps, file
        self._count, self._done = 0, 0
        self._parser = av.CodecContext.create("vvc", "r")
        self._log = tempfile.TemporaryFile()
        receiver, sender = os.pipe()  # not stdout: VVenC writes warnings there
        output = ["-f", file.form, f"file:{file.path}"] if file else ["-f", "vvc", f"pipe:{sender}"]
        if file and file.aspect != 1:
            output = ["-vf", f"setsar={file.aspect.numerator}/{file.aspect.denominator}", *output]
        try:
            self._process = subprocess.Popen(
                vvenc_command(settings, size, fps, output),
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[sender],
            )
        except BaseException:
            os.close(receiver)
            raise
        finally:
            os.close(sender)
        self._written: deque[bytes] = deque()
        self._reader = threading.Thread(target=self._read, args=(open(receiver, "rb", buffering=0),), daemon=True)
        self._reader.start()

    def _read(self, file):
        with file:
            for block in iter(lambda: file.read(1 << 16), b""):
                self._written.append(block)

    def encode(self, planes):
        self._count += 1
        try:
            for plane in planes:
                self._process.stdin.write(np.ascontiguousarray(plane).data)
        except BrokenPipeError:
            self._fail()
        return self._parse()

    def flush(self):
        self._process.stdin.close()
        self._reader.join()
        if self._process.wait():
            self._fail()
        packets = [*self._parse(), *self._taken(self._parser.parse(None))]
        done = _packets_in(self._file) if self._file else self._done
        if done != self._count:
            raise ValueError(f"VVenC ended after {done} of {self._count} pictures")
        if self._file and self._file.clock is not None:
            retime(self._file, self._fps)
        return packets

    def close(self):
        self._process.kill()
        self._process.wait()

    def _parse(self):
        packets = []
        while self._written:
            packets += self._taken(self._parser.parse(self._written.popleft()))
        return packets

    def _taken(self, packets):
        self._done += len(packets)
        return [without_sei(bytes(packet), "vvc") for packet in packets]

    def _fail(self):
        self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines() or ["it ended without a message"]
        height, width = self._size
        what = f"pictures of {width}×{height} at QP {self._settings.level} with preset {self._settings.preset!r}"
        reason = said[0].rpartition("] ")[2]
        if "submitting" in reason:
            reason += "; FFmpeg leaves it a byte a pixel, which noise at fine steps and pictures below 32×32 exceed"
        raise ValueError(f"VVenC cannot code {what}: {reason}")


def _packets_in(written: File) -> int:
    """The number of packets of a written video."""
    import av

    try:
        with av.open(f"file:{written.path}", format=written.form) as file:
            return sum(packet.size > 0 for packet in file.demux(video=0))
    except (av.error.FFmpegError, IndexError):
        return 0  # an empty file


def retime(file: File, fps: Fraction) -> None:
    """Give a written video of constant rate the time stamps of the file's clock: its packets go into a new file."""
    import av

    def packets(video):
        stream = video.streams.video[0]
        for number, packet in enumerate(packet for packet in video.demux(stream) if packet.size):
            yield number, round(packet.pts * packet.time_base * fps), packet

    with av.open(f"file:{file.path}", format=file.form) as video:
        delay = max(number - shown for number, shown, _ in packets(video))
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(file.path) or ".") as new:
        with (
            av.open(f"file:{file.path}", format=file.form) as before,
            av.open(f"file:{new.name}", "w", file.form) as after,
        ):
            target = after.add_stream_from_template(before.streams.video[0], opaque=True)
            target.time_base = Fraction(1, file.clock.scale)
            for number, shown, packet in packets(before):
                show_at(packet, file.clock, shown, number - delay)
                packet.stream = target
                after.mux(packet)
        shutil.copyfile(new.name, file.path)


def vvenc_command(s: Settings, size: tuple[int, int], fps: Fraction, output: list[str]) -> list[str]:
    """The command that reads raw pictures from stdin and writes VVC; `output` are its last arguments.

    Raises:
        ValueError: imageio-ffmpeg is missing, or VVenC has no such setting.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError as error:
        raise ValueError("encoding VVC needs VVenC: pip install 'codeckit[vvc]'") from error
    if s.rate != "qp":
        raise ValueError("VVenC has no constant rate factor; give qp=")
    height, width = size
    private = f"intraperiod={s.gop}" + (":gopsize=1" if s.gop == 1 else "")
    if s.low_delay and s.gop > 1:  # in this mode VVenC has an intra picture at the start alone
        private = "picreordering=0:refreshtype=none:gopsize=8"
    private += f":videofullrange={int(s.value_range == 'full')}"  # FFmpeg's wrapper does not pass its own tag on
    tags = ["-color_range", {"full": "pc", "limited": "tv"}[s.value_range]]
    tags += ["-colorspace", {"bt601": "smpte170m", "bt709": "bt709"}[s.matrix]]
    tags += ["-color_primaries", "bt709", "-color_trc", "iec61966-2-1"]
    source = ["-f", "rawvideo", "-pix_fmt", s.pixel_format, "-s", f"{width}x{height}", "-r", str(fps), *tags]
    coder = ["-c:v", "libvvenc", "-preset", s.preset, "-qp", str(s.level), *tags]
    # With one thread it loses all pictures of a video that is shorter than it looks ahead, now and then.
    coder += ["-threads", str(max(2, s.threads))]
    coder += ["-qpa", "0" if s.tune == "psnr" else "1", "-vvenc-params", private]
    return [get_ffmpeg_exe(), "-v", "error", "-y", *source, "-i", "pipe:0", *coder, *output]


class Decoder:
    """One decoder at work: `decode` a packet at a time, then `flush`; each returns the pictures that are ready.

    Pictures come in the order in which they are shown, as (planes, bits).

    Args:
        standard: a key of `STANDARDS`.
        max_pixels: the largest picture to decode.
    """

    def __init__(self, standard: str, max_pixels: int):
        import av

        av.logging.set_level(av.logging.FATAL)
        self._standard = standard
        self._context = av.CodecContext.create(STANDARDS[standard].decoder, "r")
        self._context.thread_count = 1
        # FFmpeg counts the samples of padded rows; 64 more on each side is what it pads at most.
        self._context.options = {"max_pixels": str(max_pixels), "err_detect": "explode"}

    def decode(self, packet: bytes) -> list[tuple[tuple[np.ndarray, ...], int]]:
        """Hand over the next packet.

        Raises:
            StreamError: it is damaged.
        """
        import av

        return self._pictures(av.Packet(packet))

    def flush(self) -> list[tuple[tuple[np.ndarray, ...], int]]:
        """Tell that there are no more packets."""
        return self._pictures(None)

    def _pictures(self, packet):
        import av

        try:
            frames = self._context.decode(packet)
        except (av.error.FFmpegError, ValueError) as error:
            raise StreamError(f"the {self._standard} bitstream is damaged: {error}") from error
        if any(frame.is_corrupt for frame in frames):
            raise StreamError(f"the {self._standard} bitstream is damaged: pictures are incomplete")
        return [from_frame(frame) for frame in frames]
