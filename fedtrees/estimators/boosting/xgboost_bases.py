"""XGBoost's estimators as bases of ours: whatever asks for them, such as its plots and SHAP's explainers, takes these.

All that is public there is defined anew in ours, or has a reason not to be: see ``tests/parity/test_xgboost_names.py``.
"""

from __future__ import annotations

from typing import Any

import xgboost

# scikit-learn's bases of theirs have no types
XGBClassifier: Any = xgboost.XGBClassifier
XGBRanker: Any = xgboost.XGBRanker
XGBRegressor: Any = xgboost.XGBRegressor
