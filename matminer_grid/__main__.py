"""``python -m matminer_grid`` is the command ``matminer-grid``."""

from matminer_grid.cli import app

if __name__ == "__main__":
    app(prog_name="matminer-grid")
