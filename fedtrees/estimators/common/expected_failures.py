"""scikit-learn's checks of estimators that some of ours cannot pass, and why."""

from __future__ import annotations

_EQUIVALENCE = tuple(f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse"))


def expected_failed_checks(estimator: object) -> dict[str, str]:
    """The checks that an estimator fails, each with its reason: scikit-learn's ``expected_failed_checks``.

    All others pass. scikit-learn's own forests and networks fail the same ones.

    Parameters
    ----------
    estimator : estimator of fedtrees

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> from fedtrees import FedForestClassifier, FedTreeClassifier
    >>> sorted(expected_failed_checks(FedForestClassifier()))
    ['check_sample_weight_equivalence_on_dense_data', 'check_sample_weight_equivalence_on_sparse_data']
    >>> expected_failed_checks(FedTreeClassifier())
    {}

    ``sklearn.utils.estimator_checks.parametrize_with_checks`` and ``check_estimator`` take it as it is:

    >>> from sklearn.utils.estimator_checks import check_estimator
    >>> check_estimator(estimator, expected_failed_checks=expected_failed_checks(estimator))  # doctest: +SKIP
    """
    if getattr(estimator, "bootstrap", False) or getattr(estimator, "subsample", 1) < 1:
        return dict.fromkeys(_EQUIVALENCE, "a row of weight k is drawn, or not, as one, and k rows each for itself")
    if hasattr(estimator, "local_epochs"):
        return dict.fromkeys(_EQUIVALENCE, "a batch of a network holds so many rows, whatever they weigh")
    return {}
