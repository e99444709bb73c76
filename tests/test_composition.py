import re

import numpy as np
import ot
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance
from sklearn.metrics import pairwise_distances

from matminer_grid import Crystal, CrystalTable
from matminer_grid.crystals.composition import cumulative_fractions, element_fractions
from matminer_grid.crystals.elements import (
    MODIFIED_PETTIFOR,
    MODIFIED_PETTIFOR_ELEMENTS,
    SUBSTITUTION_ELEMENTS,
    substitution_dissimilarity,
)
from matminer_grid.similarity import SubstitutionIndex, composition_emd, substitution_emd_pair
from tests.conftest import REAL

METRICS = ["modified_pettifor", "substitution"]
FORMULAS = ["Na", "F", "NaCl", "NaBr", "SrTiO3", "BaTiO3", "LiFePO4", "Fe2O3", "Cu3Au", "KMgF3", "Ca10P6O26H2"]


def compositions(elements, max_elements=6):
    amounts = st.one_of(st.integers(1, 20), st.floats(0.01, 20))
    return st.dictionaries(st.sampled_from(elements), amounts, min_size=1, max_size=max_elements).map(Composition)


on_the_scale = compositions(MODIFIED_PETTIFOR_ELEMENTS)
in_the_table = compositions(SUBSTITUTION_ELEMENTS)


def linear_program(a: Composition, b: Composition) -> float:
    """Solve the transport problem with HiGHS, over all its variables at once."""
    distance = substitution_dissimilarity()
    i, j = ([SUBSTITUTION_ELEMENTS.index(e.symbol) for e in c] for c in (a, b))
    p, q = (np.array(list(c.fractional_composition.values())) for c in (a, b))
    rows = np.kron(np.eye(len(p)), np.ones(len(q)))
    columns = np.kron(np.ones(len(p)), np.eye(len(q)))
    equal = np.concatenate([rows, columns[:-1]])  # the last one follows from the others
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}  # 1e-7 lets small fractions go
    return linprog(distance[np.ix_(i, j)].ravel(), A_eq=equal, b_eq=np.concatenate([p, q[:-1]]), options=tight).fun


class TestFractions:
    def test_fractions_stand_in_the_metrics_order(self):
        for metric, elements in (("modified_pettifor", MODIFIED_PETTIFOR_ELEMENTS), ("substitution", SUBSTITUTION_ELEMENTS)):
            row = element_fractions("SrTiO3", metric)[0]
            assert {elements[i]: row[i] for i in row.nonzero()[0]} == {"Sr": 0.2, "Ti": 0.2, "O": 0.6}

    @pytest.mark.parametrize("metric", METRICS)
    def test_every_form_of_a_composition_gives_the_same(self, structures, metric):
        usable = [s for s in structures if set(s.composition.get_el_amt_dict()) <= set(SUBSTITUTION_ELEMENTS)]
        table = CrystalTable.from_structures(usable)
        expected = element_fractions(table, metric)
        assert len(expected) > 50
        formulas = [s.formula for s in usable]
        for form in (usable, [s.composition for s in usable], list(table), formulas, tuple(formulas), pd.Series(formulas)):
            np.testing.assert_array_equal(element_fractions(form, metric), expected)
        np.testing.assert_array_equal(element_fractions(np.array(formulas, dtype=object), metric), expected)
        mixed = [usable[0], formulas[1], table[2], usable[3].composition]
        np.testing.assert_array_equal(element_fractions(mixed, metric), expected[:4])

    def test_all_embedded_crystals(self, embedded):
        fractions = element_fractions(embedded)
        assert fractions.shape == (12_178, 103)
        np.testing.assert_allclose(fractions.sum(axis=1), 1, rtol=1e-15 * 10)
        np.testing.assert_array_equal(fractions[5000], element_fractions(embedded[5000])[0])

    @pytest.mark.parametrize("name", [name for name in REAL if name != "with_dummies"])
    def test_disorder_isotopes_and_oxidation_states(self, name):
        structure = REAL[name]()
        ours = element_fractions([structure, Crystal.from_structure(structure)])
        expected = np.zeros(103)
        for species, amount in structure.composition.items():
            expected[MODIFIED_PETTIFOR[species.symbol] - 1] += amount / structure.composition.num_atoms
        np.testing.assert_allclose(ours, [expected, expected], rtol=1e-12)

    @pytest.mark.parametrize("metric", METRICS)
    def test_isotopes_count_as_hydrogen(self, metric):
        light, heavy, mixed = element_fractions(["H2O", "D2O", "HTO"], metric)
        assert (light == heavy).all()
        assert (light == mixed).all()

    def test_single_compositions_count_as_lists_of_one(self):
        cell = Structure(Lattice.cubic(3), ["Po"], [[0, 0, 0]])
        for one in ("Po", Composition("Po"), cell, Crystal.from_structure(cell)):
            assert element_fractions(one).shape == (1, 103)
            assert composition_emd(one, "Te").tolist() == [[1]]

    def test_nothing_gives_nothing(self):
        assert element_fractions([]).shape == (0, 103)
        assert element_fractions(CrystalTable.from_crystals([]), "substitution").shape == (0, 78)
        for metric in METRICS:
            assert composition_emd([], ["NaCl", "KCl"], metric).shape == (0, 2)
            assert composition_emd(["NaCl", "KCl"], [], metric).shape == (2, 0)

    @given(on_the_scale)
    def test_cumulative_fractions_ascend_to_one(self, composition):
        cumulative = cumulative_fractions([composition])[0]
        assert (np.diff(cumulative) >= -1e-15).all()
        assert cumulative[-1] == 1


