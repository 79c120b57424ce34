"""Calls of networks that mean nothing: one clear error for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import NotFittedError

from fedtrees import (
    DataError,
    DataTypeError,
    FedAvgClassifier,
    LocalFederation,
    ParameterError,
    SchemaError,
    Silo,
    UnreliableFederation,
)
from fedtrees.neural.compression import Rounded, TopK
from fedtrees.neural.methods import FedPer, FedProx, QFedAvg
from fedtrees.neural.optimisers import FedAdam, Momentum
from fedtrees.neural.personal import FineTuning

X, Y = load_breast_cancer(return_X_y=True)
CLINICS = np.array(["mayo", "ucla", "ohio"])[np.arange(len(Y)) % 3]
GOOD: dict[str, Any] = {"X": X, "y": Y, "silos": CLINICS}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = {
    "rounds": ({"n_rounds": 0}, {}, ParameterError, "n_rounds=0: give a whole number from 1"),
    "epochs": ({"local_epochs": 0.5}, {}, ParameterError, "local_epochs=0.5: give a whole number from 1"),
    "batch": ({"batch_size": 0}, {}, ParameterError, "batch_size=0: give a whole number from 1, or None for all rows"),
    "True for a batch": ({"batch_size": True}, {}, ParameterError, "batch_size=True: give a whole number from 1"),
    "True for patience": ({"patience": True}, {}, ParameterError, "patience=True: give a whole number from 1, or None"),
    "True for a layer": ({"hidden_layer_sizes": [True]}, {}, ParameterError, "give a list of whole numbers from 1"),
    "True for a share": ({"compression": TopK(True)}, {}, ParameterError, r"TopK\(share=True\): give a number above 0"),
    "a list of activations": ({"activation": ["relu"]}, {}, ParameterError, r"activation=\['relu'\] is not known"),
    "rate": ({"learning_rate": 0}, {}, ParameterError, "learning_rate=0: give a number above 0"),
    "penalty": ({"alpha": -1}, {}, ParameterError, "alpha=-1: give a number from 0"),
    "layers": ({"hidden_layer_sizes": (8, 0)}, {}, ParameterError, "give a list of whole numbers from 1, perhaps none"),
    "no layers": ({"hidden_layer_sizes": None}, {}, ParameterError, "hidden_layer_sizes=None: give a list of whole"),
    "a model's name": ({"model": "cnn"}, {}, ParameterError, "model='cnn': give a TorchModel, or None"),
    "a word for a switch": ({"standardize": "no"}, {}, ParameterError, "standardize='no': give True or False"),
    "a text for a factor": ({"schedule": str}, {}, ParameterError, "schedule: it returned '0' for round 0"),
    "a negative factor": ({"schedule": lambda r: -1.0}, {}, ParameterError, "it returned -1.0 for round 0"),
    "mu": ({"method": FedProx(-1.0)}, {}, ParameterError, "mu=-1.0: give a plain number from 0"),
    "q": ({"method": QFedAvg(-1.0)}, {}, ParameterError, "q=-1.0: give a plain number from 0"),
    "no own layers": ({"method": FedPer(0)}, {}, ParameterError, r"FedPer\(0\): give a whole number of layers from 1"),
    "momentum": ({"server": Momentum(1.0, 1.0)}, {}, ParameterError, r"Momentum\(momentum=1.0\): give a number from 0"),
    "tau": ({"server": FedAdam(tau=0)}, {}, ParameterError, r"FedAdam\(tau=0\): give a number above 0"),
    "scores of no whole model": (
        {"method": "fedper", "validation_fraction": 0.2}, {}, ParameterError, "shares no whole model that evaluation",
    ),
    "activation": ({"activation": "rely"}, {}, ParameterError, "activation='rely' is not known: did you mean 'relu'"),
    "method": ({"method": "fedprx"}, {}, ParameterError, "method='fedprx' is not known: did you mean 'fedprox'"),
    "a method's class": ({"method": FedProx}, {}, ParameterError, "or an object of that kind"),
    "server": ({"server": "adam"}, {}, ParameterError, "server='adam' is not known: did you mean 'fedadam'"),
    "schedule": ({"schedule": "cosin"}, {}, ParameterError, "schedule='cosin' is not known: did you mean 'cosine'"),
    "decay": ({"decay": 2}, {}, ParameterError, "decay=2: give a number from 0 to 1"),
    "upload": ({"upload": "weight"}, {}, ParameterError, "upload='weight' is not known: did you mean 'weights'"),
    "gradients of epochs": ({"upload": "gradients"}, {}, ParameterError, "goes with local_epochs=1, batch_size=None"),
    "compression": ({"compression": 8}, {}, ParameterError, "compression=8: give a fedtrees.Rounded or TopK, or None"),
    "bits": ({"compression": Rounded(1)}, {}, ParameterError, r"Rounded\(bits=1\): give a whole number from 2 to 24"),
    "share": ({"compression": TopK(0)}, {}, ParameterError, r"TopK\(share=0\): give a number above 0 and up to 1"),
    "stragglers": ({"stragglers": 2}, {}, ParameterError, "stragglers=2: give a number from 0 to 1"),
    "patience": ({"patience": 0}, {}, ParameterError, "patience=0: give a whole number from 1, or None"),
    "target": ({"target_score": "high"}, {}, ParameterError, "target_score='high': give a number, or None"),
    "target of nothing": ({"target_score": 0.9}, {}, ParameterError, "target_score needs an eval_set"),
    "metric": ({"eval_metric": "ndcg"}, {}, ParameterError, "eval_metric='ndcg' says nothing of what binary:logistic"),
    "nobody": ({"sampling": 0.0}, {}, ParameterError, "a fraction lies above 0 and up to 1, not at 0.0"),
    "no silo": ({"sampling": 0}, {}, ParameterError, "a round needs at least 1 silo, not 0"),
    "a body": ({"method": FedPer(2)}, {}, ParameterError, r"FedPer\(2\) leaves nothing to share; add a hidden layer"),
    "an unknown silo": ({"weighting": {"mayo": 1, "uc": 1}}, {}, ParameterError, "no silo 'uc'; did you mean 'ucla'"),
    "NaN": ({}, {"X": np.where(np.arange(30) == 3, np.nan, X)}, DataError, "silo 'mayo': column 'f3' holds NaN"),
    "texts": ({}, {"X": X.astype(str).astype(object)}, DataError, "f0"),
    "categories": (
        {}, {"X": pd.DataFrame(X).rename(columns=str).assign(c=pd.Categorical(CLINICS))}, DataTypeError,
        "column 'c' is a category; a network needs numbers: encode it",
    ),
    "lengths": ({}, {"y": Y[1:]}, DataError, r"y has the shape \(568,\) and X has 569 rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_wrong_calls_get_one_clear_error(case: str) -> None:
    params, data, kind, match = CASES[case]
    with pytest.raises(kind, match=match):
        FedAvgClassifier(**{"hidden_layer_sizes": (8,), "n_rounds": 2, **params}).fit(**{**GOOD, **data})


def test_numpys_numbers_are_numbers() -> None:
    given: list[dict[str, Any]] = [
        {"method": FedPer(1)}, {"compression": Rounded(8)}, {"compression": TopK(0.5, 8)}, {"batch_size": 8},
    ]  # fmt: skip
    same: list[dict[str, Any]] = [
        {"method": FedPer(np.int64(1))}, {"compression": Rounded(np.int64(8))},
        {"compression": TopK(np.float32(0.5), np.int32(8))}, {"batch_size": np.int16(8)},
    ]  # fmt: skip
    for plain, numpys in zip(given, same, strict=True):
        models = [FedAvgClassifier((4,), n_rounds=2, **how).fit(X, Y, silos=CLINICS) for how in (plain, numpys)]
        assert models[0].params_.tobytes() == models[1].params_.tobytes()
        assert models[0].ledger_.bytes_down == models[1].ledger_.bytes_down


def test_wrong_silos_and_models_get_one_too() -> None:
    silos = [Silo("a", X[:50], Y[:50]), Silo("b", X[50:, :29], Y[50:])]
    with pytest.raises(SchemaError, match="silo 'b', unlike silo 'a': 29 columns, not 30"):
        FedAvgClassifier().fit_federation(LocalFederation(silos))
    with pytest.raises(ParameterError, match=r"federation: give one, such as fedtrees.LocalFederation\(silos\)"):
        FedAvgClassifier().fit_federation([silos[0]])  # type: ignore[arg-type]
    with pytest.raises(NotFittedError):
        FedAvgClassifier().personalize(silos[0])
    model = FedAvgClassifier((4,), n_rounds=1).fit(X, Y)
    with pytest.raises(SchemaError, match="29 columns, not 30"):
        model.personalize(Silo("b", X[50:, :29], Y[50:]))
    with pytest.raises(DataError, match="silo 'b' holds no row to learn from"):
        model.personalize(Silo("b", X[:0], Y[:0]))
    with pytest.raises(DataError, match=r"^silo .*label 5 is none of the agreed ones"):
        model.personalize(Silo("b", X[:3], [0, 1, 5]))
    with pytest.raises(ParameterError, match=r"give a fedtrees.Silo, and not a tuple"):
        model.personalize((X, Y))  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="give a FineTuning, Ditto or OwnHead"):
        model.personalize(silos[0], "ditto")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="give a FineTuning, Ditto or OwnHead"):
        model.personalize(silos[0], FineTuning)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="rate='half': give a number from 0 to below 1"):
        UnreliableFederation(LocalFederation(silos[:1]), "half")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"epochs=0: give a whole number from 1"):
        model.personalize(silos[0], FineTuning(0))
    with pytest.raises(ParameterError, match="the network has other layers than before"):
        model.set_params(warm_start=True, hidden_layer_sizes=(5,)).fit(X, Y)
    wrong = X[:5].copy()
    wrong[2, 4] = np.nan
    with pytest.raises(DataError, match="column 'f4' holds NaN, of which a network says nothing"):
        FedAvgClassifier((4,), n_rounds=1).fit(X, Y).predict(wrong)
