"""Packs of sequences, patches of them, and sequences made from photographs."""

import numpy as np
import pytest
import torch
from codeckit.training import sequences, synthetic
from codeckit.training.sequences import Sequences, batch, clip_files, load_sequences, write_sequences
from codeckit.training.synthetic import Strengths, synthetic_sequence, synthetic_sequences
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from scipy import ndimage

#: Settings of a small pack; synthetic frames are larger than their margin.
SMALL = {"frames": 3, "crop": 80, "held_out": 2}


def clip(path, colour, frames=7, size=(96, 112)):
    """A clip whose colour tells where a crop is from, with a texture that moves."""
    import av

    texture = np.random.default_rng(0).integers(-20, 21, (size[0] // 8, (size[1] + 8 * frames) // 8, 1))
    texture = np.kron(texture, np.ones((8, 8, 1), int))
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv444p"
        for t in range(frames):
            pixels = (np.array(colour) + texture[:, 2 * t : 2 * t + size[1]]).clip(0, 255).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        file.mux(stream.encode())


COLOURS = [(60, 60, 60), (60, 190, 60), (190, 60, 60), (60, 60, 190), (190, 190, 60), (60, 190, 190)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Six clips, the first of them in two shots, and two that cannot be used."""
    folder = tmp_path_factory.mktemp("clips")
    for number, colour in enumerate(COLOURS):
        clip(folder / f"{'abcdef'[number]}{'-0' * (number == 0)}.mp4", colour)
    clip(folder / "a-1.mp4", COLOURS[0])
    clip(folder / "short.mp4", (128, 128, 128), frames=2)
    clip(folder / "small.mp4", (128, 128, 128), size=(64, 112))
    return folder


def sources(part):
    """The clips that the sequences of a part come from, by their colours."""
    means = part.frames.float().mean((1, 2, 3)).numpy()
    distances = np.abs(means[:, None] - np.array(COLOURS)).max(2)
    assert (distances.min(1) < 25).all()
    return distances.argmin(1)


def shifts(frames):
    """Vectors for tests: the number of the frame and the mean of its blocks of 16×16."""
    blocks = frames[1:].astype(int).sum(3).reshape(len(frames) - 1, 5, 16, 5, 16).sum((2, 4)) // 256
    return np.stack((np.broadcast_to(np.arange(len(frames) - 1)[:, None, None], blocks.shape), blocks), 3)


def test_a_pack_is_the_same_again(clips, photographs, tmp_path):
    for name, seed in ("one", 1), ("again", 1), ("other", 2):
        write_sequences([clips], tmp_path / name, photographs=[photographs], megabytes=0.12, seed=seed, **SMALL)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "again").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()
    assert (tmp_path / "one").stat().st_size <= 0.12e6 + 2000
    pack = load_sequences(tmp_path / "one")
    for part, least in (pack.training, 4), (pack.synthetic, 1), (pack.validation, 2):
        assert part.frames.dtype == torch.uint8 and part.frames.shape[1:] == (3, 80, 80, 3)
        assert len(part) >= least and part.motion is None
    assert pack.to("cpu").training.frames.shape == pack.training.frames.shape


@pytest.mark.parametrize("seed", range(4))
def test_held_out_clips_give_nothing_to_train_on(clips, seed, tmp_path):
    pack = write_sequences([clips], tmp_path / "pack", megabytes=1, seed=seed, **SMALL)
    training, validation = set(sources(pack.training)), set(sources(pack.validation))
    assert not training & validation and training | validation == set(range(6))
    assert len(pack.validation) == 2 and len(pack.synthetic) == 0
    # Two windows of three frames in a clip of seven, two shots of clip 0.
    assert len(pack.training) == 2 * (4 + (0 in training))
    smaller = write_sequences([clips], tmp_path / "smaller", megabytes=0.03, seed=seed, **SMALL)
    assert set(sources(smaller.validation)) == validation, "the choice depends on the seed and the clips alone"


def test_the_order_of_sources_does_not_matter(clips, tmp_path):
    files = sorted(clips.iterdir())
    for name, order in ("one", files), ("other", files[::-1]):
        write_sequences(order, tmp_path / name, megabytes=1, **SMALL)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_frames_keep_their_order_and_place(clips, tmp_path):
    """The texture moves two pixels to the left in a frame, less where the clip was scaled down."""
    frames = write_sequences([clips], tmp_path / "pack", megabytes=1, **SMALL).training.frames.float()
    for first, second, third in frames.mean(4)[:, :, 20:60]:
        for early, late in (first, second), (second, third):
            errors = [(early[:, 10:70] - late[:, 10 - s : 70 - s]).abs().mean() for s in range(-4, 5)]
            assert int(np.argmin(errors)) - 4 in (-2, -1, 1, 2) and int(np.argmin(errors)) > 4


def test_vectors_are_those_of_the_frames_that_are_read(clips, photographs, tmp_path):
    pack = write_sequences(
        [clips], tmp_path / "pack", photographs=[photographs], megabytes=0.15, motion=shifts, seed=3, **SMALL
    )
    for part in pack.training, pack.synthetic, pack.validation:
        assert part.motion.dtype == torch.int16 and part.motion.shape[1:] == (2, 5, 5, 2)
        for frames, motion in zip(part.frames, part.motion, strict=True):
            assert (motion.numpy() == shifts(frames.numpy())).all()


def test_vectors_of_another_shape_are_refused(clips, tmp_path):
    for motion in (lambda f: shifts(f)[1:]), (lambda f: shifts(f) + 0.5), (lambda f: shifts(f) * 1000), (lambda f: 3):
        with pytest.raises(ValueError, match=r"motion gives whole numbers of 16 bits \[2, rows, rows, 2\]"):
            write_sequences([clips], tmp_path / "pack", motion=motion, **SMALL)
    with pytest.raises(ValueError, match="with rows that divide 80"):
        Sequences(torch.zeros(1, 3, 80, 80, 3, dtype=torch.uint8), torch.zeros(1, 2, 7, 7, 2, dtype=torch.int16))


@pytest.mark.parametrize(
    "name",
    ["davis-goat.mp4", "DAVIS_bear.mkv", "basketballpass.mkv", "RaceHorses_416x240_30.y4m", "libby.mp4", "bikes.mp4"],
)
def test_test_clips_are_refused(name, tmp_path):
    (tmp_path / name).write_bytes(b"")
    for source in tmp_path, tmp_path / name:
        with pytest.raises(ValueError, match="is named as a test clip is"):
            clip_files([source])


def test_other_names_and_folders(tmp_path):
    for name in ("mountain-bikes.mp4", "goats.mov", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in clip_files([tmp_path])] == ["goats.mov", "mountain-bikes.mp4"]
    (tmp_path / "DAVIS").mkdir()
    (tmp_path / "DAVIS" / "bear.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="is named as a test clip is"):
        clip_files([tmp_path / "DAVIS"])


def test_errors_of_packs(clips, photographs, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no clips in"):
        clip_files([tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match="no clip or folder at"):
        clip_files([tmp_path / "nothing"])
    with pytest.raises(ValueError, match="more than 6 colour clips"):
        write_sequences([clips], tmp_path / "pack", frames=3, crop=80, held_out=6)
    with pytest.raises(ValueError, match="two photographs at least"):
        write_sequences([clips], tmp_path / "pack", photographs=[photographs / "grey.png"], **SMALL)
    with pytest.raises(ValueError, match="frames is 2 or more, not 1"):
        write_sequences([clips], tmp_path / "pack", frames=1)
    Image.new("RGB", (64, 64)).save(tmp_path / "kodim07.png")
    with pytest.raises(ValueError, match=r"kodim07\.png is a Kodak photograph"):
        write_sequences([clips], tmp_path / "pack", photographs=[tmp_path], **SMALL)
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    with pytest.raises(ValueError, match=r"broken\.mp4"):
        write_sequences([clips, tmp_path / "broken.mp4"], tmp_path / "pack", **SMALL)
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="is no pack of sequences"):
        load_sequences(tmp_path / "weights.safetensors")


def test_the_command(clips, photographs, tmp_path, capsys):
    out = tmp_path / "pack.safetensors"
    options = ["--frames", "3", "--crop", "80", "--held-out", "2", "--megabytes", "0.1", "--out", str(out)]
    sequences.main([str(clips), "--photographs", str(photographs), *options])
    pack = load_sequences(out)
    found = f"{len(pack.training)} sequences of clips and {len(pack.synthetic)} of photographs to train on, 2 held out"
    assert found in capsys.readouterr().out
    with pytest.raises(SystemExit):
        sequences.main([str(tmp_path / "nothing"), *options])
    assert "no clip or folder at" in capsys.readouterr().err


# --- patches --------------------------------------------------------------------------------------------------------


def places(count=3, length=7, side=32, block=4):
    """Sequences whose pixels and vectors hold their position: number and time, row, column."""
    frames = torch.zeros(count, length, side, side, 3, dtype=torch.uint8)
    frames[..., 0] = (10 * torch.arange(count)[:, None] + torch.arange(length))[:, :, None, None]
    frames[..., 1], frames[..., 2] = torch.arange(side)[:, None], torch.arange(side)
    return Sequences(frames, frames[:, 1:, ::block, ::block, 1:].to(torch.int16) + 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(2, 32), st.integers(0, 100), st.sets(st.integers(1, 3), min_size=1))
def test_chains_lie_at_one_place_in_even_steps(length, patch, seed, distances):
    if min(distances) * (length - 1) > 6:
        with pytest.raises(ValueError, match="do not fit sequences of 7"):
            batch(places(), 5, patch, np.random.default_rng(seed), length=length, distances=tuple(distances))
        return
    chains, motion = batch(places(), 5, patch, np.random.default_rng(seed), length=length, distances=tuple(distances))
    assert motion is None and chains.shape == (length, 5, 3, patch, patch)
    assert chains[0].is_contiguous(memory_format=torch.channels_last)
    moments, rows, columns = (chains * 255).round().long().unbind(2)
    assert (rows == rows[:1]).all() and (columns == columns[:1]).all()
    assert (moments == moments[..., :1, :1]).all() and (rows.diff(dim=2) == 1).all()
    assert (columns.diff(dim=3).abs() == 1).all()
    steps = moments[..., 0, 0].diff(dim=0)
    assert (steps == steps[:1]).all() and {abs(s) for s in steps.flatten().tolist()} <= distances
    assert (moments[..., 0, 0] // 10 == moments[:1, :, 0, 0] // 10).all()  # of one sequence


def test_all_places_distances_and_directions_occur():
    chains = batch(places(), 500, 24, np.random.default_rng(0)).frames
    moments, rows, columns = (chains * 255).round().long().unbind(2)
    assert set(moments[..., 0, 0].diff(dim=0).flatten().tolist()) == {-3, -2, -1, 1, 2, 3}
    assert set(columns.diff(dim=3).flatten().tolist()) == {1, -1}
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 31, 0, 31)
    assert set((moments // 10).unique().tolist()) == {0, 1, 2}


def test_vectors_follow_their_blocks():
    """Mirrored patches have mirrored vectors of the blocks that they show."""
    chains, motion = batch(places(), 200, 16, np.random.default_rng(0), length=3, motion=True)
    assert motion.dtype == torch.int16 and motion.shape == (2, 200, 4, 4, 2)
    moments, rows, columns = (chains * 255).round().long().unbind(2)
    assert (moments.diff(dim=0) == 1).all()
    first, last = columns[0, :, 0, ::4], columns[0, :, 0, 3::4]  # of each block
    mirrored = first[:, 0] > last[:, 0]
    assert 50 < mirrored.sum() < 150
    left = torch.minimum(first, last)
    expected = torch.where(mirrored[:, None], -(left + 1), left + 1)
    assert (motion[..., 1] == expected[None, :, None, :]).all()
    assert (motion[..., 0] == rows[0, :, ::4, 0][None, :, :, None] + 1).all()
    assert (left % 4 == 0).all() and (rows[0, :, 0] % 4 == 0).all()


def test_errors_of_patches():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="patches of 33×33 cannot be cut from frames of 32×32"):
        batch(places(), 1, 33, rng)
    with pytest.raises(ValueError, match="multiples of 4, not 18"):
        batch(places(), 1, 18, rng, motion=True)
    with pytest.raises(ValueError, match="has no vectors"):
        batch(Sequences(places().frames), 1, 16, rng, motion=True)
    with pytest.raises(ValueError, match="no sequences in this part"):
        batch(Sequences(places().frames[:0]), 1, 16, rng)


# --- synthetic motion -----------------------------------------------------------------------------------------------

STILL = Strengths(shift=0, zoom=0, rotation=0, warp=0, shutter=0, flicker=0, noise=(1e-6, 1e-6))


def photograph(seed=0, size=(230, 260)):
    """Smooth random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (size[0] // 10, size[1] // 10, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC))


def test_synthetic_sequences_are_the_same_again():
    one, again, other = (
        synthetic_sequence(photograph(0), photograph(1), np.random.default_rng(seed), frames=3, side=96)
        for seed in (5, 5, 6)
    )
    assert one.dtype == np.uint8 and one.shape == (3, 96, 96, 3)
    assert (one == again).all() and (one != other).any()


def test_nothing_moves_without_strengths():
    frames = synthetic_sequence(photograph(0), photograph(1), np.random.default_rng(0), side=96, strengths=STILL)
    assert len(frames) == 7 and (frames == frames[0]).all()


@pytest.mark.parametrize("what", ["shift", "zoom", "rotation", "warp", "flicker"])
def test_each_strength_moves_something(what):
    strengths = Strengths(**{**STILL.__dict__, what: 0.02})
    frames = synthetic_sequence(photograph(0), photograph(1), np.random.default_rng(0), side=96, strengths=strengths)
    assert (frames[0] != frames[-1]).mean() > 0.01


def test_a_shift_is_a_shift():
    """One layer, moved and nothing else: the frames are the same picture at steps of one size."""
    canvas = photograph(0, (224, 224)).transpose(2, 0, 1).astype(np.float32)
    strengths = Strengths(**{**STILL.__dict__, "shift": 1.0, "acceleration": 0})
    rng = np.random.default_rng(3)
    speed = np.random.default_rng(3).standard_t(2, (2, 1, 1)).clip(-8, 8).ravel()
    frames = synthetic._moved(canvas, 3, 96, strengths, rng)
    for frame, time in zip(frames, (-1, 0, 1), strict=True):
        expected = np.stack([ndimage.shift(plane, -speed * time, order=3) for plane in canvas])[:, 64:160, 64:160]
        assert np.abs(frame - expected).mean() < 0.5


def test_blur_is_a_mean_along_a_line():
    canvas = np.zeros((1, 64, 64), np.float32)
    canvas[0, 32, 32] = 1
    blurred = synthetic._blurred(canvas, np.array([0.0, 8.0]))
    assert blurred.sum() == pytest.approx(1, abs=1e-4) and np.abs(blurred[0, :32]).max() < 1e-6
    assert blurred[0, 32, 29:36] == pytest.approx(1 / 8, abs=0.04)
    assert (synthetic._blurred(canvas, np.zeros(2)) == canvas).all()


@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 0.6), st.integers(0, 1000))
def test_a_blob_covers_its_part(cover, seed):
    blob = synthetic._blob(96, cover, np.random.default_rng(seed))[:, 64:-64, 64:-64]
    assert blob.min() >= 0 and blob.max() <= 1
    assert (blob > 0.5).mean() == pytest.approx(cover, abs=0.02)


def test_every_photograph_is_a_background():
    flat = [np.full((100, 100, 3), 50 * k, np.uint8) for k in range(4)]
    found = synthetic_sequences(flat, np.random.default_rng(0), frames=2, side=96, strengths=STILL)
    most = [np.bincount(next(found).ravel()).argmax() for _ in range(4)]
    assert sorted(most) == [0, 50, 100, 150]


def test_errors_of_synthetic_motion():
    with pytest.raises(ValueError, match="two photographs at least, there are 1"):
        next(synthetic_sequences([photograph()], np.random.default_rng(0)))
    for pixels in photograph()[..., 0], photograph(size=(90, 200)):
        with pytest.raises(ValueError, match="made of colour photographs that are as large"):
            synthetic_sequence(photograph(), pixels, np.random.default_rng(0), side=96)
