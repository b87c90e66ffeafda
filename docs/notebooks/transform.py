"""Notebook 1: why a transform. The DCT packs a picture's energy; against the best transform there is, and wavelets."""

import marimo

app = marimo.App(width="medium", app_title="1 · Transform: why the DCT packs energy")


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # 1 · Transform: why the DCT packs energy

    A codec that stores samples one by one stores the same thing again and again: a sample is nearly its neighbour. A
    **transform** rewrites a block so that a few numbers say nearly everything and the others are nearly zero. Nothing
    is lost (it is a rotation); it only becomes *clear what may be left out*.

    The question of this notebook: which rotation is best, and how far from it is the DCT that JPEG has used since 1992?
    """)
    return


@app.cell
def _():
    import codeckit
    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    from codeckit.primitives.color import YCbCr
    from codeckit.primitives.dct import dct2, dct_matrix, from_blocks, idct2, to_blocks
    from codeckit.primitives.wavelet import Wavelet, subbands

    plt.rcParams.update({"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    return Wavelet, YCbCr, codeckit, dct2, dct_matrix, from_blocks, idct2, mo, np, plt, subbands, to_blocks


@app.cell
def _(YCbCr, codeckit, np):
    images = [image.load() for image in codeckit.dataset("sample")]
    lumas = [YCbCr().forward(image).planes[0].astype(np.float64) - 128 for image in images]
    luma = lumas[0]
    return images, luma, lumas


@app.cell
def _(luma, np, plt):
    rng = np.random.default_rng(0)
    ys, xs = rng.integers(0, 500, (2, 3000))
    figure1, axes1 = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", sharey=True)
    correlations = {}
    for _ax, _distance in zip(axes1, (1, 4, 32), strict=True):
        _a, _b = luma[:, :-_distance].ravel(), luma[:, _distance:].ravel()
        correlations[_distance] = np.corrcoef(_a, _b)[0, 1]
        _x = np.minimum(xs, 511 - _distance)
        _ax.plot(luma[ys, _x], luma[ys, _x + _distance], ".", markersize=1.5, alpha=0.5)
        _ax.set_title(f"{_distance} to the right: correlation {correlations[_distance]:.2f}", fontsize=9)
        _ax.set_xlabel("sample")
    axes1[0].set_ylabel("its neighbour")
    figure1
    return (correlations,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    Two neighbours lie on a diagonal: turn the axes by 45° and one of the two new numbers is small. That is a
    transform of size 2. For 8 samples in a row, or 64 in a block, the best axes are the **eigenvectors of the
    covariance**: in these the numbers are uncorrelated and the energy is as unevenly spread as any rotation can make
    it (Karhunen and Loève; statisticians say *principal components*).

    The KLT has a price: its axes must be computed from the pictures and told to the decoder. Let us see how different
    from the DCT it really is.
    """)
    return


