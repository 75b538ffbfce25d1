"""Every operation, by every interpreter, with the same random inputs.

NumPy is the oracle of the others, and is itself held to float64 formulas written down a second time here. A network's
graph is built once and sees many shapes, so each OpenVINO case compiles one graph and runs all sizes through it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sememe.errors import UsageError
from sememe.ops import openvino as engine
from sememe.ops.contract import Inputs, Ops
from sememe.ops.numpy import NumpyOps, run

#: largest difference over the largest value of the answer
F32 = 1e-5
#: bfloat16 keeps 8 bits of a number (1/256 = 0.004); the inputs of matrix products are rounded to it, so that two
#: roundings meet in a product (measured: at most 0.0051, in attention)
BF16 = 0.01

#: one text of one token, widths that no tile of a processor likes, and ones that it does
SIZES = [(1, 1), (1, 7), (3, 1), (2, 5), (5, 13), (4, 16), (3, 33), (2, 64)]
H, INNER, HEADS, ROWS = 20, 12, 4, 71
#: places that `pick` chooses among
PLACES = 6
EPS = 1e-5

_random = np.random.default_rng(11)
TABLE = _random.normal(size=(ROWS, H)).astype(np.float32)
WEIGHT = _random.normal(size=(INNER, H)).astype(np.float32)
BIAS = _random.normal(size=INNER).astype(np.float32)
FAR = _random.normal(size=(129, 3)).astype(np.float32)
SCALE, SHIFT = _random.normal(size=(2, H)).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """``build`` runs ``op`` on tensors of ``shapes``, where "b", "n" and the like change from run to run."""

    op: str
    build: Callable[..., Any]
    shapes: Sequence[tuple[str | int, ...]]
    twin: Callable[..., Any]
    kinds: Sequence[str] = field(default=())
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.op


# --- the formulas a second time, in float64 and as near to the papers as Python goes


def _rows(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: np.apply_along_axis(function, -1, x)


def _each(function: Callable[[float], float]) -> Callable[[Any], Any]:
    return lambda x: np.vectorize(function, otypes=[np.float64])(x)


def _layer_norm(x: Any) -> Any:
    return _rows(lambda row: (row - row.mean()) / math.sqrt(row.var() + EPS))(x) * SCALE + SHIFT


def _split(x: Any) -> Any:
    d = x.shape[2] // HEADS
    return np.stack([x[:, :, a * d : (a + 1) * d] for a in range(HEADS)], axis=1)


def _merge(x: Any) -> Any:
    return np.concatenate([x[:, a] for a in range(x.shape[1])], axis=-1)


def _softmax_of(q: Any, k: Any, mask: Any, bias: Any = None, scale: float | None = None) -> Any:
    weights = np.zeros((*q.shape[:3], k.shape[2]))
    scale = q.shape[3] ** -0.5 if scale is None else scale
    for b, a, i in np.ndindex(*q.shape[:3]):
        kept = [j for j in range(k.shape[2]) if mask[b, j]]
        scores = [float(q[b, a, i] @ k[b, a, j]) * scale + (0 if bias is None else bias[a, i, j]) for j in kept]
        powers = [math.exp(s - max(scores)) for s in scores]
        for j, power in zip(kept, powers, strict=True):
            weights[b, a, i, j] = power / sum(powers)
    return weights


def _attention(q: Any, k: Any, v: Any, mask: Any) -> Any:
    return np.einsum("baij,bajd->baid", _softmax_of(q, k, mask), v)


def _biased(q: Any, k: Any, v: Any, mask: Any, bias: Any) -> Any:
    return np.einsum("baij,bajd->baid", _softmax_of(q, k, mask, bias, 0.3), v)


def _pick(x: Any, places: Any) -> Any:
    n = x.shape[2]
    out = np.zeros((*x.shape[:3], n))
    for b, a, i, j in np.ndindex(*out.shape):
        out[b, a, i, j] = x[b, a, i, (j - i) % PLACES]
    return out


def _rms(x: Any) -> Any:
    return _rows(lambda row: row / math.sqrt(math.fsum(row * row) / len(row) + EPS))(x) * SCALE


def _maximum(x: Any, mask: Any) -> Any:
    return np.stack([x[b, mask[b] > 0].max(axis=0) for b in range(len(x))])


def _normalize(x: Any) -> Any:
    return _rows(lambda row: row / math.sqrt(math.fsum(row * row)))(x)


#: where `pick` looks for each distance: any table that differs between near distances will do
AROUND = (np.arange(-64, 65) % PLACES).astype(np.int32)


def _shifted(ops: Any, ids: Any) -> Any:
    return ops.add(ops.distances(ids), ops.constant(np.int32(64)))


BNH, HEADED = ("b", "n", H), ("b", HEADS, "n", H // HEADS)
CASES = [
    Case("constant", lambda ops, x: ops.add(x, ops.constant(SCALE)), [BNH], lambda x: x + SCALE),
    Case("gather", lambda ops, ids: ops.gather(ops.constant(TABLE), ids), [("b", "n")], lambda i: TABLE[i], ["ids"]),
    Case(
        "prefix",
        lambda ops, ids: ops.prefix(ops.constant(TABLE), ids),
        [("b", "n")],
        lambda i: np.stack([TABLE[p] for p in range(i.shape[1])]),
        ["ids"],
    ),
    Case(
        "distances",
        lambda ops, ids: ops.gather(ops.constant(FAR), _shifted(ops, ids)),
        [("b", "n")],
        lambda ids: np.array([[FAR[64 + j - i] for j in range(ids.shape[1])] for i in range(ids.shape[1])]),
        ["ids"],
    ),
    Case(
        "pick",
        lambda ops, x, ids: ops.pick(x, ops.gather(ops.constant(AROUND), _shifted(ops, ids))),
        [("b", HEADS, "n", PLACES), ("b", "n")],
        _pick,
        ["", "ids"],
    ),
    Case(
        "split",
        lambda ops, x: ops.add(ops.split(x, [7, 7, 6])[0], ops.split(x, [6, 7, 7])[2]),
        [BNH],
        lambda x: x[..., :7] + x[..., 13:],
    ),
    Case("concat", lambda ops, x, y: ops.concat([y, x]), [BNH, BNH], lambda x, y: np.dstack([y, x])),
    Case("transpose", lambda ops, x: ops.transpose(x, (2, 0, 1)), [BNH], lambda x: np.einsum("bnh->hbn", x)),
    Case("linear", lambda ops, x: ops.linear(x, WEIGHT), [BNH], lambda x: np.einsum("bnh,oh->bno", x, WEIGHT)),
    Case(
        "linear",
        lambda ops, x: ops.linear(x, WEIGHT, BIAS),
        [BNH],
        lambda x: np.einsum("bnh,oh->bno", x, WEIGHT.astype(np.float64)) + BIAS,
        name="linear with bias",
    ),
    Case(
        "matmul",
        lambda ops, x, y: ops.matmul(x, y),
        [("b", 1, "n"), BNH],
        lambda x, y: np.einsum("bin,bnh->bih", x, y),
    ),
    Case("add", lambda ops, x, y: ops.add(x, y), [BNH, BNH], lambda x, y: x + y),
    Case("add", lambda ops, x, y: ops.add(x, y), [BNH, ("n", H)], lambda x, y: x + y[None], name="add, broadcast"),
    Case("multiply", lambda ops, x, y: ops.multiply(x, y), [BNH, ("b", "n", 1)], lambda x, y: x * y),
    Case("layer_norm", lambda ops, x: ops.layer_norm(x, SCALE, SHIFT, EPS), [BNH], _layer_norm),
    Case(
        "layer_norm",
        lambda ops, x: ops.layer_norm(x, SCALE, None, EPS),
        [BNH],
        lambda x: _layer_norm(x) - SHIFT,
        name="layer_norm without shift",
    ),
    Case("rms_norm", lambda ops, x: ops.rms_norm(x, SCALE, EPS), [BNH], _rms),
    Case(
        "repeat_heads",
        lambda ops, x: ops.repeat_heads(x, 3),
        [HEADED],
        lambda x: np.stack([x[:, a // 3] for a in range(3 * HEADS)], axis=1),
    ),
    Case("split_heads", lambda ops, x: ops.split_heads(x, HEADS), [BNH], _split),
    Case("merge_heads", lambda ops, x: ops.merge_heads(x), [HEADED], _merge),
    Case(
        "attention",
        lambda ops, q, k, v, mask: ops.attention(q, k, v, mask, name="weights"),
        [HEADED, HEADED, HEADED, ("b", "n")],
        _attention,
        ["", "", "", "mask"],
    ),
    Case(
        "attention",
        lambda ops, q, k, v, mask, bias: ops.attention(q, k, v, mask, name="weights", bias=bias, scale=0.3),
        [HEADED, HEADED, HEADED, ("b", "n"), (HEADS, "n", "n")],
        _biased,
        ["", "", "", "mask", ""],
        name="attention with a bias",
    ),
    Case(
        "gelu",
        lambda ops, x: ops.gelu(x),
        [BNH],
        _each(lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2)))),
    ),
    Case(
        "gelu_tanh",
        lambda ops, x: ops.gelu_tanh(x),
        [BNH],
        _each(lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))),
    ),
    Case("relu", lambda ops, x: ops.relu(x), [BNH], _each(lambda x: x if x > 0 else 0.0)),
    Case("silu", lambda ops, x: ops.silu(x), [BNH], _each(lambda x: x / (1 + math.exp(-x)))),
    Case("tanh", lambda ops, x: ops.tanh(x), [BNH], _each(math.tanh)),
    Case("sigmoid", lambda ops, x: ops.sigmoid(x), [BNH], _each(lambda x: 1 / (1 + math.exp(-x)))),
    Case(
        "log",
        lambda ops, x: ops.log(ops.add(ops.relu(x), ops.constant(np.float32(1)))),
        [BNH],
        _each(lambda x: math.log(1 + max(x, 0))),
    ),
    Case("squeeze", lambda ops, x: ops.squeeze(x, 1), [("b", 1, H)], lambda x: x[:, 0]),
    Case("unsqueeze", lambda ops, x: ops.unsqueeze(x, 1), [("b", "n")], lambda x: x[:, None, :]),
    Case("maximum", lambda ops, x, mask: ops.maximum(x, mask), [BNH, ("b", "n")], _maximum, ["", "mask"]),
    Case("normalize", lambda ops, x: ops.normalize(x), [("b", H)], _normalize),
    Case("tap", lambda ops, x: ops.tap("seen", x), [BNH], lambda x: x),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def _inputs(case: Case, b: int, n: int, *, spread: float = 1.0) -> list[Any]:
    random = np.random.default_rng([b, n, len(case.op)])
    arrays = []
    for at, shape in enumerate(case.shapes):
        kind = case.kinds[at] if case.kinds else ""
        size = tuple({"b": b, "n": n}.get(s, s) for s in shape)
        if kind == "ids":
            arrays.append(random.integers(0, ROWS, size=size, dtype=np.int32))
        elif kind == "mask":
            lengths = random.integers(1, n + 1, size=b)
            lengths[0] = n  # some text fills the width; others are padded
            arrays.append((np.arange(n)[None, :] < lengths[:, None]).astype(np.float32))
        else:
            arrays.append((random.normal(size=size) * spread).astype(np.float32))
    return arrays


def _graph(case: Case, precision: str, wanted: Sequence[str] = (), *, int8: bool = False) -> Callable[..., list[Any]]:
    """The case as one compiled graph of OpenVINO, for any b and n."""
    ov = engine.library()
    parameters = []
    for at, shape in enumerate(case.shapes):
        kind = np.int32 if case.kinds and case.kinds[at] == "ids" else np.float32
        parameters.append(ov.opset15.parameter([-1 if isinstance(s, str) else s for s in shape], dtype=kind))
    ops = engine.OpenvinoOps(wanted, int8=int8)
    result = case.build(ops, *parameters)
    # A result that is a parameter itself would be no graph at all.
    one = ov.opset15.constant(np.float32(1))
    results = [ov.opset15.multiply(node, one) for node in (result, *(ops.taps[name] for name in wanted))]
    compiled = engine.core().compile_model(
        ov.Model(results, parameters, "case"),
        "CPU",
        {"INFERENCE_PRECISION_HINT": precision, "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0},
    )
    request = compiled.create_infer_request()

    def call(*arrays: Any) -> list[Any]:
        request.infer(list(arrays))
        return [np.array(request.get_output_tensor(i).data) for i in range(len(results))]

    return call


def _off(got: Any, expected: Any) -> float:
    assert got.shape == expected.shape
    assert np.isfinite(got).all()
    return float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-30))


def _double(arrays: list[Any]) -> list[Any]:
    return [array.astype(np.float64) if array.dtype == np.float32 else array for array in arrays]


def test_no_operation_is_forgotten() -> None:
    promised = {name for name, member in vars(Ops).items() if inspect.isfunction(member) and name[0] != "_"}
    assert {case.op for case in CASES} == promised


@pytest.mark.parametrize("kind", [NumpyOps, engine.OpenvinoOps])
def test_every_interpreter_has_every_operation_with_the_same_parameters(kind: type) -> None:
    for name in {case.op for case in CASES}:
        asked, has = (inspect.signature(getattr(owner, name)).parameters for owner in (Ops, kind))
        assert list(asked) == list(has), name
        assert [p.default for p in asked.values()] == [p.default for p in has.values()], name


@every_case
def test_numpy_is_the_formula(case: Case) -> None:
    for b, n in SIZES:
        arrays = _inputs(case, b, n)
        before = [array.copy() for array in arrays]
        got = case.build(NumpyOps(), *arrays)
        assert got.dtype == np.float32
        assert _off(got, np.asarray(case.twin(*_double(arrays)), np.float64)) <= 1e-6
        assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


@every_case
def test_openvino_in_f32(case: Case) -> None:
    graph = _graph(case, "f32")
    for b, n in SIZES:
        arrays = _inputs(case, b, n)
        assert _off(graph(*arrays)[0], case.build(NumpyOps(), *arrays)) <= F32, (b, n)


@every_case
def test_openvino_in_bf16(case: Case) -> None:
    if not engine.has_bf16():
        pytest.skip("this processor does not multiply bfloat16 in hardware")
    graph = _graph(case, "bf16")
    for b, n in SIZES:
        arrays = _inputs(case, b, n)
        assert _off(graph(*arrays)[0], case.build(NumpyOps(), *arrays)) <= BF16, (b, n)


@pytest.mark.parametrize("case", [case for case in CASES if case.op == "linear"], ids=str)
def test_int8_rounds_the_matrix_and_nothing_else(case: Case) -> None:
    graph = _graph(case, "f32", int8=True)
    for b, n in SIZES:
        arrays = _inputs(case, b, n)
        twin, exact = (case.build(NumpyOps(int8=int8), *arrays) for int8 in (True, False))
        assert _off(graph(*arrays)[0], twin) <= F32, (b, n)
        assert 1e-4 < _off(twin, exact) < 0.05, (b, n)


@pytest.mark.parametrize("op", ["gelu", "gelu_tanh", "silu", "tanh", "relu"])
def test_activations_far_from_zero(op: str) -> None:
    case = next(case for case in CASES if case.op == op)
    far = np.array([-1e30, -1e4, -100, -88, -20, -1e-30, -0.0, 0.0, 1e-30, 20, 88, 100, 1e4, 3e30], np.float32)
    x = np.resize(far, (1, 4, H))
    # gelu_tanh cubes its argument, so it is asked up to where a float's cube still is one
    x = x.clip(-1e10, 1e10) if op == "gelu_tanh" else x
    limit = {"tanh": np.sign(x), "relu": x.clip(0)}.get(op, np.where(x > 0, x, 0))
    for got in (case.build(NumpyOps(), x), _graph(case, "f32")(x)[0]):
        assert np.isfinite(got).all()
        outside = np.abs(x) >= 88
        np.testing.assert_allclose(got[outside], limit[outside], rtol=1e-6, atol=1e-30)
        near = np.abs(x) < 1e-20
        np.testing.assert_allclose(got[near], 0, atol=1e-20)


@pytest.mark.parametrize("spread", [1e-3, 30.0])
def test_attention_over_flat_and_over_steep_scores(spread: float) -> None:
    case = next(case for case in CASES if case.op == "attention")
    graph = _graph(case, "f32", ["weights"])
    for b, n in SIZES:
        q, k, v, mask = _inputs(case, b, n, spread=spread)
        ops = NumpyOps(["weights"])
        result, weights = case.build(ops, q, k, v, mask), ops.taps["weights"]
        expected = _softmax_of(*_double([q, k, mask]))
        got_result, got_weights = graph(q, k, v, mask)
        for found in (weights, got_weights):
            np.testing.assert_allclose(found, expected, atol=2e-3 if spread > 1 else 1e-6)
            np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
            assert (found[np.broadcast_to(mask[:, None, None, :] == 0, found.shape)] == 0).all()
        assert _off(got_result, result) <= (1e-3 if spread > 1 else F32)


def test_padding_never_reaches_a_result() -> None:
    """Whatever stands in padded places, huge numbers too, the results for the tokens stay the same to the bit."""
    attention = next(case for case in CASES if case.op == "attention")
    maximum = next(case for case in CASES if case.op == "maximum")
    for case in (attention, maximum):
        arrays = _inputs(case, 3, 9)
        mask = arrays[-1]
        junk = []
        for array in arrays[:-1]:
            kept = (mask[:, None, :, None] if array.ndim == 4 else mask[:, :, None]) > 0
            junk.append(np.where(kept, array, np.float32(1e4)))
        for call in (lambda *a, case=case: [case.build(NumpyOps(), *a)], _graph(case, "f32")):
            one, other = call(*arrays)[0], call(*junk, mask)[0]
            if case is attention:  # the rows of padded queries are nobody's
                keep = np.broadcast_to(mask[:, None, :, None] > 0, one.shape)
                one, other = one[keep], other[keep]
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_layer_norm_of_a_row_without_variance_is_the_shift() -> None:
    case = next(case for case in CASES if case.op == "layer_norm")
    x = np.full((2, 3, H), 2.0, np.float32)
    for got in (case.build(NumpyOps(), x), _graph(case, "f32")(x)[0]):
        np.testing.assert_allclose(got, np.broadcast_to(SHIFT, got.shape), atol=1e-6)


@pytest.mark.parametrize("spread", [1e-4, 3e-3, 1e3])
def test_layer_norm_of_small_and_of_large_rows(spread: float) -> None:
    """Where the variance is as small as eps it matters that eps is added to it under the root."""
    case = next(case for case in CASES if case.op == "layer_norm")
    (x,) = _inputs(case, 3, 5, spread=spread)
    expected = case.twin(x.astype(np.float64))
    for got in (case.build(NumpyOps(), x), _graph(case, "f32")(x)[0]):
        assert _off(got, expected) <= F32


def test_a_zero_row_stays_zero_when_normalized() -> None:
    case = next(case for case in CASES if case.op == "normalize")
    x = np.zeros((3, H), np.float32)
    x[1] = 1e-3
    x[2] = 1e4
    for got in (case.build(NumpyOps(), x), _graph(case, "f32")(x)[0]):
        assert (got[0] == 0).all()
        np.testing.assert_allclose(np.linalg.norm(got[1:], axis=1), 1, atol=1e-6)


def _tapped(ops: Any, inputs: Inputs) -> Any:
    """A network of two operations with a tap between them; ``types`` counts when it is given."""
    x = ops.gather(ops.constant(TABLE), inputs.ids)
    if inputs.types is not None:
        x = ops.add(x, ops.gather(ops.constant(TABLE), inputs.types))
    return ops.maximum(ops.tap("middle", ops.multiply(x, ops.unsqueeze(inputs.pool, 2))), inputs.mask)


def _tapped_inputs(b: int, n: int, *, types: bool) -> Inputs:
    random = np.random.default_rng([b, n])
    ids, kinds = random.integers(0, ROWS, size=(2, b, n), dtype=np.int32)
    pool = random.random((b, n), np.float32)
    return Inputs(ids, np.ones((b, n), np.float32), pool, kinds if types else None)


@pytest.mark.parametrize("types", [False, True])
def test_a_compiled_network_gives_result_and_taps(types: bool) -> None:
    network = engine.compile_network(_tapped, precision="f32", streams=1, types=types, wanted=["middle"])
    assert network.taps == ("middle",)
    assert network.precision == "f32"
    request = network.request()
    for b, n in SIZES:
        inputs = _tapped_inputs(b, n, types=types)
        expected, taps = run(_tapped, inputs, ["middle"])
        result, middle = request(inputs)
        np.testing.assert_allclose(result, expected, atol=1e-6)
        np.testing.assert_allclose(middle, taps["middle"], atol=1e-6)


def test_a_tap_that_nobody_asked_for_costs_no_result() -> None:
    inputs = _tapped_inputs(2, 5, types=False)
    assert len(engine.compile_network(_tapped, precision="f32", streams=1).request()(inputs)) == 1
    assert run(_tapped, inputs)[1] == {}


def test_a_tap_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="middel"):
        engine.compile_network(_tapped, precision="f32", streams=1, wanted=["middel"])


def test_requests_do_not_share_their_results() -> None:
    network = engine.compile_network(_tapped, precision="f32", streams=2)
    first, second = network.request(), network.request()
    one = first(_tapped_inputs(2, 5, types=False))[0]
    kept = one.copy()
    second(_tapped_inputs(4, 16, types=False))
    assert np.array_equal(one, kept)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="f16"):
        engine.choose_precision("f16")


@pytest.mark.parametrize("has", [True, False])
def test_precision_is_chosen_by_the_processor_and_never_replaced(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "has_bf16", lambda: has)
    assert engine.choose_precision("f32") == "f32"
    assert engine.choose_precision("auto") == ("bf16" if has else "f32")
    if has:
        assert engine.choose_precision("bf16") == "bf16"
    else:
        with pytest.raises(UsageError, match="bfloat16"):
            engine.choose_precision("bf16")
