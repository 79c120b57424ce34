"""FedAvg learns from numbers of any size, or refuses them by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes

from fedtrees import DataError, FedAvgClassifier, FedAvgRegressor, LocalFederation, Silo
from fedtrees.neural.torch_model import TorchModel

X, Y = load_breast_cancer(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0))[:, :8].astype(np.float32)
D, T = load_diabetes(return_X_y=True)
T = (T - T.mean()) / T.std()
SILOS = np.arange(len(Y)) % 3


def module(features: int, outputs: int) -> Any:
    torch = pytest.importorskip("torch")
    return torch.nn.Sequential(torch.nn.Linear(features, 8), torch.nn.ReLU(), torch.nn.Linear(8, outputs))


MODELS = {"perceptron": None, "torch": TorchModel(module)}


def probabilities(table: Any, model: Any = None, weight: Any = None, **options: Any) -> NDArray[np.float32]:
    trained = FedAvgClassifier((8,), n_rounds=4, model=model, n_jobs=1, **options)
    return trained.fit(table, Y, silos=SILOS, sample_weight=weight).predict_proba(table)


EVERY_OTHER = np.where(np.arange(8) % 2, 2.0**-100, 2.0**100)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "scale", [2.0**-83, 2.0**-100, 2.0**-105, 2.0**80, 2.0**100, 2.0**124, EVERY_OTHER], ids=str
)  # 2**-83 is about 1e-25
def test_the_unit_of_a_column_changes_nothing(model: str, scale: Any) -> None:
    """A power of two leaves every bit of a float32 as it was: so must the model be, but for the units."""
    wanted = probabilities(X, MODELS[model])
    np.testing.assert_array_equal(probabilities(X * scale, MODELS[model]), wanted)


@pytest.mark.parametrize("model", MODELS)
def test_subnormal_columns_and_columns_far_from_zero_are_learnt(model: str) -> None:
    wanted = probabilities(X, MODELS[model])
    assert np.abs(probabilities(X * 1e-41, MODELS[model]) - wanted).max() < 0.02  # subnormal: 13 bits are left
    shifted = (X.astype(np.float64) * 64 + 1e6).astype(np.float32)
    assert np.abs(probabilities(shifted, MODELS[model]) - wanted).max() < 0.01
    last_bits = (np.rint(X * 20) + 1e6).astype(np.float32)  # a spread of 20 beside a million
    assert np.abs(probabilities(last_bits, MODELS[model]) - wanted).max() < 0.1


def test_a_column_that_differs_in_the_last_bit_alone_is_learnt() -> None:
    """Outside reference: the same column as zeros and ones."""
    y = np.arange(200) % 2
    one, next_one = np.float32(1e6), np.nextafter(np.float32(1e6), np.float32(2e6))
    table = np.where(y, next_one, one)[:, None]
    model, plain = (FedAvgClassifier((), n_rounds=5).fit(own, y) for own in (table, y[:, None]))
    np.testing.assert_allclose(model.predict_proba(table), plain.predict_proba(y[:, None]), rtol=1e-5)
    assert model.score(table, y) == 1


@pytest.mark.parametrize("value", [0.0, 7.0, 1e-44, 1e30, -3e38, 0.1])
def test_constant_columns_of_any_size_change_nothing(value: float) -> None:
    table = np.column_stack([np.full(len(Y), value), X])
    small = FedAvgClassifier((), n_rounds=4).fit(X, Y, silos=SILOS)
    model = FedAvgClassifier((), n_rounds=4).fit(table, Y, silos=SILOS)
    centre = model.predict_proba(table)
    np.testing.assert_array_equal(model.predict_proba(np.column_stack([np.full(len(Y), np.float32(value)), X])), centre)
    assert model._scaling.features(table.astype(np.float32))[:, 0].any() == 0
    assert abs(model.score(table, Y) - small.score(X, Y)) < 0.03


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scale", [2.0**-83, 2.0**-120, 2.0**90, 2.0**120])
def test_the_unit_of_the_target_changes_nothing_but_the_unit(model: str, scale: float) -> None:
    y = T.astype(np.float32)
    common: dict[str, Any] = {"n_rounds": 5, "model": MODELS[model], "n_jobs": 1}
    plain, scaled = (FedAvgRegressor((8,), **common).fit(D, own, silos=D[:, 1] > 0) for own in (y, y * scale))
    np.testing.assert_array_equal(scaled.predict(D), plain.predict(D) * np.float32(scale))
    assert scaled.loss_curve_ == plain.loss_curve_


def test_targets_with_a_large_mean_and_a_small_spread_are_learnt() -> None:
    common: dict[str, Any] = {"n_rounds": 40, "n_jobs": 1}
    plain = FedAvgRegressor((8,), **common).fit(D, T)
    for centre, spread in ((1e6, 1.0), (-1e6, 5.0), (1e9, 1e4), (1e30, 1e25), (1e-30, 1e-34)):
        y = (T * spread + centre).astype(np.float32)
        model = FedAvgRegressor((8,), **common).fit(D, y)
        assert abs(model.score(D, y.astype(np.float64) / spread * spread) - plain.score(D, T)) < 0.01
    both = np.column_stack([T * 1e-30, T * 1e30 + 1e32])
    model = FedAvgRegressor((8,), **common).fit(D, both)
    for place in (0, 1):
        own = np.corrcoef(model.predict(D)[:, place] / both[:, place].std(), T)[0, 1]
        assert own > 0.65


@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1e-10, 1e10, 1e25, 1e30])
def test_the_unit_of_weights_changes_nothing(scale: float) -> None:
    weight = np.random.default_rng(0).integers(1, 5, len(Y)).astype(np.float64)
    plain, scaled = probabilities(X, weight=weight), probabilities(X, weight=weight * np.exp2(np.rint(np.log2(scale))))
    np.testing.assert_allclose(scaled, plain, rtol=0, atol=1e-6)
    np.testing.assert_allclose(probabilities(X, weight=np.full(len(Y), scale)), probabilities(X), rtol=0, atol=2e-6)


def lossy() -> dict[str, tuple[Any, Any, str]]:
    """Columns and targets whose numbers float32 does not tell apart."""
    near, far, tiny = X.astype(np.float64), X.astype(np.float64), X.astype(np.float64)
    near[:, 2] = near[:, 2] * 0.01 + 1e6
    far[:, 5] = np.arange(len(Y)) % 50 + 10**9
    tiny[:, 7] *= 1e-50
    frame = pd.DataFrame(near, columns=list("abcdefgh")).assign(more=True)
    return {
        "near a million": (near, Y, "column 'f2': its numbers differ by 0.01 around 1e.06"),
        "near a billion": (far, Y, "column 'f5': its numbers differ by 14.4.* around 1e.09"),
        "below float32": (tiny, Y, "column 'f7': its numbers differ by 1.*e-50"),
        "in a frame": (frame, Y, "column 'c': its numbers differ by 0.01"),
        "whole numbers": (
            np.column_stack([np.arange(len(Y)) % 9 + 2**40, np.arange(len(Y))]),
            Y,
            "column 'f0': its numbers differ by",
        ),
    }


@pytest.mark.parametrize("case", lossy())
def test_columns_that_float32_does_not_tell_apart_are_refused_by_name(case: str) -> None:
    table, y, match = lossy()[case]
    text = match + ".*float32 is too coarse for; take their mean away and scale them"
    with pytest.raises(DataError, match=f"^silo 'all': {text}"):
        FedAvgClassifier((4,), n_rounds=1).fit(table, y)
    half = np.arange(len(Y)) % 2 == 0
    for mode in ("fused", "faithful"):
        silos = [Silo(name, table[rows], y[rows]) for name, rows in (("ucla", half), ("mayo", ~half))]
        with pytest.raises(DataError, match=rf"^silo 'ucla': {text}".replace("by 0.01", "by 0.01.*")):
            FedAvgClassifier((4,), n_rounds=1).fit_federation(LocalFederation(silos, mode=mode))


@pytest.mark.parametrize(("rows", "refused"), [(7, False), (8, True)])
def test_few_rows_may_be_alike_by_chance(rows: int, refused: bool) -> None:
    table, y = (1e9 + np.arange(rows) % 2)[:, None], np.arange(rows) % 2
    if not refused:
        FedAvgClassifier((), n_rounds=1, n_jobs=1).fit(table, y)
        FedAvgRegressor((), n_rounds=1, n_jobs=1).fit(y[:, None], 1e9 + y)
        return
    with pytest.raises(DataError, match="column 'f0': its numbers differ by"):
        FedAvgClassifier((), n_rounds=1, n_jobs=1).fit(table, y)
    with pytest.raises(DataError, match="y: its numbers differ by"):
        FedAvgRegressor((), n_rounds=1, n_jobs=1).fit(y[:, None], 1e9 + y)


def test_one_silos_digits_may_be_lost_where_all_silos_differ_by_more() -> None:
    near = X.astype(np.float64)
    near[:, 2] = np.where(SILOS == 0, near[:, 2] * 0.01 + 1e6, near[:, 2] * 1e6)
    parts = [Silo(str(silo), near[silo == SILOS], Y[silo == SILOS]) for silo in np.unique(SILOS)]
    for mode in ("fused", "faithful"):
        apart = FedAvgClassifier((4,), n_rounds=1).fit_federation(LocalFederation(parts, mode=mode))
        whole = FedAvgClassifier((4,), n_rounds=1).fit(near, Y, silos=SILOS)
        assert apart.params_.tobytes() == whole.params_.tobytes()


def test_a_column_that_deviates_by_one_is_not_a_constant_one() -> None:
    """Float32 makes one number of each silo's; of both together, two that are 2 apart: their deviation is 1."""
    little = np.tile([0.0, 0.004], 20)
    apart = [Silo(name, (1e6 + side + little)[:, None], Y[:40]) for name, side in (("a", -1.0), ("b", 1.0))]
    alike = [Silo(name, (1e6 + little)[:, None], Y[:40]) for name in "ab"]
    model = FedAvgClassifier((4,), n_rounds=1, n_jobs=1)
    for mode in ("fused", "faithful"):
        model.fit_federation(LocalFederation(apart, mode=mode))
        with pytest.raises(DataError, match=r"^silo 'a': column 'f0': its numbers differ by 0.002 around 1e\+06"):
            model.fit_federation(LocalFederation(alike, mode=mode))


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_labels_may_be_numbers_that_float32_does_not_tell_apart(mode: str) -> None:
    labels = 2**24 + Y[:60].astype(np.int64)
    silos = [Silo(name, X[:60][rows], labels[rows]) for name, rows in (("0", slice(30)), ("1", slice(30, 60)))]
    model = FedAvgClassifier((4,), n_rounds=3, n_jobs=1).fit_federation(LocalFederation(silos, mode=mode))
    plain = FedAvgClassifier((4,), n_rounds=3, n_jobs=1).fit(X[:60], Y[:60], silos=np.arange(60) // 30)
    assert model.classes_.tolist() == [2**24, 2**24 + 1]
    assert (model.predict(X[:60]) == plain.predict(X[:60]) + 2**24).all()


def test_digits_lost_far_out_on_both_sides_of_zero_are_no_loss_of_columns_with_a_mean_of_zero() -> None:
    """Each silo's numbers differ by less than float32 holds; those of all silos together by a billion."""
    far = np.repeat([1e9, -1e9], 50)
    table = np.column_stack([far + np.sign(far) * np.tile(np.arange(50.0), 2), -far])
    y = (far > 0).astype(int)
    parts = [Silo(name, table[rows], y[rows]) for name, rows in (("a", slice(50)), ("b", slice(50, 100)))]
    for mode in ("fused", "faithful"):
        federation = LocalFederation(parts, mode=mode, n_jobs=1)
        assert FedAvgClassifier((4,), n_rounds=5).fit_federation(federation).score(table, y) == 1
        with pytest.raises(DataError, match=r"^silo 'a': column 'f0': its numbers differ by 14.4.* around 1e.09"):
            FedAvgClassifier((4,), n_rounds=1, standardize=False).fit_federation(federation)


@pytest.mark.parametrize("y", [T * 0.01 + 1e6, T + 1e9, T * 1e-50, np.column_stack([T, T * 0.01 + 1e6])])
def test_targets_that_float32_does_not_tell_apart_are_refused(y: Any) -> None:
    with pytest.raises(DataError, match="y: its numbers differ by"):
        FedAvgRegressor((4,), n_rounds=1).fit(D, y)


def test_what_float32_rounds_a_little_is_taken() -> None:
    seconds = 1.7e9 + np.arange(len(Y)) * 3600.0  # float32 steps by 128
    for constant in (1e30, 1e9 + 1, 0.1):
        FedAvgClassifier((4,), n_rounds=1).fit(np.column_stack([X, seconds, np.full(len(Y), constant)]), Y)


def test_one_heavy_silo_leaves_the_others_their_scale_and_their_updates() -> None:
    """A cohort of light silos is their mean, however heavy the silo is that was not drawn."""

    class Light:
        def draw(self, n_silos: int, seed: int, round: int) -> NDArray[np.int64]:
            return np.array([1, 2])

    common: dict[str, Any] = {"n_rounds": 5, "sampling": Light(), "standardize": False, "n_jobs": 1}
    found = [
        FedAvgClassifier((8,), weighting={"0": heavy, "1": 1.0, "2": 3.0}, **common).fit(X, Y, silos=SILOS).params_
        for heavy in (1.0, 1e9)
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-6)
    with pytest.raises(DataError, match=r"silo '1': its rows weigh .* too little to be counted; bring sample_weight"):
        FedAvgClassifier((8,), weighting={"0": 1e20, "1": 1.0, "2": 3.0}, **common).fit(X, Y, silos=SILOS)


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_silos_of_any_size_are_the_same_in_both_modes_and_interleaved(mode: str) -> None:
    table, weight = X * EVERY_OTHER, np.exp2(np.arange(len(Y)) % 31 - 15.0)
    order = np.argsort(SILOS, kind="stable")
    found = []
    for rows in (np.arange(len(Y)), order):
        federation = LocalFederation.from_table(
            table[rows], Y[rows], silos=SILOS[rows], sample_weight=weight[rows], mode=mode, n_jobs=1
        )
        found.append(FedAvgClassifier((8,), n_rounds=3, n_jobs=1).fit_federation(federation).params_.tobytes())
    whole = FedAvgClassifier((8,), n_rounds=3).fit(table, Y, silos=SILOS, sample_weight=weight).params_.tobytes()
    assert found == [whole, whole]
