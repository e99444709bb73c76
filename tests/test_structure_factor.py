"""Structure factors against direct sums and pymatgen; the three featurizers against every other choice of cell."""

import pickle

import numpy as np
import pandas as pd
import pytest
from matminer.featurizers.base import BaseFeaturizer
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure
from sklearn.base import clone

from matminer_grid import (
    Crystal,
    CrystalTable,
    PowderPatternFeaturizer,
    ReflectionPairsFeaturizer,
    StructureFactorFeaturizer,
    hkl_intensities,
)
from matminer_grid.crystals.scattering import XRAY_S_LIMIT, scattering_factor
from matminer_grid.featurizers.base import COPPER
from matminer_grid.featurizers.reflections import MAX_REFLECTIONS
from matminer_grid.kernels import cells, powder
from matminer_grid.kernels.lattice import reduce_minkowski
from tests import naive_reciprocal as naive
from tests.conftest import (
    FCC,
    baddeleyite,
    cobaltite,
    diamond,
    disordered_alloy,
    hcp,
    heavy_lithium_hydride,
    perovskite,
    rock_salt,
    split_alloy,
    with_dummies,
    wustite,
)
from tests.strategies import in_another_setting, moved, supercell

FEATURIZERS = [
    pytest.param({"kind": StructureFactorFeaturizer}, id="hkl"),
    pytest.param({"kind": PowderPatternFeaturizer}, id="powder"),
    pytest.param({"kind": ReflectionPairsFeaturizer}, id="pairs"),
]
DATA_FOR_ALL = [rock_salt, perovskite, hcp, diamond, baddeleyite, disordered_alloy, wustite, split_alloy, cobaltite]


