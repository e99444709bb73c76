"""Many files or partitions: on one machine in pieces, or on a Dask cluster.

Functions that take a Dask client (extra ``[distributed]``) take that of whatever cluster: of this machine, of several hosts, of a
batch system. A data set is a folder of Parquet files of crystals, its partitions. Client and workers need to see the folders named
under the same paths and share nothing else. Each task computes in one thread, so a worker's threads are as many tasks at once.
"""

from matminer_grid.pipeline._run import Report
from matminer_grid.pipeline.evaluation import EvaluationReport, evaluate_files, evaluate_partitions
from matminer_grid.pipeline.features import featurize_files, featurize_partitions, load_features
from matminer_grid.pipeline.matrix import emd_matrix, load_emd_matrix
from matminer_grid.pipeline.neighbors import kneighbors
from matminer_grid.pipeline.predictions import load_predictions, predict_partitions

__all__ = [
    "EvaluationReport",
    "Report",
    "emd_matrix",
    "evaluate_files",
    "evaluate_partitions",
    "featurize_files",
    "featurize_partitions",
    "kneighbors",
    "load_emd_matrix",
    "load_features",
    "load_predictions",
    "predict_partitions",
]
