"""Notebook 2: quantization, the only step that loses. Steps, dead zones, decisions by rate, and noise as a proxy."""

import marimo

app = marimo.App(width="medium", app_title="2 · Quantization: the only step that loses")


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # 2 · Quantization: the only step that loses

    Everything else in a codec can be undone. The **quantizer** rounds, and what it rounds away is gone; in return the
    numbers become *symbols*, few and mostly zero, that an entropy coder can write in little room.

    We use real numbers to quantize: the DCT coefficients of a photograph (first row and column left out, the DC is a
    world of its own).
    """)
    return


@app.cell
def _():
    import codeckit
    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    from codeckit.metrics import entropy_bits
    from codeckit.primitives.color import YCbCr
    from codeckit.primitives.dct import dct2, to_blocks
    from codeckit.primitives.quantizers.deadzone import dequantize_deadzone, quantize_deadzone
    from codeckit.primitives.quantizers.rate_distortion import quantize_rate_distortion
    from codeckit.primitives.quantizers.uniform import dequantize_uniform, quantize_uniform

    plt.rcParams.update({"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    return (
        YCbCr,
        codeckit,
        dct2,
        dequantize_deadzone,
        dequantize_uniform,
        entropy_bits,
        mo,
        np,
        plt,
        quantize_deadzone,
        quantize_rate_distortion,
        quantize_uniform,
        to_blocks,
    )


@app.cell
def _(YCbCr, codeckit, dct2, np, to_blocks):
    luma = YCbCr().forward(codeckit.dataset("sample:astronaut")[0].load()).planes[0].astype(np.float64) - 128
    x = dct2(to_blocks(luma, 8))[:, :, 1:, 1:].ravel()
    return (x,)


@app.cell
def _(np, plt, x):
    figure1, _ax = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
    _ax.hist(x, bins=np.arange(-60, 60.5, 1), density=True, log=True, alpha=0.6)
    scale = np.abs(x).mean()
    _grid = np.linspace(-60, 60, 400)
    _ax.plot(
        _grid, np.exp(-np.abs(_grid) / scale) / (2 * scale), label=f"Laplace of the same mean magnitude ({scale:.1f})"
    )
    _ax.set_title("AC coefficients: peaked at zero, with heavier tails than Laplace's", fontsize=9)
    _ax.legend(frameon=False)
    figure1
    return


@app.cell
def _(mo):
    step = mo.ui.slider(1, 40, value=12, label="step Δ", show_value=True)
    step
    return (step,)


@app.cell
def _(dequantize_deadzone, dequantize_uniform, np, plt, quantize_deadzone, quantize_uniform, step):
    _grid = np.linspace(-45, 45, 2001)
    figure2, _ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
    _ax.plot(_grid, dequantize_uniform(quantize_uniform(_grid, step.value), step.value), label="uniform: round(x / Δ)")
    _ax.plot(
        _grid,
        dequantize_deadzone(quantize_deadzone(_grid, step.value), step.value),
        label="dead zone: sign(x)·⌊|x| / Δ⌋",
    )
    _ax.plot(_grid, _grid, color="#999999", linewidth=0.7)
    _ax.set_xlabel("value")
    _ax.set_ylabel("restored")
    _ax.legend(frameon=False)
    figure2
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    The **dead zone** makes the zero interval twice as wide. That looks like a bad idea: more error. But a value just
    above Δ/2 is expensive (a non-zero symbol among zeros costs many bits) and saves little error. What counts is the
    error *at the same rate*, so we draw both against the entropy of the symbols.
    """)
    return


@app.cell
def _(
    dequantize_deadzone,
    dequantize_uniform,
    entropy_bits,
    np,
    plt,
    quantize_deadzone,
    quantize_rate_distortion,
    quantize_uniform,
    x,
):
    def rate(symbols):
        return entropy_bits(symbols) / symbols.size

    def error(restored):
        return 10 * np.log10(np.mean((x - restored) ** 2))

    steps = 2.0 ** np.arange(0, 6.01, 0.5)
    curves = {"uniform": [], "dead zone, middle": [], "dead zone, r = 0.375": [], "rate-distortion optimized": []}
    for _step in steps:
        _symbols = quantize_uniform(x, _step)
        curves["uniform"].append((rate(_symbols), error(dequantize_uniform(_symbols, _step))))
        _symbols = quantize_deadzone(x, _step)
        curves["dead zone, middle"].append((rate(_symbols), error(dequantize_deadzone(_symbols, _step))))
        curves["dead zone, r = 0.375"].append((rate(_symbols), error(dequantize_deadzone(_symbols, _step, 0.375))))
        _symbols = quantize_rate_distortion(x[:, None], _step, rate_weight=0.12).ravel()
        curves["rate-distortion optimized"].append((rate(_symbols), error(dequantize_uniform(_symbols, _step))))
    figure3, _ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for _name, _points in curves.items():
        _ax.plot(*zip(*_points, strict=True), "o-", markersize=3, label=_name)
    _ax.set_xlabel("rate: entropy, bits a coefficient")
    _ax.set_ylabel("error (dB; lower is better)")
    _ax.legend(frameon=False)
    figure3
    return curves, rate