def body_centred_iron() -> Structure:
    return Structure(Lattice.cubic(2.866), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def barium_titanate() -> Structure:
    coords = [[0, 0, 0], [0.5, 0.5, 0.5215], [0.5, 0.5, -0.0250], [0.5, 0, 0.4855], [0, 0.5, 0.4855]]
    return Structure(Lattice.tetragonal(3.9945, 4.0335), ["Ba", "Ti", "O", "O", "O"], coords)


def make(kind=StructureFactorFeaturizer, **parameters):
    return kind(**parameters)


def features(structure, **parameters) -> np.ndarray:
    return make(**parameters).featurize(structure)


def strained(crystal: Crystal, strain: np.ndarray) -> Crystal:
    return Crystal(
        crystal.lattice @ (np.eye(3) + strain), crystal.frac_coords, crystal.numbers, crystal.occupancies, crystal.site_index
    )


class TestStructureFactors:
    @pytest.mark.parametrize("builder", [*DATA_FOR_ALL, heavy_lithium_hydride])
    @pytest.mark.parametrize("b_iso", [0.0, 0.7])
    def test_they_are_the_direct_sums(self, builder, b_iso):
        crystal = Crystal.from_structure(builder())
        found = hkl_intensities(crystal, s_max=1.1, b_iso=b_iso)
        hkl = naive.all_indices(crystal, 1.1)
        assert {tuple(h) for h in found.hkl[1:].tolist()} | {tuple(-h) for h in found.hkl[1:]} == {tuple(h) for h in hkl.tolist()}
        assert 2 * (len(found.hkl) - 1) == len(hkl)
        np.testing.assert_allclose(found.structure_factors, naive.structure_factors(crystal, found.hkl, b_iso), atol=1e-12)
        lengths = np.linalg.norm(found.hkl @ naive.reciprocal_lattice(crystal), axis=1)
        np.testing.assert_allclose(found.s, lengths, atol=1e-12)
        assert (np.diff(found.s) > -1e-9).all()

    def test_they_are_the_direct_sums_for_the_sample(self, sample):
        for crystal in sample[sample.n_sites <= 40]:
            found = hkl_intensities(crystal, s_max=0.8)
            np.testing.assert_allclose(found.structure_factors, naive.structure_factors(crystal, found.hkl), atol=1e-11)
            assert 2 * (len(found.hkl) - 1) == len(naive.all_indices(crystal, 0.8))

    def test_high_indices_are_as_exact_as_low_ones(self):
        needle = Crystal(
            np.diag([2.0, 2.0, 400.0]), np.array([[0, 0, 0], [0.3, 0.1, 0.123456789]]), np.array([8, 14]), np.ones(2), np.arange(2)
        )
        found = hkl_intensities(needle, s_max=2.0)
        assert found.hkl[:, 2].max() == 800
        np.testing.assert_allclose(found.structure_factors, naive.structure_factors(needle, found.hkl), atol=1e-11)

    @pytest.mark.parametrize("builder", [*DATA_FOR_ALL, heavy_lithium_hydride])
    def test_the_forward_one_is_the_number_of_electrons_a_site(self, builder):
        structure = builder()
        electrons = sum({"D": 1}.get(s.symbol, s.Z) * o for site in structure for s, o in site.species.items())
        sites = sum(site.species.num_atoms for site in structure)
        forward = hkl_intensities(structure).structure_factors[0]
        assert forward == pytest.approx(electrons / sites, rel=1e-12)
        assert features(structure, value="amplitude")[0] == pytest.approx(electrons / sites, rel=1e-12)

    def test_friedel_pairs_agree(self):
        crystal = Crystal.from_structure(cobaltite())
        found = hkl_intensities(crystal, s_max=0.8)
        mates = naive.structure_factors(crystal, -found.hkl)
        np.testing.assert_allclose(found.structure_factors, mates.conj(), atol=1e-12)
        inverted = Crystal(crystal.lattice, -crystal.frac_coords, crystal.numbers, crystal.occupancies, crystal.site_index)
        np.testing.assert_allclose(hkl_intensities(inverted, 0.8).structure_factors, found.structure_factors.conj(), atol=1e-12)

    def test_parsevals_theorem(self):
        # sites on a grid of 1/(2 hkl_max + 1): the box of indices is one period of the discrete Fourier transform
        rng = np.random.default_rng(0)
        points = np.stack(np.unravel_index(rng.choice(7**3, 20, replace=False), (7, 7, 7)), axis=1) / 7
        crystal = Crystal(np.diag([4.0, 5.0, 6.0]), points, np.full(20, 6), np.ones(20), np.arange(20))
        intensities = features(crystal, hkl_max=3, cell="as_given", scattering="geometry", s_max=np.inf)
        assert 2 * intensities.sum() - intensities[0] == pytest.approx(7**3 / 20, rel=1e-12)

    @pytest.mark.parametrize(
        ("structure", "present"),
        [
            (body_centred_iron(), lambda h, k, m: (h + k + m) % 2 == 0),
            (Structure(Lattice.cubic(3.61), ["Cu"] * 4, FCC), lambda h, k, m: (h % 2 == k % 2) & (k % 2 == m % 2)),
            (
                diamond(),
                lambda h, k, m: (h % 2 == k % 2) & (k % 2 == m % 2) & ((h % 2 == 1) | ((h + k + m) % 4 == 0)),
            ),
            (hcp(), lambda h, k, m: ((h - k) % 3 != 0) | (m % 2 == 0)),
        ],
        ids=["I", "F", "diamond", "hcp"],
    )
    def test_systematic_absences(self, structure, present):
        found = hkl_intensities(structure, s_max=1.5)
        seen = present(*found.hkl.T)
        assert seen.any()
        assert (~seen).any()
        assert np.abs(found.structure_factors[~seen]).max() < 1e-10
        assert np.abs(found.structure_factors[seen]).min() > 0.1

    def test_families_have_pymatgens_intensities(self, structures, monkeypatch):
        # also those that pymatgen leaves out as too weak
        monkeypatch.setattr("pymatgen.analysis.diffraction.core.AbstractDiffractionPatternCalculator.SCALED_INTENSITY_TOL", -1)
        calculator = XRDCalculator("CuKa")
        n_peaks = 0
        for structure in structures[:60]:
            pattern = calculator.get_pattern(structure, scaled=False, two_theta_range=(0, 160))
            found = hkl_intensities(structure, s_max=2 * np.sin(np.radians(80)) / calculator.wavelength)
            theta = np.arcsin(calculator.wavelength * found.s[1:] / 2)
            lorentz = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
            whole = 2 * np.abs(len(structure) * found.structure_factors[1:]) ** 2 * lorentz
            # pymatgen merges what is 1e-5 degrees apart: compare clusters of lines, each with its multiplicity
            lines = np.concatenate((pattern.x, np.degrees(2 * theta)))
            order = np.argsort(lines)
            cluster = np.empty(len(lines), dtype=int)
            cluster[order] = np.cumsum(np.diff(lines[order], prepend=-1.0) > 3e-5)
            theirs = np.bincount(cluster[: len(pattern.x)], pattern.y, minlength=cluster.max() + 1)
            ours = np.bincount(cluster[len(pattern.x) :], whole, minlength=cluster.max() + 1)
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12 * theirs.max())
            n_peaks += len(theirs)
        assert n_peaks > 10_000


