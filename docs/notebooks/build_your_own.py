"""Notebook 6: a codec of your own in 30 lines, and its place on the rate-distortion plot."""

import marimo

app = marimo.App(width="medium", app_title="6 · Build your own codec")


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # 6 · Build your own codec in 30 lines

    You know the three verbs. A codec is a list of stages, each with `forward` and `inverse`; codeckit folds them,
    writes a file that says how it is decoded, and measures it like any other codec.

    Ours is JPEG with three ideas from this century: **16 × 16 blocks**, a **dead-zone quantizer** with one step for all
    frequencies (the mean squared error wants no table), and **context mixing** instead of Huffman codes. The block
    transform of any size is a stage of our own:
    """)
    return


@app.cell
def _():
    from dataclasses import dataclass

    import codeckit
    import marimo as mo
    import numpy as np
    from codeckit.primitives import ContextCoded, DeadZone, Stage, Subsample, YCbCr
    from scipy.fft import dctn, idctn

    return ContextCoded, DeadZone, Stage, Subsample, YCbCr, codeckit, dataclass, dctn, idctn, mo, np


@app.cell
def _(ContextCoded, DeadZone, Stage, Subsample, YCbCr, codeckit, dataclass, dctn, idctn, np):
    @dataclass(frozen=True)
    class Blocks(Stage):
        """DCT of blocks of any size: planes [h,w] of samples to coefficients [rows,columns,n,n]."""

        n: int = 16

        def forward(self, picture):
            return picture.map(self._analyse)

        def _analyse(self, plane):
            padded = np.pad(plane, [(0, -side % self.n) for side in plane.shape], mode="edge").astype(np.float32) - 128
            rows, columns = (side // self.n for side in padded.shape)
            return dctn(padded.reshape(rows, self.n, columns, self.n).swapaxes(1, 2), axes=(2, 3), norm="ortho")

        def inverse(self, picture):
            planes = [idctn(plane, axes=(2, 3), norm="ortho").swapaxes(1, 2) for plane in picture.planes]
            planes = [p.reshape(p.shape[0] * self.n, p.shape[2] * self.n) for p in planes]
            sizes = picture.plane_sizes
            samples = [np.clip(np.rint(p[:h, :w] + 128), 0, 255) for p, (h, w) in zip(planes, sizes, strict=True)]
            return picture.replace(planes=tuple(p.astype(np.uint8) for p in samples))

    def modern(quality=50, n=16):
        stages = {
            "color": YCbCr(),
            "subsample": Subsample("4:2:0", align=1),
            "transform": Blocks(n),
            "quantize": DeadZone(step=2 ** ((100 - quality) / 12), reconstruction=0.4),
            "entropy": ContextCoded(),
        }
        return codeckit.Codec("modern", stages, {"quality": quality, "n": n})

    return Blocks, modern


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    That is all. Registered, it is a codec by name, for `codeckit.decode` too. The stream carries the stages' names and
    fields, nothing that would be executed.
    """)
    return


@app.cell
def _(codeckit, mo, modern, np):
    from codeckit.codecs import registry

    if not registry.is_registered("modern"):
        codeckit.register_codec("modern", modern, summary="16×16 DCT, dead zone, context mixing")
    photograph = codeckit.dataset("sample:astronaut")[0].load()
    codec = codeckit.codec("modern", quality=50)
    stream = codec.encode(photograph)
    assert np.array_equal(codec.decode(stream), codeckit.decode(stream))
    mo.md("```\n" + str(codec.trace(photograph)) + "\n```")
    return (photograph,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Is it any good?

    Against JPEG, WebP and our own transform with 8 × 8 blocks, on the three sample photographs: real files, decoded
    again.
    """)
    return


@app.cell
def _(codeckit, modern):
    codecs = [codeckit.codec(name, quality=q) for name in ("libjpeg", "webp") for q in (10, 30, 60, 85)]
    codecs += [modern(q, n) for n in (8, 16) for q in (35, 50, 65, 80)]
    table = codeckit.evaluate(codecs, "sample", metrics=("psnr", "ms-ssim"), progress=False)
    report = codeckit.compare(table, anchor="libjpeg")
    return (report,)


@app.cell
def _(report):
    report.figure()
    return


@app.cell
def _(mo, report):
    mo.md(report.to_markdown().partition("\n\n")[2])
    return


@app.cell
def _(report):
    rates = {delta.label: delta.rate.value for delta in report.deltas if delta.metric == "psnr"}
    assert rates["modern (n 16)"] < -20  # percent of libjpeg's rate at the same PSNR
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Where are its bits?

    `codeckit explain` knows nothing of this codec and explains it all the same: it asks the stages.
    """)
    return


@app.cell
def _(mo, modern, photograph):
    trace = modern(50).trace(photograph)
    _shares = trace.bits_by_stage()
    assert sum(_shares.values()) == 8 * len(trace.stream)
    mo.md("| stage | bits |\n| --- | ---: |\n" + "\n".join(f"| {role} | {bits:,} |" for role, bits in _shares.items()))
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    **Try**

    - 32 × 32 blocks (`modern(q, 32)`): better on smooth pictures, ringing on the others. Real codecs choose the size
      block by block.
    - Exchange a stage: `modern(50).replace(entropy=RangeCoded())`. What does context mixing bring?
    - A perceptual table instead of one step (`QuantTable`): PSNR falls, does MS-SSIM rise?
    """)
    return


if __name__ == "__main__":
    app.run()