class TestModifiedPettifor:
    @given(on_the_scale, on_the_scale)
    def test_equals_scipys_wasserstein_distance(self, a, b):
        positions, weights = zip(
            *(([MODIFIED_PETTIFOR[e.symbol] for e in c], list(c.values())) for c in (a, b)),
            strict=True,
        )
        expected = wasserstein_distance(*positions, *weights)
        assert composition_emd(a, b)[0, 0] == pytest.approx(expected, rel=1e-12, abs=1e-12)

    @given(st.lists(on_the_scale, min_size=3, max_size=3))
    def test_is_a_metric(self, three):
        distances = composition_emd(three)
        assert (distances == distances.T).all()
        assert (np.diag(distances) == 0).all()
        x, y, z = distances[0, 1], distances[1, 2], distances[0, 2]
        assert z <= x + y + 1e-12
        if x < 1e-9:
            assert three[0].fractional_composition.almost_equals(three[1].fractional_composition, rtol=1e-6, atol=1e-8)

    def test_is_the_manhattan_distance_of_cumulative_fractions(self, sample):
        manhattan = pairwise_distances(cumulative_fractions(sample), metric="manhattan")
        np.testing.assert_allclose(composition_emd(sample), manhattan, rtol=1e-12, atol=1e-15)

    def test_pure_elements_are_as_far_apart_as_on_the_scale(self):
        elements = list(MODIFIED_PETTIFOR_ELEMENTS)
        assert (composition_emd(elements) == np.abs(np.subtract.outer(np.arange(103), np.arange(103)))).all()


