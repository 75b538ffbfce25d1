"""Values of tables as what a record may hold.

Cells of a CSV file are words; they become numbers or truth values where they can be nothing else. ``007`` and
``1e999`` stay text: a number that would be printed back differently, or not at all, is none. Values of JSON, of
Parquet and of Python have their types already and are only made safe to keep.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from sememe.readers.encoding import storable
from sememe.shapes import Scalar

INT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})?\.[0-9]{1,30}(?:[eE][+-]?[0-9]{1,3})?|-?[0-9]{1,18}[eE][+-]?[0-9]{1,3}")
TRUTH = {"true": True, "false": False}

#: from narrow to wide; a column takes the first that holds all of its cells
KINDS = ("bool", "int", "float", "text")


def kind(cell: str) -> str:
    """The narrowest kind that holds ``cell``."""
    if cell.lower() in TRUTH:
        return "bool"
    if INT.fullmatch(cell):
        return "int"
    if FLOAT.fullmatch(cell) and math.isfinite(float(cell)):
        return "float"
    return "text"


def common_kind(cells: Iterable[str]) -> str:
    """The kind of a column; empty cells don't count."""
    kinds = {kind(cell) for cell in cells if cell}
    if kinds <= {"int", "float"} and kinds:
        return "float" if "float" in kinds else "int"
    return kinds.pop() if len(kinds) == 1 else "text"


def scalar(cell: str, as_kind: str | None = None) -> Scalar:
    """``cell`` as its own kind, or as the kind of its column; an empty cell is None."""
    if not cell:
        return None
    match as_kind or kind(cell):
        case "bool":
            return TRUTH[cell.lower()]
        case "int":
            return int(cell)
        case "float":
            return float(cell)
    return cell


class NoScalar(Exception):
    """The value is neither a scalar nor a list of scalars."""


def tidy(value: Any) -> Scalar | list[Scalar]:
    """``value`` as a record may hold it.

    Dates become ISO text; NaN and infinities None; whole numbers beyond 64 bits text; NumPy's and pandas' own scalars
    the plain ones that they stand for.

    Raises:
        NoScalar: it is an object, bytes, or a list of such.
    """
    if isinstance(value, (list, tuple)):
        return [_scalar(inner) for inner in value]
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):  # NumPy, without importing it
        plain = value.tolist()
        return [_scalar(inner) for inner in plain] if isinstance(plain, list) else _scalar(plain)
    return _scalar(value)


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else text_of_int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if type(value).__name__ in ("Decimal", "UUID"):
        return str(value)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return _scalar(value.item())
    raise NoScalar(type(value).__name__)


def text_of_int(value: int) -> str:
    """Decimal digits where Python agrees to write them, else hexadecimal ones."""
    try:
        return str(value)
    except ValueError:
        return hex(value)
