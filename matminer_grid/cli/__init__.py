"""The command ``matminer-grid``: reads arguments, calls the library, prints."""

from matminer_grid.cli.app import app

__all__ = ["app"]
