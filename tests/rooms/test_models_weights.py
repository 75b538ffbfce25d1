"""Weights: what a safetensors file holds comes out; what is broken or hostile is an error, never a crash."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.errors import ModelError
from sememe.models.weights import Weights
from tests.rooms.model_folders import safetensors

F32 = np.arange(12, dtype=np.float32).reshape(3, 4) - 5.5


def file_of(folder: Path, raw: bytes, name: str = "model.safetensors") -> Path:
    (folder / name).write_bytes(raw)
    return folder


def with_header(header: object, body: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_every_type_comes_back_as_it_was_written(tmp_path: Path) -> None:
    tensors = {
        "f32": F32,
        "f16": F32.astype(np.float16),
        "f64": F32.astype(np.float64),
        "i64": np.array([[-1, 2**40]], dtype=np.int64),
        "u8": np.array([0, 255], dtype=np.uint8),
        "bool": np.array([True, False]),
        "scalar": np.array(3.0, dtype=np.float32),
        "none": np.empty((0, 4), dtype=np.float32),
    }
    with Weights.open(file_of(tmp_path, safetensors(tensors))) as weights:
        assert weights.names() == tuple(tensors)
        assert "f32" in weights and "f33" not in weights and len(weights) == len(tensors)
        for name, array in tensors.items():
            assert weights.shape(name) == array.shape
            assert weights(name).dtype == array.dtype
            np.testing.assert_array_equal(weights.get(name), array)


def test_aligned_float32_is_a_view_of_the_file_and_read_only(tmp_path: Path) -> None:
    with Weights.open(file_of(tmp_path, safetensors({"w": F32}))) as weights:
        view = weights("w")
        assert not view.flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1.0


def test_unaligned_float32_is_copied_and_right(tmp_path: Path) -> None:
    raw = safetensors({"byte": np.array([7], dtype=np.uint8), "w": F32})
    with Weights.open(file_of(tmp_path, raw)) as weights:
        assert weights("w").flags.aligned
        np.testing.assert_array_equal(weights("w"), F32)


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 3.140625, 0.0, np.inf], dtype=np.float32)
    body = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    raw = with_header({"w": entry("BF16", [5], [0, 10])}, body)
    with Weights.open(file_of(tmp_path, raw)) as weights:
        assert weights("w").dtype == np.float32 and weights.dtype("w") == "BF16"
        np.testing.assert_array_equal(weights("w"), values)
        assert not weights("w").flags.writeable, "read-only in every type, not only where it is a view"


def test_a_view_outlives_close_but_nothing_new_is_read(tmp_path: Path) -> None:
    weights = Weights.open(file_of(tmp_path, safetensors({"w": F32})))
    view = weights("w")
    weights.close()
    np.testing.assert_array_equal(view, F32)
    with pytest.raises(ModelError, match="closed"):
        weights("w")


def test_an_unknown_tensor_names_some_that_are_there(tmp_path: Path) -> None:
    with (
        Weights.open(file_of(tmp_path, safetensors({"w": F32}))) as weights,
        pytest.raises(ModelError, match='no tensor "v"') as caught,
    ):
        weights("v")
    assert "w" in str(caught.value)


HOSTILE = {
    "empty file": (b"", "cut off"),
    "shorter than its length": (b"\x10\0\0", "cut off"),
    "header beyond the file": (with_header({}, length=1000), "cut off"),
    "header of an exabyte": (with_header({}, length=2**60), "claims"),
    "not JSON": (with_header(b"{nonsense"), "not valid JSON"),
    "not UTF-8": (with_header(b"\xff\xfe{}"), "not valid JSON"),
    "a list": (with_header([]), "not a JSON object"),
    "nested without end": (with_header(b"[" * 100_000), "not valid JSON"),
    "number of a million digits": (with_header(b'{"a": ' + b"9" * 10_000 + b"}"), "not valid JSON"),
    "key twice": (with_header(b'{"a": {}, "a": {}}'), "not valid JSON"),
    "entry is no object": (with_header({"w": 5}), "not an object"),
    "type unknown": (with_header({"w": entry("F31")}, bytes(8)), "F31"),
    "type is a list": (with_header({"w": entry(["F32"])}, bytes(8)), "type"),  # type: ignore[arg-type]
    "shape negative": (with_header({"w": entry(shape=[-2])}, bytes(8)), "shape"),
    "shape of truths": (with_header({"w": entry(shape=[True, True])}, bytes(4)), "shape"),
    "shape beyond any machine": (with_header({"w": entry(shape=[0, 2**62, 2**62], offsets=[0, 0])}), "shape"),
    "offsets backwards": (with_header({"w": entry(offsets=[8, 0])}, bytes(8)), "range"),
    "three offsets": (with_header({"w": entry(offsets=[0, 4, 8])}, bytes(8)), "range"),
    "size does not fit": (with_header({"w": entry(shape=[3])}, bytes(8)), "takes 12 bytes"),
    "data cut": (with_header({"w": entry()}, bytes(7)), "cut off"),
    "overlap": (with_header({"v": entry(), "w": entry(shape=[1], offsets=[4, 8])}, bytes(8)), "overlaps"),
    "hole": (with_header({"w": entry(offsets=[4, 12])}, bytes(12)), "hole"),
    "bytes of nobody": (with_header({"w": entry()}, bytes(9)), "belong to no tensor"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_with_its_name(case: str, tmp_path: Path) -> None:
    raw, said = HOSTILE[case]
    with pytest.raises(ModelError, match=said) as caught:
        Weights.open(file_of(tmp_path, raw))
    assert "model.safetensors" in str(caught.value)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "a.pth", "b.ckpt", "c.pkl"])
def test_pickled_weights_are_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    for place in (tmp_path, tmp_path / name):
        with pytest.raises(ModelError, match="runs whatever code") as caught:
            Weights.open(place)
        assert name in caught.value.what and caught.value.do


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no model\.safetensors"):
        Weights.open(tmp_path)


def shards(folder: Path, weight_map: object) -> Path:
    file_of(folder, safetensors({"a": F32}), "model-1.safetensors")
    file_of(folder, safetensors({"b": F32 * 2}), "model-2.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def test_shards_read_as_one(tmp_path: Path) -> None:
    folder = shards(tmp_path, {"a": "model-1.safetensors", "b": "model-2.safetensors"})
    with Weights.open(folder) as weights:
        assert set(weights) == {"a", "b"}
        np.testing.assert_array_equal(weights("b"), F32 * 2)


@pytest.mark.parametrize(
    ("weight_map", "said"),
    [
        ({"a": "../model-1.safetensors"}, "outside"),
        ({"a": "/etc/passwd"}, "outside"),
        ({"a": "..\\x.safetensors"}, "outside"),
        ({"a": 5}, "outside"),
        ({"a": "x.bin"}, "runs whatever code"),
        ({"a": "x.json"}, "not .safetensors"),
        ({"a": "model-3.safetensors"}, "lacks 1"),
        ({"a": "model-2.safetensors"}, "but it is not"),
        ({"c": "model-1.safetensors"}, "but it is not"),
        ({}, "weight_map"),
        ([], "weight_map"),
    ],
)
def test_a_hostile_index_is_refused(weight_map: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=said):
        Weights.open(shards(tmp_path, weight_map))


def test_one_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    folder = shards(tmp_path, {"a": "model-1.safetensors", "b": "model-2.safetensors"})
    file_of(folder, safetensors({"a": F32, "b": F32}), "model-2.safetensors")
    with pytest.raises(ModelError, match="in two files"):
        Weights.open(folder)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to count mapped files")
def test_no_file_stays_open_after_an_error(tmp_path: Path) -> None:
    folder = shards(tmp_path, {"a": "model-1.safetensors", "b": "model-2.safetensors"})
    file_of(folder, b"junk", "model-2.safetensors")
    before = Path("/proc/self/maps").read_text().count("model-1")
    with pytest.raises(ModelError):
        Weights.open(folder)
    assert Path("/proc/self/maps").read_text().count("model-1") == before == 0


VALID = safetensors(
    {"first": F32, "second": np.arange(6, dtype=np.int64).reshape(2, 3), "third": F32.astype(np.float16)}
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    raw = bytearray(VALID)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        match draw(st.sampled_from(["flip", "cut", "insert", "delete", "digit"])):
            case "flip" if raw:
                raw[at] = draw(st.integers(0, 255))
            case "cut":
                del raw[at:]
            case "insert":
                raw[at:at] = draw(st.binary(max_size=9))
            case "delete":
                del raw[at : at + draw(st.integers(1, 9))]
            case "digit":
                digits = [i for i, byte in enumerate(raw[:300]) if chr(byte).isdigit()]
                if digits:
                    raw[draw(st.sampled_from(digits))] = ord(draw(st.sampled_from("0123456789-.e")))
    return bytes(raw)


@settings(max_examples=300, deadline=None)
@given(raw=mutated())
def test_a_mutated_file_gives_arrays_of_its_shapes_or_an_error(
    raw: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "mutated"
    folder.mkdir(exist_ok=True)
    try:
        weights = Weights.open(file_of(folder, raw))
    except ModelError as error:
        assert "model.safetensors" in str(error)
        return
    with weights:
        for name in weights:
            assert weights(name).shape == weights.shape(name)
