"""Notebook 3: entropy coding. Huffman, arithmetic coding and ANS built by hand, and checked against constriction."""

import marimo

app = marimo.App(width="medium", app_title="3 · Entropy coding: Huffman, arithmetic, ANS")


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # 3 · Entropy coding: Huffman, arithmetic, ANS

    A quantizer leaves symbols, and some are far more frequent than others. An **entropy coder** writes frequent symbols
    in fewer bits. How few? Shannon (1948): a symbol of probability p costs **−log₂ p** bits, and no code does better on
    average than the entropy H = Σ p · log₂(1/p).

    The message of this notebook: 2000 quantized DCT coefficients of one frequency of a photograph.
    """)
    return


@app.cell
def _():
    import heapq
    from fractions import Fraction

    import codeckit
    import constriction
    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    from codeckit.metrics import entropy_bits
    from codeckit.primitives import AnsCoded, ContextCoded, HuffmanCoded, RangeCoded, UniformCoded
    from codeckit.primitives.entropy.ans import AnsCoder
    from codeckit.primitives.entropy.huffman import code_lengths
    from codeckit.primitives.entropy.models import StaticModel
    from codeckit.primitives.entropy.range_coder import RangeDecoder, RangeEncoder

    plt.rcParams.update({"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    return (
        AnsCoded,
        AnsCoder,
        ContextCoded,
        Fraction,
        HuffmanCoded,
        RangeCoded,
        RangeDecoder,
        RangeEncoder,
        StaticModel,
        UniformCoded,
        code_lengths,
        codeckit,
        constriction,
        entropy_bits,
        heapq,
        mo,
        np,
        plt,
    )


@app.cell
def _(codeckit, np):
    picture = codeckit.codec("jpeg", quality=75).trace(codeckit.dataset("sample:astronaut")[0].load()).steps[4].value
    values = np.clip(picture.planes[0][:, :, 0, 1].ravel()[:2000], -8, 7)
    message = (values + 8).astype(int).tolist()  # symbols 0 … 15
    counts = np.bincount(message, minlength=16)
    return counts, message, picture


@app.cell
def _(counts, entropy_bits, message, np, plt):
    entropy = entropy_bits(np.array(message))
    figure1, _ax = plt.subplots(figsize=(6.5, 2.4), layout="constrained")
    _ax.bar(np.arange(16) - 8, counts)
    _ax.set_title(
        f"counts; entropy {entropy:.1f} bits, {entropy / len(message):.3f} a symbol; fixed length: 4", fontsize=9
    )
    figure1
    return (entropy,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Huffman (1952): whole bits

    Take the two rarest symbols, make them two branches of one, and repeat. The path from the root is the code word.
    Fifteen lines, by hand:
    """)
    return


@app.cell
def _(counts, heapq):
    def huffman(weights):
        """Code words of the symbols that occur, as text."""
        heap = [(int(weight), n, (n,)) for n, weight in enumerate(weights) if weight]
        words = {symbol: "" for _, _, (symbol,) in heap}
        heapq.heapify(heap)
        while len(heap) > 1:
            first, second = heapq.heappop(heap), heapq.heappop(heap)
            for bit, (_, _, symbols) in zip("01", (first, second), strict=True):
                for symbol in symbols:
                    words[symbol] = bit + words[symbol]
            heapq.heappush(heap, (first[0] + second[0], first[1], first[2] + second[2]))
        return words

    words = huffman(counts)
    return (words,)


@app.cell
def _(code_lengths, constriction, counts, message, np, words):
    huffman_text = "".join(words[symbol] for symbol in message)
    huffman_bits = len(huffman_text)

    # Decode it again: walk from the root until a word is complete.
    _symbols, _by_word, _word = [], {word: symbol for symbol, word in words.items()}, ""
    for _bit in huffman_text:
        _word += _bit
        if _word in _by_word:
            _symbols.append(_by_word[_word])
            _word = ""
    assert _symbols == message

    # The package's code and constriction's are as long: there is more than one Huffman tree, but only one least length.
    assert int(counts @ code_lengths(counts)) == huffman_bits
    _used = np.flatnonzero(counts)
    _book = constriction.symbol.huffman.EncoderHuffmanTree(counts[_used].astype(np.float64))
    _coder = constriction.symbol.QueueEncoder()
    for _symbol in np.searchsorted(_used, message).tolist():
        _coder.encode_symbol(_symbol, _book)
    _, constriction_bits = _coder.get_compressed()
    assert constriction_bits == huffman_bits
    return (huffman_bits,)


