"""The operations as an OpenVINO graph: the fast interpreter.

`compile_network` runs an architecture's function once over graph nodes and compiles what it built. Weights are read
from the mapped file and copied into the graph. The precision is asked for by name, and is part of what the result says.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sememe.errors import UsageError
from sememe.ops.contract import Inputs
from sememe.ops.rounding import rounded

if TYPE_CHECKING:
    import openvino
    from openvino import Node

Array = npt.NDArray[Any]
#: ``auto`` never means int8, which rounds the weights themselves
PRECISIONS = ("auto", "f32", "bf16", "int8")
#: docs/decisions/2026-11-22-int8.md
INT8_GROUP = 32


@functools.cache
def library() -> Any:
    """The OpenVINO module, imported in the one way that sends nothing.

    Its package reports each import to its maker through `openvino_telemetry`, from another thread. With that module
    declared absent it uses its own stub.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@functools.cache
def core() -> openvino.Core:
    """The one runtime of this process."""
    return library().Core()


@functools.cache
def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def choose_precision(asked: str) -> str:
    """``f32``, ``bf16`` or ``int8``: what ``asked`` means on this processor.

    Raises:
        UsageError: an unknown name, or bf16 where the processor has none (nothing else is taken quietly).
    """
    if asked not in PRECISIONS:
        raise UsageError(f'precision="{asked}" is not known', do=[f"use one of: {', '.join(PRECISIONS)}"])
    if asked == "auto":
        return "bf16" if has_bf16() else "f32"
    if asked == "bf16" and not has_bf16():
        raise UsageError(
            "this processor does not multiply bfloat16 in hardware",
            why=[f"it has {', '.join(core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES'))}"],
            do=[("use", 'precision="f32"')],
        )
    return asked