class TestScattering:
    def test_xray_factors_are_pymatgens(self):
        s = np.linspace(0, XRAY_S_LIMIT, 11)
        for symbol in ("H", "O", "Fe", "Sn", "U", "Cf"):
            number = Structure(Lattice.cubic(3), [symbol], [[0, 0, 0]])[0].specie.Z
            np.testing.assert_allclose(scattering_factor(symbol, s), naive.xray_factor(number, s), rtol=1e-12)
        np.testing.assert_array_equal(scattering_factor("D", s), scattering_factor("H", s))

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("H", 0.3, "neutron"), -3.739),
            (("D", 0.3, "neutron"), 6.671),
            (("T", 0.3, "neutron"), 4.792),
            (("D", 2.0, "electrons"), 1.0),
            (("Lr", 2.0, "electrons"), 103.0),
            (("Lr", 5.0, "geometry"), 1.0),
            (("C", 0.5, "geometry", 2.0), np.exp(-0.5)),
        ],
    )
    def test_other_factors(self, arguments, expected):
        assert scattering_factor(*arguments) == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (("Qq", 0.1), ValueError, "'Qq' is no element's symbol"),
            (("Es", 0.1), ValueError, "no xray scattering factor for Es; scattering='electrons' or 'geometry' has one"),
            (("Po", 0.1, "neutron"), ValueError, "no neutron .* for Po; scattering='xray' or 'electrons' or 'geometry'"),
            (("O", 1.2), ValueError, r"beyond the tables of X-ray scattering factors, which end at \|S\| = 2"),
            (("O", 0.1, "photons"), ValueError, "unknown scattering 'photons'; choose one of 'xray', 'neutron'"),
            (("O", 0.1, "xray", -1.0), ValueError, "b_iso must be a finite number of at least 0 Å², not -1.0"),
        ],
    )
    def test_what_is_refused(self, arguments, error, message):
        with pytest.raises(error, match=message):
            scattering_factor(*arguments)


