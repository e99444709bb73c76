"""How well methods tell which of planted copies are the same as a reference: verdicts on all pairs of equal formulas."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher

from benchmarks._planted import KINDS, SAME
from benchmarks.sites import pdd
from matminer_grid import CrystalDissimilarity, CrystalTable, find_pairs
from matminer_grid.similarity.evaluation_crystals import pair_dissimilarities
from matminer_grid.similarity.formulas import composition_keys, formula_labels

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS, NUMBER, PDD, COMPOSITION, MATCHER = "ours, by parts", "ours, one number", "PDD (Å)", "composition alone", "StructureMatcher"
MARGIN = 4.0
"""Curves by parts go up to so many times the default tolerance."""

TOLERANCES = {
    PARTS: np.geomspace(0.05, MARGIN, 40),
    NUMBER: np.geomspace(0.01, 10, 40),
    PDD: np.geomspace(0.001, 1, 40),
    COMPOSITION: np.array([0.0]),
}
"""What the curves run over: the default tolerance times a factor, a site dissimilarity, an earth mover's distance."""


@dataclass(frozen=True)
class Planted:
    """Copies of references, what they were made of, and all pairs of a copy and a reference of equal formulas."""

    references: CrystalTable
    copies: CrystalTable
    kinds: np.ndarray
    origins: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(cls, references: CrystalTable, copies: dict[str, tuple[CrystalTable, np.ndarray]]) -> Planted:
        """Put the copies of all kinds together, and list the pairs."""
        table = CrystalTable.concatenate([copies[kind][0] for kind in KINDS])
        origins = np.concatenate([copies[kind][1] for kind in KINDS])
        kinds = np.repeat(KINDS, [len(copies[kind][1]) for kind in KINDS])
        labels = formula_labels(np.concatenate([composition_keys(references), composition_keys(table)]))
        order = np.argsort(labels[: len(references)], kind="stable")
        known, own = labels[: len(references)][order], labels[len(references) :]
        first, last = (np.searchsorted(known, own, side=side) for side in ("left", "right"))
        rows = np.repeat(np.arange(len(own)), last - first)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(last - first) - (last - first), last - first) + first[rows]
        return cls(references, table, kinds, origins, np.stack((rows, order[places]), axis=1))

    @property
    def is_same(self) -> np.ndarray:
        """Tell which pairs are of the same crystal, shape (n_pairs,)."""
        rows, references = self.pairs.T
        return np.isin(self.kinds[rows], SAME) & (self.origins[rows] == references)

    def verdict(self, called: np.ndarray) -> dict[str, float | None]:
        """Hold what a method calls the same, of all pairs, against the truth: by kind, and of the crystals that are new."""
        rows, references = self.pairs.T
        own = called & (self.origins[rows] == references)
        out: dict[str, float | None] = {
            kind: _mean(np.isin(np.nonzero(self.kinds == kind)[0], rows[own])) for kind in (*SAME, "exchanged")
        }
        out["precision"] = _mean(self.is_same[called])
        known = np.zeros(len(self.kinds), np.bool_)
        known[rows[called]] = True
        new = ~np.isin(self.kinds, SAME)
        out["new that are called so"] = _mean(~known[new])
        out["called new that are"] = _mean(new[~known])
        return out


def by_parts(planted: Planted) -> np.ndarray:
    """Give the largest part of each pair as a share of its default tolerance; infinite beyond the margin."""
    found = find_pairs(planted.copies, planted.references, margin=MARGIN)
    n = len(planted.references)
    codes, own = found.rows @ (n, 1), planted.pairs @ (n, 1)
    out = np.full(len(own), np.inf)
    place = np.searchsorted(codes, own)
    there = place < len(codes)
    there[there] = codes[place[there]] == own[there]
    out[there] = found.ratios[place[there]]
    return out


def by_number(planted: Planted) -> np.ndarray:
    """Give the site dissimilarity of each pair."""
    sites = CrystalDissimilarity(resolution="sites")
    copies, references = sites.describe(planted.copies), sites.describe(planted.references)
    return pair_dissimilarities(copies, references, sites, tuple(np.ascontiguousarray(planted.pairs.T)))


def by_pdd(planted: Planted) -> np.ndarray:
    """Give the earth mover's distance of the PDDs of each pair."""
    import amd  # noqa: PLC0415  an extra

    copies, references = ([pdd(one) for one in some.to_structures()] for some in (planted.copies, planted.references))
    return np.array([amd.EMD(copies[row], references[known]) for row, known in planted.pairs.tolist()])


METHODS: dict[str, Callable[[Planted], np.ndarray]] = {
    PARTS: by_parts,
    NUMBER: by_number,
    **({PDD: by_pdd} if find_spec("amd") else {}),
    COMPOSITION: lambda planted: np.zeros(len(planted.pairs)),
}


def compare_methods(planted: Planted) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Let each method judge all pairs: a row for each, at its default or the tolerance that suits it best, and its curves."""
    rows, curves = [], {}
    for name, method in METHODS.items():
        start = time.perf_counter()
        values = method(planted)
        took = time.perf_counter() - start
        curve = [{"tolerance": float(t)} | planted.verdict(values <= t) for t in TOLERANCES[name]]
        scores = [_f1(planted.is_same, values <= t) for t in TOLERANCES[name]]
        best = 1.0 if name == PARTS else float(TOLERANCES[name][int(np.argmax(scores))])
        chosen = {"by": "default" if name == PARTS else "best F1", "tolerance": best}
        rows.append({"method": name} | chosen | planted.verdict(values <= best) | {"seconds": took})
        curves[name] = curve
    return rows, curves


def _f1(truth: np.ndarray, called: np.ndarray) -> float:
    return 2 * float((truth & called).sum()) / max(1.0, float(truth.sum() + called.sum()))


def ask_matcher(planted: Planted, n: int, seed: int) -> dict[str, Any]:
    """Let StructureMatcher judge a sample of the pairs; its time is extrapolated to all."""
    drawn = np.random.default_rng(seed).permutation(len(planted.pairs))[:n]
    pairs, truth = planted.pairs[drawn], planted.is_same[drawn]
    copies, references = (some.to_structures() for some in (planted.copies[pairs[:, 0]], planted.references[pairs[:, 1]]))
    matcher = StructureMatcher()
    start = time.perf_counter()
    called = np.array([matcher.fit(a, b) for a, b in zip(copies, references, strict=True)])
    took = time.perf_counter() - start
    kinds = planted.kinds[pairs[:, 0]]
    own = planted.origins[pairs[:, 0]] == pairs[:, 1]
    row: dict[str, Any] = {"method": MATCHER, "by": f"{len(pairs)} pairs"}
    row |= {kind: _mean(called[own & (kinds == kind)]) for kind in (*SAME, "exchanged")}
    return row | {"precision": _mean(truth[called]), "seconds": took / len(pairs) * len(planted.pairs)}


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
