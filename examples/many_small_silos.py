"""As many silos as there are phones: six hundred of two rows or three, of which a round asks some.

python examples/many_small_silos.py [figure.svg]
"""

import sys

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

from fedtrees import FedAvgClassifier, FixedNumber
from fedtrees.core.numeric.rng import stream
from fedtrees.datasets import partition_iid

X, y = load_digits(return_X_y=True)
test = stream(0, "test digits").random(len(y)) < 0.25
X_train, y_train = X[~test], y[~test]
silos = partition_iid(len(y_train), 600)

figure, axes = plt.subplots(figsize=(7, 4))
for drawn in (6, 60, 600):
    model = FedAvgClassifier(
        (64,), n_rounds=80, batch_size=None, learning_rate=0.3, sampling=FixedNumber(drawn), eval_metric="merror"
    )
    model.fit(X_train, y_train, silos=silos, eval_set=[(X[test], y[test])])
    right = [1 - error for error in model.evals_result_["validation_0"]["merror"]]
    axes.plot(right, label=f"{drawn} of 600 silos a round")
    rounds = model.ledger_.per_round()
    sent = rounds.bytes_up[rounds.kind == "LocalUpdate"].sum()
    print(f"{drawn:3} silos a round: {right[-1]:.1%} right after 80 rounds, {sent / 1e6:,.0f} MB sent by all silos")
axes.set(xlabel="round", ylabel="right", title="Six hundred silos of two rows or three")
axes.legend()
figure.tight_layout()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "many_small_silos.svg")