class TestFeatures:
    @pytest.mark.parametrize("builder", [hcp, baddeleyite, disordered_alloy, cobaltite])
    @pytest.mark.parametrize("smearing", [0.0, 0.03])
    def test_radial_is_its_slow_twin(self, builder, smearing):
        featurizer = PowderPatternFeaturizer(s_max=0.8, bin_size=0.05, smearing=smearing)
        expected = naive.radial(Crystal.from_structure(builder()), featurizer.bin_edges, smearing)
        found = featurizer.featurize(builder())
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert found.sum() == pytest.approx(1, abs=1e-12)

    @pytest.mark.parametrize("builder", [hcp, baddeleyite, disordered_alloy, cobaltite])
    @pytest.mark.parametrize(("n_radial", "n_angle"), [(5, 4), (1, 1), (2, 8)])
    def test_pairs_are_their_slow_twin(self, builder, n_radial, n_angle):
        featurizer = ReflectionPairsFeaturizer(s_max=0.52, n_radial=n_radial, n_angle=n_angle)
        pairs, self_term = naive.pairs(Crystal.from_structure(builder()), 0.52, n_radial, n_angle)
        found, found_self = featurizer.pair_distribution(builder())
        np.testing.assert_allclose(found, pairs, atol=1e-10 * pairs.max())
        np.testing.assert_allclose(found_self, self_term, atol=1e-10 * self_term.max())

    def test_pairs_add_up_to_the_square_of_the_intensity(self, sample):
        featurizer = ReflectionPairsFeaturizer()
        for crystal in sample[:20]:
            found = hkl_intensities(crystal, s_max=2.0)
            weights = (1 - (found.s / 2.0) ** 2) ** 2 * np.abs(found.structure_factors) ** 2
            total = 2 * weights[1:].sum() / (crystal.numbers.astype(float) ** 2).mean()
            assert featurizer.featurize(crystal).sum() == pytest.approx(total**2, rel=1e-10)

    @pytest.mark.parametrize("cell", ["as_given", "niggli", "conventional"])
    def test_hkl_are_the_squares_of_the_structure_factors(self, cell):
        crystal = Crystal.from_structure(baddeleyite())
        featurizer = StructureFactorFeaturizer(hkl_max=3, cell=cell, s_max=1.2)
        found = featurizer.featurize(crystal)
        expected = np.abs(naive.structure_factors(crystal, featurizer.hkl)) ** 2
        expected[np.linalg.norm(featurizer.hkl @ naive.reciprocal_lattice(crystal), axis=1) > 1.2] = 0
        if cell == "as_given":
            np.testing.assert_allclose(found, expected, atol=1e-10)
        np.testing.assert_allclose(np.sort(found), np.sort(expected), atol=1e-10)  # the cell is the Niggli cell, axes may turn

    def test_values_of_hkl(self):
        intensity = features(cobaltite())
        np.testing.assert_allclose(features(cobaltite(), value="amplitude"), np.sqrt(intensity))
        np.testing.assert_allclose(features(cobaltite(), value="log1p_intensity"), np.log1p(intensity))
        np.testing.assert_allclose(features(cobaltite(), value="log1p_amplitude"), np.log1p(np.sqrt(intensity)))

    def test_hkl_beyond_s_max_is_zero(self):
        featurizer = StructureFactorFeaturizer(cell="as_given", scattering="geometry", s_max=1.5)
        s = np.linalg.norm(featurizer.hkl, axis=1) / 2.866
        iron = body_centred_iron()
        np.testing.assert_array_equal(featurizer.featurize(iron) > 1e-20, (s <= 1.5) & (featurizer.hkl.sum(axis=1) % 2 == 0))
        everything = features(iron, cell="as_given", scattering="geometry", s_max=np.inf)
        np.testing.assert_allclose(everything, featurizer.hkl.sum(axis=1) % 2 == 0, atol=1e-20)

    def test_the_conventional_cell_has_the_absences_of_its_centring(self):
        primitive = diamond().get_primitive_structure()
        found = features(primitive, cell="conventional")
        np.testing.assert_allclose(found, features(diamond(), cell="as_given"), atol=1e-10)
        assert (found == 0).mean() > 0.7

    def test_a_mixed_site_and_its_split_form_are_one(self):
        for parameters in ({"kind": ReflectionPairsFeaturizer}, {"kind": PowderPatternFeaturizer}, {}):
            np.testing.assert_allclose(features(disordered_alloy(), **parameters), features(split_alloy(), **parameters), atol=1e-9)

    @pytest.mark.parametrize("parameters", FEATURIZERS)
    def test_labels(self, parameters):
        featurizer = make(**parameters)
        labels = featurizer.feature_labels()
        assert len(labels) == len(set(labels)) == featurizer.n_features == len(featurizer.featurize(rock_salt()))
        assert featurizer.get_feature_names_out().tolist() == labels
        assert all(source.startswith("@") for source in featurizer.citations())

    def test_labels_say_what_is_what(self):
        assert StructureFactorFeaturizer(hkl_max=1).feature_labels()[:3] == [
            "|F|^2 (0, 0, 0)",
            "|F|^2 (1, 0, 0)",
            "|F|^2 (0, 1, 0)",
        ]
        labels = ReflectionPairsFeaturizer().feature_labels()
        assert labels[0] == "pairs 0.0833 0.0833 1/A, 90.0 deg"
        assert labels[-1] == "self 1.9167 1/A"


@pytest.fixture(scope="module")
def in_two_settings(embedded) -> tuple[CrystalTable, CrystalTable]:
    """Embedded crystals, and each of them as a supercell in a skewed setting, moved, turned and in another order."""
    rng = np.random.default_rng(3)
    small = embedded[embedded.n_sites <= 60]
    given = small[rng.choice(len(small), 250, replace=False)]
    return given, CrystalTable.from_crystals([in_another_setting(crystal, rng) for crystal in given])


