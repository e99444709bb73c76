"""Elastic moduli of 12,178 inorganic crystals, embedded in the package."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

from matminer_grid._files import CHECKSUMS, DATA, read_embedded
from matminer_grid._version import __version__
from matminer_grid.crystals.table import CrystalTable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


PROPERTIES = ("material_id", "formula", "K_VRH", "G_VRH", "elastic_anisotropy")
"""Columns beside the crystals."""


@dataclass(frozen=True, eq=False)
class ElasticityTable:
    """Crystals and their elastic moduli, as arrays of the same length and order.

    Parameters
    ----------
    crystals : CrystalTable
        The N crystals, all of them fully occupied.
    material_id : ndarray of shape (N,)
        Identifier in the Materials Project, such as "mp-118".
    formula : ndarray of shape (N,)
        Reduced formula.
    K_VRH, G_VRH : ndarray of shape (N,)
        Bulk and shear modulus in GPa, averages of Voigt and Reuss, whole numbers.
    elastic_anisotropy : ndarray of shape (N,)
        Universal anisotropy index, without unit; 0 for an isotropic crystal.
    """

    crystals: CrystalTable
    material_id: NDArray[np.object_]
    formula: NDArray[np.object_]
    K_VRH: NDArray[np.float64]
    G_VRH: NDArray[np.float64]
    elastic_anisotropy: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.crystals)

    def properties(self) -> pd.DataFrame:
        """Give all columns but the crystals as a frame of N rows."""
        import pandas as pd  # noqa: PLC0415  0.2 s, which processes that parse files do without

        return pd.DataFrame({name: getattr(self, name) for name in PROPERTIES})


def load_mp_elasticity_table() -> ElasticityTable:
    """Load the elastic moduli of 12,178 crystals of the Materials Project as arrays, without pymatgen objects, in under 0.1 s.

    Source, order and errors are those of :func:`load_mp_elasticity`.

    Returns
    -------
    ElasticityTable

    Examples
    --------
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> table = load_mp_elasticity_table()
    >>> row = table.material_id.tolist().index("mp-149")
    >>> table.formula[row], table.crystals[row].n_sites, table.K_VRH[row].item()
    ('Si', 2, 83.0)
    """
    table = pq.read_table(pa.BufferReader(read_embedded("mp_elasticity.parquet")))
    return ElasticityTable(CrystalTable.from_arrow(table), **{name: table.column(name).to_numpy() for name in PROPERTIES})


def load_mp_elasticity() -> pd.DataFrame:
    """Load the elastic moduli of 12,178 crystals of the Materials Project, as matminer's `load_dataset` would, in about 2 s.

    The file is part of the package. Its description, with licence (CC BY 4.0) and known defects, stands beside it in
    ``datasets/descr/mp_elasticity.md``.

    Returns
    -------
    DataFrame
        A row for each crystal, in the order of the source: the columns of :class:`ElasticityTable`, and `structure`, a pymatgen
        Structure, with the cell and sites of the source to their printed digits.

    Raises
    ------
    ValueError
        The file's checksum is wrong.

    References
    ----------
    A. Jain et al., APL Materials 1 (2013) 011002, 10.1063/1.4812323.
    M. de Jong et al., Sci. Data 2 (2015) 150009, 10.1038/sdata.2015.9.
    R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G (gridrdf 0.3.0, the source of the file).

    Examples
    --------
    >>> from matminer_grid.datasets import load_mp_elasticity
    >>> frame = load_mp_elasticity()
    >>> frame.loc[frame["material_id"] == "mp-149", ["formula", "K_VRH", "G_VRH"]].values.tolist()
    [['Si', 83.0, 61.0]]
    """
    table = load_mp_elasticity_table()
    frame = table.properties()
    frame.insert(2, "structure", table.crystals.to_structures())
    return frame


def kept_path(stem: str, suffix: str = "") -> Path:
    """Where what is made from these data is kept in the user's cache, by version and checksum; the folder may not exist yet."""
    listed = dict(line.split()[::-1] for line in (DATA / CHECKSUMS).read_text(encoding="ascii").splitlines())
    nowhere = Path(os.devnull, "no home folder")  # where nothing is and nothing can be made
    try:
        folder = Path(platformdirs.user_cache_dir("matminer-grid", appauthor=False))
    except RuntimeError:  # a user without a home, as in some containers
        folder = nowhere
    if not folder.is_absolute():  # as old platformdirs have it then: ~/.cache, from here
        folder = nowhere
    return folder / f"{stem}-{__version__}-{listed['mp_elasticity.parquet'][:12]}{suffix}"
