"""Slow silos, silos that vanish in the middle of a round, and lines that carry little: what is learnt for what is sent.

python examples/limited_communication.py [figure.svg]
"""

import sys

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

from fedtrees import FedAvgClassifier, LocalFederation, Rounded, TopK, UnreliableFederation
from fedtrees.datasets import held_out, partition_classes

X, y = load_digits(return_X_y=True)
silos = partition_classes(y, 20, 3)
test = held_out(silos, 0.25)

figure, axes = plt.subplots(figsize=(7, 4))
for name, lost, params in (
    ("everybody answers", 0.0, {}),
    ("half of the silos are slow", 0.0, {"stragglers": 0.5, "method": "fednova"}),
    ("three of ten vanish", 0.3, {}),
    ("eight bits a number", 0.0, {"compression": Rounded(8)}),
    ("a fiftieth of the numbers", 0.0, {"compression": TopK(0.02)}),
    ("all of it", 0.3, {"stragglers": 0.5, "method": "fednova", "compression": TopK(0.02)}),
):
    federation = LocalFederation.from_table(X[~test], y[~test], silos=silos[~test], eval_set=[(X[test], y[test])])
    model = FedAvgClassifier(
        (64,), n_rounds=60, local_epochs=4, batch_size=16, learning_rate=0.05, eval_metric="merror", **params
    )
    model.fit_federation(UnreliableFederation(federation, lost))
    right = [1 - error for error in model.evals_result_["validation_0"]["merror"]]
    rounds = model.ledger_.per_round()
    rounds = rounds[rounds.kind == "LocalUpdate"]
    axes.plot(np.cumsum(rounds.bytes_up) / 1e6, right, label=name)
    answers = rounds.answers.sum() / rounds.silos.sum()
    print(f"{name:26} {right[-1]:.1%} right, {rounds.bytes_up.sum() / 1e6:5.1f} MB sent, {answers:.0%} answered")
axes.set(xlabel="MB sent by all silos", ylabel="right", xscale="log", title="Twenty silos of three digits each")
axes.legend()
figure.tight_layout()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "limited_communication.svg")