class TestInvariance:
    @pytest.mark.parametrize(
        "parameters",
        [*FEATURIZERS, pytest.param({"hkl_max": 3, "scattering": "geometry", "s_max": np.inf}, id="hkl of points")],
    )
    def test_every_description_of_a_crystal_has_the_same_features(self, in_two_settings, parameters):
        given, other = (make(**parameters).transform(table) for table in in_two_settings)
        np.testing.assert_allclose(other, given, rtol=0, atol=1e-8)

    @pytest.mark.slow
    def test_every_description_of_thousands_of_crystals(self, embedded):
        rng = np.random.default_rng(4)
        given = embedded[embedded.n_sites <= 40][::3]
        other = CrystalTable.from_crystals([in_another_setting(crystal, rng) for crystal in given])
        for kind in (StructureFactorFeaturizer, PowderPatternFeaturizer, ReflectionPairsFeaturizer):
            featurizer = kind()
            np.testing.assert_allclose(featurizer.transform(other), featurizer.transform(given), rtol=0, atol=1e-8)

    @pytest.mark.parametrize("builder", DATA_FOR_ALL)
    @pytest.mark.parametrize("parameters", FEATURIZERS)
    def test_disorder_too(self, builder, parameters):
        rng = np.random.default_rng(5)
        crystal = Crystal.from_structure(builder())
        for _ in range(3):
            np.testing.assert_allclose(
                features(in_another_setting(crystal, rng), **parameters), features(crystal, **parameters), atol=1e-8
            )

    @pytest.mark.parametrize("cell", ["primitive", "conventional"])
    def test_standard_cells_of_supercells(self, cell):
        for builder in DATA_FOR_ALL[:5]:
            crystal = Crystal.from_structure(builder())
            larger = supercell(crystal, np.array([[1, 1, 0], [0, 1, 1], [1, 0, 2]]))
            np.testing.assert_allclose(features(larger, cell=cell), features(crystal, cell=cell), atol=1e-8)

    def test_equal_and_nearly_equal_edges(self):
        rng = np.random.default_rng(6)
        coords = rng.random((4, 3))
        for edges in ([4, 4, 4], [4, 4, 4.0004], [4, 4.0003, 4.0006], [4, 4, 5], [4, 5, 5]):
            for turn in (np.eye(3), np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1]]), 1 - np.eye(3), np.eye(3) - 0.5):
                crystal = Crystal(turn @ np.diag(edges), coords, np.array([8, 14, 26, 8]), np.ones(4), np.arange(4))
                for _ in range(2):
                    np.testing.assert_allclose(features(in_another_setting(crystal, rng)), features(crystal), atol=1e-8)

    def test_a_supercell_that_is_off_by_less_than_symprec_is_one(self):
        larger = supercell(Crystal.from_structure(perovskite()), np.diag([2, 1, 1]))
        shaken = moved(larger, np.random.default_rng(7).normal(scale=1e-4, size=(10, 3)))
        assert np.abs(features(shaken) - features(larger)).max() < 0.1
        assert np.abs(features(shaken, symprec=1e-6) - features(larger)).max() > 10

    def test_niggli_cells_are_spglibs(self, sample):
        import spglib

        for crystal in sample:
            base = crystal.lattice.copy()
            reduce_minkowski(base)
            theirs = spglib.niggli_reduce(base)
            ours = [setting @ base for setting in cells.settings(base, True, 1e-5)]
            assert 1 <= len(ours) <= 24
            assert any(np.allclose(cell @ cell.T, theirs @ theirs.T, atol=1e-3) for cell in ours)


def continuity_cases(sample: CrystalTable) -> list[Crystal]:
    return [Crystal.from_structure(barium_titanate()), *sample[np.nonzero((sample.n_sites > 1) & (sample.n_sites < 30))[0][:10]]]


