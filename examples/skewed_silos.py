"""Silos that see other labels than the rest: handwritten digits, of which each silo holds a few classes mostly.

Prints how skewed the silos are and what each method gets right, and draws it.

python examples/skewed_silos.py [figure.svg]
"""

import sys

import matplotlib

matplotlib.use("Agg")  # a figure in a file: no screen is needed

from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

from fedtrees import FedAvgClassifier
from fedtrees.datasets import describe_partition, held_out, partition_dirichlet
from fedtrees.neural.methods import FedProx

X, y = load_digits(return_X_y=True)
silos = partition_dirichlet(y, 20, alpha=0.1)
test = held_out(silos, 0.25)
skew = describe_partition(y, silos=silos)
print(skew)

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
skew.plot(left)
left.set_title("Who holds which digits")
for name, method in {"FedAvg": "fedavg", "FedProx, mu = 1": FedProx(1.0), "SCAFFOLD": "scaffold"}.items():
    model = FedAvgClassifier(
        (64,), n_rounds=60, local_epochs=5, batch_size=16, learning_rate=0.05, sampling=0.25, method=method,
        eval_metric="merror",
    )  # fmt: skip
    model.fit(X[~test], y[~test], silos=silos[~test], eval_set=[(X[test], y[test])])
    errors = model.evals_result_["validation_0"]["merror"]
    right.plot([1 - error for error in errors], label=name)
    print(f"{name:16} mean of the last ten rounds: {1 - sum(errors[-10:]) / 10:.1%} right")
right.set(xlabel="round", ylabel="right", title="Five local epochs, a quarter of the silos a round")
right.legend()
figure.tight_layout()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "skewed_silos.svg")
