"""Scores of networks: a row's margins are the same bits whatever rows, and whatever silo, it is scored with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples
from torch import nn

from fedtrees import FedAvgClassifier, FedAvgRegressor, LocalFederation, Silo, TorchModel
from fedtrees.core.numeric.blas import OneBlasThread
from fedtrees.neural.perceptron import Perceptron
from fedtrees.neural.scores import BLOCK, margins_by_row


# law: margins_by_row
@examples(60)
@given(
    seed=st.integers(0, 2**32),
    hidden=st.lists(st.integers(1, 140), max_size=2),
    features=st.integers(1, 60),
    outputs=st.integers(1, 12),
    rows=st.integers(1, 3 * BLOCK),
    cuts=st.lists(st.floats(0, 1), max_size=4),
)
def test_a_row_s_margins_do_not_depend_on_its_company(
    seed: int, hidden: list[int], features: int, outputs: int, rows: int, cuts: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    model = Perceptron([features, *hidden, outputs], "reg:squarederror", activation="tanh")
    params, X = model.initial(rng), rng.normal(size=(rows, features)).astype(np.float32)
    order = rng.permutation(rows)
    silos = np.split(order, sorted(int(cut * rows) for cut in cuts))
    with OneBlasThread():
        whole = margins_by_row(model, params, X)
        apart = np.concatenate([margins_by_row(model, params, X[own]) for own in silos])
    np.testing.assert_allclose(whole, model.margins(params, X), rtol=1e-4, atol=1e-5)
    assert apart.tobytes() == whole[order].tobytes()


NETWORKS: dict[str, Any] = {
    "numbers": lambda: FedAvgRegressor((7,), n_rounds=3, random_state=0),
    "counts": lambda: FedAvgRegressor((7,), loss="poisson", n_rounds=3, random_state=0),
    "two classes": lambda: FedAvgClassifier((), n_rounds=3, random_state=0),
    "classes": lambda: FedAvgClassifier((7, 5), n_rounds=3, random_state=0),
    "torch": lambda: FedAvgClassifier(
        model=TorchModel(lambda a, b: nn.Sequential(nn.Linear(a, 9), nn.Tanh(), nn.Linear(9, b))), n_rounds=3
    ),
}


# law: margins_by_row
@pytest.mark.parametrize("kind", NETWORKS)
def test_scores_are_the_same_bits_however_they_come_about(kind: str) -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    y = np.floor(np.exp(X[:, 0])).astype(int)
    y = (y > 0).astype(int) if kind == "two classes" else np.minimum(y, 3)
    X.flags.writeable = False  # as a memory map is, or a table that a search shares between processes
    weight = rng.uniform(0, 2, 300)
    whose = np.minimum(rng.geometric(0.3, 300), 9)
    train, held_out = np.arange(300) < 200, np.arange(300) >= 200
    silos = []
    for k in range(1, 10):
        own, scored = train & (whose == k), held_out & (whose == k)
        silos.append(Silo(f"{k}", X[own], y[own], eval_set=[(X[scored], y[scored], weight[scored])]))
    found = []
    for mode in ("fused", "faithful"):
        model = NETWORKS[kind]().fit_federation(LocalFederation(silos, mode=mode))
        found.append((model.params_.tobytes(), model.evals_result_))
        model.predict(X)
    assert found[0] == found[1]
    if kind == "torch":
        return  # whose last bits depend on the rows of a batch
    # nor does it matter who holds the rows that are scored
    pooled = NETWORKS[kind]()
    scored = (X[held_out], y[held_out], weight[held_out])
    kept = [Silo(silo.name, X[train & (whose == k)], y[train & (whose == k)],
                 eval_set=[scored if k == 5 else tuple(part[:0] for part in scored)])
            for k, silo in enumerate(silos, 1)]  # fmt: skip
    assert pooled.fit_federation(LocalFederation(kept)).evals_result_ == found[0][1]


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_several_targets_are_scored_by_the_weight_of_their_row(loss: str) -> None:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(90, 3)).astype(np.float32)
    y = np.column_stack([np.abs(X[:, 0]), X[:, 1] ** 2, rng.random(90)])
    weight = np.linspace(0.1, 5, 40)
    model = FedAvgRegressor((4,), loss=loss, n_rounds=2, n_jobs=1, eval_metric="rmse")
    model.fit(X[:50], y[:50], silos=np.arange(50) % 2, eval_set=[(X[50:], y[50:])], sample_weight_eval_set=[weight])
    error = (model.predict(X[50:]).astype(np.float64) - y[50:]) ** 2
    expected = np.sqrt((error * weight[:, None]).sum() / (3 * weight.sum()))
    assert model.evals_result_["validation_0"]["rmse"][-1] == pytest.approx(expected, rel=1e-5)