class TestContinuity:
    @pytest.mark.parametrize(
        "parameters", [*FEATURIZERS[1:], pytest.param({"kind": PowderPatternFeaturizer, "smearing": 0.0}, id="histogram")]
    )
    def test_displacements(self, sample, parameters):
        rng = np.random.default_rng(8)
        for crystal in continuity_cases(sample):
            given = features(crystal, **parameters)
            directions = rng.normal(size=(crystal.n_sites, 3))
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            sizes = np.array([1e-4, 1e-3, 1e-2])
            changes = [np.abs(features(moved(crystal, size * directions), **parameters) - given).sum() for size in sizes]
            slopes = changes / sizes / np.abs(given).sum()
            # in proportion, or faster where symmetry forbids the first order
            assert slopes.max() < 2 * slopes[2]
            assert slopes[2] < 20  # per Å

    @pytest.mark.parametrize("parameters", FEATURIZERS[1:])
    def test_strains(self, sample, parameters):
        rng = np.random.default_rng(9)
        for crystal in continuity_cases(sample):
            given = features(crystal, **parameters)
            strain = rng.normal(size=(3, 3)) / 3
            sizes = np.array([1e-6, 1e-5, 1e-4])
            changes = [np.abs(features(strained(crystal, size * strain), **parameters) - given).sum() for size in sizes]
            slopes = changes / sizes / np.abs(given).sum()
            assert slopes.max() < 3 * slopes.min()

    def test_hkl_jumps_where_pairs_do_not(self):
        # one atom moves by a hundredth of an Å: the primitive cell becomes the conventional one
        salt = Crystal.from_structure(rock_salt())
        displaced = moved(salt, np.eye(8)[0][:, None] * [0.01, 0.0, 0.0])

        def change(**parameters):
            given = features(salt, **parameters)
            return np.abs(features(displaced, **parameters) - given).sum() / given.sum()

        assert change() > 0.5
        assert change(kind=ReflectionPairsFeaturizer) < 1e-3
        assert change(kind=PowderPatternFeaturizer) < 1e-3

    def test_reflections_enter_at_s_max_without_a_jump(self):
        cubic = Crystal.from_structure(body_centred_iron())
        s_max = np.sqrt(2) / 2.866
        below = features(cubic, kind=ReflectionPairsFeaturizer, s_max=s_max * (1 - 1e-6))
        above = features(cubic, kind=ReflectionPairsFeaturizer, s_max=s_max * (1 + 1e-6))
        np.testing.assert_allclose(below, above, atol=1e-8)


class TestMatminer:
    @pytest.mark.parametrize("parameters", FEATURIZERS)
    def test_frames_are_as_matminer_makes_them(self, structures, parameters):
        frame = pd.DataFrame({"structure": structures[:6]})
        expected = BaseFeaturizer.featurize_dataframe(self.make(**parameters), frame.copy(), "structure", pbar=False)
        result = self.make(**parameters).featurize_dataframe(frame, "structure", pbar=False)
        pd.testing.assert_frame_equal(result, expected, check_column_type=False, check_dtype=False)

    @staticmethod
    def make(**parameters):
        featurizer = make(**parameters)
        featurizer.set_n_jobs(1)
        return featurizer

    @pytest.mark.parametrize("parameters", FEATURIZERS)
    def test_threads_give_the_same(self, structures, parameters):
        two = make(**parameters)
        two.set_n_jobs(2)
        np.testing.assert_array_equal(two.transform(structures), self.make(**parameters).transform(structures))

    @pytest.mark.parametrize("parameters", FEATURIZERS)
    def test_clones_and_pickles(self, parameters):
        featurizer = make(**parameters, scattering="neutron", b_iso=0.5)
        expected = featurizer.featurize(wustite())
        for twin in (clone(featurizer), pickle.loads(pickle.dumps(featurizer))):  # noqa: S301  our own pickle
            assert twin.get_params() == featurizer.get_params()
            np.testing.assert_array_equal(twin.featurize(wustite()), expected)

    def test_parameters_can_be_set(self):
        for kind, parameters in (
            (StructureFactorFeaturizer, {"hkl_max": 2}),
            (PowderPatternFeaturizer, {"bin_size": 0.1}),
            (ReflectionPairsFeaturizer, {"n_angle": 2}),
        ):
            featurizer = kind().set_params(**parameters)
            np.testing.assert_array_equal(featurizer.featurize(hcp()), kind(**parameters).featurize(hcp()))
            assert len(featurizer.feature_labels()) == len(featurizer.featurize(hcp()))

    def test_each_has_its_own_parameters_only(self):
        shared = {"scattering", "b_iso", "s_max"}
        assert set(StructureFactorFeaturizer().get_params()) == shared | {"hkl_max", "cell", "value", "symprec"}
        assert set(PowderPatternFeaturizer().get_params()) == shared | {"bin_size", "smearing"}
        assert set(ReflectionPairsFeaturizer().get_params()) == shared | {"n_radial", "n_angle"}
        with pytest.raises(TypeError, match="representation"):
            StructureFactorFeaturizer(representation="radial")
        with pytest.raises(TypeError, match="positional"):
            StructureFactorFeaturizer("radial")

    def test_presets(self):
        report = StructureFactorFeaturizer.from_preset("report")
        assert (report.cell, report.scattering, report.n_features) == ("niggli", "xray", 666)
        with pytest.raises(ValueError, match="unknown preset 'powder'; choose one of 'report'"):
            StructureFactorFeaturizer.from_preset("powder")


