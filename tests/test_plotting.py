"""Figures: what stands in them, rather than their pixels."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.patches import StepPatch

from matminer_grid import GRIDFeaturizer, PowderPatternFeaturizer, hkl_intensities
from matminer_grid.plotting import (
    ROW_FILL,
    plot_dissimilarity_matrix,
    plot_emd_by_group,
    plot_error_by_distance,
    plot_explanation,
    plot_grid,
    plot_groups,
    plot_learning_curve,
    plot_parity,
    plot_radial_pattern,
    plot_rdf,
    plot_reciprocal_slice,
    plotly_dissimilarity_matrix,
    plotly_parity,
)
from tests.conftest import perovskite


@pytest.fixture(autouse=True)
def closed_figures():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def bars(ax) -> list[StepPatch]:
    return [patch for patch in ax.patches if isinstance(patch, StepPatch) and patch.get_fill()]


class TestGrid:
    def test_groups_stand_one_above_the_other(self):
        featurizer = GRIDFeaturizer()
        grid = featurizer.grid(perovskite())
        ax = plot_grid(grid, featurizer.bin_edges)
        assert [label.get_text() for label in ax.get_yticklabels()] == ["8", "7", "6", "5", "4", "3", "2", "1"]
        assert len(bars(ax)) == 8
        for row, patch in enumerate(bars(ax)):
            values, edges, baseline = patch.get_data()
            assert baseline == 7 - row
            np.testing.assert_allclose(values - baseline, ROW_FILL * grid[row] / grid[:8].max(), rtol=0, atol=1e-12)
            np.testing.assert_array_equal(edges, featurizer.bin_edges)

    def test_axes_are_named_and_cover_what_is_drawn(self):
        featurizer = GRIDFeaturizer()
        ax = plot_grid(featurizer.grid(perovskite()), featurizer.bin_edges)
        assert ax.get_xlabel() == "Distance (Å)"
        assert "nearest neighbour" in ax.get_ylabel()
        low, high = ax.get_xlim()
        assert 1 < low < 1.9
        assert 3.4 < high < 4.5
        assert "80 %\nof sites" in [text.get_text() for text in ax.texts]

    def test_colours_grow_lighter_so_that_they_read_in_grey(self):
        ax = plot_grid(np.eye(8), np.arange(9.0))
        lightness = [np.dot([0.299, 0.587, 0.114], patch.get_facecolor()[:3]) for patch in bars(ax)]
        assert (np.diff(lightness) > 0.02).all()

    def test_two_crystals_on_shared_axes_have_one_range(self):
        rows = np.eye(12)
        for order in ((0, 6), (6, 0)):
            _, axes = plt.subplots(1, 2, sharex=True)
            alone = [plot_grid(rows[i : i + 3], np.arange(13.0)).get_xlim() for i in order]
            for i, ax in zip(order, axes, strict=True):
                plot_grid(rows[i : i + 3], np.arange(13.0), ax=ax)
            both = (min(low for low, _ in alone), max(high for _, high in alone))
            assert axes[0].get_xlim() == axes[1].get_xlim() == both

    def test_given_axes_are_used(self):
        _, ax = plt.subplots()
        assert plot_grid(np.eye(3), np.arange(4.0), n_groups=2, ax=ax) is ax
        assert len(plt.get_fignums()) == 1
        assert len(bars(ax)) == 2

    def test_empty_groups(self):
        ax = plot_grid(np.zeros((2, 3)), np.arange(4.0), n_groups=2)
        for patch in bars(ax):
            heights, _, baseline = patch.get_data()
            assert (heights == baseline).all()

    @pytest.mark.parametrize(
        ("grid", "edges", "n_groups", "message"),
        [
            (np.zeros(5), np.arange(6.0), 1, r"grid must have the shape \(n_groups, n_bins\)"),
            (np.zeros((2, 5)), np.arange(5.0), 1, r"bin_edges \(n_bins \+ 1,\), not \(2, 5\), \(5,\)"),
            (np.zeros((2, 5)), np.arange(6.0), 8, r"n_groups must lie between 1 and the 2 groups of the GRID, not 8"),
            (np.zeros((2, 5)), np.arange(6.0), 0, r"between 1 and the 2 groups of the GRID, not 0"),
            (np.full((2, 5), np.nan), np.arange(6.0), 2, r"values that are NaN or infinite"),
        ],
    )
    def test_bad_input(self, grid, edges, n_groups, message):
        with pytest.raises(ValueError, match=message):
            plot_grid(grid, edges, n_groups=n_groups)


class TestParity:
    @pytest.fixture
    def pairs(self):
        rng = np.random.default_rng(1)
        true = np.exp(rng.normal(4.5, 0.7, 500))
        return true, true * np.exp(rng.normal(0, 0.2, 500))

    @pytest.mark.parametrize("log", [False, True])
    def test_every_point_is_counted(self, pairs, log):
        ax = plot_parity(*pairs, log=log)
        (hexagons,) = (c for c in ax.collections if isinstance(c, PolyCollection))
        assert hexagons.get_array().sum() == 500
        assert hexagons.get_array().min() >= 1
        assert (ax.get_xscale(), ax.get_yscale()) == (("log", "log") if log else ("linear", "linear"))

    @pytest.mark.parametrize("log", [False, True])
    def test_the_diagonal_crosses_a_square(self, pairs, log):
        ax = plot_parity(*pairs, log=log)
        (line,) = ax.get_lines()
        np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())
        assert tuple(line.get_xdata()) == ax.get_xlim() == ax.get_ylim()
        assert ax.get_aspect() == 1
        assert ax.get_xlim()[0] <= np.min(pairs)
        assert ax.get_xlim()[1] >= np.max(pairs)

    def test_errors_and_units_are_written(self):
        ax = plot_parity([10, 20, 30], [10, 21, 38], unit="meV", quantity="gap")
        assert ax.texts[0].get_text() == "MAE 3 meV, median 1 meV\n$n$ = 3; dashed: $x = y$"
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("True gap (meV)", "Predicted gap (meV)")
        assert ax.figure.axes[1].get_ylabel() == "Number of crystals"

    def test_given_axes_are_used(self, pairs):
        _, ax = plt.subplots()
        assert plot_parity(*pairs, ax=ax) is ax
        assert len(plt.get_fignums()) == 1

    @pytest.mark.parametrize(("error", "shown"), [(0.037, "MAE 0.037 eV"), (0.00042, "MAE 0.00042 eV"), (12.345, "MAE 12.3 eV")])
    def test_digits_fit_the_unit(self, error, shown):
        assert shown in plot_parity([1.0, 2.0], [1.0 + error, 2.0 + error], unit="eV").texts[0].get_text()

    @pytest.mark.parametrize("log", [False, True])
    def test_no_point_collides_with_text(self, pairs, log):
        ax = plot_parity(*pairs, log=log, title="GRID + composition, nearest neighbour")
        ax.figure.canvas.draw()
        boxes = [text.get_window_extent() for text in (ax.texts[0], ax._left_title)]
        assert not boxes[0].overlaps(boxes[1])
        for box in boxes:
            assert box.y0 >= ax.get_window_extent().y1
            assert box.x1 <= ax.figure.bbox.x1
        assert ax.get_legend() is None

    @pytest.mark.parametrize("log", [False, True])
    @pytest.mark.parametrize("value", [5.0, 1e-3])
    def test_a_single_point(self, value, log):
        low, high = plot_parity([value], [value], log=log).get_xlim()
        assert low < value < high

    def test_negative_values(self):
        low, high = plot_parity([-3.0, 2.0], [-2.0, 4.0]).get_xlim()
        assert low < -3
        assert high > 4

    @pytest.mark.parametrize(
        ("true", "predicted", "log", "message"),
        [
            ([1, 2], [1], False, r"as long as each other and not empty, not \(2,\) and \(1,\)"),
            ([], [], False, r"not empty"),
            ([[1.0]], [[1.0]], False, r"not \(1, 1\) and \(1, 1\)"),
            ([1, np.nan], [1, 2], False, r"y_true has values that are NaN or infinite"),
            ([1, 2], [1, np.inf], False, r"y_pred has values that are NaN or infinite"),
            ([1, 2], [0, 1], True, r"y_pred has values that are not above zero"),
        ],
    )
    def test_bad_input(self, true, predicted, log, message):
        with pytest.raises(ValueError, match=message):
            plot_parity(true, predicted, log=log)


class TestDissimilarityMatrix:
    MATRIX = np.array([[0.0, 3.0, 1.0], [3.0, 0.0, 2.0], [1.0, 2.0, 0.0]])

    def test_cells_numbers_and_names(self):
        ax = plot_dissimilarity_matrix(self.MATRIX, ["fcc", "bcc", "hcp"])
        np.testing.assert_array_equal(ax.images[0].get_array(), self.MATRIX)
        assert [label.get_text() for label in ax.get_yticklabels()] == ["fcc", "bcc", "hcp"]
        assert [text.get_text() for text in ax.texts] == ["0", "3.00", "1.00", "3.00", "0", "2.00", "1.00", "2.00", "0"]
        assert ax.figure.axes[1].get_ylabel() == "Dissimilarity (Å)"

    def test_ordered_puts_alike_crystals_side_by_side(self):
        ax = plot_dissimilarity_matrix(self.MATRIX, ["fcc", "bcc", "hcp"], ordered=True)
        assert [label.get_text() for label in ax.get_xticklabels()] == ["fcc", "hcp", "bcc"]
        np.testing.assert_array_equal(ax.images[0].get_array(), self.MATRIX[np.ix_([0, 2, 1], [0, 2, 1])])

    def test_numbers_are_dark_on_light_and_light_on_dark_and_read_in_grey(self):
        ax = plot_dissimilarity_matrix(self.MATRIX)
        image = ax.images[0]
        for text, value in zip(ax.texts, self.MATRIX.ravel(), strict=True):
            cell = np.dot([0.299, 0.587, 0.114], image.cmap(image.norm(value))[:3])
            assert abs(cell - (text.get_color() == "white")) > 0.4
        lightness = image.cmap(np.linspace(0, 1, 20))[:, :3] @ [0.299, 0.587, 0.114]
        assert (np.diff(lightness) < 0).all()

    def test_large_matrices_are_not_annotated_unless_asked(self):
        points = np.arange(30.0)
        matrix = np.abs(points[:, None] - points)
        assert not plot_dissimilarity_matrix(matrix).texts
        assert len(plot_dissimilarity_matrix(matrix, annotate=True).texts) == 900
        assert len(plot_dissimilarity_matrix(matrix).get_xticklabels()) <= 24

    def test_given_axes_are_used_and_a_unit_may_be_missing(self):
        _, ax = plt.subplots()
        assert plot_dissimilarity_matrix([[0.0]], ax=ax, unit="", ordered=True) is ax
        assert ax.figure.axes[1].get_ylabel() == "Dissimilarity"

    @pytest.mark.parametrize(
        ("matrix", "labels", "message"),
        [
            ([1.0, 2.0], None, r"square and not empty, not of shape \(2,\)"),
            (np.zeros((0, 0)), None, r"not of shape \(0, 0\)"),
            (np.zeros((2, 3)), None, r"not of shape \(2, 3\)"),
            ([[0, np.nan], [np.nan, 0]], None, r"NaN, infinite or negative"),
            ([[0, -1], [-1, 0]], None, r"NaN, infinite or negative"),
            ([[0, 1], [2, 0]], None, r"must be symmetric"),
            ([[0, 1], [1, 0]], ["fcc"], r"labels must name each of the 2 crystals, not 1"),
        ],
    )
    def test_bad_input(self, matrix, labels, message):
        with pytest.raises(ValueError, match=message):
            plot_dissimilarity_matrix(matrix, labels)


def lines_differ_without_colour(ax) -> bool:
    styles = [patch.get_linestyle() for patch in ax.patches if not patch.get_fill()]
    return len({str(style) for style in styles}) == len(styles)


class TestGridMap:
    def test_all_groups_by_default_with_the_first_on_top(self):
        featurizer = GRIDFeaturizer()
        grid = featurizer.grid(perovskite())
        ax = plot_grid(grid, featurizer.bin_edges, kind="map")
        (mesh,) = ax.collections
        np.testing.assert_allclose(mesh.get_array(), 100 * grid, rtol=0, atol=1e-12)
        assert ax.yaxis_inverted()
        assert ax.get_xlim() == (0.0, 10.0)
        assert (ax.get_xlabel(), ax.figure.axes[1].get_ylabel()) == ("Distance (Å)", "Sites (%)")

    def test_zero_is_white_in_map_and_bar(self):
        ax = plot_grid(np.eye(3), np.arange(4.0), kind="map")
        (mesh,) = ax.collections
        bar = mesh.colorbar
        assert not np.ma.is_masked(mesh.get_array())
        assert mesh.to_rgba(0.0) == (1, 1, 1, 1) == bar.cmap(bar.norm(0.0))

    def test_darker_is_more_in_grey_too(self):
        ax = plot_grid(np.eye(3), np.arange(4.0), kind="map", n_groups=2)
        lightness = ax.collections[0].cmap(np.linspace(0, 1, 20))[:, :3] @ [0.299, 0.587, 0.114]
        assert (np.diff(lightness) < 0).all()
        assert ax.collections[0].get_array().shape == (2, 3)

    def test_empty(self):
        assert plot_grid(np.zeros((2, 3)), np.arange(4.0), kind="map").collections[0].get_clim() == (0.0, 100.0)

    def test_unknown_kind(self):
        with pytest.raises(ValueError, match="kind must be 'histograms' or 'map', not 'heat'"):
            plot_grid(np.eye(3), np.arange(4.0), kind="heat")

    def test_few_groups_are_all_drawn(self):
        assert len(bars(plot_grid(np.eye(3), np.arange(4.0)))) == 3


class TestRDF:
    def test_one_is_an_area(self):
        featurizer = GRIDFeaturizer()
        rdf = featurizer.rdf(perovskite())
        ax = plot_rdf(rdf, featurizer.bin_edges)
        (area,) = bars(ax)
        np.testing.assert_array_equal(area.get_data().values, rdf)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("Distance (Å)", "Radial distribution function")
        assert ax.get_legend() is None

    def test_several_are_lines_with_names(self):
        _, given = plt.subplots()
        ax = plot_rdf(np.arange(12.0).reshape(3, 4), np.arange(5.0), ["a", "b", "c"], ax=given)
        assert ax is given
        assert not bars(ax)
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c"]
        assert lines_differ_without_colour(ax)

    @pytest.mark.parametrize(
        ("rdf", "edges", "labels", "message"),
        [
            ([1.0, 2.0], [0, 1], None, r"bin_edges must have the shape \(3,\) for 2 bins, not \(2,\)"),
            ([], [0], None, r"rdf must be one row of numbers or several, not of shape \(0,\)"),
            ([1.0, np.inf], [0, 1, 2], None, "rdf has values that are NaN or infinite"),
            ([1.0, 2.0], [0, 1, 2], ["a", "b"], "labels must name each of the 1 rows of rdf, not 2"),
        ],
    )
    def test_bad_input(self, rdf, edges, labels, message):
        with pytest.raises(ValueError, match=message):
            plot_rdf(rdf, edges, labels)


class TestEmdByGroup:
    def test_one_pair_with_its_mean(self):
        ax = plot_emd_by_group([0.0, 0.1, 0.5])
        (area,) = bars(ax)
        np.testing.assert_array_equal(area.get_data().values, [0.0, 0.1, 0.5])
        np.testing.assert_array_equal(area.get_data().edges, [0.5, 1.5, 2.5, 3.5])
        np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), 0.2)
        assert ax.get_ylabel() == "EMD of the group (Å)"
        assert ax.get_ylim()[0] == 0

    def test_several_pairs(self):
        ax = plot_emd_by_group([[0.0, 0.2], [0.4, 0.4]], ["bcc and fcc", "bcc and hcp"])
        assert [text.get_text() for text in ax.get_legend().get_texts()] == [
            "bcc and fcc (mean 0.100 Å)",
            "bcc and hcp (mean 0.400 Å)",
        ]
        assert lines_differ_without_colour(ax)

    @pytest.mark.parametrize(
        ("values", "labels", "message"),
        [
            ([[[0.1]]], None, r"not of shape \(1, 1, 1\)"),
            ([0.1, np.nan], None, "NaN or infinite"),
            ([0.1, -0.1], None, "emd_by_group has negative values"),
            ([[0.1], [0.2]], ["a"], "labels must name each of the 2 rows of emd_by_group, not 1"),
        ],
    )
    def test_bad_input(self, values, labels, message):
        with pytest.raises(ValueError, match=message):
            plot_emd_by_group(values, labels)


class TestExplanation:
    PARTS = ("structure", "composition", "bonding", "stiffness")

    @pytest.fixture
    def explained(self):
        table = {"row": [4, 9, -1], "formula": ["Sr1 Ti1 O3", "Ba1 Ti1 O3", "all others"], "value": [171.0, 160.0, np.nan]}
        parts = {name: [0.1 * (i + 1), 0.2, np.nan] for i, name in enumerate(self.PARTS)}
        return pd.DataFrame(table | {"share": [0.7, 0.4, -0.1]} | parts)

    def test_shares_and_values(self, explained):
        axes = plot_explanation(explained, unit="GPa")
        assert [label.get_text() for label in axes[0].get_yticklabels()] == [
            "Sr1 Ti1 O3, 171 GPa",
            "Ba1 Ti1 O3, 160 GPa",
            "all others",
        ]
        np.testing.assert_allclose([bar.get_width() for bar in axes[0].patches], [70, 40, -10])
        assert axes[0].get_xlabel() == "Share in the prediction (%)"

    def test_parts_add_up(self, explained):
        ax = plot_explanation(explained)[1]
        ends = [max(bar.get_x() + bar.get_width() for bar in ax.patches if round(bar.get_y() + 0.4) == line) for line in (0, 1)]
        np.testing.assert_allclose(ends, [1.0, 0.8])
        assert [text.get_text() for text in ax.get_legend().get_texts()] == list(self.PARTS)
        assert len({bar.get_hatch() for bar in ax.patches}) == len(self.PARTS)

    def test_shells_into_given_axes(self, explained):
        given = plt.figure().subplots(3)
        axes = plot_explanation(explained, [[0.1, 0.2], [0.0, 0.4]], given)
        assert axes.tolist() == given.tolist()
        assert [text.get_text() for text in axes[2].get_legend().get_texts()] == [
            "Sr1 Ti1 O3, 171 GPa (mean 0.150 Å)",
            "Ba1 Ti1 O3, 160 GPa (mean 0.200 Å)",
        ]

    def test_bad_input(self, explained):
        with pytest.raises(ValueError, match="lacks the columns share, stiffness"):
            plot_explanation(explained.drop(columns=["share", "stiffness"]))
        with pytest.raises(ValueError, match="lists no known crystal"):
            plot_explanation(explained[explained["row"] < 0])
        with pytest.raises(ValueError, match="3 rows for 2 known crystals"):
            plot_explanation(explained, np.zeros((3, 5)))
        with pytest.raises(ValueError, match="3 axes are needed, not 2"):
            plot_explanation(explained, np.zeros((1, 5)), plt.figure().subplots(2))


class TestLearningCurve:
    def test_curves_in_one_picture(self):
        ax = plot_learning_curve([100, 1000], [30, 20], spread=[2, 1], label="kNN")
        assert plot_learning_curve([100, 1000], [25, 12], label="kernel", ax=ax) is ax
        first, second = (container.lines[0] for container in ax.containers)
        np.testing.assert_array_equal(first.get_ydata(), [30, 20])
        assert first.get_marker() != second.get_marker()
        assert first.get_linestyle() != second.get_linestyle()
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("Number of training crystals", "MAE (GPa)")
        assert {text.get_text() for text in ax.get_legend().get_texts()} == {"kNN", "kernel"}

    def test_ticks_are_plain_numbers(self):
        ax = plot_learning_curve([100, 1000, 9000], [31, 23, 16], unit="")
        ax.figure.canvas.draw()
        assert "1,000" in [label.get_text() for label in ax.get_xticklabels()]
        assert "20" in [label.get_text() for label in ax.get_yticklabels()]
        assert ax.get_ylabel() == "MAE"

    @pytest.mark.parametrize(
        ("sizes", "errors", "spread", "message"),
        [
            ([], [], None, r"as long as each other and not empty, not \(0,\) and \(0,\)"),
            ([1, 2], [1], None, r"not \(2,\) and \(1,\)"),
            ([1, 2], [1, 0], None, "error has values that are NaN, infinite or not above zero"),
            ([2, 1], [1, 1], None, "n_train must ascend"),
            ([1, 2], [1, 1], [0.1], "spread must have a number of at least 0 for each error"),
            ([1, 2], [1, 1], [0.1, -1], "spread must have a number of at least 0 for each error"),
        ],
    )
    def test_bad_input(self, sizes, errors, spread, message):
        with pytest.raises(ValueError, match=message):
            plot_learning_curve(sizes, errors, spread)


class TestPlotly:
    def test_parity(self):
        figure = plotly_parity([443, 160], [431, 172], ["C", "MgO"], log=True)
        points, diagonal = figure.data
        assert points.text == ("C", "MgO")
        assert (tuple(points.x), tuple(points.y)) == ((443, 160), (431, 172))
        assert tuple(diagonal.x) == tuple(diagonal.y)
        assert figure.layout.xaxis.type == "log"
        np.testing.assert_allclose(figure.layout.xaxis.range, np.log10(diagonal.x))
        assert figure.layout.xaxis.title.text == "True bulk modulus (GPa)"
        assert figure.layout.title.text == "MAE 12 GPa, median 12 GPa, n = 2"

    def test_matrix(self):
        figure = plotly_dissimilarity_matrix([[0, 3, 1], [3, 0, 2], [1, 2, 0]], ["fcc", "bcc", "hcp"], ordered=True)
        (cells,) = figure.data
        np.testing.assert_array_equal(cells.z, [[0, 1, 3], [1, 0, 2], [3, 2, 0]])
        assert [list(pair) for pair in cells.customdata[0]] == [["fcc", "fcc"], ["fcc", "hcp"], ["fcc", "bcc"]]
        assert figure.layout.yaxis.autorange == "reversed"
        assert cells.colorbar.title.text == "Dissimilarity (Å)"

    def test_bad_input(self):
        with pytest.raises(ValueError, match="labels must name each of the 2 points, not 1"):
            plotly_parity([1, 2], [1, 2], ["C"])
        with pytest.raises(ValueError, match="matrix must be symmetric"):
            plotly_dissimilarity_matrix([[0, 1], [2, 0]])


class TestReciprocalSlice:
    CUBE = 4.0 * np.eye(3)

    def test_disks_stand_where_the_reflections_are(self):
        structure = perovskite()
        reflections = hkl_intensities(structure, s_max=0.6)
        intensities = np.abs(reflections.structure_factors) ** 2
        ax = plot_reciprocal_slice(reflections.hkl, intensities, structure.lattice.matrix)
        (disks,) = ax.collections
        inside = reflections.hkl[:, 2] == 0
        assert len(disks.get_offsets()) == 2 * (inside.sum() - 1)
        lengths = np.sort(np.linalg.norm(disks.get_offsets(), axis=1))
        np.testing.assert_allclose(lengths, np.sort(np.tile(reflections.s[inside][1:], 2)), rtol=0, atol=1e-9)
        assert ax.get_xlabel() == "$S_x$ (Å$^{-1}$)"
        assert ax.get_aspect() == 1

    def test_areas_are_intensities(self):
        ax = plot_reciprocal_slice([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [4.0, 1.0, 9.0], self.CUBE)
        areas = ax.collections[0].get_sizes()
        assert areas.max() / areas.min() == pytest.approx(4)

    def test_oblique_axes_keep_angles(self):
        lattice = np.array([[3.0, 0, 0], [-1.5, 1.5 * 3**0.5, 0], [0, 0, 5]])
        ax = plot_reciprocal_slice([[1, 0, 0], [0, 1, 0], [1, 1, 0]], [1.0, 1.0, 1.0], lattice)
        lengths = np.sort(np.linalg.norm(ax.collections[0].get_offsets(), axis=1))
        assert lengths[:4] == pytest.approx(2 / 3 / 3**0.5)
        assert lengths.max() == pytest.approx(2 / 3)

    def test_other_planes(self):
        hkl = [[1, 0, 0], [0, 1, 1], [1, 1, 1], [1, -1, 0]]
        ax = plot_reciprocal_slice(hkl, np.ones(4), self.CUBE, zone=(1, 0, 0), level=1)
        assert len(ax.collections[0].get_offsets()) == 3
        assert not ax.get_lines()
        _, given = plt.subplots()
        assert plot_reciprocal_slice(hkl, np.ones(4), self.CUBE, zone=(1, 1, 0), ax=given) is given
        assert len(given.collections[0].get_offsets()) == 2

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([[1, 0]], [1.0], CUBE), r"hkl must have the shape \(n, 3\) and intensities \(n,\), not \(1, 2\) and \(1,\)"),
            (([[1, 0, 0]], [np.nan], CUBE), "intensities has values that are NaN, infinite or negative"),
            (([[1, 0, 0]], [1.0], np.zeros((3, 3))), "three vectors in Å that span a volume"),
            (([[1, 0, 0]], [1.0], CUBE, (0, 0, 0)), r"three whole numbers that aren't all 0, not \(0, 0, 0\)"),
            (([[1, 0, 0]], [1.0], CUBE, (0, 0, 1), 1), r"no reflection has h u \+ k v \+ l w = 1 with \[u v w\] = \[0, 0, 1\]"),
        ],
    )
    def test_bad_input(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            plot_reciprocal_slice(*arguments)


class TestRadialPattern:
    def test_per_cent(self):
        featurizer = PowderPatternFeaturizer()
        pattern = featurizer.featurize(perovskite())
        ax = plot_radial_pattern(pattern, featurizer.bin_edges)
        np.testing.assert_array_equal(bars(ax)[0].get_data().values, 100 * pattern)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("$S = 1/d$ (Å$^{-1}$)", "Intensity (%)")

    def test_several(self):
        ax = plot_radial_pattern([[0.2, 0.8], [0.5, 0.5]], [0, 1, 2], ["a", "b"])
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
        assert lines_differ_without_colour(ax)

    def test_bad_input(self):
        with pytest.raises(ValueError, match=r"bin_edges must have the shape \(3,\) for 2 bins, not \(2,\)"):
            plot_radial_pattern([0.5, 0.5], [0, 1])


class TestGroups:
    def test_steps_and_gap(self):
        ax = plot_groups([0.01, 0.1, 1.0, 2.0], [9, 5, 5, 2], gap=(0.1, 1.5))
        line = ax.get_lines()[0]
        assert line.get_drawstyle() == "steps-post"
        assert line.get_ydata().tolist() == [9, 5, 5, 2]
        assert ax.get_xscale() == "log"
        assert ax.get_legend().get_texts()[0].get_text() == "no groups become one from 0.1 to 1.5"

    def test_given_axes_are_used(self):
        ax = plt.figure().add_subplot()
        assert plot_groups([1.0], [3], ax=ax) is ax
        assert ax.get_legend() is None

    @pytest.mark.parametrize(
        ("factors", "n_groups", "message"),
        [
            ([], [], "not empty"),
            ([1, 2], [1], "as long as each other"),
            ([2, 1], [1, 2], "ascending"),
            ([0, 1], [1, 2], "above 0"),
            ([1, np.nan], [1, 2], "finite"),
        ],
    )
    def test_bad_input(self, factors, n_groups, message):
        with pytest.raises(ValueError, match=message):
            plot_groups(factors, n_groups)


class TestErrorByDistance:
    def test_means_of_equally_many_crystals(self):
        rng = np.random.default_rng(0)
        distances, errors = rng.exponential(5, 103), rng.normal(0, 10, 103)
        ax = plot_error_by_distance(distances, errors, n_bins=4, quantity="shear modulus")
        order = np.argsort(distances)
        expected = [np.abs(errors[rows]).mean() for rows in np.array_split(order, 4)]
        np.testing.assert_allclose(ax.lines[0].get_ydata(), expected)
        assert (np.diff(ax.lines[0].get_xdata()) > 0).all()
        np.testing.assert_allclose(np.asarray(ax.collections[0].get_offsets()), np.stack((distances, np.abs(errors)), axis=1))
        assert ax.get_ylabel() == "Error of the shear modulus (GPa)"
        assert plot_error_by_distance(distances, errors, ax=ax) is ax

    def test_fewer_crystals_than_bins(self):
        ax = plot_error_by_distance([0.0, 3.0], [-4.0, 1.0], unit="", quantity="gap", label="Similarity")
        assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("Similarity", "Error of the gap", "symlog")
        assert plot_error_by_distance([0.2, 1.0], [4.0, 1.0], label="Similarity").get_xscale() == "linear"
        assert ax.lines[0].get_ydata().tolist() == [4.0, 1.0]

    @pytest.mark.parametrize(
        ("distance", "error", "message"),
        [
            ([], [], "not empty"),
            ([1.0], [1.0, 2.0], "as long as each other"),
            ([-1.0], [1.0], "distance has values"),
            ([1.0], [np.nan], "error has values"),
        ],
    )
    def test_bad_input(self, distance, error, message):
        with pytest.raises(ValueError, match=message):
            plot_error_by_distance(distance, error)
        with pytest.raises(ValueError, match="n_bins must be at least 1"):
            plot_error_by_distance([1.0], [1.0], n_bins=0)
