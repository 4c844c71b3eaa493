"""A pickle is refused by its content, whatever its name and wrapping; what is no pickle is let through."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import pickletools
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from sklearn.linear_model import LogisticRegression

from sluice.core.errors import BadInput
from sluice.modeling.model_files import load_model
from sluice.modeling.pickles import pickle_in, refuse_pickles

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)
FITTED = LogisticRegression().fit([[0.0], [1.0]], [0, 1])


def zipped(data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", data)
    return stream.getvalue()


def joblib_bytes(compress: str | int) -> bytes:
    stream = io.BytesIO()
    joblib.dump(FITTED, stream, compress=compress)
    return stream.getvalue()


def object_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return stream.getvalue()


WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zip": zipped,
    "gzip in zip": lambda data: zipped(gzip.compress(data)),
}


@given(VALUES, st.integers(0, pickle.HIGHEST_PROTOCOL), st.sampled_from(sorted(WRAPPINGS)))
def test_every_pickle_is_found_in_every_wrapping(value: object, protocol: int, wrapping: str) -> None:
    assert "pickle" in pickle_in(WRAPPINGS[wrapping](pickle.dumps(value, protocol)))


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(FITTED),
        joblib_bytes(0),
        joblib_bytes("zlib"),
        joblib_bytes("gzip"),
        joblib_bytes("bz2"),
        joblib_bytes("xz"),
        joblib_bytes("lzma"),
        object_array(),
        zipped(object_array()),
        b"\x04\x22\x4d\x18" + b"anything",
        b"cos\nsystem\n(S'true'\ntR.",
    ],
    ids=["pickle", "joblib", "zlib", "gzip", "bz2", "xz", "lzma", "object array", "zipped", "lz4", "text"],
)
@pytest.mark.parametrize("name", ["model.skops", "weights.safetensors", "model.json", "notes.txt"])
def test_a_folder_with_a_pickle_is_no_model(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=f"{re.escape(str(tmp_path / name))} holds .*no pickles") as caught:
        load_model(tmp_path)
    assert "save_model" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_torch_saves_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for zip_format in (True, False):
        torch.save({"a": torch.zeros(3)}, tmp_path / "weights.safetensors", _use_new_zipfile_serialization=zip_format)
        with pytest.raises(BadInput, match=r"weights\.safetensors holds a pickle"):
            refuse_pickles(tmp_path)


def test_a_pickle_deep_in_wrappings_is_refused() -> None:
    data = pickle.dumps([1])
    for _ in range(6):
        data = gzip.compress(data)
    assert "too many wrappings" in pickle_in(data)


def test_a_header_whose_length_reads_as_opcodes_makes_no_pickle() -> None:
    length = int.from_bytes(pickle.NEWTRUE + pickle.STOP, "little")  # true, stop: a whole pickle
    data = save({"x" * (length - 60): np.zeros(2, np.float32)})
    assert data.startswith(pickle.NEWTRUE + pickle.STOP)
    assert pickle_in(data) == ""
    assert "pickle" in pickle_in(data[:8] + data[9:])


def test_a_pickle_with_a_brace_where_safetensors_have_one_is_found() -> None:
    data = pickle.dumps({"{": None}, protocol=1)
    assert data[8:9] == b"{"
    assert "pickle" in pickle_in(data)
    assert "pickle" in pickle_in(pickle.dumps({'{"a": 1}': None}, protocol=1))


def test_safetensors_whose_header_is_longer_than_what_is_looked_at_are_no_pickles() -> None:
    assert pickle_in(save({"x" * 2**20: np.zeros(2, np.float32)})[: 2**20]) == ""


@given(st.integers(0, 70_000))
def test_safetensors_are_no_pickles_whatever_their_headers_length(length: int) -> None:
    """The first bytes are the header's length: some lengths look like a pickle's opcodes."""
    assert pickle_in(save({"x" * length: np.zeros(2, np.float32)})) == ""


@given(VALUES.map(lambda value: json.dumps(repr(value)) if isinstance(value, bytes) else repr(value)))
def test_json_objects_are_no_pickles(text: str) -> None:
    assert pickle_in(json.dumps({"value": text}).encode()) == ""


def a_whole_pickle(data: bytes) -> bool:
    """Whether Python's own disassembler reads opcodes up to a stop, and more than that one."""
    try:
        return sum(1 for _ in pickletools.genops(data)) > 1
    except Exception:  # noqa: BLE001 - it raises nearly anything
        return False


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"N", b".", b"(", b"I1\n", b"t", b"\x80\x04", b"]"])).map(b"".join)
)
def test_bytes_are_a_pickle_where_python_s_disassembler_reads_them(data: bytes) -> None:
    found = pickle_in(data)
    assert found == "" or re.match(r"a pickle \(protocol \d+", found) or "compress" in found or "array of" in found
    if a_whole_pickle(data):
        assert found.startswith("a pickle (protocol ")
    elif not data.startswith((b"\x80", b"\x93NUMPY", b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd", b"ZF0x")):
        assert found == ""


def test_plain_arrays_are_no_pickles() -> None:
    stream = io.BytesIO()
    np.save(stream, np.arange(5))
    assert pickle_in(stream.getvalue()) == ""
    assert pickle_in(zipped(stream.getvalue())) == ""
