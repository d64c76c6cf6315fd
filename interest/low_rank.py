"""Linear algebra of item-item models: EASE in closed form, and any such model at reduced rank."""

from collections.abc import Callable

import numpy as np
import scipy.linalg
import scipy.sparse

from interest.batch import Doubles, Floats

OVERSAMPLED = 20  # columns of the range finder beyond the rank
BLOCK = 256  # rows and columns copied at once


def ease(gram: Doubles, l2: float) -> Doubles:
    """Item-item weights B, float64 [n, n] with a zero diagonal, from X'X: Steck (2019), eq. 8."""
    if len(gram) == 0:
        return np.zeros((0, 0))
    regularised = gram.copy()
    regularised[np.diag_indices_from(regularised)] += l2
    factor, _ = factorised(regularised)
    lower, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    inverse = _mirrored(lower)
    weights: Doubles = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0.0
    return weights


def _mirrored(lower: Doubles) -> Doubles:
    """The symmetric matrix with this lower triangle, in its place; block by block, for the cache's sake."""
    for start in range(0, len(lower), BLOCK):
        stop = start + BLOCK
        square = np.tril(lower[start:stop, start:stop])
        lower[start:stop, start:stop] = square + np.tril(square, -1).T
        lower[start:stop, stop:] = lower[stop:, start:stop].T
    return lower


def reduced_rank(
    gram: Doubles,
    weighted: Callable[[Doubles], Doubles],
    transposed: Callable[[Doubles], Doubles],
    rank: int,
    rounds: int,
    rng: np.random.Generator,
    start: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Input and output vectors float32 [n, D], D = min(rank, n): input @ output.T stands in for the weights B [n, n].

    It is the best rank-D fit of the predictions X B (reduced-rank regression), given X'X as `gram` and B by its
    products `weighted` (B @ basis) and `transposed` (B.T @ basis), found by the randomised range finder of Halko, N.,
    Martinsson, P., Tropp, J. (2011), "Finding structure with randomness", algorithm 4.4. `start` float32 [n, at most
    D]: output vectors of weights that were nearly these, from which fewer rounds find as good a fit.
    """
    items = len(gram)
    dims = max(1, min(rank, items))
    if items == 0:
        return np.zeros((0, dims), dtype=np.float32), np.zeros((0, dims), dtype=np.float32)
    basis: Doubles = rng.standard_normal((items, min(items, dims + OVERSAMPLED)))
    if start is not None:
        basis[:, : start.shape[1]] = start
    for _ in range(rounds):
        basis = np.linalg.qr(transposed(gram @ weighted(basis)))[0]
    inner = weighted(basis)
    _, rotation = np.linalg.eigh(inner.T @ (gram @ inner))
    best = rotation[:, ::-1][:, :dims]
    output: Floats = np.ascontiguousarray((basis @ best).astype(np.float32))
    return np.ascontiguousarray((inner @ best).astype(np.float32)), output


def gram_of(matrix: scipy.sparse.csr_array) -> Doubles:
    """X'X, float64 [items, items]."""
    wide = matrix.astype(np.float64)
    gram: Doubles = (wide.T @ wide).toarray()
    return gram


def factorised(positive: Doubles) -> tuple[Doubles, bool]:
    """The Cholesky factor in place, as SciPy's `cho_solve` takes it."""
    factor: tuple[Doubles, bool] = scipy.linalg.cho_factor(positive, lower=True, overwrite_a=True, check_finite=False)
    return factor


def solved(factor: tuple[Doubles, bool], right: Doubles) -> Doubles:
    found: Doubles = scipy.linalg.cho_solve(factor, right, check_finite=False)
    return found
