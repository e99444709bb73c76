"""Splits that don't leak: groups of crystals that must stay together, and what a test part shares with a training part."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse

from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, checked_dissimilarity, structures_as_table
from matminer_grid.similarity.formulas import composition_keys, formula_labels
from matminer_grid.similarity.near_pairs import find_pairs
from matminer_grid.similarity.prototypes import SAME_PROTOTYPE, Renamed, find_prototypes
from matminer_grid.similarity.search import EMDSearch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.similarity.described import DescribedCrystals
    from matminer_grid.similarity.tolerance import DuplicateTolerance


def crystal_groups(
    X: Any,
    tolerance: DuplicateTolerance | float | None = None,
    *,
    polymorphs: bool = False,
    prototypes: bool = False,
    dissimilarity: CrystalDissimilarity | None = None,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> NDArray[np.int64]:
    """Label crystals such that those that are the same share a label, for scikit-learn's GroupKFold and GroupShuffleSplit.

    Two crystals within the tolerance always share a label, and so do those that a chain of such pairs links: no pair within the
    tolerance is ever split. Labels are numbered by what is in the crystals, not by their order: shuffled data get the same labels,
    crystal by crystal, and so the same groups in the same parts.

    Parameters
    ----------
    X : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable
        N crystals.
    tolerance : DuplicateTolerance or float, optional
        How far two crystals may be apart that count as the same, as for :func:`find_pairs`: by parts, ``DuplicateTolerance()`` by
        default; or the largest dissimilarity.
    polymorphs : bool, default False
        Whether all crystals of a reduced formula share a label too.
    prototypes : bool, default False
        Whether crystals of one prototype do, whatever elements and size, as :func:`find_prototypes` links them.
    dissimilarity : CrystalDissimilarity, optional
        Only for a single number; by sites by default.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.
    pbar : bool, default False
        Whether to show a progress bar.

    Returns
    -------
    ndarray of int of shape (N,)

    Raises
    ------
    TypeError, ValueError
        There are no crystals, or one is invalid; or the tolerance is.

    Examples
    --------
    >>> from sklearn.model_selection import GroupKFold
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import crystal_groups
    >>> def cesium_chloride(a, cation, anion):
    ...     return Structure(Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> salt = cesium_chloride(4.12, "Cs", "Cl")
    >>> crystals = [salt, cesium_chloride(4.29, "Cs", "Br"), salt * (2, 1, 1), cesium_chloride(4.13, "Cs", "Cl")]
    >>> groups = crystal_groups(crystals)
    >>> bool(groups[0] == groups[2] == groups[3]), len(set(groups))
    (True, 2)
    >>> [test.tolist() for _, test in GroupKFold(2).split(crystals, groups=groups)]
    [[0, 2, 3], [1]]
    """
    crystals = structures_as_table(X)
    n = len(crystals)
    if n == 0:
        raise ValueError("there are no crystals to be grouped")
    pairs = find_pairs(crystals, tolerance=tolerance, dissimilarity=dissimilarity, n_jobs=n_jobs, pbar=pbar)
    links = [pairs.rows[pairs.within]]
    if polymorphs:
        _, first, formula = np.unique(formula_labels(composition_keys(crystals)), return_index=True, return_inverse=True)
        links.append(np.stack((np.arange(n), first[formula]), axis=1))
    if prototypes:
        _, first, prototype = np.unique(find_prototypes(crystals, n_jobs=n_jobs).chains, return_index=True, return_inverse=True)
        links.append(np.stack((np.arange(n), first[prototype]), axis=1))
    rows = np.concatenate(links)
    graph = scipy.sparse.coo_array((np.ones(len(rows)), (rows[:, 0], rows[:, 1])), shape=(n, n))
    components = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    return _by_content(components, crystals)


def _by_content(labels: NDArray[np.int32], crystals: CrystalTable) -> NDArray[np.int64]:
    """Give groups other numbers, in the order of the least digest of a member, which is the same in any order of the crystals."""
    digests = [sha256(b"".join(np.ascontiguousarray(column).data for column in vars(one).values())).digest() for one in crystals]
    order = np.array(sorted(range(len(digests)), key=digests.__getitem__))
    _, first, group = np.unique(labels[order], return_index=True, return_inverse=True)
    out = np.empty(len(labels), np.int64)
    out[order] = np.argsort(np.argsort(first))[group]
    return out


@dataclass(frozen=True, eq=False)
class Leakage:
    """What test crystals share with training crystals.

    Parameters
    ----------
    crystals : DataFrame
        A row for each test crystal: the row of the `nearest` training crystal and their `dissimilarity`; whether there is a
        `duplicate` in training, within the tolerance, and the row of the nearest such, `duplicate_of` (-1 without one); and whether
        there is a `polymorph`, of the same reduced formula but no duplicate, or a crystal of the same `prototype`, whatever its
        elements and size, which duplicates are too.
    """

    crystals: pd.DataFrame

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of test crystals, and of those with a duplicate, a polymorph and a crystal of their prototype in training."""
        shared = ("duplicate", "polymorph", "prototype")
        return {"crystals": len(self.crystals)} | {name: int(self.crystals[name].sum()) for name in shared}


def leakage(
    train: Any,
    test: Any,
    tolerance: DuplicateTolerance | float | None = None,
    *,
    dissimilarity: CrystalDissimilarity | None = None,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> Leakage:
    """Tell what test crystals share with training crystals: duplicates, polymorphs, prototypes, and how near the nearest one is.

    Parameters
    ----------
    train, test : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable
    tolerance : DuplicateTolerance or float, optional
        As for :func:`crystal_groups`.
    dissimilarity : CrystalDissimilarity, optional
        What the nearest training crystal is found by, and a tolerance that is a single number holds for;
        ``CrystalDissimilarity(resolution="sites")`` by default.
    n_jobs, pbar
        As for :func:`crystal_groups`.

    Returns
    -------
    Leakage

    Raises
    ------
    TypeError, ValueError
        There are no training or no test crystals, or one is invalid; or the tolerance is.

    Examples
    --------
    >>> from matminer_grid import leakage
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> crystals = load_mp_elasticity_table().crystals
    >>> found = leakage(crystals[:200], crystals[198:300])
    >>> found.counts["duplicate"], found.counts["polymorph"]
    (2, 11)
    >>> found.crystals[["nearest", "duplicate_of"]].iloc[0].tolist()
    [198, 198]
    """
    dissimilarity = CrystalDissimilarity(resolution="sites") if dissimilarity is None else checked_dissimilarity(dissimilarity)
    known, references = _part("training", train, dissimilarity, n_jobs)
    own, queries = _part("test", test, dissimilarity, n_jobs)
    distances, nearest = EMDSearch(dissimilarity, n_jobs=n_jobs).fit(references).kneighbors(queries, 1, pbar=pbar)
    by_number = dissimilarity if isinstance(tolerance, (int, float)) else None
    pairs = find_pairs(own, known, tolerance, dissimilarity=by_number, n_jobs=n_jobs, pbar=pbar)
    pairs = pairs[pairs.within]
    pairs = pairs[np.argsort(pairs.ratios, kind="stable")]
    duplicate_of = np.full(len(own), -1)
    duplicate_of[pairs.rows[::-1, 0]] = pairs.rows[::-1, 1]  # the nearest comes last, and stays
    formulas = formula_labels(np.concatenate([composition_keys(own), composition_keys(known)]))
    of_formula = np.bincount(formulas[len(own) :], minlength=formulas.max() + 1)[formulas[: len(own)]]
    others = of_formula - np.bincount(pairs.rows[:, 0], minlength=len(own))
    columns = {"nearest": nearest[:, 0], "dissimilarity": distances[:, 0], "duplicate": duplicate_of >= 0}
    alike = find_pairs(Renamed.of(own).first, Renamed.of(known).all, SAME_PROTOTYPE, n_jobs=n_jobs, pbar=pbar)
    has_prototype = np.isin(np.arange(len(own)), alike.rows[:, 0])
    columns |= {"duplicate_of": duplicate_of, "polymorph": others > 0, "prototype": has_prototype}
    return Leakage(pd.DataFrame(columns))


def _part(name: str, X: Any, dissimilarity: CrystalDissimilarity, n_jobs: int | None) -> tuple[CrystalTable, DescribedCrystals]:
    """Check and describe the crystals of a part; errors name it."""
    try:
        crystals = structures_as_table(X)
        described = dissimilarity.describe(crystals, n_jobs=n_jobs)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} part: {error}") from error
    if len(crystals) == 0:
        raise ValueError(f"there are no {name} crystals")
    return crystals, described
