"""Mapped tensors: equal to the saved ones, read-only, refused when they are none."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import save_file

from interest.errors import InvalidRelease
from interest.mapped import map_tensors


def test_tensors_of_every_number_type_come_back_read_only(tmp_path: Path) -> None:
    saved = {
        "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
        "longs": np.array([2**40, -1]),
        "none": np.zeros((0, 4), dtype=np.float32),
    }
    save_file(saved, tmp_path / "file.safetensors", metadata={"made": "by a test"})
    found = map_tensors(tmp_path / "file.safetensors")
    assert set(found) == set(saved)
    for name, tensor in saved.items():
        assert_array_equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
        assert not found[name].flags.writeable


@pytest.mark.parametrize("content", [b"", b"short", b"\x10\x00\x00\x00\x00\x00\x00\x00not json at all.", b"\xff" * 64])
def test_a_file_that_holds_no_tensors_is_an_invalid_release(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.safetensors").write_bytes(content)
    with pytest.raises(InvalidRelease, match="expected a safetensors file"):
        map_tensors(tmp_path / "file.safetensors")


def test_another_element_type_is_an_invalid_release(tmp_path: Path) -> None:
    save_file({"flags": np.zeros(3, dtype=np.bool_)}, tmp_path / "file.safetensors")
    with pytest.raises(InvalidRelease, match="BOOL"):
        map_tensors(tmp_path / "file.safetensors")
