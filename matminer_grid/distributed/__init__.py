"""Partitioned data sets on a Dask cluster (extra ``[distributed]``).

Every function takes a Dask client, of whatever cluster: one of this machine, of several hosts, of a batch system. A data set is a
folder of Parquet files of crystals, its partitions. Client and workers need to see the folders named under the same paths and share
nothing else. Each task computes in one thread, so a worker's threads are as many tasks at once.
"""

from matminer_grid.distributed.matrix import emd_matrix, load_emd_matrix
from matminer_grid.distributed.neighbors import kneighbors
from matminer_grid.distributed.partitions import PartitionsReport, featurize_partitions, load_predictions, predict_partitions

__all__ = [
    "PartitionsReport",
    "emd_matrix",
    "featurize_partitions",
    "kneighbors",
    "load_emd_matrix",
    "load_predictions",
    "predict_partitions",
]
