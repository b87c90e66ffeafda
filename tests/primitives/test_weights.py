"""Weight files: what is written is read, and what is damaged, of another format or missing is refused by name."""

import subprocess
import sys

import numpy as np
import pytest
from codeckit.primitives.weights import check_fingerprint, fingerprint, read_metadata, read_tensors, write_tensors

TENSORS = {"b": np.arange(6, dtype=np.float16).reshape(2, 3), "a": np.arange(3, dtype=np.int8)}
TENSORS["n"] = np.array(7)  # without axes, such as a counter of torch's


def test_round_trip(tmp_path):
    path = tmp_path / "new folder" / "a.safetensors"
    said = {"fingerprint": fingerprint("name", TENSORS).hex()}
    write_tensors(path, "example 1", said, TENSORS)
    metadata, tensors = read_tensors(path, "example 1")
    assert metadata == {"format": "example 1", **said} == read_metadata(path, "example 1")
    assert tensors.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype and tensors[name].shape == array.shape
        assert np.array_equal(tensors[name], array)
    assert check_fingerprint(path, metadata, "name", tensors) == fingerprint("name", TENSORS)


def test_fingerprint_is_of_names_types_shapes_and_values():
    known = fingerprint("name", TENSORS)
    assert known == fingerprint(b"name", dict(reversed(TENSORS.items())))
    swapped = {**TENSORS, "b": TENSORS["b"].astype(">f2")}
    assert known == fingerprint("name", swapped)  # the same numbers in the memory of another machine
    others = [
        fingerprint("other", TENSORS),
        fingerprint("name", {**TENSORS, "b": TENSORS["b"].reshape(3, 2)}),
        fingerprint("name", {**TENSORS, "b": TENSORS["b"].astype(np.float32)}),
        fingerprint("name", {**TENSORS, "a": TENSORS["a"] + np.int8(1)}),
        fingerprint("name", {"b": TENSORS["b"], "c": TENSORS["a"], "n": TENSORS["n"]}),
    ]
    assert len({known, *others}) == 6


def test_bad_files_are_refused_by_name(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError, match=r"a\.safetensors"):
        read_tensors(path, "example 1")
    path.write_bytes(b"these are no tensors")
    with pytest.raises(ValueError, match=r"a\.safetensors is no safetensors file"):
        read_metadata(path, "example 1")
    write_tensors(path, "example 1", {"fingerprint": "00000000"}, TENSORS)
    with pytest.raises(ValueError, match=r"a\.safetensors is no weight file of the format 'example 2'"):
        read_tensors(path, "example 2")
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged"):
        check_fingerprint(path, *_renamed(read_tensors(path, "example 1")))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"a\.safetensors is no safetensors file, or a damaged one"):
        read_tensors(path, "example 1")


def _renamed(read):
    metadata, tensors = read
    return metadata, "name", tensors


def test_bfloat16_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"x": torch.zeros(2, dtype=torch.bfloat16)}, {"format": "example 1"}))
    with pytest.raises(ValueError, match=r"a\.safetensors holds numbers of a type"):
        read_tensors(path, "example 1")


def test_torch_is_not_imported():
    code = "import sys, codeckit.primitives.weights as w; w.fingerprint('a', {}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
