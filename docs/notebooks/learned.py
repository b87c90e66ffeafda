"""Notebook 4: learned transforms and the hyperprior. What the latents of a small trained network hold."""

import marimo

app = marimo.App(width="medium", app_title="4 · Learned transforms and the hyperprior")


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # 4 · Learned transforms and the hyperprior

    A learned codec has the same three verbs as JPEG. Only where the numbers come from differs: the **analysis
    transform** g_a and the **synthesis transform** g_s are networks, and so is the model that tells the entropy coder
    how likely each symbol is. All of it is trained end to end on one loss, rate + λ · distortion.

    We take `cheng2020` (a small one, whose weights ship with codeckit) apart: what do its *latents* hold, and what does
    the *hyperprior* know?
    """)
    return


@app.cell
def _():
    import itertools

    import codeckit
    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    from codeckit.metrics import psnr

    plt.rcParams.update({"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    return codeckit, itertools, mo, np, plt, psnr


@app.cell
def _(codeckit):
    image = codeckit.dataset("sample:astronaut")[0].load()
    codec = codeckit.codec("cheng2020", quality=4)
    trace = codec.trace(image)
    step, coded = (next(step for step in trace.steps if step.role == role) for role in ("quantize", "entropy"))
    latents, scales = step.maps["latents"], step.maps["scales"]  # [h,w,M]
    bits, side_bits = coded.maps["bits"], coded.maps["side bits"]  # [h,w], [h/4,w/4]
    by_channel = coded.maps["bits by channel"]
    return bits, by_channel, codec, image, latents, scales, side_bits, step, trace


@app.cell
def _(mo, trace):
    mo.md("```\n" + str(trace) + "\n```")
    return


@app.cell
def _(by_channel, latents, np, plt):
    order = np.argsort(-by_channel)
    figure1, axes1 = plt.subplots(3, 6, figsize=(9.5, 5), layout="constrained")
    for _n, _ax in enumerate(axes1.flat):
        _plane = latents[..., order[_n]]
        _top = np.abs(_plane).max()
        _ax.imshow(_plane, cmap="RdBu_r", vmin=-_top, vmax=_top)
        _ax.set_title(f"channel {order[_n]}: {by_channel[order[_n]]:.0f} bits", fontsize=7)
        _ax.axis("off")
    figure1
    return (order,)


@app.cell(hide_code=True)
def _(by_channel, mo, np):
    _sorted = np.sort(by_channel)[::-1]
    _half = int(np.searchsorted(_sorted.cumsum(), _sorted.sum() / 2)) + 1
    _idle = int((by_channel < 1).sum())
    mo.md(f"""
    The 18 most expensive of {len(by_channel)} channels. Some look like small pictures (as the DC of a DCT does), others
    light up on edges of one direction. **{_half}** channels take half of all bits, and **{_idle}** take less than one
    bit on this whole picture: training switched them off, because they did not pay for their rate.
    """)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What a channel holds

    Set one channel to zero and decode: what is missing is what it held.
    """)
    return


@app.cell
def _(mo):
    rank = mo.ui.slider(0, 15, value=1, label="channel, by rank of its bits", show_value=True)
    rank
    return (rank,)


