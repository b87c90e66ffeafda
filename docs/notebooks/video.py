"""Notebook 7: video. Motion, the loop, and what a learned codec puts into it."""

import marimo

app = marimo.App(width="medium", app_title="7 · Video")


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # 7 · Video

    A frame of a video is nearly the one before it, moved. So a video codec says *how it moved* and *what is left*, and
    codes a whole picture only now and then. Every codec from H.261 to DVC is this loop:

    1. **predict** the frame from the one that was decoded before it,
    2. **transform, quantize and code** what the prediction does not tell,
    3. **decode** at once what the decoder will decode, to have the same frame to predict the next one from.

    `video-teaching` fills step 2 with JPEG's stages, `dvc` with networks. We walk through the loop by hand, and then
    let three codecs code the same clip.
    """)
    return


@app.cell
def _():
    import warnings

    import codeckit
    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    from codeckit.metrics import psnr

    plt.rcParams.update({"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    return codeckit, mo, np, plt, psnr, warnings


@app.cell
def _(codeckit, np, plt):
    # A camera moves over one photograph, and a round piece of another moves its own way. Noise is new in each frame.
    table, cat = (codeckit.dataset(f"sample:{name}")[0].load() for name in ("coffee", "chelsea"))
    height, width, count = 128, 192, 16
    noise, (_y, _x) = np.random.default_rng(0), np.mgrid[:48, :48]
    disc = np.hypot(_y - 23.5, _x - 23.5) < 23

    def frame_at(n):
        made = table[90 + n : 90 + n + height, 120 + 2 * n : 120 + 2 * n + width].astype(float)
        place = made[40 : 40 + 48, 10 + 5 * n : 10 + 5 * n + 48]
        place[disc] = cat[60:108, 150:198][disc]
        return np.clip(made + noise.normal(0, 1.5, made.shape), 0, 255).astype(np.uint8)

    clip = np.stack([frame_at(n) for n in range(count)])
    figure1, axes1 = plt.subplots(1, 4, figsize=(10, 2), layout="constrained")
    for _n, _ax in zip((0, 5, 10, 15), axes1, strict=True):
        _ax.imshow(clip[_n])
        _ax.set_title(f"frame {_n}", fontsize=9)
        _ax.axis("off")
    figure1
    return clip, count


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Motion

    How well does frame 4 predict frame 5? Not at all as it stands. With a vector for each block it does. With
    vectors for blocks of 8×8 where these pay, and blocks that overlap, it does better still, without seams.
    """)
    return


@app.cell
def _(clip, mo, np, psnr):
    from codeckit.codecs.learned_video.motion import luma
    from codeckit.primitives.block_motion import Field, encode_field, estimate_field, overlapped

    now, then = clip[5], clip[4]
    field = estimate_field(luma(now), luma(then), Field.still(8, 12), penalty=8.0)
    moved = overlapped(then, field)
    vectors = field.vectors / 4  # quarters of a pixel to pixels: down, right
    assert psnr(now, moved) > psnr(now, then) + 6
    assert np.median(vectors, axis=(0, 1)).tolist() == [1, 2]  # the camera's motion
    mo.md(f"""
    | frame 5 predicted by | PSNR | bits for it |
    | --- | ---: | ---: |
    | frame 4 as it stands | {psnr(now, then):.2f} dB | 0 |
    | frame 4 moved, overlapped blocks of 16×16 and 8×8 | {psnr(now, moved):.2f} dB | {8 * len(encode_field(field))} |
    """)
    return moved, now, then, vectors


