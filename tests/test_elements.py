import subprocess
import sys

import numpy as np
import pytest
from pymatgen.core import Element

from matminer_grid.crystals.elements import (
    DEUTERIUM,
    DUMMY,
    MODIFIED_PETTIFOR,
    MODIFIED_PETTIFOR_ELEMENTS,
    SUBSTITUTION_ELEMENTS,
    TRITIUM,
    as_element,
    element_number,
    species_symbol,
    substitution_dissimilarity,
    substitution_table,
)


def ground(first: str, second: str) -> float:
    return substitution_dissimilarity()[SUBSTITUTION_ELEMENTS.index(first), SUBSTITUTION_ELEMENTS.index(second)]


def test_scale_holds_the_elements_to_lawrencium_once():
    assert sorted(MODIFIED_PETTIFOR_ELEMENTS) == sorted(Element.from_Z(z).symbol for z in range(1, 104))
    assert [MODIFIED_PETTIFOR[symbol] for symbol in MODIFIED_PETTIFOR_ELEMENTS] == list(range(1, 104))


@pytest.mark.parametrize(
    ("symbol", "position"),
    [
        ("He", 1),
        ("Fr", 7),
        ("Li", 12),
        ("Y", 21),
        ("La", 32),
        ("Lr", 47),
        ("Fe", 71),
        ("C", 87),
        ("O", 97),
        ("H", 103),
        ("D", 103),
        ("T", 103),
    ],
)
def test_positions_on_the_scale(symbol, position):
    assert MODIFIED_PETTIFOR[symbol] == position


def test_scale_cannot_be_changed():
    with pytest.raises(TypeError):
        MODIFIED_PETTIFOR["H"] = 1
    for array in (substitution_table(), substitution_dissimilarity()):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_substitution_elements():
    numbers = [Element(symbol).Z for symbol in SUBSTITUTION_ELEMENTS]
    assert numbers == [z for z in range(1, 84) if z not in {2, 10, 18, 36, 54}]


def test_sodium_and_fluorine():
    assert ground("Na", "F") == pytest.approx(11.2, abs=0.05)


def test_table_is_a_symmetric_dissimilarity():
    for array in (substitution_table(), substitution_dissimilarity()):
        assert array.shape == (78, 78)
        assert (array == array.T).all()
        assert (np.diag(array) == 0).all()
        assert (array[~np.eye(78, dtype=bool)] > 0).all()


def test_ground_distance_follows_its_formula():
    s = substitution_table()[np.triu_indices(78, 1)]
    expected = [1 / np.log10(1 / x + 1) for x in s.tolist()]
    np.testing.assert_allclose(substitution_dissimilarity()[np.triu_indices(78, 1)], expected, rtol=1e-14)


def test_what_the_description_says_of_the_table():
    s = substitution_table()
    distance = substitution_dissimilarity()
    pairs = np.triu_indices(78, 1)
    assert (s[pairs] == 10).sum() == 375
    assert (distance[pairs] > 100).sum() == 64
    assert ground("H", "Be") == pytest.approx(24.16, abs=0.005)
    assert s.max().round() == 494
    assert distance.max() == ground("O", "Cs") == pytest.approx(1138.7, abs=0.05)
    assert (ground("O", "Br"), ground("Br", "Cs")) == pytest.approx((4.2, 6.6), abs=0.05)
    assert ground("Pm", "Sm") == distance[pairs].min() == pytest.approx(0.756, abs=0.0005)

    violations, worst = 0, 0.0
    for third in range(78):
        detour = distance[:, third, None] + distance[third]
        others = np.ones((78, 78), dtype=bool)
        others[third] = others[:, third] = others[np.tril_indices(78)] = False
        violations += (distance > detour * (1 + 1e-12))[others].sum()
        worst = max(worst, (distance[others] / detour[others]).max())
    assert violations == 47_025
    assert worst == pytest.approx(221, abs=0.5)


def test_nothing_is_read_at_import():
    code = "from matminer_grid.crystals import elements as e; assert e.substitution_table.cache_info().misses == 0"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_symbols_of_isotopes_and_dummies():
    assert [species_symbol(n) for n in (1, DEUTERIUM, TRITIUM, DUMMY, 103)] == ["H", "D", "T", "X", "Lr"]
    assert species_symbol(22) == "Ti"
    assert [element_number(symbol) for symbol in ("Ti", "Qx", "D")] == [22, None, None]
    assert [as_element(symbol) for symbol in ("D", "T", "Ti")] == ["H", "H", "Ti"]
