"""Options that tell how far two crystals may be apart that count as the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matminer_grid import DuplicateTolerance


@dataclass(frozen=True)
class Sameness:
    """What counts as the same: three parts, or one number."""

    volume: Annotated[
        float | None, typer.Option(help="Largest relative difference of volumes a site; inf: size doesn't matter.  [default: 0.03]")
    ] = None
    geometry: Annotated[
        float | None, typer.Option(help="Largest mean difference of neighbours' distances at equal volume, Å.  [default: 0.035]")
    ] = None
    surroundings: Annotated[
        float | None, typer.Option(help="Largest difference of elements and of what surrounds them.  [default: 0.09]")
    ] = None
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", "-t", help="One number instead of the three: the largest site dissimilarity.")
    ] = None

    def tolerance_from(self, default: DuplicateTolerance) -> DuplicateTolerance | float:
        """Give the tolerance that the options name, those left out as in the default."""
        from matminer_grid import DuplicateTolerance

        parts = {name: value for name in asdict(default) if (value := getattr(self, name)) is not None}
        if self.tolerance is None:
            return DuplicateTolerance(**asdict(default) | parts)
        if parts:
            raise ValueError(f"--tolerance is one number instead of {' and '.join(f'--{name}' for name in parts)}: give either")
        return self.tolerance