class TestBadInput:
    @pytest.mark.parametrize("parameters", FEATURIZERS)
    def test_species_without_data_are_named(self, parameters):
        message = r"^Fe1 X1.5 O0.25: there is no xray scattering factor for the dummy species X; scattering='geometry' has one"
        featurizer = make(**parameters)
        with pytest.raises(ValueError, match=message):
            featurizer.featurize(with_dummies())
        with pytest.raises(ValueError, match=message):
            hkl_intensities(with_dummies())
        assert not featurizer.precheck(with_dummies())
        assert featurizer.precheck(heavy_lithium_hydride())
        points = make(**parameters, scattering="geometry")
        assert points.precheck(with_dummies())
        assert np.isfinite(points.featurize(with_dummies())).all()
        polonium = Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])
        with pytest.raises(ValueError, match="Po1: there is no neutron scattering factor for Po; scattering='xray' or"):
            features(polonium, **parameters, scattering="neutron")

    @pytest.mark.parametrize("parameters", FEATURIZERS)
    def test_ignored_errors_are_rows_of_nan(self, parameters):
        featurizer = make(**parameters)
        rows = featurizer.featurize_many([rock_salt(), with_dummies(), hcp()], ignore_errors=True, pbar=False)
        assert np.isnan(rows).all(axis=1).tolist() == np.isnan(rows).any(axis=1).tolist() == [False, True, False]
        with pytest.raises(ValueError, match=r"row 1: Fe1 X1\.5"):
            featurizer.transform([rock_salt(), with_dummies(), hcp()])

    @pytest.mark.parametrize(
        ("parameters", "error", "message"),
        [
            ({"scattering": "light"}, ValueError, "unknown scattering 'light'"),
            ({"cell": "delaunay"}, ValueError, "unknown cell 'delaunay'; choose one of 'niggli', 'primitive'"),
            ({"value": "phase"}, ValueError, "unknown value 'phase'"),
            ({"hkl_max": 0}, ValueError, "hkl_max must be between 1 and 20, not 0"),
            ({"hkl_max": 21}, ValueError, "hkl_max must be between 1 and 20, not 21"),
            ({"hkl_max": 2.5}, TypeError, "hkl_max must be a whole number, not 2.5"),
            ({"s_max": 2.1}, ValueError, "s_max of 2.1 Å⁻¹ is beyond the tables"),
            ({"s_max": 0}, ValueError, "s_max must be a finite number above 0 Å⁻¹, not 0"),
            ({"s_max": np.nan}, ValueError, "s_max must be a finite number above 0 Å⁻¹, not nan"),
            ({"s_max": "2"}, TypeError, "s_max must be a number in Å⁻¹, not '2'"),
            ({"s_max": np.inf}, ValueError, "s_max of inf Å⁻¹ is beyond the tables"),
            (
                {"s_max": np.inf, "kind": ReflectionPairsFeaturizer, "scattering": "geometry"},
                ValueError,
                "s_max must be a finite number",
            ),
            ({"kind": PowderPatternFeaturizer, "s_max": 1.9}, ValueError, "with a smearing of 0.02 Å⁻¹, reflections up to 2.03"),
            (
                {"kind": PowderPatternFeaturizer, "bin_size": 0.07},
                ValueError,
                "s_max must be a multiple of bin_size, .* 1.47 would be",
            ),
            ({"b_iso": -0.1}, ValueError, "b_iso must be a finite number of at least 0 Å², not -0.1"),
            ({"b_iso": "low"}, TypeError, "b_iso must be a number in Å², not 'low'"),
            ({"symprec": 0.0}, ValueError, "symprec must be a finite number above 0 Å, not 0.0"),
            ({"kind": PowderPatternFeaturizer, "bin_size": None}, TypeError, "bin_size must be a number in Å⁻¹, not None"),
            (
                {"kind": PowderPatternFeaturizer, "smearing": -1.0},
                ValueError,
                "smearing must be a finite number of at least 0 Å⁻¹, not -1.0",
            ),
            ({"kind": ReflectionPairsFeaturizer, "n_radial": 0}, ValueError, "n_radial must be between 1 and 100, not 0"),
            ({"kind": ReflectionPairsFeaturizer, "n_angle": 9}, ValueError, "n_angle must be between 1 and 8, not 9"),
        ],
    )
    def test_parameters(self, parameters, error, message):
        with pytest.raises(error, match=message):
            features(rock_salt(), **parameters)

    @pytest.mark.parametrize("kind", [PowderPatternFeaturizer, ReflectionPairsFeaturizer])
    def test_too_many_reflections(self, kind):
        vast = Crystal(90 * np.eye(3), np.zeros((1, 3)), np.array([26]), np.ones(1), np.zeros(1, np.int64))
        message = rf"^Fe1: \d+ reflections are more than the limit of {MAX_REFLECTIONS} .* cell of 729000 Å\^3"
        with pytest.raises(ValueError, match=message):
            features(vast, kind=kind)
        with pytest.raises(ValueError, match=message):
            hkl_intensities(vast, s_max=2.0)
        assert np.isfinite(features(vast)).all()

    def test_no_reflection(self):
        with pytest.raises(ValueError, match=r"^Cu1: no reflection below s_max = 0.2 Å⁻¹; choose a larger s_max"):
            features(COPPER, kind=PowderPatternFeaturizer, s_max=0.2, smearing=0.0)
        assert not features(COPPER, kind=ReflectionPairsFeaturizer, s_max=0.2).any()

    def test_infinitely_many_reflections(self):
        with pytest.raises(ValueError, match="s_max must be finite: a crystal has infinitely many"):
            hkl_intensities(rock_salt(), s_max=np.inf, scattering="neutron")

    @pytest.mark.parametrize("cell", ["primitive", "conventional"])
    def test_spglib_fails(self, cell, monkeypatch):
        monkeypatch.setattr("spglib.standardize_cell", lambda *_, **__: None)
        with pytest.raises(ValueError, match=f"^Na4 Cl4: spglib found no {cell} cell; choose another symprec, or cell='niggli'"):
            features(rock_salt(), cell=cell)

        def raise_error(*_, **__):
            from matminer_grid.featurizers.hkl import SPGLIB_ERROR

            raise SPGLIB_ERROR("atoms too close")

        monkeypatch.setattr("spglib.standardize_cell", raise_error)
        with pytest.raises(ValueError, match=r"^Na4 Cl4: spglib found no .* cell \(atoms too close\)"):
            features(rock_salt(), cell=cell)

    def test_spglib_sees_another_lattice(self, monkeypatch):
        monkeypatch.setattr("spglib.standardize_cell", lambda cell, **_: (cell[0] / 3, cell[1], cell[2]))
        with pytest.raises(ValueError, match="spglib's conventional cell has another lattice than the translations of the sites"):
            features(rock_salt(), cell="conventional")

    def test_no_structure(self):
        featurizer = StructureFactorFeaturizer()
        assert not featurizer.precheck("NaCl")
        with pytest.raises(TypeError, match="a pymatgen Structure"):
            featurizer.featurize("NaCl")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_large_crystal_that_fails_leaves_the_others(sample, monkeypatch, n_jobs):
    """More than a thousand sites are computed in a thread of their own."""
    kernel = powder.powder_batch

    def short_of_memory(scatterers, *arguments):
        if scatterers[1][-1] > 1000:
            raise MemoryError("no more")
        kernel(scatterers, *arguments)

    monkeypatch.setattr(powder, "powder_batch", short_of_memory)
    crystals = [sample[0], supercell(sample[1], 8 * np.eye(3, dtype=int)), *sample[2:150]]
    assert crystals[1].n_sites > 1000
    featurizer = PowderPatternFeaturizer()
    featurizer.set_n_jobs(n_jobs)
    found = featurizer.featurize_many(crystals, ignore_errors=True, pbar=False)
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(np.delete(found, 1, axis=0), featurizer.featurize_many([sample[0], *sample[2:150]], pbar=False))
    with pytest.raises(MemoryError, match=r"row 1: .*: a cell of [0-9,]+ site"):
        featurizer.featurize_many(crystals, pbar=False)
