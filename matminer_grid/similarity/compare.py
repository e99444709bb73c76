"""Two crystals side by side: what makes their site dissimilarity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import spglib
from sklearn.base import clone

from matminer_grid.crystals.composition import reduced_formula
from matminer_grid.crystals.elements import species_symbol
from matminer_grid.kernels.lattice import lower_triangular, reduce_cell
from matminer_grid.kernels.neighbors import find_neighbors, prepare_search
from matminer_grid.kernels.sites import site_plan
from matminer_grid.similarity.sites import Sites, scaled_to_common_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.crystal import Crystal
    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity

SYMMETRY_TOLERANCE = 0.01
"""Å, for space groups and Wyckoff letters."""

ONE_SHELL = 1e-3
"""Å. Neighbours whose distances differ by less are shown as one shell."""


@dataclass(frozen=True)
class SiteMatch:
    """Sites of the first crystal that become sites of the second.

    Parameters
    ----------
    a, b : str
        Element and Wyckoff position of the sites, such as "O 3c".
    sites_a, sites_b : list of int
        Which sites of the cells they are.
    share : float
        Fraction of the atoms.
    geometry, elements, neighbors : float
        Differences of their neighbours' distances (Å), of their elements, and of what surrounds them (places).
    cost : float
        What the weights make of these, without the share.
    """

    a: str
    b: str
    sites_a: list[int]
    sites_b: list[int]
    share: float
    geometry: float
    elements: float
    neighbors: float
    cost: float


@dataclass(frozen=True)
class ShellDifference:
    """Neighbours of the same ranks that differ between matched sites.

    Parameters
    ----------
    match : int
        Which of the matches.
    first, last : float
        Ranks from the nearest neighbour, 1, on; with partial occupancy cumulative occupancies.
    pair_a, pair_b : str
        Elements of site and neighbours, such as "Ti–O".
    distance_a, distance_b : float
        In Å, clipped at the cutoff.
    """

    match: int
    first: float
    last: float
    pair_a: str
    pair_b: str
    distance_a: float
    distance_b: float


@dataclass(frozen=True)
class Comparison:
    """What the site dissimilarity of two crystals is made of.

    Parameters
    ----------
    total : float
        The dissimilarity.
    geometry, elements, neighbors : float
        Its parts under the best plan, before they are weighted: neighbours' distances (Å), elements and surroundings (places).
    at_equal_volume : float
        The dissimilarity of both at one volume a site.
    volume_ratio : float
        Volume a site of the second over that of the first.
    formulas, space_groups : tuple of two str
        Reduced formulas; symbols with their numbers.
    same_formula : bool
    matches : list of SiteMatch
        Which site became which, those of most cost first.
    shells : list of ShellDifference
        Neighbours that differ, in the order of the matches and then of their ranks.
    """

    total: float
    geometry: float
    elements: float
    neighbors: float
    at_equal_volume: float
    volume_ratio: float
    formulas: tuple[str, str]
    space_groups: tuple[str, str]
    same_formula: bool
    matches: list[SiteMatch]
    shells: list[ShellDifference]

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain dicts, lists and numbers, ready for JSON."""
        return asdict(self)


def compare(dissimilarity: CrystalDissimilarity, crystals: CrystalTable) -> Comparison:
    """Compare two crystals; :meth:`CrystalDissimilarity.compare` checks them."""
    other = clone(dissimilarity).set_params(scale_volume=True)
    scaled = scaled_to_common_volume(crystals)
    shown = scaled if dissimilarity.scale_volume else crystals
    featurizer = dissimilarity._checked()
    settings: dict[str, Any] = {"cutoff": float(featurizer.cutoff), "n_groups": int(featurizer.n_groups)}
    sites, owners = Sites.from_crystals(shown, dissimilarity.elements, **settings)
    _, plan, parts = site_plan(sites.environments, 0, sites.environments, 1, dissimilarity.site_weights)
    weights = np.array([dissimilarity.grid_weight, dissimilarity.composition_weight, dissimilarity.neighbor_weight])
    described = [_Described(crystals[k], owners[crystals.species_offsets[k] : crystals.species_offsets[k + 1]]) for k in (0, 1)]
    costs = np.tensordot(weights, parts, 1)
    pairs = np.argwhere(plan > 0)
    pairs = pairs[np.argsort(-(plan * costs)[tuple(pairs.T)], kind="stable")]
    matches = []
    for i, j in pairs.tolist():
        geometry, elements, neighbors = parts[:, i, j].tolist()
        names = described[0].labels[i], described[1].labels[j], described[0].members[i], described[1].members[j]
        matches.append(SiteMatch(*names, float(plan[i, j]), geometry, elements, neighbors, float(costs[i, j])))
    lists = [_Neighbors(shown[k], described[k], settings) for k in (0, 1)]
    volumes = [crystal.volume / float(crystal.site_occupancies.sum()) for crystal in crystals]
    formulas = [reduced_formula(crystal) for crystal in crystals]
    geometry, elements, neighbors = (plan * parts).sum(axis=(1, 2)).tolist()
    return Comparison(
        total=dissimilarity.distance(*crystals),
        geometry=geometry,
        elements=elements,
        neighbors=neighbors,
        at_equal_volume=other.distance(*crystals),
        volume_ratio=volumes[1] / volumes[0],
        formulas=(formulas[0], formulas[1]),
        space_groups=(described[0].space_group, described[1].space_group),
        same_formula=formulas[0] == formulas[1],
        matches=matches,
        shells=[shell for index, match in enumerate(matches) for shell in _differences(index, match, lists)],
    )