class TestSubstitution:
    def test_sodium_to_fluorine(self):
        assert composition_emd("Na", "F", "substitution")[0, 0] == pytest.approx(11.2, abs=0.05)

    def test_pure_elements_are_at_the_ground_distance(self):
        np.testing.assert_array_equal(
            composition_emd(list(SUBSTITUTION_ELEMENTS), metric="substitution"), substitution_dissimilarity()
        )

    @given(in_the_table, in_the_table)
    def test_equals_a_linear_program(self, a, b):
        assert composition_emd(a, b, "substitution")[0, 0] == pytest.approx(linear_program(a, b), rel=1e-9, abs=1e-9)

    @pytest.mark.parametrize("n_a", [1, 2, 3, 5])
    @pytest.mark.parametrize("n_b", [1, 2, 4])
    def test_equals_pots_own_solver(self, n_a, n_b):
        rng = np.random.default_rng(10 * n_a + n_b)
        for _ in range(20):
            a, b = np.zeros((2, 78))
            for row, n in ((a, n_a), (b, n_b)):
                row[rng.choice(78, n, replace=False)] = rng.dirichlet(np.ones(n))
            expected = ot.emd2(a, b, substitution_dissimilarity())
            cost = substitution_emd_pair(a.nonzero()[0], a[a > 0], b.nonzero()[0], b[b > 0])
            assert cost == pytest.approx(expected, rel=1e-9)

    @given(in_the_table, in_the_table)
    def test_is_symmetric_and_zero_on_itself(self, a, b):
        costs = composition_emd([a, b], [a, b], "substitution")
        assert costs[0, 1] == pytest.approx(costs[1, 0], rel=1e-9, abs=1e-12)
        assert np.diag(costs) == pytest.approx(0, abs=1e-12)
        square = composition_emd([a, b], metric="substitution")
        assert (square == square.T).all()
        assert (np.diag(square) == 0).all()

    def test_violates_the_triangle_inequality_as_documented(self):
        costs = composition_emd(["O", "Br", "Cs"], metric="substitution")
        assert costs[0, 2] > 100 * (costs[0, 1] + costs[1, 2])

    def test_common_elements_may_move(self):
        # leaving Br in place would send O to Cs
        cost = composition_emd("BrO", "BrCs", "substitution")[0, 0]
        assert cost == pytest.approx((4.241212 + 6.591312) / 2, abs=1e-5)
        assert cost < composition_emd("O", "Cs", "substitution")[0, 0] / 2

    @pytest.mark.parametrize(
        ("formula", "expected"),
        [
            ("CuSO4.5H2O", "CuSO9H10"),
            ("CuSO4 · 5H2O", "CuSO9H10"),
            ("MgSO4.7(H2O)", "MgSO11H14"),
            ("CaSO4.0.5H2O", "Ca2S2O9H2"),
            ("Na0.7CoO2.1.3H2O", "Na7Co10O33H26"),
            ("3CaO·Al2O3", "Ca3Al2O6"),
            ("YBa2Cu3O6.5", "Y2Ba4Cu6O13"),
        ],
    )
    def test_water_and_other_parts_behind_a_dot(self, formula, expected):
        np.testing.assert_allclose(element_fractions(formula), element_fractions(expected), rtol=1e-14)

    @pytest.mark.parametrize("formula", ["Fe2O3.nH2O", "CaSO4.1/2H2O"])
    def test_water_without_a_number_is_refused(self, formula):
        with pytest.raises(ValueError, match="can't be read as a formula"):
            element_fractions(formula)

    def test_formulas_that_repeat_and_multiples_give_the_same(self):
        costs = composition_emd([*FORMULAS, "Sr2Ti2O6", *FORMULAS[::-1]], metric="substitution")
        n = len(FORMULAS)
        assert (costs[:n, :n] == composition_emd(FORMULAS, metric="substitution")).all()
        assert (costs[:, n] == costs[:, FORMULAS.index("SrTiO3")]).all()
        assert (costs[:, n + 1 :] == costs[:, n - 1 :: -1]).all()

    def test_rectangle_is_part_of_the_square(self):
        costs = composition_emd(FORMULAS, metric="substitution")
        np.testing.assert_allclose(composition_emd(FORMULAS[:4], FORMULAS, "substitution"), costs[:4], rtol=1e-12, atol=1e-12)


class TestIndex:
    @pytest.fixture(scope="class")
    def fractions(self, embedded):
        known = element_fractions(embedded)[
            :, [p - 1 for e, p in MODIFIED_PETTIFOR.items() if e not in {*SUBSTITUTION_ELEMENTS, "D", "T"}]
        ]
        return element_fractions(embedded[(known == 0).all(axis=1)], "substitution")

    @pytest.mark.parametrize("query", [*FORMULAS, "O", "BaTiO3"])
    def test_lower_bounds_stay_below_the_cost(self, fractions, query):
        row = element_fractions(query, "substitution")[0]
        index = SubstitutionIndex(fractions)
        bounds = index.lower_bounds(row)
        costs = index.emd(row, np.arange(len(index)))
        assert bounds.shape == costs.shape == (11_699,)
        assert (bounds <= costs).all()
        rows = np.array([5, 11_698, 5, 0])
        from_query = index.lower_bounds_of(row, rows)
        assert (from_query <= np.minimum(bounds[rows] * (1 + 1e-12), costs[rows])).all()
        assert from_query.sum() > 0
        # no slack against a pure element
        pure = (fractions > 0).sum(axis=1) == 1
        np.testing.assert_allclose(bounds[pure], costs[pure], rtol=1e-11)

    @given(in_the_table, in_the_table)
    def test_bounds_and_costs_of_random_compositions(self, a, b):
        query, reference = element_fractions([a, b], "substitution")
        index = SubstitutionIndex([reference, query])
        costs = index.emd(query, np.array([0]))
        assert costs[0] == pytest.approx(linear_program(a, b), rel=1e-9, abs=1e-9)
        assert index.lower_bounds(query)[0] <= costs[0]
        assert index.lower_bounds(query)[1] == 0

    def test_rows_come_in_the_order_asked_for(self):
        fractions = element_fractions(FORMULAS, "substitution")
        index = SubstitutionIndex(fractions)
        matrix = composition_emd(FORMULAS, metric="substitution")
        rows = np.array([7, 2, 2, 10, 4])
        np.testing.assert_allclose(index.emd(fractions[4], rows), matrix[4, rows], rtol=1e-12)

    @pytest.mark.parametrize("fractions", [np.ones((2, 77)), np.ones(78), np.ones((1, 78)), np.eye(78) * 2 - np.eye(78)[::-1]])
    def test_other_arrays_are_refused(self, fractions):
        with pytest.raises(ValueError, match=r"are needed, not|sum to 1"):
            SubstitutionIndex(fractions)