@app.cell
def _(curves, np):
    def at_rate(points, wanted):
        """The error of a curve at a rate, between its points."""
        rates, errors = np.array(sorted(points)).T
        return float(np.interp(wanted, rates, errors))

    table = {wanted: {name: at_rate(points, wanted) for name, points in curves.items()} for wanted in (0.25, 0.5, 1, 2)}
    # At low rates, where codecs work, a decision that knows the price of a symbol beats plain rounding.
    assert table[0.5]["rate-distortion optimized"] < table[0.5]["uniform"]
    assert table[0.5]["dead zone, r = 0.375"] < table[0.5]["dead zone, middle"]
    return (table,)


@app.cell(hide_code=True)
def _(mo, table):
    _names = list(next(iter(table.values())))
    _rows = "\n".join(
        f"    | {rate:g} | " + " | ".join(f"{row[name]:.2f}" for name in _names) + " |" for rate, row in table.items()
    )
    mo.md(f"""
    | bits a coefficient | {" | ".join(_names)} |
    | ---: |{" ---: |" * len(_names)}
{_rows}

    - **Reconstruction**: in an interval of a falling density the mean lies below the middle, so restoring at r = 0.375
      of the way costs nothing and gains at every rate. (It is the decoder's choice: the stream stays the same.)
    - **Rate-distortion optimized**: choose the symbol that minimizes error + λ · bits, with the bits that a symbol
      really costs, instead of the nearest one. A dead zone is what this comes to on average.
    - At high rates all curves run together, 6.02 dB a bit: halve the step, one bit more, a quarter of the error.
    """)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Noise as a proxy

    A learned codec is trained by gradient descent, and rounding has no gradient: it is flat everywhere. Ballé, Laparra
    and Simoncelli (2017) train with **additive uniform noise** in its place, u ∈ [−½, ½). Why does that work? Because
    two things agree between noise and rounding: the *error* (both uniform, Δ²/12 when the step is small), and the
    *rate*: the density of x + u, taken at whole numbers, is exactly the probability of the rounded symbol.
    """)
    return


@app.cell
def _(entropy_bits, np, plt, rate, x):
    generator = np.random.default_rng(1)
    rows = []
    for _scale in 2.0 ** np.arange(-4, 5):
        values = x / np.abs(x).mean() * _scale  # in units of the step
        noisy = values + generator.uniform(-0.5, 0.5, values.shape)
        rounded = np.rint(values)
        # Differential entropy of the noisy values from a fine histogram, against the entropy of the symbols.
        width = 0.05
        fine = np.floor(noisy / width).astype(int)
        differential = entropy_bits(fine) / fine.size + np.log2(width)
        rows.append((_scale, rate(rounded.astype(int)), differential, np.mean((rounded - values) ** 2), 1 / 12))
    rows = np.array(rows)
    figure4, (_left, _right) = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
    _left.semilogx(rows[:, 0], rows[:, 1], "o-", label="entropy of rounded")
    _left.semilogx(rows[:, 0], rows[:, 2], "s--", label="differential entropy of x + u")
    _left.set_title("rate (bits)", fontsize=9)
    _right.semilogx(rows[:, 0], rows[:, 3], "o-", label="error of rounding")
    _right.semilogx(rows[:, 0], rows[:, 4], "s--", label="error of noise: 1/12")
    _right.set_title("error (units of Δ²)", fontsize=9)
    for _ax in (_left, _right):
        _ax.set_xlabel("mean magnitude in steps")
        _ax.legend(frameon=False)
    assert np.all(np.abs(rows[-3:, 1] - rows[-3:, 2]) < 0.1) and np.all(np.abs(rows[-2:, 3] * 12 - 1) < 0.1)
    figure4
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    For values of more than about a step the two agree; below that noise overstates the error (rounding makes zeros, and
    zeros of small values are small errors) and the rate. Learned codecs live with that, or switch to real rounding with
    a straight-through gradient towards the end of training.

    **Try**: change `rate_weight=0.12` (λ, in units of Δ² a bit). What happens to the curve with 0, what with 1?
    """)
    return


if __name__ == "__main__":
    app.run()
