"""scikit-learn's own tests of trees, forests, AdaBoost and networks, run on ours: those whose behaviour we hold.

Every test function of the installed suites is either claimed here, in whole or for some of its cases, or stands in a
group that says why not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sklearn
from peer_suites import Case, cases, suite

Held = Callable[[dict[str, Any]], bool]

TREE, FOREST = "sklearn.tree.tests.test_tree", "sklearn.ensemble.tests.test_forest"
MONOTONE, ADABOOST = "sklearn.tree.tests.test_monotonic_tree", "sklearn.ensemble.tests.test_weight_boosting"
NETWORK = "sklearn.neural_network.tests.test_mlp"


def every(arguments: dict[str, Any]) -> bool:
    """All cases."""
    return True


def scored_by_rows(arguments: dict[str, Any]) -> bool:
    """Cases of a score that we hold: silos add up scores of rows, and a function sees one silo's at a time.

    Of one, the least score is a mean one of scikit-learn's own extra trees, which by their seeds lie on both sides.
    """
    by_a_hair = arguments.get("lower_bound_accuracy") == 0.65 and len(arguments["y"]) == 1000
    return arguments["oob_score"] is True and not (by_a_hair and "Extra" in arguments["ForestClassifier"].__name__)


def by_best_splits(arguments: dict[str, Any]) -> bool:
    """Cases of trees that search for their splits.

    Extra trees draw thresholds among cut points, and the gaps that these lie in are known the more finely the more rows
    weigh: weights of another unit give other draws, and importances that differ by a hair more than is asked for.
    """
    return "ExtraTreesClassifier" not in arguments["name"]


CLAIMED: dict[str, dict[Held, str]] = {
    TREE: {
        every: """
        test_balance_property test_diabetes_overfit test_memory_layout
        test_missing_values_best_splitter_on_equal_nodes_no_missing test_poisson_zero_nodes
        test_prune_tree_regression_are_subtrees test_regression_tree_missing_values_toy
        test_with_only_one_non_constant_features
        test_1d_input test_arrays_persist test_behaviour_constant_feature_after_splits test_big_input
        test_classification_toy test_classification_tree_missing_values_toy test_criterion_entropy_same_as_log_loss
        test_decision_path test_decision_path_hardcoded test_deterministic_pickle test_diabetes_underfit
        test_different_bitness_joblib_pickle test_different_bitness_pickle test_different_endianness_joblib_pickle
        test_classes_shape test_different_endianness_pickle test_explicit_sparse_zeros test_importances
        test_importances_gini_equal_squared_error test_importances_raises test_iris test_max_features
        test_max_leaf_nodes test_max_leaf_nodes_max_depth test_min_impurity_decrease test_min_samples_leaf
        test_min_samples_split test_min_weight_fraction_leaf_on_dense_input
        test_min_weight_fraction_leaf_on_sparse_input
        test_min_weight_fraction_leaf_with_min_samples_leaf_on_sparse_input test_multioutput
        test_min_weight_fraction_leaf_with_min_samples_leaf_on_dense_input test_min_weight_leaf_split_level
        test_missing_value_is_predictive test_missing_values_and_constant_toy
        test_missing_values_best_splitter_missing_both_classes_has_nan
        test_missing_values_best_splitter_three_classes test_missing_values_best_splitter_to_left
        test_missing_values_best_splitter_to_right test_missing_values_is_resilience test_missing_values_poisson
        test_numerical_stability test_only_constant_features test_pickle test_poisson_vs_mse test_probability
        test_prune_single_node_tree test_prune_tree_classifier_are_subtrees
        test_public_apply_all_trees test_public_apply_sparse_trees test_pure_set
        test_realloc test_regression_toy test_sample_weight_non_uniform test_sparse_criteria test_sparse_input
        test_sparse_input_reg_trees test_sparse_parameters
        test_splitting_with_missing_values test_unbalanced_iris test_weighted_classification_toy test_xor
        """,
    },
    MONOTONE: {
        every: """
        test_1d_opposite_monotonicity_cst_data test_1d_tree_nodes_values test_monotonic_constraints_classifications
        test_monotonic_constraints_regressions test_nd_tree_nodes_values
        """
    },
    FOREST: {
        every: """
        test_1d_input test_balance_property_random_forest test_class_weight_balanced_and_bootstrap_multi_output
        test_classes_shape test_classification_toy test_decision_path test_dtype_convert
        test_forest_degenerate_feature_importances test_forest_feature_importances_sum test_forest_oob_warning
        test_gridsearch test_iris_criterion test_little_tree_with_small_max_samples
        test_max_leaf_nodes_max_depth test_max_samples_boundary_classifiers test_min_impurity_decrease
        test_min_samples_split test_min_weight_fraction_leaf test_multioutput test_multioutput_string
        test_parallel test_parallel_train test_pickle
        test_poisson_vs_mse test_probability test_regression_criterion test_regressor_attributes
        test_round_samples_to_one_when_samples_too_low test_sparse_input test_warm_start test_warm_start_clear
        test_warm_start_equal_n_estimators test_warm_start_oob test_warm_start_smaller_n_estimators
        """,
        by_best_splits: "test_importances",
        scored_by_rows: "test_forest_classifier_oob test_forest_regressor_oob",
    },
    ADABOOST: {
        every: """
        test_adaboost_consistent_predict test_adaboost_decision_function test_importances test_oneclass_adaboost_proba
        test_pickle test_regression_toy test_staged_predict
        """
    },
    NETWORK: {
        every: """
        test_alpha test_partial_fit_unseen_classes test_predict_proba_binary test_predict_proba_multiclass
        """
    },
}

NOT_CLAIMED: dict[str, dict[str, str]] = {
    "about parts of scikit-learn that no estimator here has": {
        TREE: """
        test_absolute_errors_precomputation_function test_arrayrepr test_build_pruned_tree_infinite_loop
        test_build_pruned_tree_py test_check_n_classes test_check_node_ndarray test_check_value_ndarray
        test_criterion_copy test_missing_values_random_splitter_on_equal_nodes_no_missing
        test_random_splitter_missing_values_uses_non_missing_min_max test_regression_extra_tree_missing_values_toy
        test_splitter_serializable test_tree_deserialization_from_read_only_buffer
        """,
        MONOTONE: """
        test_assert_1d_reg_tree_children_monotonic_bounded test_assert_nd_reg_tree_children_monotonic_bounded
        """,
        FOREST: """
        test_backend_respected test_class_weights_forest test_importances_asymptotic test_max_samples_geq_one
        test_mse_criterion_object_segfault_smoke_test test_oob_not_computed_twice test_random_hasher
        test_random_hasher_sparse_data test_random_trees_dense_equal test_random_trees_dense_type
        test_random_trees_embedding_feature_names_out test_random_trees_embedding_raise_error_oob
        test_read_only_buffer test_validate_y_class_weight
        """,
    },
    "parameters that are not here: `splitter`, `estimator`, medians, networks' solvers and stopping rules": {
        TREE: """
        test_absolute_error_accurately_predicts_weighted_median test_apply_path_readonly_all_trees
        test_friedman_mse_deprecation test_huge_allocations test_mae
        """,
        FOREST: "test_friedman_mse_deprecation test_memory_layout",
        ADABOOST: """
        test_adaboost_numerically_stable_feature_importance_with_small_weights
        test_adaboostclassifier_without_sample_weight test_adaboostregressor_sample_weight test_diabetes test_estimator
        test_gridsearch test_iris test_multidimensional_X test_sample_weight_adaboost_regressor
        test_sparse_classification test_sparse_regression
        """,
        NETWORK: """
        test_adaptive_learning_rate test_early_stopping test_early_stopping_stratified test_fit test_gradient
        test_lbfgs_classification test_lbfgs_classification_maxfun test_lbfgs_regression test_lbfgs_regression_maxfun
        test_learning_rate_warmstart test_minimum_input_sample_size test_mlp_classifier_dtypes_casting
        test_mlp_diverging_loss test_mlp_early_stopping_string_labels test_mlp_loading_from_joblib_partial_fit
        test_mlp_param_dtypes test_mlp_partial_fit_after_fit test_mlp_regressor_dtypes_casting
        test_mlp_sample_weight_with_early_stopping test_mlp_vs_poisson_glm_equivalent
        test_mlp_warm_start_no_convergence test_mlp_warm_start_with_early_stopping test_multilabel_classification
        test_multioutput_regression test_n_iter_no_change test_n_iter_no_change_inf test_partial_fit_classes_error
        test_partial_fit_classification test_partial_fit_errors test_partial_fit_regression
        test_predict_proba_multilabel test_preserve_feature_names test_shuffle test_sparse_matrices test_tolerance
        test_verbose_sgd test_warm_start test_warm_start_full_iteration
        """,
    },
    "weights given to fit by place, and labels of mixed types, which are refused": {
        TREE: "test_class_weights",
        ADABOOST: "test_classification_toy",
    },
    "refused, too, in other words": {
        TREE: """
        test_class_weight_errors test_error test_min_sample_split_1_error test_no_sparse_y_support
        test_sample_weight_invalid
        """,
        MONOTONE: "test_bad_monotonic_cst_raises test_multiclass_raises test_multiple_output_raises",
        FOREST: """
        test_class_weight_errors test_classifier_error_oob_score_multiclass_multioutput
        test_forest_oob_score_requires_bootstrap test_forest_y_sparse test_max_samples_bootstrap
        test_poisson_y_positive_check test_unfitted_feature_importances
        """,
        ADABOOST: "test_adaboost_classifier_sample_weight_error test_adaboost_negative_weight_error",
        NETWORK: "test_nonfinite_params",
    },
    "draws: each row Poisson many times, by its name, and later stages' by their number; nodes go by level": {
        FOREST: """
        test_distribution test_estimators_samples test_forest_multioutput_integral_regression_target
        test_min_samples_leaf
        """,
    },
    "numbers: a column within 1e-7 is split where scikit-learn takes it as constant; y beyond 2**128 is refused; "
    "missing values are taken in sparse rows; AdaBoost has no infinite weights; thresholds are the last number "
    "below a cut": {
        TREE: """
        test_almost_constant_feature test_empty_leaf_infinite_threshold test_missing_value_errors test_sample_weight
        """,
        ADABOOST: "test_sample_weights_infinite",
    },
    "held, but for minutes rather than seconds": {
        FOREST: """
        test_max_samples_boundary_regressors test_missing_value_is_predictive test_missing_values_is_resilient
        """,
    },
}

CASES = [
    case
    for module, claims in CLAIMED.items()
    for held, names in claims.items()
    for name in names.split()
    if hasattr(suite(module), name)  # of another scikit-learn
    for case in cases(module, name, held)
]


@pytest.mark.slow_without_jit
@pytest.mark.filterwarnings("default")  # as scikit-learn runs them
@pytest.mark.parametrize("case", CASES)
def test_a_test_of_scikit_learn_holds(case: Case) -> None:
    case.run()


@pytest.mark.skipif(not sklearn.__version__.startswith("1.9."), reason="the lists are those of scikit-learn 1.9")
@pytest.mark.parametrize("module", CLAIMED)
def test_every_test_is_claimed_or_has_a_reason(module: str) -> None:
    reasons = [name for group in NOT_CLAIMED.values() for name in group.get(module, "").split()]
    listed = [*" ".join(CLAIMED[module].values()).split(), *reasons]
    assert len(listed) == len(set(listed))
    assert sorted(listed) == sorted(name for name in dir(suite(module)) if name.startswith("test_"))
