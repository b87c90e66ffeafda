"""A stream means one thing for ever: whatever else a process defined, changed or imported, an old file decodes to the
same picture, or to an error that says why not."""

import importlib.metadata
import itertools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.codecs import profiles, registry
from codeckit.primitives import (
    ContextCoded,
    DeadZone,
    HuffmanCoded,
    Stage,
    StreamError,
    Subsample,
    Wavelet,
    YCbCr,
    plugins,
    register_stage,
    spec,
)
from codeckit.primitives.container import Container, pack, unpack
from codeckit.primitives.stage import stage_class

IMAGE = photo(40, 56, 3, seed=7)


def wavelet(step):
    return {
        "color": YCbCr(),
        "subsample": Subsample("4:4:4", align=1),
        "transform": Wavelet(),
        "quantize": DeadZone(step),
        "entropy": ContextCoded(),
    }


def test_a_default_that_changed(monkeypatch):
    """The README's own recipe: a codec of one's own, whose default quality another version of it changes."""

    def of(default):
        return lambda quality=default: codeckit.Codec("mine", wavelet(2 ** ((100 - quality) / 10)))

    codeckit.register_codec("mine", of(50))
    stream = codeckit.codec("mine", quality=50).encode(IMAGE)
    before = codeckit.decode(stream)
    monkeypatch.setattr(registry, "_registered", {})
    assert (codeckit.decode(stream) == before).all()  # nobody knows the codec any more
    codeckit.register_codec("mine", of(60))
    assert (codeckit.decode(stream) == before).all()
    assert (codeckit.codec("mine").decode(stream) == before).all()


def test_a_field_whose_default_changed(monkeypatch):
    """Every field is written out, and a stream that lacks one is refused instead of filled up from the code."""
    stream = codeckit.Codec("mine", wavelet(8.0)).encode(IMAGE)
    assert b'["quantize","codeckit:DeadZone@1",{"step":8.0,"reconstruction":0.5}]' in stream
    before = codeckit.decode(stream)
    monkeypatch.setattr(DeadZone.__init__, "__defaults__", (1.0, 0.1))
    assert (codeckit.decode(stream) == before).all()


def test_profiles_hold_when_a_composition_in_code_changes(monkeypatch):
    """The picture of a numbered codec's stream follows from its profile alone."""
    stream = codeckit.codec("jpeg-context", quality=60).encode(IMAGE)
    before = codeckit.decode(stream)
    changed = codeckit.codec("jpeg-context").replace(color=YCbCr("bt709"))
    monkeypatch.setattr(registry, "codec", lambda name, **options: changed)
    assert (codeckit.decode(stream) == before).all()
    assert changed.decode(changed.encode(IMAGE)).shape == IMAGE.shape
    assert b"bt709" in changed.encode(IMAGE)  # what differs from the profile is in the stream


def test_a_class_of_the_same_name():
    stream = codeckit.codec("jpeg").replace(entropy=HuffmanCoded()).encode(IMAGE)
    before = codeckit.decode(stream)

    @dataclass(frozen=True)
    class YCbCr(Stage):
        def forward(self, x):
            return x

        def inverse(self, y):
            return np.zeros((40, 56, 3), np.uint8)

    assert (codeckit.decode(stream) == before).all()
    with pytest.raises(ValueError, match="namespace of your own"):
        register_stage(YCbCr, "codeckit:YCbCr@1")
    register_stage(YCbCr, "my-lab:YCbCr@1")
    assert (codeckit.decode(stream) == before).all()
    assert stage_class("YCbCr") is not YCbCr


def test_a_stage_without_an_id_cannot_be_written():
    @dataclass(frozen=True)
    class Nameless(Stage):
        def forward(self, x):
            return x

        def inverse(self, y):
            return y

    codec = codeckit.Codec("mine", {"nothing": Nameless(), **wavelet(8.0)})
    with pytest.raises(ValueError, match=r"Nameless has no id.*register_stage\(Nameless, 'NAMESPACE:Nameless@1'\)"):
        codec.encode(IMAGE)
    register_stage(Nameless, "my-lab:Nameless@1")
    assert codeckit.decode(codec.encode(IMAGE)).shape == IMAGE.shape


