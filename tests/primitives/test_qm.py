"""The QM coder: the standard's own test sequence, and decisions that come back."""

import numpy as np
from codeckit.primitives.entropy import qm
from hypothesis import given
from hypothesis import strategies as st

decisions_and_bins = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 255)), max_size=400)


def test_the_standards_test_sequence():
    """T.81 K.4.1: 256 decisions in one bin, and the bytes that they become."""
    data = bytes.fromhex("00020051000000C00352872AAAAAAAAA82C02000FCD79EF674EAABF7697EE74C")
    coded = bytes.fromhex("655B5144F7969D517855BFFF00FC5184C7CEF93900287D46708ECBC0F6")
    decisions = np.unpackbits(np.frombuffer(data, np.uint8)).tolist()
    assert qm.encode(decisions) == coded.replace(b"\xff\0", b"\xff")
    assert qm.decode(qm.encode(decisions), 256) == decisions


@given(decisions_and_bins)
def test_decisions_come_back(case):
    decisions, bins = [bit for bit, _ in case], [bin for _, bin in case]
    data = qm.encode(decisions, bins)
    assert qm.decode(data, len(decisions), bins) == decisions
    assert not data.endswith(b"\0")
    assert qm.decode(data + b"\0\0\0", len(decisions), bins) == decisions


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_sizes_are_near_the_entropy(seed, probability):
    rng = np.random.default_rng(seed)
    decisions = (rng.random(5000) < probability).astype(int).tolist()
    data = qm.encode(decisions)
    assert qm.decode(data, len(decisions)) == decisions
    p = max(np.mean(decisions), 1 / 5000)
    entropy = -5000 * (p * np.log2(p) + (1 - p) * np.log2(max(1 - p, 1e-12)))
    assert 8 * len(data) < 1.08 * entropy + 120


def test_long_runs_carry():
    """A number just below a carry for long, then above: bytes of 0xFF that all turn over."""
    rng = np.random.default_rng(5)
    for _ in range(300):
        lead = rng.integers(0, 2, int(rng.integers(1, 60))).tolist()
        decisions = lead + [int(rng.integers(2))] * 3000 + rng.integers(0, 2, 20).tolist()
        assert qm.decode(qm.encode(decisions), len(decisions)) == decisions


def test_any_bytes_are_decisions():
    rng = np.random.default_rng(6)
    for size in 0, 1, 50:
        data = rng.integers(0, 256, size, np.uint8).tobytes()
        decisions = qm.decode(data, 2000, [n % 7 for n in range(2000)])
        assert set(decisions) <= {0, 1}
