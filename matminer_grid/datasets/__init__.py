"""Where structures and properties come from."""

from matminer_grid.datasets.elasticity import ElasticityTable, load_mp_elasticity, load_mp_elasticity_table

__all__ = ["ElasticityTable", "load_mp_elasticity", "load_mp_elasticity_table"]
