"""Figures from arrays, with matplotlib and plotly: they read in grey and for colour-blind readers.

Functions named ``plot_...`` draw with matplotlib, into given axes or a figure of their own, and hand the axes back. Those named
``plotly_...`` make figures to look into with the mouse, where each point tells its name. :func:`crystal_map` and
:func:`report_page` make pages.
"""

from matminer_grid.plotting.calibration import plot_calibration
from matminer_grid.plotting.comparison import plot_parts, plot_site_matches
from matminer_grid.plotting.crystal_map import crystal_map
from matminer_grid.plotting.crystals import CrystalPicture
from matminer_grid.plotting.duplicates import plot_groups
from matminer_grid.plotting.explanation import plot_explanation
from matminer_grid.plotting.grid import ROW_FILL, plot_grid, plot_rdf
from matminer_grid.plotting.interactive import plotly_dissimilarity_matrix, plotly_parity
from matminer_grid.plotting.parity import plot_error_by_distance, plot_learning_curve, plot_parity
from matminer_grid.plotting.reciprocal import plot_radial_pattern, plot_reciprocal_slice
from matminer_grid.plotting.report import Card, Section, report_page
from matminer_grid.plotting.similarity import plot_dissimilarity_matrix, plot_emd_by_group

__all__ = [
    "ROW_FILL",
    "Card",
    "CrystalPicture",
    "Section",
    "crystal_map",
    "plot_calibration",
    "plot_dissimilarity_matrix",
    "plot_emd_by_group",
    "plot_error_by_distance",
    "plot_explanation",
    "plot_grid",
    "plot_groups",
    "plot_learning_curve",
    "plot_parity",
    "plot_parts",
    "plot_radial_pattern",
    "plot_rdf",
    "plot_reciprocal_slice",
    "plot_site_matches",
    "plotly_dissimilarity_matrix",
    "plotly_parity",
    "report_page",
]
