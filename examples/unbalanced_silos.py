"""A few large silos and many small ones: what weighting by rows, or equally, makes of it, and of unequal local work.

python examples/unbalanced_silos.py [figure.svg]
"""

import sys

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

from fedtrees import FedAvgClassifier
from fedtrees.datasets import describe_partition, held_out, partition_sizes

X, y = load_digits(return_X_y=True)
# sorted by label first, so that large silos see a few digits only
order = np.argsort(y, kind="stable")
X, y = X[order], y[order]
silos = np.sort(partition_sizes(len(y), 20, power=1.5))
test = held_out(silos, 0.25)
print(describe_partition(y, silos=silos))

figure, axes = plt.subplots(figsize=(7, 4))
for name, params in {
    "FedAvg, by rows": {},
    "FedAvg, equal silos": {"weighting": "equal"},
    "FedNova, by rows": {"method": "fednova"},
}.items():
    model = FedAvgClassifier((64,), n_rounds=60, batch_size=16, learning_rate=0.05, eval_metric="merror", **params)
    model.fit(X[~test], y[~test], silos=silos[~test], eval_set=[(X[test], y[test])])
    right = [1 - error for error in model.evals_result_["validation_0"]["merror"]]
    each = [model.score(X[test & (silos == own)], y[test & (silos == own)]) for own in np.unique(silos[test])]
    axes.plot(right, label=name)
    right_of = f"{right[-1]:.1%} of all rows right, {np.mean(each):.1%} of a silo's, {min(each):.1%} of the worst"
    print(f"{name:20} {right_of}")
axes.set(xlabel="round", ylabel="right", title="Twenty silos, sizes by a power law")
axes.legend()
figure.tight_layout()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "unbalanced_silos.svg")
