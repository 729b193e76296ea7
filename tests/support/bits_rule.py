"""The bits rule of docs/reproducibility.md in numpy, element-wise over any number of sums.

A sum is cut after every 512 terms; each piece is one chain of multiply-adds from 0. Every 16 pieces
are added in ascending order, every 16 of these sums again, and so on; the fourth time all the rest.
"""

import numpy as np

PIECE, GROUP, TIMES = 512, 16, 4


def fused(a, b, c):
    """a * b + c, rounded once: exact where nothing overflows or underflows."""
    if c.dtype == np.float32:
        # The product is exact in float64; the sum is rounded to odd, so that the second rounding
        # gives what one rounding would have given.
        total = _rounded_to_odd(a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64))
        return total.astype(np.float32)
    # Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008.
    high, low = _product(a, b)
    sum_of_low, error = _sum(c, low)
    total, rest = _sum(high, sum_of_low)
    return total + _rounded_to_odd(rest, error)


def separate(a, b, c):
    """a * b + c, the product rounded as well."""
    return a * b + c


STEP = {"avx512": fused, "avx2": fused, "neon": fused, "generic": separate}


def sums(a, b, path):
    """sum_r a[r] b[r] by the rule, along the first axis of both."""
    a, b = np.broadcast_arrays(a, b)
    whole = len(a) // PIECE * PIECE
    shape = -1, PIECE, *a.shape[1:]
    pieces = [*_chains(a[:whole].reshape(shape), b[:whole].reshape(shape), STEP[path])]
    if whole < len(a) or not len(a):
        pieces += [*_chains(a[None, whole:], b[None, whole:], STEP[path])]
    return added(pieces)


def added(pieces):
    """The sum of the chains of all pieces."""
    for time in range(1, TIMES + 1):
        size = GROUP if time < TIMES else len(pieces)
        pieces = [_ascending(pieces[i : i + size]) for i in range(0, len(pieces), size)]
    (total,) = pieces
    return total


def _chains(a, b, step):
    """One chain along the second axis for each index of the first."""
    total = np.zeros((len(a), *a.shape[2:]), a.dtype)
    for r in range(a.shape[1]):
        total = step(a[:, r], b[:, r], total)
    return total


def _ascending(numbers):
    total, *others = numbers
    for number in others:
        total = total + number
    return total


def _sum(a, b):
    """a + b as a rounded sum and its error (Knuth)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _product(a, b):
    """a * b as a rounded product and its error (Dekker)."""
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    product = a * b
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def _halves(a):
    wide = a * a.dtype.type(2**27 + 1)
    high = wide - (wide - a)
    return high, a - high


def _rounded_to_odd(a, b):
    """a + b in float64: if it is not exact, the neighbour whose last bit is 1."""
    total, error = _sum(a, b)
    even = (np.ascontiguousarray(total).view(np.uint64) & np.uint64(1)) == 0
    towards = np.where(error > 0, np.inf, -np.inf)
    return np.where((error != 0) & even, np.nextafter(total, towards), total)