class OpenvinoOps:
    """An `Ops` whose tensors are graph nodes. ``wanted`` names the taps that become results of the graph; with
    ``int8`` the matrices of `linear` are kept in eight bits."""

    def __init__(self, wanted: Collection[str] = (), *, int8: bool = False) -> None:
        self.op = library().opset15
        self.wanted = frozenset(wanted)
        self.int8 = int8
        self.taps: dict[str, Node] = {}

    def constant(self, array: Array) -> Node:
        return self.op.constant(np.ascontiguousarray(array))

    def numbers(self, *values: int) -> Node:
        return self.op.constant(np.array(values, np.int32))

    def scalar(self, value: float) -> Node:
        return self.op.constant(np.float32(value))

    def gather(self, table: Node, ids: Node) -> Node:
        return self.op.gather(table, ids, self.op.constant(np.int32(0)))

    def prefix(self, table: Node, like: Node) -> Node:
        return self.op.slice(table, self.numbers(0), self._length(like), self.numbers(1), self.numbers(0))

    def _length(self, like: Node) -> Node:
        """n of ``(b, n)``, as a node ``(1,)``."""
        shape = self.op.shape_of(like, output_type="i32")
        return self.op.gather(shape, self.numbers(1), self.op.constant(np.int32(0)))

    def distances(self, like: Node) -> Node:
        zero, one = self.op.constant(np.int32(0)), self.op.constant(np.int32(1))
        place = self.op.range(zero, self.op.squeeze(self._length(like), self.numbers(0)), one, "i32")
        return self.op.subtract(self.unsqueeze(place, 0), self.unsqueeze(place, 1))

    def pick(self, x: Node, index: Node) -> Node:
        shape = self.op.shape_of(x, output_type="i32")
        outer = self.op.gather(shape, self.numbers(0, 1), self.op.constant(np.int32(0)))
        square = self.op.shape_of(index, output_type="i32")
        wide = self.op.broadcast(index, self.op.concat([outer, square], 0))
        return self.op.gather_elements(x, wide, 3)

    def split(self, x: Node, sizes: Sequence[int]) -> list[Node]:
        parts = self.op.variadic_split(x, self.op.constant(np.int32(-1)), self.numbers(*sizes))
        return list(parts.outputs())

    def concat(self, parts: Sequence[Node]) -> Node:
        return self.op.concat(list(parts), -1)

    def transpose(self, x: Node, axes: Sequence[int]) -> Node:
        return self.op.transpose(x, self.numbers(*axes))

    def linear(self, x: Node, weight: Array, bias: Array | None = None) -> Node:
        y = self.op.matmul(x, self._matrix(weight), False, True)
        return y if bias is None else self.op.add(y, self.constant(bias))

    def _matrix(self, weight: Array) -> Node:
        if not self.int8:
            return self.constant(weight)
        # The processor's kernels know this pattern: they read eight bits a number and widen them on the way in.
        whole, factors = rounded(weight)
        return self.op.multiply(self.op.convert(self.constant(whole), "f32"), self.constant(factors))

    def matmul(self, x: Node, y: Node) -> Node:
        return self.op.matmul(x, y, False, False)

    def add(self, x: Node, y: Node) -> Node:
        return self.op.add(x, y)

    def multiply(self, x: Node, y: Node) -> Node:
        return self.op.multiply(x, y)

    def layer_norm(self, x: Node, weight: Array, bias: Array | None, eps: float) -> Node:
        y = self.op.mvn(x, self.numbers(-1), True, float(eps), "inside_sqrt")
        y = self.op.multiply(y, self.constant(weight))
        return y if bias is None else self.op.add(y, self.constant(bias))

    def rms_norm(self, x: Node, weight: Array, eps: float) -> Node:
        mean = self.op.reduce_mean(self.op.multiply(x, x), self.numbers(-1), True)
        length = self.op.sqrt(self.op.add(mean, self.scalar(eps)))
        return self.op.multiply(self.op.divide(x, length), self.constant(weight))

    def split_heads(self, x: Node, heads: int) -> Node:
        # A 0 keeps an axis and -1 takes the rest, so the lengths of batch and text may change from run to run.
        parts = self.op.reshape(x, self.numbers(0, 0, heads, -1), True)
        return self.op.transpose(parts, self.numbers(0, 2, 1, 3))

    def merge_heads(self, x: Node) -> Node:
        return self.op.reshape(self.op.transpose(x, self.numbers(0, 2, 1, 3)), self.numbers(0, 0, -1), True)

    def repeat_heads(self, x: Node, times: int) -> Node:
        heads = np.repeat(np.arange(_output(x).get_partial_shape()[1].get_length(), dtype=np.int32), times)
        return self.op.gather(x, self.constant(heads), self.op.constant(np.int32(1)))

    def attention(
        self,
        q: Node,
        k: Node,
        v: Node,
        mask: Node,
        *,
        name: str,
        bias: Node | None = None,
        scale: float | None = None,
    ) -> Node:
        if scale is None:
            scale = 1 / math.sqrt(_output(q).get_partial_shape()[3].get_length())
        scores = self.op.multiply(self.op.matmul(q, k, False, True), self.scalar(scale))
        if bias is not None:
            scores = self.op.add(scores, bias)
        # 0 for a token, very low for padding: after the softmax exactly 0
        low = self.op.multiply(self.op.subtract(self.scalar(1), mask), self.scalar(-1e9))
        scores = self.op.add(scores, self.op.unsqueeze(low, self.numbers(1, 2)))
        return self.op.matmul(self.tap(name, self.op.softmax(scores, -1)), v, False, False)

    def gelu(self, x: Node) -> Node:
        return self.op.gelu(x, "erf")

    def gelu_tanh(self, x: Node) -> Node:
        return self.op.gelu(x, "tanh")

    def relu(self, x: Node) -> Node:
        return self.op.relu(x)

    def silu(self, x: Node) -> Node:
        return self.op.swish(x)

    def tanh(self, x: Node) -> Node:
        return self.op.tanh(x)

    def sigmoid(self, x: Node) -> Node:
        return self.op.sigmoid(x)

    def log(self, x: Node) -> Node:
        return self.op.log(x)

    def squeeze(self, x: Node, axis: int) -> Node:
        return self.op.squeeze(x, self.numbers(axis))

    def unsqueeze(self, x: Node, axis: int) -> Node:
        return self.op.unsqueeze(x, self.numbers(axis))

    def maximum(self, x: Node, mask: Node) -> Node:
        low = self.op.multiply(self.op.subtract(self.scalar(1), mask), self.scalar(-1e9))
        return self.op.reduce_max(self.op.add(x, self.unsqueeze(low, 2)), self.numbers(1), False)

    def normalize(self, x: Node) -> Node:
        return self.op.normalize_l2(x, self.numbers(-1), 1e-24, "max")

    def tap(self, name: str, x: Node) -> Node:
        if name in self.wanted:
            self.taps[name] = x
        return x