@app.cell
def _(dct_matrix, lumas, np, to_blocks):
    rows = np.concatenate(
        [to_blocks(plane[: plane.shape[0] // 8 * 8, : plane.shape[1] // 8 * 8], 8).reshape(-1, 8) for plane in lumas]
    )
    covariance = rows.T @ rows / len(rows)
    variances, vectors = np.linalg.eigh(covariance)
    klt8 = vectors[:, ::-1].T
    dct8 = dct_matrix(8)
    klt8 = klt8 * np.sign((klt8 * dct8).sum(1))[:, None]
    likeness = np.abs((klt8 * dct8).sum(1))
    return dct8, klt8, likeness, rows


@app.cell
def _(dct8, klt8, likeness, plt):
    figure2, axes2 = plt.subplots(2, 4, figsize=(9, 3.6), layout="constrained", sharex=True, sharey=True)
    for _n, _ax in enumerate(axes2.flat):
        _ax.plot(dct8[_n], "o-", label="DCT")
        _ax.plot(klt8[_n], "s--", markersize=4, label="KLT of three photographs")
        _ax.set_title(f"axis {_n}: |cos| = {likeness[_n]:.4f}", fontsize=9)
    axes2[0, 0].legend(frameon=False, fontsize=7)
    figure2
    return


@app.cell(hide_code=True)
def _(likeness, mo):
    mo.md(f"""
    The eigenvectors of real photographs *are* cosines, nearly: the worst of the eight still has |cos| =
    {likeness.min():.3f} with its DCT axis. (For a first-order Markov source whose correlation goes to 1, the KLT
    becomes the DCT exactly: Ahmed, Natarajan and Rao, 1974.) So the DCT is the KLT that needs not be sent.
    """)
    return


@app.cell
def _(Wavelet, codeckit, dct8, klt8, lumas, np, subbands, to_blocks):
    from codeckit.primitives import Picture

    def coding_gain(variances, weights=None):
        """How much smaller the error is at the same rate: arithmetic over geometric mean of the variances, in dB."""
        weights = np.full(len(variances), 1 / len(variances)) if weights is None else np.asarray(weights)
        return 10 * np.log10((weights @ variances) / np.exp(weights @ np.log(variances)))

    def block_variances(matrix, plane):
        blocks = to_blocks(plane[: plane.shape[0] // 8 * 8, : plane.shape[1] // 8 * 8], 8)
        return ((matrix @ blocks @ matrix.T) ** 2).mean((0, 1)).ravel()

    def wavelet_gain(plane, levels=5):
        samples = (plane + 128).astype(np.uint8)
        pyramid = Wavelet("9/7", levels).forward(Picture((samples,), samples.shape)).planes[0].astype(np.float64)
        places = [place for place in subbands(plane.shape, levels).values() if pyramid[place].size]
        variances = np.array([(pyramid[place] ** 2).mean() for place in places])
        return coding_gain(variances, [pyramid[place].size / plane.size for place in places])

    hadamard = np.array([[1.0]])
    for _ in range(3):
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]]) / np.sqrt(2)
    gains = {
        "none": np.mean([coding_gain(block_variances(np.eye(8), plane)) for plane in lumas]),
        "Hadamard 8×8": np.mean([coding_gain(block_variances(hadamard, plane)) for plane in lumas]),
        "DCT 8×8": np.mean([coding_gain(block_variances(dct8, plane)) for plane in lumas]),
        "KLT 8×8 (separable)": np.mean([coding_gain(block_variances(klt8, plane)) for plane in lumas]),
        "wavelet 9/7, 5 levels": np.mean([wavelet_gain(plane) for plane in lumas]),
    }
    assert gains["none"] < gains["Hadamard 8×8"] < gains["DCT 8×8"]
    assert abs(gains["DCT 8×8"] - gains["KLT 8×8 (separable)"]) < 0.3
    assert codeckit  # the pictures come with it
    return (gains,)


@app.cell(hide_code=True)
def _(gains, mo):
    _rows = "\n".join(f"    | {name} | {gain:.2f} dB |" for name, gain in gains.items())
    mo.md(f"""
    ## The coding gain

    At high rates a transform is worth its *coding gain*: the arithmetic mean of the coefficients' variances over their
    geometric mean. Every 6.02 dB save a bit **a sample**.

    | transform | mean gain on the three samples |
    | --- | ---: |
{_rows}

    The KLT buys next to nothing over the DCT. The wavelet does better, because it looks further than 8 samples: its
    coarsest band sees 32.
    """)
    return


@app.cell
def _(mo):
    kept = mo.ui.slider(1, 64, value=6, label="coefficients kept of each 64", show_value=True)
    kept
    return (kept,)


@app.cell
def _(dct2, from_blocks, idct2, kept, luma, np, plt, to_blocks):
    blocks = to_blocks(luma, 8)
    coefficients = dct2(blocks)

    def keep(values, count):
        """The `count` largest of each block, the others 0."""
        flat = np.abs(values).reshape(*values.shape[:2], 64)
        threshold = np.sort(flat, axis=2)[:, :, 64 - count]
        return np.where(np.abs(values) >= threshold[:, :, None, None], values, 0)

    def quality(a, b):
        return 10 * np.log10(255**2 / np.mean((a - b) ** 2))

    from_samples = from_blocks(keep(blocks, kept.value))
    from_coefficients = from_blocks(idct2(keep(coefficients, kept.value)))
    energies = np.sort((coefficients**2).reshape(-1, 64), axis=1)[:, ::-1].sum(0)
    sample_energies = np.sort((blocks**2).reshape(-1, 64), axis=1)[:, ::-1].sum(0)
    figure3, (_left, _middle, _right) = plt.subplots(1, 3, figsize=(9.5, 3.3), layout="constrained")
    _left.imshow(from_samples, cmap="gray", vmin=-128, vmax=127)
    _left.set_title(f"{kept.value} samples a block: {quality(luma, from_samples):.1f} dB", fontsize=9)
    _middle.imshow(from_coefficients, cmap="gray", vmin=-128, vmax=127)
    _middle.set_title(f"{kept.value} DCT coefficients: {quality(luma, from_coefficients):.1f} dB", fontsize=9)
    for _ax in (_left, _middle):
        _ax.axis("off")
    _right.plot(np.arange(1, 65), np.cumsum(energies) / energies.sum(), label="DCT")
    _right.plot(np.arange(1, 65), np.cumsum(sample_energies) / sample_energies.sum(), label="samples")
    _right.set_xlabel("largest values kept")
    _right.set_title("share of the energy", fontsize=9)
    _right.legend(frameon=False)
    assert np.isclose(energies.sum(), sample_energies.sum(), rtol=1e-6)  # a rotation keeps the energy
    figure3
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What to take along

    - A transform loses nothing and saves nothing by itself. It makes the quantizer's and the entropy coder's work easy.
    - The DCT is close to the best rotation for what photographs are, on any photograph, without being sent.
    - Longer supports (wavelets, the lapped transforms of newer codecs, and the *learned* transforms of notebook 4) go
      further, because pictures hang together further than 8 samples.

    **Try**: keep 1 coefficient. What is left of the picture, and why does it look like that? Then `codeckit explain
    sample:astronaut --codec jpeg --out page.html` and look at the coefficients *by frequency*.
    """)
    return


if __name__ == "__main__":
    app.run()
