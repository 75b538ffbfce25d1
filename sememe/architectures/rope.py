"""RoPE as a config describes it: base, share of a head, and the ways of stretching it to longer texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.architectures import positions
from sememe.architectures.config import number, positive
from sememe.errors import ModelError
from sememe.ops.contract import Inputs, Ops, Tensor

if TYPE_CHECKING:
    import numpy.typing as npt

    Frequencies = npt.NDArray[np.float64]

KINDS = ("default", "linear", "dynamic", "llama3", "ntk", "yarn")


@dataclass(frozen=True, slots=True)
class Rope:
    """The frequency of each pair of a head, how many numbers of a head are not turned, and what the cosines and sines
    are multiplied with."""

    frequency: tuple[float, ...]
    rest: int = 0
    scale: float = 1.0

    @classmethod
    def read(cls, config: Mapping[str, Any], head: int, *, layers: str = "", base: float = 10000.0) -> Rope:
        """Out of ``config.json``, in its present form (``rope_parameters``) or its older one (``rope_theta``,
        ``rope_scaling``).

        Args:
            head: the width of a head, d.
            layers: where kinds of layers differ, the kind; such as ``full_attention``.
            base: what the family takes where the config says nothing.

        Raises:
            ModelError: a kind that sememe does not run.
        """
        said = _said(config, layers)
        share = said.get("partial_rotary_factor", config.get("partial_rotary_factor", config.get("rotary_pct", 1.0)))
        width = int(head * number({"partial_rotary_factor": share}, "partial_rotary_factor", default=1.0))
        theta = config.get("rotary_emb_base") if config.get("rope_theta") is None else config["rope_theta"]
        theta = number(
            {"rope_theta": said.get("rope_theta", base if theta is None else theta)}, "rope_theta", default=base
        )
        kind = said.get("rope_type", said.get("type", "default"))
        if kind not in KINDS or width % 2 or not 2 <= width <= head:
            raise ModelError(
                "config.json: sememe does not run this kind of RoPE",
                why=[f"{kind!r:.100} over {width} of {head} numbers of a head"],
                do=[f"known are: {', '.join(KINDS)}"],
            )
        frequency, scale = positions.frequencies(width, theta), 1.0
        if kind == "linear":  # positions as close as if the text were shorter
            frequency = frequency / number(said, "factor", default=1.0)
        elif kind == "ntk":  # a base so large that the slowest pair turns as if the text were shorter, as GTE has it
            factor = number(said, "factor", default=1.0)
            frequency = positions.frequencies(width, theta * factor) / factor ** (2 / width)
        elif kind == "llama3":
            frequency = _llama3(frequency, said)
        elif kind == "yarn":
            frequency, scale = _yarn(frequency, said, config, theta)
        # "dynamic" changes nothing within the positions that the config counts, and sememe never goes beyond them.
        return cls(tuple(frequency.tolist()), head - width, scale)

    def turn(self, ops: Ops, inputs: Inputs, longest: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the tokens of ``inputs``, each ``(n, half)``."""
        tables = positions.angles(longest, np.array(self.frequency), scale=self.scale)
        cosine, sine = (ops.prefix(ops.constant(table), inputs.ids) for table in tables)
        return cosine, sine

    def rotate(self, ops: Ops, x: Tensor, turned: tuple[Tensor, Tensor]) -> Tensor:
        """Queries or keys ``(b, a, n, d)``, turned."""
        return positions.rotate(ops, x, *turned, half=len(self.frequency), rest=self.rest)


def _said(config: Mapping[str, Any], layers: str) -> Mapping[str, Any]:
    said = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if isinstance(said, Mapping) and layers in said:
        said = said[layers] or {}
    if not isinstance(said, Mapping):
        raise ModelError("config.json: what it says of RoPE is not an object", why=[f"{said!r:.200}"])
    return said


def _llama3(frequency: Frequencies, said: Mapping[str, Any]) -> Frequencies:
    """Long waves are stretched, short ones stay, those between are blended (LLaMA 3.1's published code)."""
    factor, low, high = (number(said, key, default=d) for key, d in _LLAMA3.items())
    length = positive(said, "original_max_position_embeddings", default=8192)
    turns = length * frequency / (2 * math.pi)  # full turns over the original length
    blend = np.clip((turns - low) / (high - low), 0, 1)
    return np.asarray((1 - blend) * frequency / factor + blend * frequency, np.float64)


_LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def _yarn(
    frequency: Frequencies, said: Mapping[str, Any], config: Mapping[str, Any], base: float
) -> tuple[Frequencies, float]:
    """Between stretched and unstretched along the pairs (Peng et al. 2023, arXiv 2309.00071, section 3)."""
    whole = positive(config, "max_position_embeddings")
    length = positive(said, "original_max_position_embeddings", default=whole)
    factor = number(said, "factor", default=whole / length)
    width = 2 * len(frequency)

    def pair(turns: float) -> float:
        """The pair, as a place among the numbers of a head, that makes so many turns over the original length."""
        return width * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = pair(number(said, "beta_fast", default=32.0)), pair(number(said, "beta_slow", default=1.0))
    if said.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    ramp = np.clip((np.arange(len(frequency)) - low) / ((high - low) or 0.001), 0, 1)
    blended = frequency / factor * ramp + frequency * (1 - ramp)
    return np.asarray(blended, np.float64), _yarn_scale(said, factor)


def _yarn_scale(said: Mapping[str, Any], factor: float) -> float:
    def grown(by: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * by * math.log(factor) + 1.0

    if said.get("attention_factor") is not None:
        return number(said, "attention_factor", default=1.0)
    over, under = said.get("mscale"), said.get("mscale_all_dim")
    if over and under:
        return grown(number(said, "mscale", default=1.0)) / grown(number(said, "mscale_all_dim", default=1.0))
    return grown(1.0)
