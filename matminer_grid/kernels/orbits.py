"""Images of sites under the operators of a space group, with special positions made exact."""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit


@jit
def orbits(rotations, translations, products, coords, steps, images, kept):
    """Fill in the images of each site under each operator, and which of them are distinct.

    Images that lie within `steps` of the site, axis by axis, are the site itself: it is moved to their centre, where they meet.
    Operators up to translations of the lattice make a group, whose multiplication table is `products`; the first is the identity.
    """
    k = len(rotations)
    moves = np.empty((k, 3))
    own = np.empty(k, np.bool_)
    for site in range(len(coords)):
        n_own = 0
        for op in range(k):
            own[op] = True
            for i in range(3):
                value = translations[op, i]
                for j in range(3):
                    value += rotations[op, i, j] * coords[site, j]
                images[site, op, i] = value
                move = value - coords[site, i]
                moves[op, i] = move - np.rint(move)
                own[op] &= abs(moves[op, i]) <= steps[site]
            kept[site, op] = True
            n_own += own[op]
        if n_own > 1:
            n_own = _close(products, own, n_own)
            _meet(rotations, translations, products, coords[site], steps[site], moves, own, n_own, images[site], kept[site])
        for op in range(1, k):
            for i in range(3):
                images[site, op, i] -= np.floor(images[site, op, i])


@jit
def _close(products, own, n_own):
    """Add the products of some operators to them until there are no more; their number is returned."""
    changed = True
    while changed:
        changed = False
        for a in range(len(own)):
            if own[a]:
                for b in range(len(own)):
                    if own[b] and not own[products[a, b]]:
                        own[products[a, b]] = True
                        n_own += 1
                        changed = True
    return n_own


@jit
def _meet(rotations, translations, products, coords, step, moves, own, n_own, images, kept):
    """Move a site to the centre of its images under its own operators, and keep one operator of each coset."""
    centre = np.zeros(3)
    for op in range(len(own)):
        if own[op]:
            for i in range(3):
                if abs(moves[op, i]) > 4 * step:  # operators that don't meet in one point
                    return
                centre[i] += moves[op, i] / n_own
    for i in range(3):
        centre[i] += coords[i]
    for op in range(len(own)):
        for i in range(3):
            value = translations[op, i]
            for j in range(3):
                value += rotations[op, i, j] * centre[j]
            images[op, i] = value
        for other in range(len(own)):
            if own[other] and products[op, other] < op:
                kept[op] = False
                break


@jit
def misfit(rotations, metric):
    """Largest change of a metric tensor under rotations, as a part of its squared edges."""
    worst = 0.0
    for op in range(len(rotations)):
        for i in range(3):
            for j in range(i + 1):
                value = 0.0
                for a in range(3):
                    for b in range(3):
                        value += rotations[op, a, i] * metric[a, b] * rotations[op, b, j]
                worst = max(worst, abs(value - metric[i, j]) / np.sqrt(metric[i, i] * metric[j, j]))
    return worst