@app.cell
def _(codec, image, np, order, plt, psnr, rank, step):
    transform, quantizer, pad = codec.stages["transform"], codec.stages["quantize"], codec.stages["pad"]
    quantized = quantizer.inverse(step.value)  # ŷ, float32 [h,w,M], and the gain level

    def synthesize(y_hat):
        return pad.inverse(transform.inverse(quantized.replace(planes=(y_hat, *quantized.planes[1:]))))

    full = synthesize(quantized.planes[0])
    without = quantized.planes[0].copy()
    without[..., order[rank.value]] = 0
    missing = synthesize(without)
    difference = full.astype(int) - missing
    figure2, (_left, _right) = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
    _left.imshow(missing)
    _left.set_title(
        f"without channel {order[rank.value]}: {psnr(image, missing):.2f} dB (with it {psnr(image, full):.2f})",
        fontsize=9,
    )
    _right.imshow(np.clip(128 + 2 * difference, 0, 255).astype(np.uint8))
    _right.set_title("what it held (doubled, around grey)", fontsize=9)
    for _ax in (_left, _right):
        _ax.axis("off")
    assert np.array_equal(full, codec.decode(codec.encode(image)))  # we took the codec apart and put it together again
    figure2
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## The hyperprior: knowing where it will be expensive

    The latents of smooth sky are near zero, those of hair are not. Who codes them with one and the same distribution
    wastes bits on both. Ballé et al. (2018) send a little **side information** first, z = h_a(y), from which the
    decoder predicts a mean and a *scale* σ for every single latent.
    """)
    return


@app.cell
def _(bits, image, plt, scales, side_bits):
    figure3, axes3 = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
    axes3[0].imshow(image)
    axes3[0].set_title("picture", fontsize=9)
    axes3[1].imshow(scales.mean(2), cmap="inferno")
    axes3[1].set_title("predicted scale σ (mean)", fontsize=9)
    axes3[2].imshow(bits, cmap="inferno")
    axes3[2].set_title(f"bits of y: {bits.sum():.0f}", fontsize=9)
    axes3[3].imshow(side_bits, cmap="inferno")
    axes3[3].set_title(
        f"bits of z: {side_bits.sum():.0f} ({100 * side_bits.sum() / (bits.sum() + side_bits.sum()):.1f} %)", fontsize=9
    )
    for _ax in axes3:
        _ax.axis("off")
    figure3
    return


@app.cell
def _(itertools, latents, np, plt, scales, step):
    symbols = step.value.planes[0]  # rounded around the predicted mean: what is left after the prediction
    edges = np.quantile(scales, np.linspace(0, 1, 25))
    edges = np.unique(edges)
    middle, actual = [], []
    for _low, _high in itertools.pairwise(edges):
        _chosen = (scales >= _low) & (scales <= _high)
        if _chosen.sum() > 50:
            middle.append(scales[_chosen].mean())
            actual.append(np.sqrt((symbols[_chosen].astype(float) ** 2).mean() + 1e-6))
    correlation = np.corrcoef(np.log(scales).ravel(), np.log(0.3 + np.abs(symbols)).ravel())[0, 1]
    figure4, _ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
    _ax.loglog(middle, actual, "o", markersize=4)
    _ax.loglog([0.1, 100], [0.1, 100], color="#999999", linewidth=0.8)
    _ax.set_xlabel("predicted σ")
    _ax.set_ylabel("root mean square of the symbols")
    _ax.set_title("the prediction is calibrated: points lie on the diagonal", fontsize=9)
    assert correlation > 0.4 and latents.shape == scales.shape
    figure4
    return (symbols,)


@app.cell
def _(bits, mo, np, side_bits, symbols):
    # What the same symbols would cost without knowing: one table a channel, ideal for this picture, not even sent.
    from codeckit.metrics import class_entropy_bits

    informed, order0 = bits.sum() + side_bits.sum(), class_entropy_bits(symbols)
    assert informed < order0
    mo.md(f"""
    | the symbols of y coded with | bits |
    | --- | ---: |
    | one distribution a channel, ideal for this very picture (a factorized prior could not know it) | {order0:,.0f} |
    | a distribution for every symbol, from z and from what is decoded already; z included | **{informed:,.0f}** |

    {100 * (1 - informed / order0):.0f} % less, for {side_bits.sum():,.0f} bits of side information. Summed over
    {np.prod(symbols.shape):,} symbols that is {informed / np.prod(symbols.shape):.3f} bits each.
    """)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What to take along

    - Latents are a picture's description in axes that were *learned* to be cheap: sparse, decorrelated as far as the
      network could, switched off where they do not pay.
    - The hyperprior is nothing mysterious: forward-adaptive side information, as JPEG's tables or a video codec's
      quantizer map, only learned and fine-grained.
    - The decoder must compute exactly the same σ as the encoder, on any machine. codeckit runs this part in integer
      arithmetic (`docs/format.md`).

    **Try**: `codeckit explain PHOTO --codec jpeg,cheng2020 --out page.html` and compare where the two spend their bits.
    """)
    return


if __name__ == "__main__":
    app.run()
