"""The crystals of the similarity benchmark, and its checks: on series that are known to pass and on ones that must not."""

import json

import numpy as np
import pytest
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from benchmarks import similarity
from benchmarks._similarity_checks import (
    Check,
    check_expansion,
    check_layered,
    examine_layered,
    grows_away,
    proportionality,
    run_checks,
)
from benchmarks.prototypes import BUILDERS, Series, intergrowth_series, ordered_alloy, ruddlesden_popper, ruddlesden_popper_series
from matminer_grid import GRIDFeaturizer


@pytest.fixture(scope="module")
def series() -> dict[str, Series]:
    return {name: build() for name, build in BUILDERS.items()}


@pytest.fixture(scope="module")
def matrices(series):
    featurizer = GRIDFeaturizer.from_preset("report")
    return {name: similarity.dissimilarities(one.structures, featurizer) for name, one in series.items()}


def spacegroup(structure) -> str:
    return SpacegroupAnalyzer(structure, symprec=1e-3).get_space_group_symbol()


class TestBuilders:
    def test_each_crystal_has_a_name_and_a_value_and_no_atoms_that_touch(self, series):
        for one in series.values():
            assert len(one.structures) == len(one.labels) == len(one.values)
            for structure in one.structures:
                distances = structure.distance_matrix + 9 * np.eye(len(structure))
                assert distances.min() > 1.4

    @pytest.mark.parametrize("build", [ruddlesden_popper_series, intergrowth_series])
    def test_ruddlesden_popper(self, build):
        crystals = build().structures
        formulas = [structure.composition.reduced_formula for structure in crystals]
        assert formulas == ["SrO", "Sr2TiO4", "Sr3Ti2O7", "Sr4Ti3O10", "SrTiO3"]
        assert [spacegroup(structure) for structure in crystals] == ["Fm-3m", "I4/mmm", "I4/mmm", "I4/mmm", "Pm-3m"]

    def test_titanium_is_in_an_octahedron(self):
        for n, c in ((1, 12.6), (2, 20.38), (3, 28.1)):
            structure = ruddlesden_popper(n, 3.9, c)
            for site in structure:
                if site.specie.symbol == "Ti":
                    neighbors = structure.get_neighbors(site, 2.2)
                    assert [neighbor.specie.symbol for neighbor in neighbors] == ["O"] * 6
                    np.testing.assert_allclose([neighbor.nn_distance for neighbor in neighbors], 1.95)

    @pytest.mark.parametrize(("n", "c"), [(0, 12.6), (2, 15.0)])
    def test_blocks_that_overlap_are_refused(self, n, c):
        with pytest.raises(ValueError, match="blocks don't overlap"):
            ruddlesden_popper(n, 3.9, c)

    def test_displacement_breaks_the_mirror_plane(self, series):
        one = series["displacement"]
        assert [spacegroup(structure) for structure in one.structures] == ["P4/mmm"] + ["P4mm"] * (len(one.structures) - 1)
        np.testing.assert_allclose([(s.frac_coords[1, 2] - 0.5) * s.lattice.c for s in one.structures], one.values, atol=1e-12)

    def test_expansion(self, series):
        np.testing.assert_allclose([s.lattice.a for s in series["expansion"].structures], np.linspace(3, 5, 41))

    def test_bain_path(self, series):
        crystals = series["bain"].structures
        np.testing.assert_allclose([s.volume for s in crystals], 2.8665**3)
        assert spacegroup(crystals[0]) == "Fm-3m"
        assert spacegroup(crystals[-1]) == "Im-3m"

    def test_polytypes(self, series):
        crystals = dict(zip(series["polytypes"].labels, series["polytypes"].structures, strict=True))
        assert {name: spacegroup(s) for name, s in crystals.items()} == {
            "3C": "F-43m",
            "6H": "P6_3mc",
            "4H": "P6_3mc",
            "2H": "P6_3mc",
        }
        for structure in crystals.values():
            assert all(len(structure.get_neighbors(site, 2.1)) == 4 for site in structure)
            assert {spec.symbol for site in structure for spec in [site.specie]} == {"Si", "C"}

    def test_order(self, series):
        crystals = series["order"].structures
        assert crystals[0].is_ordered
        assert not crystals[-1].is_ordered
        for structure in crystals:
            assert structure.composition.get_atomic_fraction("Au") == pytest.approx(0.25)
        with pytest.raises(ValueError, match="between 0 and 1"):
            ordered_alloy(1.5)


