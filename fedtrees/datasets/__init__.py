"""Tables whose rows belong to silos, and partitions that give rows to silos. Nothing here downloads anything.

`load_flights`
    A year of departures from New York, a silo an airline (16 real silos, 327,346 rows).
`load_breast_cancer_clinics`
    569 real tumours in three simulated clinics; needs scikit-learn alone.
`held_out`
    The rows to score on: the same share of every silo, drawn by a key.
`partition_iid`, `partition_sizes`, `partition_by`
    Silos that differ in nothing, in size by a power law, or by a natural column.
`partition_dirichlet`, `partition_shards`, `partition_classes`
    Silos that hold other shares of the classes than all rows do.
`shift_features`
    Other values than a table's, as if every silo measured with instruments of its own.
`describe_partition`
    Differences of silos in size, labels and features: a table, a summary and a plot.
"""

from __future__ import annotations

from fedtrees.datasets.clinics import load_breast_cancer_clinics
from fedtrees.datasets.description import PartitionDescription, describe_partition
from fedtrees.datasets.example import Example
from fedtrees.datasets.feature_shift import shift_features
from fedtrees.datasets.flights import has_flights, load_flights
from fedtrees.datasets.label_skew import partition_classes, partition_dirichlet, partition_shards
from fedtrees.datasets.partition import partition_by, partition_iid, partition_sizes
from fedtrees.datasets.split import held_out

__all__ = [
    "Example",
    "PartitionDescription",
    "describe_partition",
    "has_flights",
    "held_out",
    "load_breast_cancer_clinics",
    "load_flights",
    "partition_by",
    "partition_classes",
    "partition_dirichlet",
    "partition_iid",
    "partition_shards",
    "partition_sizes",
    "shift_features",
]