def test_two_claims_on_one_id(monkeypatch):
    @dataclass(frozen=True)
    class One(Stage):
        pass

    @dataclass(frozen=True)
    class Two(Stage):
        pass

    register_stage(One, "my-lab:Stage@1")
    register_stage(One, "my-lab:Stage@1")
    with pytest.raises(ValueError, match="a changed stage takes a new number"):
        register_stage(Two, "my-lab:Stage@1")
    for bad in "Stage@1", "my-lab:Stage", ":Stage@1", "my-lab:Stage@x":
        with pytest.raises(ValueError, match="NAMESPACE:NAME@NUMBER"):
            register_stage(Two, bad)


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Other distributions, as files on Python's path, instead of those that are installed."""
    folders = (tmp_path / f"site-{n}" for n in itertools.count())  # Python remembers what lies in a folder
    found = importlib.metadata.distributions

    def install(**distributions):
        folder = next(folders)
        for name, points in distributions.items():
            about = folder / f"{name}-1.0.dist-info"
            about.mkdir(parents=True)
            (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            (about / "entry_points.txt").write_text("\n".join(("[codeckit.codecs]", *points)))
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setattr(plugins.metadata, "distributions", lambda: found(path=[str(folder)]))
        plugins._others.cache_clear()
        registry._loaded.cache_clear()

    yield install
    monkeypatch.undo()
    plugins._others.cache_clear()
    registry._loaded.cache_clear()


def test_plug_ins_do_not_collide(installed):
    path = "codeckit.codecs.baselines:UNCOMPRESSED"
    installed(
        codeckit=["jpeg = elsewhere:Evil"],  # an old installation beside this checkout
        lab_one=[f"bmp = {path}", f"jpeg = {path}", f"only-here = {path}"],
        Lab_Two=[f"bmp = {path}"],
    )
    assert registry.entry("jpeg").factory == "codeckit.codecs.jpeg.codec:jpeg"  # codeckit's own come first
    assert {"lab-one:bmp", "lab-two:bmp", "lab-one:jpeg", "only-here"} <= set(registry.names())
    assert codeckit.codec("lab-one:jpeg").name == "lab-one:jpeg" and codeckit.codec("only-here").name == "only-here"
    with pytest.raises(ValueError, match="lab-one:bmp or lab-two:bmp"):
        codeckit.codec("bmp")
    assert registry.parse_spec("lab-two:bmp:quality=1") == ("lab-two:bmp", {"quality": 1})
    installed(lab=[f"x = {path}", "x = codeckit.codecs.baselines:DOWNSAMPLE"])
    with pytest.raises(ValueError, match="lab:x is declared twice"):
        registry.names()


def test_a_broken_plug_in_harms_nobody_else(installed):
    installed(lab=["gone = no_such_module:X"])
    with pytest.warns(RuntimeWarning, match="lab declares 'gone'"):
        assert codeckit.decode(codeckit.codec("webp").encode(IMAGE)).shape == IMAGE.shape
    with pytest.raises(ImportError, match="lab declares 'gone'"):
        codeckit.codec("gone")


def decoded_by(lines: str, path) -> str:
    """What a fresh process that runs `lines` first decodes a file to: a hash, or an error."""
    code = f"""{lines}
import codeckit, hashlib
try:
    print(hashlib.sha256(codeckit.decode({str(path)!r}).tobytes()).hexdigest())
except codeckit.StreamError as error:
    print("StreamError", error)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_imports_decide_nothing(tmp_path):
    """A stage that another codec's module holds is found by its id, whatever was imported before."""
    path = tmp_path / "still.ckt"
    path.write_bytes(codeckit.Codec("own", dict(codeckit.codec("video-teaching").stages)).encode(IMAGE))
    fresh = decoded_by("", path)
    assert "StreamError" not in fresh and len(fresh) == 65
    assert decoded_by("import codeckit\ncodeckit.codec('video-teaching')", path) == fresh
    register_stage(Mine, "my-lab:Mine@1")
    path.write_bytes(codeckit.Codec("own", {"mine": Mine(), **wavelet(8.0)}).encode(IMAGE))
    assert "my-lab:Mine@1" in decoded_by("", path) and "StreamError" in decoded_by("", path)


@dataclass(frozen=True)
class Mine(Stage):
    def forward(self, x):
        return x

    def inverse(self, y):
        return y


def test_a_plug_in_s_profile(installed):
    """A stream names the codec's id and revision; without the distribution it is refused by name."""
    installed(lab=["raw = codeckit.codecs.baselines:UNCOMPRESSED"])
    stream = codeckit.codec("raw").encode(IMAGE)
    assert unpack(stream).codec == "raw" and unpack(stream).revision == 0  # it has no profile: all stages are listed
    assert (codeckit.decode(stream) == IMAGE).all()
    with pytest.raises(StreamError, match="'lab:raw'"):
        codeckit.decode(pack(Container("lab:raw", 1, b"")))


def test_profiles_are_complete_and_are_what_codecs_write():
    """A change of a composition in the code that forgot the profile shows here."""
    numbers = [profile.number for profile in profiles.own().values()]
    assert min(numbers) >= 1 and len(set(numbers)) == len(numbers)
    declared = {each.name for group in (registry.CODECS, registry.NETWORKS) for each in plugins.own(group).values()}
    assert declared == set(profiles.own())
    weights = Path(__file__).parent.parent / "golden" / "weights"
    for name, profile in profiles.own().items():
        own = weights / f"{name}.safetensors"
        codec = registry.entry(name).load()(**({"weights": str(own)} if own.exists() else {}))
        assert {role: spec(stage) for role, stage in codec.stages.items()} == profile.specs, name
        assert list(codec.stages) == [role for role, _, _ in profile.stages]


def test_the_page_shows_the_profiles():
    root = Path(__file__).parents[2]
    page = (root / "docs" / "format" / "profiles.md").read_text(encoding="utf-8")
    written = (root / "codecs" / "profiles.json").read_text(encoding="utf-8")
    assert page.partition("```json\n")[2].partition("```")[0] == written


def test_earlier_revisions_are_kept(tmp_path, monkeypatch):
    (tmp_path / "later.json").write_text(
        '{"mine": {"revisions": [[["entropy", "codeckit:RawCoded@1", {}]], [["entropy", "codeckit:DownsampledCoded@1", {}]]]}}'  # noqa: E501
    )
    monkeypatch.setattr(profiles.resources, "files", lambda package: tmp_path)
    newest = profiles.load("anything:later.json", "lab")["mine"]
    assert (newest.codec, newest.revision, newest.written) == ("lab:mine", 2, "lab:mine")
    assert [type(stage).__name__ for stage in newest.at(1).build().values()] == ["RawCoded"]
    assert newest.at(2) is newest
    with pytest.raises(StreamError, match="revision 3 of lab:mine"):
        newest.at(3)


def test_a_learned_stream_is_at_most_24_bytes_longer_than_its_symbols():
    codec = codeckit.codec("balle2017")
    around = len(codec.encode(photo(256, 384, 3))) - len(codec.trace(photo(256, 384, 3)).steps[-1].value)
    assert around + 2 + 2 + 1 + 1 <= 24  # with height, width, colour and gain level


def test_a_stream_is_parsed_once(monkeypatch):
    from codeckit import api
    from codeckit.codecs import base

    calls = []
    for module in api, base:
        monkeypatch.setattr(module.container, "unpack", lambda *args, _real=unpack: calls.append(1) or _real(*args))
    stream = codeckit.codec("jpeg-context").encode(IMAGE)
    codeckit.decode(stream)
    assert len(calls) == 1
    calls.clear()
    codeckit.codec("jpeg-context").decode(stream)
    assert len(calls) == 1


def test_trace_shows_what_the_file_holds():
    """With a search, the steps and symbols of the trace are those in the file."""
    trace = codeckit.codec("jpeg", effort=5).trace(IMAGE)
    stages, steps = list(trace.stages.values()), trace.steps
    held = stages[-1].inverse(trace.stream)
    for plane, table, traced in zip(held.planes, held.tables, steps[4].value.planes, strict=True):
        assert (plane == traced).all()
        assert (table == stages[3].steps(0 if table is held.tables[0] else 1)).all()
    assert held.factors == steps[2].value.factors
    details = codeckit.info(codeckit.codec("jpeg-context", effort=5).encode(IMAGE)).details
    assert details["quantization"] and details["sampling"]
