"""Models in the formats of XGBoost and scikit-learn."""

from fedtrees.export.xgboost import accumulate, storable_base_margin, to_booster

__all__ = ["accumulate", "storable_base_margin", "to_booster"]
