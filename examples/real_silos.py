"""Three clinics, each with a table of its own, train one model; it is then used with XGBoost alone.

The clinics are simulated (see `load_breast_cancer_clinics`), but training knows no pooled table: each `Silo`
holds its own rows, and the federation only ever asks it for sums.

python examples/real_silos.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xgboost

from fedtrees import FedGBTClassifier, LocalFederation, Silo
from fedtrees.datasets import load_breast_cancer_clinics

tumours = load_breast_cancer_clinics()
clinics = []
for name in ("screening", "general", "oncology"):
    rows = tumours.silos == name
    clinics.append(Silo(name, tumours.X[rows], tumours.y[rows]))

model = FedGBTClassifier(n_estimators=50, max_depth=4, learning_rate=0.2)
model.fit_federation(LocalFederation(clinics))
print(model.ledger_.per_silo(), end="\n\n")  # what each clinic sent and received

with TemporaryDirectory() as folder:
    path = Path(folder) / "tumours.json"
    model.save_model(path)
    booster = xgboost.Booster(model_file=path)  # from here on, fedtrees is not needed

ours = model.predict_proba(tumours.X)[:, 1]
theirs = booster.predict(xgboost.DMatrix(tumours.X))
print("XGBoost predicts the same:", np.array_equal(ours, theirs))