def site_contents(crystal: Crystal) -> list[tuple[tuple[int, float], ...]]:
    """List the atomic numbers and occupancies of each site, sorted."""
    return [
        tuple(sorted(zip(crystal.numbers[own].tolist(), crystal.occupancies[own].round(6).tolist(), strict=True)))
        for own in (crystal.site_index == site for site in range(crystal.n_sites))
    ]


def symmetry_dataset(crystal: Crystal) -> Any:
    """Find a crystal's symmetry as spglib has it; None where it finds none."""
    contents = site_contents(crystal)
    number = {content: index for index, content in enumerate(sorted(set(contents)), start=1)}
    cell = crystal.lattice, crystal.frac_coords, [number[content] for content in contents]
    return spglib.get_symmetry_dataset(cell, symprec=SYMMETRY_TOLERANCE)


def space_group_symbol(crystal: Crystal) -> str:
    """Give the symbol and number of the space group, such as "Pm-3m (221)"; "unknown" where spglib finds none."""
    return _space_group(symmetry_dataset(crystal))


def _space_group(found: Any) -> str:
    return "unknown" if found is None else f"{found.international} ({found.number})"


class _Described:
    """A crystal's points by their names: element and Wyckoff position, and which sites they are."""

    def __init__(self, crystal: Crystal, owners: NDArray[np.int64]) -> None:
        contents = site_contents(crystal)
        self.site_labels = ["".join(species_symbol(n) + (f"{o:g}" if o < 1 else "") for n, o in content) for content in contents]
        found = symmetry_dataset(crystal)
        self.space_group = _space_group(found)
        self.members: list[list[int]] = []
        self.labels = []
        for point in range(owners.max() + 1):
            species = np.nonzero(owners == point)[0]
            members = crystal.site_index[species].tolist()
            label = species_symbol(int(crystal.numbers[species[0]]))
            if found is not None:
                alike = (found.equivalent_atoms == found.equivalent_atoms[members[0]]).sum()
                multiplicity = round(alike * len(found.std_types) / crystal.n_sites)
                label += f" {multiplicity}{found.wyckoffs[members[0]]}"
            self.members.append(members)
            self.labels.append(label)


class _Neighbors:
    """The neighbours of a crystal's sites by rank."""

    def __init__(self, crystal: Crystal, described: _Described, settings: dict[str, Any]) -> None:
        self.labels = described.site_labels
        self.occupancies = crystal.site_occupancies
        self.n_groups, self.cutoff = settings["n_groups"], settings["cutoff"]
        reduced, self._frac = reduce_cell(crystal.lattice, crystal.frac_coords)
        self._cell = lower_triangular(reduced)
        self._numbering = np.arange(1.0, crystal.n_sites + 1)
        self._search = prepare_search(self._cell, self._frac, self._numbering, self.cutoff)

    def of_site(self, site: int) -> tuple[NDArray[np.float64], list[float], list[str]]:
        """Give the cumulative occupancy after each neighbour, its distance and what it is; the last stands for all beyond."""
        buffers = np.empty(512), np.empty(512)
        n, _, _, _, distances, numbers = find_neighbors(
            self._cell, self._frac, self._numbering, site, 0.0, self.cutoff, self.cutoff, self._search, *buffers
        )
        others = numbers[:n].astype(int) - 1
        labels = np.array(self.labels)[others]
        order = np.lexsort((labels, np.rint(distances[:n] / ONE_SHELL)))
        counts = np.append(np.cumsum(self.occupancies[others][order]), np.inf)
        return counts, [*distances[:n][order].tolist(), self.cutoff], [*labels[order].tolist(), "…"]


def _differences(index: int, match: SiteMatch, lists: list[_Neighbors]) -> list[ShellDifference]:
    """List the ranks at which two matched sites have other neighbours, or have them elsewhere, in shells."""
    a, b = lists[0].of_site(match.sites_a[0]), lists[1].of_site(match.sites_b[0])
    own = [label.split(" ")[0] for label in (match.a, match.b)]
    out: list[ShellDifference] = []
    i, j, rank = 0, 0, 0.0
    while rank < lists[0].n_groups and (i < len(a[1]) - 1 or j < len(b[1]) - 1):
        following = min(a[0][i], b[0][j], lists[0].n_groups)
        pairs = f"{own[0]}–{a[2][i]}", f"{own[1]}–{b[2][j]}"
        if following > rank + ONE_SHELL and (abs(a[1][i] - b[1][j]) > ONE_SHELL or pairs[0] != pairs[1]):
            shell = ShellDifference(index, rank + 1, float(following), *pairs, a[1][i], b[1][j])
            out = _merged(out, shell)
        i, j, rank = i + int(a[0][i] <= following), j + int(b[0][j] <= following), float(following)
    return out


def _merged(shells: list[ShellDifference], shell: ShellDifference) -> list[ShellDifference]:
    """Append a shell, or let the last one go on where it is the same."""
    last = shells[-1] if shells else None
    if (
        last is not None
        and (last.pair_a, last.pair_b) == (shell.pair_a, shell.pair_b)
        and abs(last.last + 1 - shell.first) < ONE_SHELL
        and abs(last.distance_a - shell.distance_a) < ONE_SHELL
        and abs(last.distance_b - shell.distance_b) < ONE_SHELL
    ):
        joined = ShellDifference(shell.match, last.first, shell.last, last.pair_a, last.pair_b, last.distance_a, last.distance_b)
        return [*shells[:-1], joined]
    return [*shells, shell]
