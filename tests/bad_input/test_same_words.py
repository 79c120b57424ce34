"""Wrong input is refused in the same words by the fused and by the faithful mode."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedtrees import FedGBTClassifier, FedGBTRegressor, FedTreeClassifier, FedTreesError, LocalFederation, Silo

N = 12
IDS = np.arange(N) % 3
X = np.arange(2.0 * N).reshape(N, 2)
GOOD = np.arange(N) % 2


def at(row: int, value: Any, of: Any = GOOD) -> Any:
    y = np.array(of, object)
    y[row] = value
    return y


LABELS: dict[str, Any] = {
    "none": at(4, None),
    "NaN": at(7, float("nan")),
    "infinity": np.where(np.arange(N) == 5, np.inf, GOOD),
    "a text among numbers": at(4, "ill"),
    "a number among texts": at(4, 1, np.where(GOOD, "ill", "well")),
    "texts in one silo": np.where(IDS == 1, "ill", GOOD.astype(object)),
    "fractions": np.where(np.arange(N) == 8, 0.5, GOOD),
    "decimals": at(2, Decimal(1)),
    "bytes": at(3, b"ill"),
    "NUL": at(4, "ill\0", np.where(GOOD, "ill", "well")),
    "mixed sign": at(4, 2**63, -GOOD),
    "mixed sign by silo": np.where(IDS == 2, 2**63, -GOOD.astype(object)),
    "floats and large numbers by silo": np.where(IDS == 2, 2**53 + 1, GOOD.astype(object) * 1.0),
    "beyond 64 bits": at(4, 2**70),
    "several faults": at(9, None, at(4, "ill", at(2, 0.5))),
}
NUMBERS: dict[str, Any] = {
    "none": at(4, None),
    "NaN": np.where(np.arange(N) == 7, np.nan, GOOD),
    "a text": at(4, "3"),
    "too large": np.where(np.arange(N) == 5, 1e39, GOOD),
    "too large an integer": at(5, 10**400),
    "objects": at(6, {}),
    "several faults": at(9, None, at(4, "ill")),
}


def train(estimator: Any, mode: str, y: Any, apart: bool) -> None:
    if not apart:
        estimator.fit_federation(LocalFederation.from_table(X, y, silos=IDS, mode=mode, n_jobs=1))
        return
    silos = [Silo(f"silo {k}", X[k == IDS], y[k == IDS], n_jobs=1) for k in range(3)]
    estimator.fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))


def text_of(estimator: Any, mode: str, y: Any, apart: bool) -> str:
    with pytest.raises(FedTreesError) as caught:
        train(estimator, mode, y, apart)
    return f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize("apart", [True, False], ids=["silos", "table"])
@pytest.mark.parametrize("case", LABELS)
def test_labels_are_refused_in_the_same_words(case: str, apart: bool) -> None:
    for estimator in (FedGBTClassifier(1, n_jobs=1), FedTreeClassifier(n_jobs=1)):
        fused, faithful = (text_of(estimator, mode, LABELS[case], apart) for mode in ("fused", "faithful"))
        assert fused == faithful and "silo" in fused


@pytest.mark.parametrize("apart", [True, False], ids=["silos", "table"])
@pytest.mark.parametrize("case", NUMBERS)
def test_targets_are_refused_in_the_same_words(case: str, apart: bool) -> None:
    fused, faithful = (
        text_of(FedGBTRegressor(1, n_jobs=1), mode, NUMBERS[case], apart) for mode in ("fused", "faithful")
    )
    assert fused == faithful and "silo" in fused


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_rows_are_counted_as_their_owner_counts_them(mode: str) -> None:
    y = at(7, None)  # the third row of silo 1
    assert "silo '1': y, row 7: " in text_of(FedGBTClassifier(1, n_jobs=1), mode, y, apart=False)
    assert "silo 'silo 1': y, row 2: " in text_of(FedGBTClassifier(1, n_jobs=1), mode, y, apart=True)
    series = pd.Series(y)
    assert "row 7" in text_of(FedGBTRegressor(1, n_jobs=1), mode, series.to_numpy(), apart=False)