@app.cell
def _(moved, now, np, plt, then, vectors):
    figure2, (_left, _middle, _right) = plt.subplots(1, 3, figsize=(10, 2.5), layout="constrained")
    _left.imshow(now)
    _y, _x = np.mgrid[: vectors.shape[0], : vectors.shape[1]] * 8 + 3.5
    _left.quiver(_x, _y, vectors[..., 1], vectors[..., 0], color="w", angles="xy", scale_units="xy", scale=0.6)
    _left.set_title("where each block comes from", fontsize=9)
    for _ax, _guess, _title in ((_middle, then, "left without motion"), (_right, moved, "left with motion")):
        _ax.imshow(np.clip(128 + 2 * (now.astype(int) - _guess), 0, 255).astype(np.uint8))
        _ax.set_title(_title, fontsize=9)
    for _ax in (_left, _middle, _right):
        _ax.axis("off")
    figure2
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    The disc leaves a crescent behind it: what it uncovers was nowhere in the frame before. No motion predicts that.

    ## Three codecs, two rates

    `jpeg` codes each frame on its own. `video-teaching` and `dvc` predict, with one I-frame for the whole clip.
    `trace_video` decodes a stream and tells of each frame its kind, bytes and PSNR.
    """)
    return


@app.cell
def _(clip, codeckit):
    settings = {"jpeg": (20, 60), "video-teaching": (25, 60)}
    if any(entry.name == "dvc" and entry.available for entry in codeckit.list_codecs()):
        settings["dvc"] = (3, 6)
    codecs = {
        (name, quality): codeckit.codec(name, quality=quality) for name, both in settings.items() for quality in both
    }
    streams = {key: codec.encode_video(clip, fps=25) for key, codec in codecs.items()}
    traces = {key: list(codeckit.trace_video(stream, clip)) for key, stream in streams.items()}
    return streams, traces


@app.cell
def _(clip, mo, np, streams, traces):
    _rows = ["| codec | quality | bytes | bits a pixel | PSNR | bytes of the first frame | of another, mean |"]
    _rows.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (_name, _quality), _found in traces.items():
        _size, _sizes = len(streams[_name, _quality]), [each.bytes for each in _found]
        _mean = np.mean([each.psnr for each in _found])
        _rows.append(
            f"| {_name} | {_quality} | {_size:,} | {8 * _size / (clip.size / 3):.3f} | {_mean:.2f} dB "
            f"| {_sizes[0]:.0f} | {np.mean(_sizes[1:]):.0f} |"
        )
        assert _name == "jpeg" or np.mean(_sizes[1:]) < 0.5 * _sizes[0]
    mo.md("\n".join(_rows))
    return


@app.cell
def _(count, plt, traces):
    figure3, (_above, _below) = plt.subplots(2, 1, figsize=(8, 4.4), sharex=True, layout="constrained")
    _colors = {"jpeg": "#59616f", "video-teaching": "#0b6fb0", "dvc": "#c4501b"}
    for (_name, _quality), _found in traces.items():
        _style = {
            "color": _colors[_name],
            "linestyle": "-" if _quality == max(q for n, q in traces if n == _name) else "--",
        }
        _above.semilogy(range(count), [8 * each.bytes for each in _found], label=f"{_name} {_quality}", **_style)
        _below.plot(range(count), [each.psnr for each in _found], **_style)
    _above.set_ylabel("bits of the frame")
    _below.set_ylabel("PSNR (dB)")
    _below.set_xlabel("frame")
    _above.legend(fontsize=7, ncols=3)
    figure3
    return


@app.cell(hide_code=True)
def _(mo, traces):
    mo.md(
        "The first frame costs what a picture costs. Later ones cost what moves in its own way, and what is new."
        if any(name == "dvc" for name, _ in traces)
        else "`dvc` is left out: its weights do not come with this version of codeckit (`weights=PATH` takes others)."
    )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Inside a frame

    A trace also holds what the decoder made the frame of: the prediction, what was added to it, and the bits at each
    position of 16×16 pixels.
    """)
    return


@app.cell
def _(np, plt, traces):
    _name = "dvc" if ("dvc", 6) in traces else "video-teaching"
    frame = traces[_name, 6 if _name == "dvc" else 60][8]
    figure4, axes4 = plt.subplots(1, 4, figsize=(10, 2.1), layout="constrained")
    _added = np.clip(128 + 2 * frame.maps["residual"], 0, 255).astype(np.uint8)
    _shown = {
        "prediction": frame.maps["prediction"],
        "what is added (doubled)": _added,
        f"decoded: {frame.psnr:.2f} dB": frame.frame,
        f"bits of symbols: {frame.maps['symbol bits'].sum():.0f}": frame.maps["symbol bits"],
    }
    for _ax, (_title, _image) in zip(axes4, _shown.items(), strict=True):
        _ax.imshow(_image, cmap="inferno")
        _ax.set_title(_title, fontsize=9)
        _ax.axis("off")
    figure4.suptitle(f"frame 8 by {_name}", fontsize=9)
    figure4
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Any frame, and a broken file

    Prediction has a price: frame 8 needs those before it. `decode_video(stream)[8]` begins at the nearest frame that
    decoding can begin with. A cut file decodes up to the cut.
    """)
    return


@app.cell
def _(codeckit, mo, np, streams, traces, warnings):
    stream = streams["video-teaching", 60]
    eighth = codeckit.decode_video(stream)[8]
    assert np.array_equal(eighth, traces["video-teaching", 60][8].frame)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        left = list(codeckit.decode_video(stream[: int(0.8 * len(stream))], partial=True))
    assert 0 < len(left) < 16 and told
    mo.md(f"Of four fifths of the file, {len(left)} of 16 frames are left: *{told[0].message}*")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What to take along

    - Motion does most of the work. Networks take the place of the DCT in what is left, and mend the prediction.
    - The decoder is inside the encoder. What both compute must be equal to the bit, or frames drift apart; the decoder
      of `dvc` and `dcvc` is integers for that (`docs/format.md`).
    - A frame's quality is an investment: later frames are predicted from it.

    **Try**: `codeckit explain clip.mp4 --codec dvc,video-teaching --out page.html`; a shorter group, `gop=4`, and what
    it costs; noise of 6 instead of 1.5, and which codec suffers most. `docs/video.md` goes on from here.
    """)
    return


if __name__ == "__main__":
    app.run()