@app.cell(hide_code=True)
def _(entropy, huffman_bits, message, mo, words):
    _some = ", ".join(
        f"{symbol - 8:+d} → `{word}`" for symbol, word in sorted(words.items(), key=lambda w: len(w[1]))[:6]
    )
    mo.md(f"""
    The code words: {_some} …

    The message takes **{huffman_bits} bits**, {100 * (huffman_bits / entropy - 1):.2f} % above its entropy
    ({huffman_bits / len(message):.3f} bits a symbol). `constriction`'s Huffman tree needs exactly as many.

    What is lost: a word has whole bits. A symbol of probability 0.9 is worth 0.15 bits and costs 1. That is why JPEG
    codes *runs* of zeros, and why everything newer does the following.
    """)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Arithmetic coding: the message is one number

    Give every symbol a share of [0, 1) as wide as its probability. The first symbol chooses a share, the second a share
    of that share … After the message the interval is as wide as the product of all probabilities, and any number in it
    *is* the message: −log₂(width) bits. With exact fractions it takes six lines:
    """)
    return


@app.cell
def _(Fraction, counts, message, np):
    total = int(counts.sum())
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).tolist()

    def narrow(symbols):
        """Lower end and width of the interval of a message."""
        low, width = Fraction(0), Fraction(1)
        for symbol in symbols:
            low += width * Fraction(starts[symbol], total)
            width *= Fraction(int(counts[symbol]), total)
        return low, width

    short = message[:40]
    low, width = narrow(short)
    exact_bits = 1  # the shortest binary fraction inside the interval
    while Fraction(-(-low.numerator * 2**exact_bits // low.denominator), 2**exact_bits) >= low + width:
        exact_bits += 1
    number = Fraction(-(-low.numerator * 2**exact_bits // low.denominator), 2**exact_bits)

    # The decoder asks in whose share the number lies, and zooms in.
    _read, _at = [], number
    for _ in short:
        _symbol = max(s for s in range(16) if counts[s] and Fraction(starts[s], total) <= _at)
        _read.append(_symbol)
        _at = (_at - Fraction(starts[_symbol], total)) * Fraction(total, int(counts[_symbol]))
    assert _read == short
    return exact_bits, short, width


@app.cell(hide_code=True)
def _(exact_bits, mo, short, width):
    import math as _math

    _information = _math.log2(width.denominator) - _math.log2(width.numerator)
    mo.md(f"""
    {len(short)} symbols hold {_information:.2f} bits of information and take {exact_bits} bits: the *whole message* is
    rounded up, not every symbol. The fractions grow without end, though. A **range coder** keeps only the top 64 bits
    of the interval and writes 32 of them as soon as they are settled: `codeckit.primitives.entropy.range_coder` is
    one to read. It writes the same words as `constriction`:
    """)
    return


@app.cell
def _(RangeDecoder, RangeEncoder, StaticModel, constriction, counts, message, np):
    used = np.flatnonzero(counts)
    model = StaticModel.from_counts(counts[used])
    ranks = np.searchsorted(used, message).tolist()
    encoder = RangeEncoder()
    for _symbol in ranks:
        encoder.encode(_symbol, model)
    range_words = encoder.words()
    decoder = RangeDecoder(range_words)
    assert [decoder.decode(model) for _ in ranks] == ranks

    _library = constriction.stream.queue.RangeEncoder()
    _library.encode(np.array(ranks, np.int32), model.for_constriction())
    assert np.array_equal(_library.get_compressed(), range_words)
    return model, range_words, ranks


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## ANS (Duda 2009): the message is one number, as digits

    Appending a decimal digit to x is `x·10 + digit`; taking it off again is `divmod(x, 10)`. Asymmetric numeral systems
    do the same with digits of *unequal room*: a symbol of frequency f of M makes x larger by M / f only, which is
    −log₂ p bits. With Python's unbounded integers, by hand:
    """)
    return


