"""What the report of ``matminer-grid train`` says: scores, parity, calibration, where it applies, the largest errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid.cli._common import reduced_formula
from matminer_grid.cli.reports import BLUE, MOST_CARDS, card, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from matminer_grid import CrystalTable
    from matminer_grid.models import CrossValidation
    from matminer_grid.plotting import Section


def score_text(name: str, value: float) -> str:
    """Write a score of a cross-validation: shares in percent, the others with three digits."""
    return f"{value:.1%}" if name.startswith(("within", "accuracy", "balanced")) else f"{value:.3g}"


def train_report(target: str, names: Sequence[str], crystals: CrystalTable, found: CrossValidation, kept_together: str = "") -> str:
    """Make the page of a trained model: its cross-validated scores, parity and calibration, and the largest errors."""
    from matminer_grid.plotting import Section, plotly_parity, report_page

    n_folds = int(found.folds.max()) + 1
    told = f"Cross-validated on {len(names):,} crystals with {n_folds} folds{f': {kept_together}' if kept_together else ''}."
    scores = {name: score_text(name, value) for name, value in found.scores().items()}
    facts = {name: text for name, text in scores.items() if not name.startswith(("within", "width"))}
    if (guessed := facts.pop("MAE of the median", None)) is not None:
        told += f" Their median as the prediction for all has an MAE of {guessed}."
    sections = [Section("How good it is", [facts, told])]
    if found.classes is None:
        parity = plotly_parity(found.truth, found.predicted, names, unit="", quantity=target)
        parity.update_layout(meta=f"Predicted against true {target}")
        sections.append(Section("Predictions one by one", ["A point tells its name under the mouse.", parity]))
        worst = np.argsort(-np.abs(found.predicted - found.truth), kind="stable")[:MOST_CARDS].tolist()
    else:
        worst = np.nonzero(found.predicted != found.truth)[0][:MOST_CARDS].tolist()
    sections.append(_calibration(found, scores))
    alike = found.by_similarity()
    what = (
        "Errors of crystals by their similarity to the nearest one that was learned from: 1 is the same crystal, 0 one no nearer "
        "than two drawn at random. Each row has as many crystals."
    )
    sections.append(Section("Where it applies", [what, _errors_by_similarity(alike, target), alike.round(3)]))
    cards = [
        card(
            names[row],
            crystals[row],
            [reduced_formula(crystals[row]), f"true {short(found.truth[row])}", f"predicted {short(found.predicted[row])}"],
        )
        for row in worst
    ]
    sections.append(Section("Largest errors", [cards] if cards else ["There are none."]))
    return report_page(f"A model of {target}", sections)


def _calibration(found: CrossValidation, scores: dict[str, str]) -> Section:
    """Draw and list how often intervals hold, or classes come true, against how often they should."""
    import pandas as pd
    import plotly.graph_objects as go

    from matminer_grid.plotting import Section

    calibration = found.calibration()
    ideal = go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dash", "color": "#8a94a0"}, hoverinfo="skip")
    hover = "stated %{x:.0%}<br>observed %{y:.1%}<extra></extra>"
    line = go.Scatter(
        x=calibration["stated"], y=calibration["observed"], mode="lines+markers", marker_color=BLUE, hovertemplate=hover
    )
    figure = go.Figure([ideal, line])
    figure.update_layout(template="simple_white", meta="Observed against stated probabilities", showlegend=False)
    axis = {"range": [0, 1.02], "tickformat": ".0%", "constrain": "domain"}
    of_classes = found.classes is not None
    figure.update_xaxes(title="Stated probability", **axis)
    observed = "Share that came true" if of_classes else "Share within the interval"
    figure.update_yaxes(title=observed, scaleanchor="x", **axis)
    if of_classes:
        what = "Of the classes given a probability, as many should come true: the dashed line."
        return Section("Can its probabilities be trusted?", [what, figure, calibration.round(4)])
    stated = [name.removeprefix("within ") for name in scores if name.startswith("within ")]
    table = {
        "interval": stated,
        "holds for": [scores[f"within {one}"] for one in stated],
        "median width": [scores[f"width of {one}"] for one in stated],
    }
    what = "Of the intervals of each probability, as many should hold the true value: the dashed line."
    return Section("Can its intervals be trusted?", [what, figure, pd.DataFrame(table)])


def _errors_by_similarity(alike: pd.DataFrame, target: str) -> Any:
    """Draw the mean error of crystals against their mean similarity to what was learned from."""
    import plotly.graph_objects as go

    error, what = ("MAE", f"MAE of {target}") if "MAE" in alike else ("wrong", "Share of wrong classes")
    middles = (alike["similarity from"] + alike["to"]) / 2
    figure = go.Figure(go.Scatter(x=middles, y=alike[error], mode="lines+markers", marker_color=BLUE))
    meta = f"Error of {target} against similarity"
    figure.update_layout(template="simple_white", meta=meta, showlegend=False)
    figure.update_xaxes(title="Similarity")
    figure.update_yaxes(title=what, rangemode="tozero")
    return figure
