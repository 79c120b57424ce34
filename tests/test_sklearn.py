"""Whether the estimators are what scikit-learn takes for one."""

from __future__ import annotations

from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

from fedtrees import FedGBTClassifier, FedGBTRegressor

# -- scikit-learn's own checks ------------------------------------------------------------------------------

SMALL = {"n_estimators": 3, "max_depth": 3, "n_jobs": 1}


@parametrize_with_checks([FedGBTClassifier(**SMALL), FedGBTRegressor(**SMALL)])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)