@app.cell
def _(message, starts_and_counts):
    first, share, whole = starts_and_counts

    def push(x, symbol):
        return x // share[symbol] * whole + first[symbol] + x % share[symbol]

    def pop(x):
        slot = x % whole
        symbol = max(s for s in range(16) if share[s] and first[s] <= slot)
        return x // whole * share[symbol] + slot - first[symbol], symbol

    x = 1
    for _symbol in reversed(message):  # what is pushed last comes out first
        x = push(x, _symbol)
    ans_bits = x.bit_length()
    _x, _read = x, []
    for _ in message:
        _x, _symbol = pop(_x)
        _read.append(_symbol)
    assert _read == message and _x == 1
    return (ans_bits,)


@app.cell
def _(counts, np):
    starts_and_counts = (np.concatenate([[0], np.cumsum(counts)[:-1]]).tolist(), counts.tolist(), int(counts.sum()))
    return (starts_and_counts,)


@app.cell
def _(AnsCoder, constriction, model, np, ranks):
    # The coder of the package keeps 64 bits and moves 32 at a time to a stack of words; constriction writes the same.
    coder = AnsCoder()
    for _symbol in reversed(ranks):
        coder.push(_symbol, model)
    ans_words = coder.words()
    assert [coder.pop(model) for _ in ranks] == ranks
    _library = constriction.stream.stack.AnsCoder()
    _library.encode_reverse(np.array(ranks, np.int32), model.for_constriction())
    assert np.array_equal(_library.get_compressed(), ans_words)
    return (ans_words,)


@app.cell(hide_code=True)
def _(ans_bits, ans_words, entropy, huffman_bits, message, mo, range_words):
    mo.md(f"""
    | coder | bits | above the entropy |
    | --- | ---: | ---: |
    | fixed length | {4 * len(message)} | {100 * (4 * len(message) / entropy - 1):.1f} % |
    | Huffman | {huffman_bits} | {100 * (huffman_bits / entropy - 1):.2f} % |
    | ANS, one big integer | {ans_bits} | {100 * (ans_bits / entropy - 1):.2f} % |
    | ANS in 64 bits, words of 32 | {32 * len(ans_words)} | {100 * (32 * len(ans_words) / entropy - 1):.2f} % |
    | range coder, words of 32 | {32 * len(range_words)} | {100 * (32 * len(range_words) / entropy - 1):.2f} % |
    | **entropy** | {entropy:.1f} | |

    (None of these counts the table of frequencies that a decoder must know, too.) Range coder and ANS cost the same;
    the one is a queue, the other a stack, and ANS decodes without a division.
    """)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Beyond order 0

    All of the above knows how often a symbol occurs, and nothing of what stands beside it. That is where the rest of
    the gain lies. The same quantized picture through five entropy stages of codeckit, tables and headers included:
    """)
    return


@app.cell
def _(AnsCoded, ContextCoded, HuffmanCoded, RangeCoded, UniformCoded, mo, picture):
    sizes = {}
    for _stage in (UniformCoded(), HuffmanCoded(), RangeCoded(), AnsCoded(), ContextCoded()):
        _payload = _stage.forward(picture)
        assert all((a == b).all() for a, b in zip(_stage.inverse(_payload).planes, picture.planes, strict=True))
        sizes[type(_stage).__name__] = len(_payload)
    _rows = "\n".join(
        f"| `{name}` | {size:,} | {100 * size / sizes['UniformCoded']:.0f} % |" for name, size in sizes.items()
    )
    assert sizes["ContextCoded"] < sizes["RangeCoded"] < sizes["HuffmanCoded"] < sizes["UniformCoded"]
    mo.md("| stage | bytes | |\n| --- | ---: | ---: |\n" + _rows)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    `ContextCoded` learns while it codes: it predicts each decision from the neighbours, mixes the predictions, and
    feeds a binary range coder. A better *model*, the same coder: that is how entropy coding has advanced since 1979.

    **Try**: in the first cell, take another frequency (`[:, :, 3, 3]`): nearly all symbols are zero. Who suffers most?
    """)
    return


if __name__ == "__main__":
    app.run()
