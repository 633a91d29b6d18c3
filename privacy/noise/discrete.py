"""The discrete Gaussian, drawn exactly: by whole numbers and fair bits alone, no step of it rounds.

Source: Canonne, Kamath & Steinke 2020 (arXiv 2004.00010), algorithms 1 to 3, many numbers at once. Their t is sigma, so
that every chance is a fraction of powers of two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Words = Callable[[int], NDArray[np.uint64]]
"""How many -> that many independent uniform words of 64 bits."""
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]

SIGMA_BITS = 26
"""Sigma is 2^26 grid steps: the squares of 32 sigma still fit a word, and a step is below the rounding of float32."""
_MOST = 40
"""Sigmas that a proposal may reach; one beyond would be kept with chance exp(-760)."""
_AT_ONCE = 1 << 18
"""Numbers drawn together: their words stay in the cache, and memory small."""


def discrete_gaussian(count: int, words: Words) -> Integers:
    """Independent numbers k with chance in proportion to exp(-k^2 / 2 sigma^2), sigma 2^26 [count]."""
    out = np.empty(count, dtype=np.int64)
    done = 0
    while done < count:
        found = _proposed(min(2 * (count - done) + 64, _AT_ONCE), words)[: count - done]
        out[done : done + len(found)] = found
        done += len(found)
    return out


def _proposed(count: int, words: Words) -> Integers:
    """Algorithm 3: of `count` discrete Laplace proposals those that are kept."""
    sigma = 1 << SIGMA_BITS
    rest = _bits(count, SIGMA_BITS, words)  # algorithm 2
    rest = rest[_kept_exp(rest, SIGMA_BITS, words)]
    size: Integers = rest + (_runs(len(rest), words) << SIGMA_BITS)
    negative = words(len(size)) >> np.uint64(63) == 1
    usable = ~(negative & (size == 0)) & (size < _MOST * sigma)
    size, negative = size[usable], negative[usable]
    square = (size - sigma) ** 2  # over 2 sigma^2 = 2^53
    kept = _runs(len(size), words) >= square >> (2 * SIGMA_BITS + 1)
    size, negative, square = size[kept], negative[kept], square[kept]
    kept = _kept_exp(square & ((1 << (2 * SIGMA_BITS + 1)) - 1), 2 * SIGMA_BITS + 1, words)
    size, negative = size[kept], negative[kept]
    size[negative] *= -1
    return size


def _bits(count: int, bits: int, words: Words) -> Integers:
    """Uniform in [0, 2^bits)."""
    return (words(count) >> np.uint64(64 - bits)).astype(np.int64)


def _runs(count: int, words: Words) -> Integers:
    """How often a coin of chance exp(-1) falls before it first does not: at least n with chance exp(-n)."""
    out = np.zeros(count, dtype=np.int64)
    going = np.arange(count)
    while len(going):
        going = going[_alternating(len(going), lambda on: np.ones(len(on), dtype=bool), words)]
        out[going] += 1
    return out


def _kept_exp(numerators: Integers, bits: int, words: Words) -> Bools:
    """Coins of chance exp(-n / 2^bits), for n up to 2^bits."""
    return _alternating(len(numerators), lambda on: _bits(len(on), bits, words) < numerators[on], words)


def _alternating(count: int, fell_of: Callable[[NDArray[np.intp]], Bools], words: Words) -> Bools:
    """Algorithm 1: coins of chance exp(-c), where `fell_of` draws coins of chance c for the places it is given."""
    out = np.zeros(count, dtype=bool)
    going = np.arange(count)
    turn = 1
    while len(going):
        fell = fell_of(going)
        fell[fell] = _one_in(int(fell.sum()), turn, words)
        out[going[~fell]] = turn % 2 == 1
        going = going[fell]
        turn += 1
    return out


def _one_in(count: int, turn: int, words: Words) -> Bools:
    """Coins of chance 1 / turn."""
    if turn == 1:
        return np.ones(count, dtype=bool)
    drawn = words(count)
    usable = (1 << 64) // turn * turn  # above it some remainders would come more often
    while usable < 1 << 64 and (bad := drawn >= np.uint64(usable)).any():
        drawn[bad] = words(int(bad.sum()))
    return np.asarray(drawn % np.uint64(turn) == 0)