class TestChecks:
    def test_what_comes_out(self, series, matrices):
        smeared = similarity.dissimilarities(series["displacement"].structures, GRIDFeaturizer.from_preset("zhang2023"))[
            "GRID, EMD"
        ]
        checks = run_checks(series, matrices, smeared)
        fails = [check for check in checks if not check.holds]
        assert len(checks) == 18
        assert {check.series for check in fails} == {"ruddlesden_popper", "intergrowth"}
        for check in fails:
            assert check.said_by == "report"
            assert not check.required
            assert check.statement.startswith(("The same with the RDF scaled to the sum 1", "GRID + cosine distinguishes"))

    def test_layered_checks_can_fail(self, matrices):
        order = np.ix_([0, 3, 2, 1, 4], [0, 3, 2, 1, 4])
        swapped = {name: matrix[order] for name, matrix in matrices["intergrowth"].items()}
        assert not any(check.holds for check in check_layered("intergrowth", swapped) if "ever" in check.statement)

    def test_jumps_are_not_continuous(self, matrices):
        jumping = dict.fromkeys(("GRID, EMD", "RDF, cosine"), matrices["expansion"]["RDF, cosine"])
        assert [check.holds for check in check_expansion(jumping)] == [False, False, True]

    def test_both_readings_are_ratios(self):
        matrix = np.zeros((5, 5))
        matrix[0] = [0, 1, 3, 1, 2]
        matrix[1:4, 4] = [1, 4, 1]
        found = examine_layered("made up", 0.1, {"RDF, EMD": matrix, "RDF, cosine": matrix})
        assert found["from SrTiO₃, EMD"] == 2
        assert found["from SrO, cosine"] == 1.5

    def test_proportionality(self):
        x = np.arange(5.0)
        assert proportionality(x, 3 * x) == pytest.approx((3, 1))
        assert proportionality(x, np.array([0, 2, 0, 2, 0.0]))[1] < 0

    def test_grows_away(self):
        points = np.arange(4.0)
        matrix = np.abs(points[:, None] - points)
        assert grows_away(matrix)
        matrix[0, 3] = matrix[0, 2]
        assert not grows_away(matrix)


def test_command_writes_everything_and_says_what_does_not_come_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(similarity, "draw_matrices", lambda *_: None)
    monkeypatch.setattr(similarity, "EXAMINED_BIN_SIZES", (0.1,))
    similarity.main(["--output", str(tmp_path)])
    results = json.loads((tmp_path / "similarity.json").read_text())
    assert set(results["series"]) == set(BUILDERS)
    assert len(results["examined"]) == 18
    assert (tmp_path / "index.html").stat().st_size > 1e6
    assert "does not come out" in capsys.readouterr().out


def test_command_fails_where_a_required_check_does(tmp_path, monkeypatch):
    failing = Check("order", "ours", "two and two are five", holds=False, numbers="4")
    monkeypatch.setattr(similarity, "draw_matrices", lambda *_: None)
    monkeypatch.setattr(similarity, "EXAMINED_BIN_SIZES", (0.1,))
    monkeypatch.setattr(similarity, "run_checks", lambda *_: [failing])
    with pytest.raises(SystemExit, match="1 of 1 checks failed: two and two are five"):
        similarity.main(["--output", str(tmp_path)])


def test_figure(tmp_path, series, matrices):
    similarity.draw_matrices(series["polytypes"], matrices["polytypes"], tmp_path / "polytypes.png")
    assert (tmp_path / "polytypes.png").read_bytes().startswith(b"\x89PNG")
