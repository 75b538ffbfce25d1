"""Decimal numbers out of bytes, millions at a time.

The last eight bytes of a number are looked at as one 64-bit integer, the first of them lowest. The point is taken out
by moving what stands before it up by one byte; the digits are then joined two by two, four by four and eight by eight,
for thousands of numbers in each step of NumPy. A whole number below 2**53 over a power of ten is the float64 nearest to
the decimal, so that nothing is lost beside `float`. What is of no such form (an exponent, no point, very many digits)
goes through `float` itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

#: bytes that must stand before the first number of a buffer, so that there is something to look at
PAD = 16
#: numbers in one step: what is made of them on the way stays in the processor's cache
STEP = 8192

_POINTS = np.uint64(0x2E2E2E2E2E2E2E2E)
_ZEROS = np.uint64(0x3030303030303030)
_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_SIXES = np.uint64(0x0606060606060606)
_UPPER = np.uint64(0xF0F0F0F0F0F0F0F0)
_ONE, _SEVEN, _EIGHT = np.uint64(1), np.uint64(7), np.uint64(8)
_TENS = 10.0 ** np.arange(17)


def decimals(buffer: Bytes, starts: Ints, ends: Ints) -> Floats:
    """The numbers ``buffer[start:end]``: float64 ``(n,)``, NaN for what is none.

    The text ``nan`` is none either, nor are infinities: what a caller finds as NaN can be refused at once.
    ``PAD`` bytes must stand before the first start.
    """
    out = np.empty(len(starts), np.float64)
    windows: Words = np.ndarray((len(buffer) - 7,), "<u8", buffer, strides=(1,))
    for at in range(0, len(out), STEP):
        part = slice(at, at + STEP)
        out[part] = _some(buffer, windows, starts[part], ends[part])
    return out


def _some(buffer: Bytes, windows: Words, starts: Ints, ends: Ints) -> Floats:
    minus = buffer[starts] == ord("-")
    digits = ends - starts - minus - 1  # the point is none
    value, behind, good = _short(windows[ends - 8], digits)
    out = value / _TENS[behind]
    left = np.flatnonzero(~good)
    if len(left):
        out[left], good = _long(windows, ends[left], digits[left])
        left = left[~good]
    out *= np.where(minus, -1.0, 1.0)
    for row in left.tolist():
        out[row] = _one(buffer[starts[row] : ends[row]].tobytes())
    return out


def _short(window: Words, digits: Ints) -> tuple[Floats, Ints, npt.NDArray[np.bool_]]:
    """Up to seven digits and a point in eight bytes: the digits as a number, how many stand behind the point, and
    whether it is of that form."""
    other = window ^ _POINTS
    points = (other - _ONES) & ~other & _HIGH  # the lowest bit that is set is in the first byte that is a point
    point = points & (~points + _ONE)
    upto = (point << _ONE) - _ONE
    joined = (window & ~upto) | ((window & ((point >> _SEVEN) - _ONE)) << _EIGHT)
    good = (points != 0) & (digits > 0) & (digits < 8)
    unused = np.where(good, (8 - digits) << 3, 8).astype(np.uint64)
    values = ((joined ^ _ZEROS) >> unused) << unused
    good &= _are_digits(values)
    behind = 8 - (np.bitwise_count(upto).astype(np.int64) >> 3)
    good &= behind <= digits  # else the point is one of the text before
    return _joined(values), np.where(good, behind, 0), good


def _long(windows: Words, ends: Ints, digits: Ints) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Nine to fifteen digits, the last eight of them behind the point: sixteen bytes."""
    last = windows[ends - 8] ^ _ZEROS
    first, behind, good = _short(windows[ends - 16], digits - 8)
    good &= _are_digits(last)
    return (first * 1e8 + _joined(last)) / _TENS[behind + 8], good


def _are_digits(values: Words) -> npt.NDArray[np.bool_]:
    good: npt.NDArray[np.bool_] = ((values + _SIXES) | values) & _UPPER == 0
    return good


def _joined(values: Words) -> Floats:
    """Eight bytes from 0 to 9 as one number, the first digit in the lowest byte."""
    pairs = (values & np.uint64(0x0F0F0F0F0F0F0F0F)) * np.uint64(2561) >> np.uint64(8)
    fours = (pairs & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601) >> np.uint64(16)
    eight = (fours & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001) >> np.uint64(32)
    return eight.astype(np.float64)


def _one(text: bytes) -> float:
    # float() also takes 1_000, and digits of other scripts
    if not text.isascii() or b"_" in text:
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        return float("nan")
    return value if abs(value) < float("inf") else float("nan")


def decimals_slow(buffer: Bytes, starts: Ints, ends: Ints) -> Floats:
    """The same as `decimals`, one after the other."""
    return np.array([_one(buffer[a:b].tobytes()) for a, b in zip(starts, ends, strict=True)], np.float64)
