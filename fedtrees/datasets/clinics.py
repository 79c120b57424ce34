"""The breast cancer table that comes with scikit-learn, in three simulated clinics."""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.rng import stream
from fedtrees.datasets.example import Example

__all__ = ["load_breast_cancer_clinics"]

# The clinic, its share of the rows, and the tumours it tends to see.
_CLINICS = (("screening", 0.5), ("general", 0.3), ("oncology", 0.2))  # small, middling, large


def load_breast_cancer_clinics() -> Example:
    """Return 569 real tumours, split over three clinics that were made up.

    The rows are the Wisconsin diagnostic breast cancer table as scikit-learn carries it. The target is 1
    where a tumour is malignant. The silos are SIMULATED: tumours are ranked by their mean radius, blurred
    by noise half as wide as the radius itself spreads, and the smallest half goes to "screening", the next
    30 % to "general", the largest fifth to "oncology". So the clinics differ in size and in case mix, as a
    screening programme and a referral centre would, and each of them sees both classes. The radius stays a
    feature.

    Returns
    -------
    Example
        ``X`` of shape (569, 30); no value is missing.

    Examples
    --------
    >>> example = load_breast_cancer_clinics()
    >>> {name: int((example.silos == name).sum()) for name in ("screening", "general", "oncology")}
    {'screening': 285, 'general': 171, 'oncology': 113}
    """
    from sklearn.datasets import load_breast_cancer  # a second to import, and only this function needs it

    table = load_breast_cancer(as_frame=True)
    X = table.data.astype(np.float32)
    radius = table.data["mean radius"].to_numpy()
    noise = stream(0, "simulated clinics").normal(scale=0.5 * radius.std(), size=len(radius))
    rank = np.argsort(np.argsort(radius + noise, kind="stable"), kind="stable")
    upper = np.cumsum([share for _, share in _CLINICS])[:-1] * len(rank)
    names = np.array([name for name, _ in _CLINICS])
    return Example(
        name="breast cancer in three simulated clinics",
        X=X,
        y=(table.target.to_numpy() == 0).astype(np.int64),  # the table's own code is 0 for malignant
        silos=names[np.searchsorted(upper, rank, side="right")],
        description=(
            "A row is a tumour, the target is whether it is malignant. The rows are real, the three clinics "
            "are simulated: screening sees mostly small tumours, oncology mostly large ones."
        ),
        source="Wolberg, Mangasarian and Street, Breast Cancer Wisconsin (Diagnostic), UCI; in scikit-learn",
        licence="CC BY 4.0",
    )
