import io

import numpy as np
from codeckit.bench.studies import pictures
from codeckit.bench.studies.jpeg_identity import segments
from codeckit.codecs.jpeg import tables
from PIL import Image


def test_typical_tables_are_those_that_libjpeg_writes():
    out = io.BytesIO()
    Image.fromarray(pictures.photo(16, 16)).save(out, "jpeg")
    written = {s[4]: s[5:] for s in segments(out.getvalue()) if s[1] == 0xC4}  # libjpeg writes one table a segment
    ours = {number: bytes(counts) + bytes(symbols) for number, (counts, symbols) in tables.STANDARD.items()}
    assert written == ours


def test_typical_tables_hold_every_symbol_once():
    for counts, symbols in tables.STANDARD.values():
        assert counts.sum() == len(symbols) == len(np.unique(symbols))