@pytest.mark.parametrize("metric", METRICS)
def test_jobs_and_progress_change_nothing(metric, embedded, capsys):
    light = embedded[[i for i in range(300) if embedded[i].numbers.max() <= 83 and embedded[i].numbers.min() != 10]]
    serial = composition_emd(light, metric=metric)
    assert capsys.readouterr().err == ""  # too short for a bar
    assert (composition_emd(light, metric=metric, n_jobs=2, pbar=False) == serial).all()


class TestBadInput:
    @pytest.mark.parametrize("compute", [element_fractions, composition_emd])
    def test_unknown_metric(self, compute):
        with pytest.raises(ValueError, match="unknown metric 'pettifor'; choose one of 'modified_pettifor', 'substitution'"):
            compute(["NaCl"], metric="pettifor")

    @pytest.mark.parametrize(
        ("formula", "element"),
        [("ThO2", "Th"), ("XeF2", "Xe"), ("PoO2", "Po"), ("AcThO4", "Ac, Th"), (Composition({"U4+": 1, "O2-": 2}), "U")],
    )
    def test_element_outside_the_substitution_table(self, formula, element):
        with pytest.raises(ValueError, match=rf"row 1 \(.*\): {element} is none of the 78 elements.*metric=\"modified_pettifor\""):
            composition_emd(["NaCl", formula], metric="substitution")
        assert composition_emd(["NaCl", formula]).shape == (2, 2)

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize(
        ("entry", "named"),
        [
            (Composition("X2O"), "X2 O1"),
            (Composition({"Rf": 1}), "Rf1"),
            (REAL["with_dummies"](), "X"),
            (Crystal.from_structure(REAL["with_dummies"]()), "X"),
        ],
    )
    def test_what_is_no_element_of_either(self, entry, named, metric):
        with pytest.raises(ValueError, match=rf"row 1 \(.*{named}.*\): .* no place on the modified Pettifor scale") as error:
            composition_emd(["NaCl", entry], metric=metric)
        assert "modified_pettifor" not in str(error.value)

    def test_row_of_a_table_is_named_with_its_formula(self):
        cells = [Structure(Lattice.cubic(4), species, [[0, 0, 0], [0.5, 0.5, 0.5]]) for species in (["Na", "Cl"], ["U", "U"])]
        with pytest.raises(ValueError, match=r"row 1 \(U2\): U is none of the 78"):
            composition_emd(CrystalTable.from_structures(cells), metric="substitution")

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("empty", [Composition(), Composition({"Na": 0})])
    def test_empty_composition(self, empty, metric):
        with pytest.raises(ValueError, match="row 1: a composition needs at least one element"):
            composition_emd(["NaCl", empty], metric=metric)

    @pytest.mark.parametrize("amount", [-1, float("inf")])
    def test_amounts_that_make_no_sense(self, amount):
        with pytest.raises(ValueError, match=r"row 0: .*finite and not negative"):
            composition_emd([Composition({"Na": 3, "Cl": amount}, allow_negative=True)])

    @pytest.mark.parametrize("formula", ["", "Na++Cl,", "salt"])
    def test_formula_that_cannot_be_read(self, formula):
        with pytest.raises(ValueError, match=re.escape(f"row 1: {formula!r} can't be read as a formula such as 'SrTiO3'")):
            composition_emd(["NaCl", formula])

    @pytest.mark.parametrize("entry", [3, None, {"Na": 1}, np.zeros(3), b"NaCl"])
    def test_entry_of_another_type(self, entry):
        with pytest.raises(TypeError, match="row 1: a formula, Composition, Structure or Crystal is needed, not"):
            composition_emd(["NaCl", entry])

    @pytest.mark.parametrize("compositions", [3, None, {"NaCl": 1}, pd.DataFrame({"formula": ["NaCl"], "K": [24]})])
    def test_collection_of_another_type(self, compositions):
        with pytest.raises(TypeError, match="a list, tuple, array or Series"):
            element_fractions(compositions)
