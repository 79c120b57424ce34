"""Tables whose rows belong to silos, to try things on. Nothing here downloads anything.

`load_flights`
    A year of departures from New York, a silo an airline (16 real silos, 327,346 rows).
`load_breast_cancer_clinics`
    569 real tumours in three simulated clinics; needs scikit-learn alone.
`held_out`
    The rows to score on: the same share of every silo, drawn by a key.
"""

from __future__ import annotations

from fedtrees.datasets.clinics import load_breast_cancer_clinics
from fedtrees.datasets.example import Example
from fedtrees.datasets.flights import has_flights, load_flights
from fedtrees.datasets.split import held_out

__all__ = ["Example", "has_flights", "held_out", "load_breast_cancer_clinics", "load_flights"]
