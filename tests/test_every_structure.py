"""Every embedded crystal: against the slow twin, and against itself in another setting. Run with ``pytest -m slow``."""

import numpy as np
import pytest

from matminer_grid import Crystal, CrystalTable, GRIDFeaturizer
from tests import naive
from tests.strategies import in_another_setting

pytestmark = [pytest.mark.slow, pytest.mark.timeout(36_000)]

PER_SIZE = 15
"""Crystals of each number of sites that are compared with the slow twin."""


def stratified(table: CrystalTable) -> list[int]:
    """Rows of some crystals of every size there is, the large cells among them."""
    rng = np.random.default_rng(12178)
    rows = []
    for size in np.unique(table.n_sites):
        of_size = np.nonzero(table.n_sites == size)[0]
        rows += rng.choice(of_size, min(PER_SIZE, len(of_size)), replace=False).tolist()
    return rows


@pytest.mark.parametrize("smearing", [0.0, 0.1])
def test_a_stratified_sample_equals_the_slow_twin(embedded, smearing):
    rows = stratified(embedded)
    assert len(rows) >= 500
    featurizer = GRIDFeaturizer(cutoff=7.0, smearing=smearing)
    for row in rows:
        crystal = embedded[row]
        expected = naive.grid(crystal, featurizer.bin_edges, 100, smearing)
        np.testing.assert_allclose(featurizer.grid(crystal), expected, rtol=0, atol=1e-9, err_msg=f"row {row}: {crystal.formula}")


@pytest.mark.parametrize("smearing", [0.0, 0.1])
def test_every_crystal_is_the_same_in_a_random_supercell(embedded, smearing):
    featurizer = GRIDFeaturizer(smearing=smearing)
    rng = np.random.default_rng(20210716)
    compared = 0
    for start in range(0, len(embedded), 200):
        piece = embedded[start : start + 200]
        others: list[Crystal] = [in_another_setting(crystal, rng) for crystal in piece]
        difference = np.abs(featurizer.transform(others) - featurizer.transform(piece)).max(axis=1)
        worst = int(difference.argmax())
        assert difference[worst] < 1e-9, f"row {start + worst}: {piece[worst].formula} changed by {difference[worst]:.2g}"
        compared += len(piece)
    assert compared == 12_178