def _output(x: Node) -> Any:
    """A node's only output; what `OpenvinoOps.split` gives are outputs already."""
    return x.output(0) if hasattr(x, "output") else x


class Network:
    """A compiled graph. Safe to use from several threads; each brings its own `request`."""

    def __init__(self, compiled: openvino.CompiledModel, taps: Sequence[str], precision: str, streams: int) -> None:
        self._compiled = compiled
        self.taps = tuple(taps)
        self.precision = precision
        self.streams = streams

    def request(self) -> Callable[[Inputs], list[Array]]:
        """A function from inputs (arrays) to the result and the taps, in the order of ``taps``.

        The arrays that it returns are overwritten by its next call; it belongs to one thread.
        """
        request = self._compiled.create_infer_request()
        outputs = len(self._compiled.outputs)

        def run(inputs: Inputs) -> list[Array]:
            given = [inputs.ids, inputs.mask, inputs.pool]
            if inputs.types is not None:
                given.append(inputs.types)
            request.infer(given, share_inputs=True, share_outputs=True)
            return [request.get_output_tensor(i).data for i in range(outputs)]

        return run


def compile_network(
    network: Callable[[OpenvinoOps, Inputs], Node],
    *,
    precision: str,
    streams: int,
    types: bool = False,
    wanted: Collection[str] = (),
) -> Network:
    """Build the graph of ``network`` and compile it.

    Args:
        precision: ``f32``, ``bf16`` or ``int8`` (see `choose_precision`): matrices in int8, the rest in f32.
        streams: how many requests run side by side, each on one thread.
        types: whether the graph takes token types as a fourth input.
        wanted: names of the taps that become further results.

    Raises:
        UsageError: a wanted tap that the network does not have.
    """
    ov, op = library(), library().opset15
    names = ["ids", "mask", "pool", *(["types"] if types else [])]
    kinds = {"ids": np.int32, "mask": np.float32, "pool": np.float32, "types": np.int32}
    parameters = [op.parameter([-1, -1], dtype=kinds[name], name=name) for name in names]
    ops = OpenvinoOps(wanted, int8=precision == "int8")
    result = network(ops, Inputs(*parameters))
    missing = [name for name in wanted if name not in ops.taps]
    if missing:
        raise UsageError(f"the network has no tap {', '.join(missing)}")
    graph = ov.Model([result, *(ops.taps[name] for name in wanted)], parameters, "network")
    options = {
        "INFERENCE_PRECISION_HINT": "f32" if precision == "int8" else precision,
        # Beside int8 weights the other factor of a product is rounded too, in groups of so many numbers, where the
        # processor multiplies eight bits in hardware. Larger groups are faster and lose more.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": INT8_GROUP if precision == "int8" else 0,
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams,
        "ENABLE_CPU_PINNING": False,
    }
    try:
        # Without its generated kernels for chains of small operations: they are up to 20 % slower at widths that are
        # no multiple of 16 (docs/decisions/2026-11-22-batches.md). The option is undocumented, so a later release may
        # refuse it.
        compiled = core().compile_model(graph, "CPU", {**options, "SNIPPETS_MODE": "DISABLE"})
    except RuntimeError:
        compiled = core().compile_model(graph, "CPU", options)
    return Network(compiled, list(wanted), precision, streams)
