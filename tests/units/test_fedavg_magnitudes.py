"""FedAvg's numbers that are small or large on their way: powers of losses, thousands of steps, narrow grids."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest

from fedtrees import (
    DataError,
    FedAvgClassifier,
    FedAvgRegressor,
    LocalFederation,
    ParameterError,
    Silo,
    UnreliableFederation,
)
from fedtrees.core.numeric.rng import stream
from fedtrees.neural.compression import AnyCompression, Exact, Rounded, TopK, UpdateScale, narrow
from fedtrees.neural.largest_loss import LargestLoss
from fedtrees.neural.local import Rows, Work, train
from fedtrees.neural.memory import Memory
from fedtrees.neural.methods import AnyMethod, FedAvg, FedNova, Job, QFedAvg
from fedtrees.neural.optimisers import Averaging, FedAdagrad, FedAdam, FedYogi, Momentum
from fedtrees.neural.perceptron import Perceptron
from fedtrees.neural.schedules import Cosine, Exponential, Inverse
from fedtrees.neural.state import NetworkState, StartTraining, WeightUnit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(np.int64)
SILOS = np.array(["a", "b", "c"])[np.arange(90) % 3]


# -- numbers that are small or large on their way -----------------------------------------------------------


@pytest.mark.parametrize("q", [4.0, 8.0, 15.0, 40.0])
@pytest.mark.parametrize("centre", [0.0, 30.0])
def test_qfedavg_of_any_power_is_its_equation_from_the_first_round_on(q: float, centre: float) -> None:
    """Li et al. (2020), Algorithm 2, in logarithms, of silos whose losses are far apart."""
    y = X[:, 0].astype(np.float64) + np.where(SILOS == "a", centre, 0)
    common: dict[str, Any] = {"batch_size": None, "learning_rate": 0.01, "standardize": False, "n_jobs": 1}
    model = FedAvgRegressor((), n_rounds=1, method=QFedAvg(q), **common).fit(X, y, silos=SILOS)
    w = FedAvgRegressor((), n_rounds=1, **common).partial_fit(X, y, n_rounds=0).params_.astype(np.float64)
    losses, steps = [], []
    for name in "abc":
        Z = np.column_stack([X, np.ones(90)])[name == SILOS].astype(np.float64)
        error = Z @ w - y.astype(np.float32)[name == SILOS]
        losses.append((error**2).mean() / 2)
        steps.append(Z.T @ error / 30)
    F, D = np.array(losses) / max(losses), np.array(steps)
    top = (F[:, None] ** q * D).sum(axis=0)
    bottom = (q * F ** (q - 1) * (D**2).sum(axis=1) / max(losses) + F**q / 0.01).sum()
    np.testing.assert_allclose(model.params_, w - top / bottom, rtol=0, atol=2e-6)


@pytest.mark.parametrize("q", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(
    ("share", "taken"), [(0.0, 1e-10), (1e-11, 1e-10), (1e-8, 1e-8), (0.5, 0.5), (1.0, 1.0), (9.0, 1.125)]
)
def test_a_loss_counts_by_its_share_of_the_largest_within_its_limits(q: float, share: float, taken: float) -> None:
    """The authors' code adds 1e-10 to losses; one of a silo that was not there to be asked is cut off."""
    model, work = Perceptron([4, 1], "reg:squarederror"), Work(learning_rate=0.25)
    params, rows = np.zeros(5, np.float32), Rows(X[:30], np.full((30, 1), 2 if share else 0, np.float32), None)
    unit = np.float32([2 / share if share else 8])  # half the squared error is 2

    def sent(method: AnyMethod) -> Any:
        return method.update(Job(model, params, rows, work, stream(0, "batches"), unit, Memory()))[0]

    moved = sent(FedAvg()).astype(np.float64)
    mass = taken**q
    if share:
        mass += q * taken ** (q - 1) * (moved @ moved) / (0.25 * float(unit[0]))
    np.testing.assert_allclose(sent(QFedAvg(q)), np.append(moved * taken**q, mass), rtol=1e-6)


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_qfedavg_goes_on_where_silos_vanish(mode: str) -> None:
    """One that was lost while losses were asked for may have a larger one than all that answered."""
    y = np.where(SILOS == "a", 300.0, 0.0) + X[:, 0]
    federation = LocalFederation.from_table(X, y, silos=SILOS, mode=mode, n_jobs=1)
    flaky = UnreliableFederation(federation, rate=0.5, seed=2)
    model = FedAvgRegressor((), n_rounds=12, method=QFedAvg(12.0), learning_rate=0.01, n_jobs=1).fit_federation(flaky)
    assert np.isfinite(model.params_).all() and np.isfinite(model.loss_curve_).sum() > 6


def test_the_largest_loss_is_bounded_from_above_within_an_eighth_of_an_octave() -> None:
    query = LargestLoss(5, np.zeros(0, np.float32))
    for loss in (1e-12, 1e-3, 0.7, 1.0, 5.0, 1e9):
        total = np.zeros(query.size(), np.int64)
        total[LargestLoss._of(loss)] += 2
        total[LargestLoss._of(loss / 50)] += 3
        assert max(loss, 2.0**-40) <= query.read(total) * (1 + 1e-12) < max(loss, 2.0**-40) * 2 ** (1 / 8) * (1 + 1e-9)
    assert query.read(np.zeros(query.size(), np.int64)) == 1.0
    for loss, place in ((0.0, 0), (1e-300, 0), (2.0**-40, 0), (2.0**-39.9, 1), (2.0**128, -1), (1e300, -1)):
        assert LargestLoss._of(loss) == place % query.size()


def test_fednova_of_a_thousand_steps_is_as_fine_as_of_one() -> None:
    rows = np.arange(90) < 30
    common: dict[str, Any] = {"batch_size": 1, "learning_rate": 1e-4, "local_epochs": 40, "standardize": False}
    silos = np.where(rows, "a", "b")
    model = FedAvgClassifier((), n_rounds=1, method=FedNova(), n_jobs=1, **common).fit(X, Y, silos=silos)
    start = FedAvgClassifier((), **common).partial_fit(X, Y, n_rounds=0).params_
    moved = {}
    for name, own in (("a", rows), ("b", ~rows)):
        work = Work(40, 1, 1e-4)
        done = train(
            Perceptron([4, 1], "binary:logistic"),
            start,
            Rows(X[own], Y[own], None),
            work,
            stream(0, "batches", 0, name),
        )
        moved[name] = (done.params - start).astype(np.float64), done.steps
    assert moved["a"][1] == 1200 and moved["b"][1] == 2400
    each = moved["a"][0] / 1200 / 3 + moved["b"][0] / 2400 * 2 / 3
    np.testing.assert_allclose(model.params_, start + each * 2000, rtol=0, atol=1.2e-7)


@pytest.mark.parametrize("exponent", [-30, -24, -5, 0, 6])
def test_a_narrow_grid_reaches_twice_as_far_as_the_last_round_and_no_further(exponent: int) -> None:
    grid, bits = narrow(8, exponent), 8
    far = 2.0 ** max(exponent, -24)  # a smaller one would not fit what may follow
    whole = Rounded(bits).round(np.array([2 * far, -2 * far, 3 * far, far]), grid, lambda: RNG, Memory())
    assert whole.tolist() == [128, -128, 128, 64]  # seven bits and a sign, to the end
    np.testing.assert_allclose(np.ldexp(whole[:2].astype(float), -grid.bits), [2 * far, -2 * far])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_narrow_grid_follows_the_largest_update_of_either_sign(sign: float) -> None:
    y = sign * 3.0 + 0.01 * X[:, 0]
    common: dict[str, Any] = {"batch_size": None, "learning_rate": 0.5, "standardize": False, "n_jobs": 1}
    silos = np.where(np.arange(90) < 60, "a", "b")
    exact = FedAvgRegressor((), **common).partial_fit(X, y, silos=silos, n_rounds=0)
    model = FedAvgRegressor((), compression=Rounded(8), **common).partial_fit(X, y, silos=silos, n_rounds=1)
    moved = [
        FedAvgRegressor((), **common).partial_fit(X[own], y[own], n_rounds=1).params_ - exact.params_
        for own in (silos == "a", silos == "b")
    ]
    largest = max(np.abs(own).max() for own in moved)
    assert model._network.exponent == math.ceil(math.log2(largest))
    assert (sign * np.array(moved)).max() == largest  # the bias, which moves towards y


def test_what_is_rounded_is_the_product_with_the_mass_and_narrow_grids_are_cut_at_their_ends() -> None:
    grid = UpdateScale(4, 2)
    assert Exact().round(np.array([0.03, -0.03]), grid, lambda: RNG, Memory(), 10).tolist() == [5, -5]
    beyond = Rounded(4).round(
        np.array([100.0, -100.0]), UpdateScale(3, 0), lambda: np.random.default_rng(0), Memory(), 3
    )
    assert beyond.tolist() == [24, -24]  # eight steps, of a mass of three
    memory = Memory()
    top = TopK(0.5, 4).round(np.array([100.0, -1.0, 0.1, 0.0]), UpdateScale(3, 0), lambda: RNG, memory, 5)
    assert top.tolist() == [40, -40, 0, 0]
    np.testing.assert_allclose(memory.enter(1).recall(4), [99, 0, 0.1, 0], rtol=1e-6)
    assert TopK(0.01).entries(150) == 2 and TopK(0.01).entries(3) == 1 and TopK(1.0).entries(7) == 7


@pytest.mark.parametrize(
    ("bits", "share", "units"),
    [
        (54, 2.0**-44, 1 << 10), (54, 2.0**-45, None), (54, 1.5 * 2.0**-45, None), (54, 0.0, 0),
        (44, 2.0**-44, 1), (30, 2.0**-30, 1), (30, 2.0**-32, None), (0, 2.0**-60, 0),
    ],
)  # fmt: skip
def test_a_silo_of_less_than_a_seventeen_trillionth_of_all_weight_is_refused(
    bits: int, share: float, units: int | None
) -> None:
    """Of 54 digits, the lightest keeps ten; of fewer, one unit; and one that weighs nothing is not asked."""
    weight = None if not bits else np.float32([1, share])
    silos = [Silo(name, np.zeros((1, 1)), [1.0], n_jobs=1) for name in "ab"]
    federation = LocalFederation(silos, n_jobs=1)
    silo = Silo.of_table(federation.table, federation.threads)
    if weight is not None:
        silo.weigh(weight, np.array([1, 1]))
    StartTraining(Perceptron([1, 1], "reg:squarederror"), None, 0, np.zeros(2), np.ones(2)).apply(silo)
    unit = WeightUnit(1.0, bits)
    if units is None:
        with pytest.raises(DataError, match=r"^silo 'b': its rows weigh .* of 1 in all, too little to be counted"):
            unit.apply(silo)
        return
    unit.apply(silo)
    state = silo.states.find(NetworkState)
    assert state.mass(silo.table, 1) == (units if bits else 1)
    assert state.mass(silo.table, 0) == 1 << bits and unit.most(2) == ((1 << bits) + 2 if bits else 1)


def test_what_the_server_optimises_by_is_what_the_papers_recommend() -> None:
    """Hsu, Qi and Brown (2019); Reddi et al. (2021), section 5.2: tau, both betas, and Adagrad without momentum."""
    assert Averaging() == Averaging(1.0) and Momentum() == Momentum(1.0, 0.9)
    for kind in (FedAdam, FedYogi):
        assert kind() == kind(learning_rate=0.01, beta_1=0.9, beta_2=0.99, tau=1e-3)
    assert FedAdagrad() == FedAdagrad(learning_rate=0.1, beta_1=0.0, tau=1e-3)
    assert (Exponential(), Inverse(), Cosine()) == (Exponential(0.99), Inverse(0.01), Cosine(100))
    assert Work() == Work(epochs=1, batch_size=None, learning_rate=0.1, alpha=0.0, stragglers=0.0)


@pytest.mark.parametrize(
    ("optimiser", "fine"),
    [
        (Averaging(0.0), False), (Averaging(math.inf), False), (Averaging(1e-300), True), (Averaging(5), True),
        (Momentum(1, 0.0), True), (Momentum(1, 1.0), False), (Momentum(1, -1e-9), False), (Momentum(0), False),
        (FedAdam(tau=0.0), False), (FedAdam(tau=1e-30), True), (FedAdam(beta_2=1.0), False), (FedAdam(beta_2=0), True),
        (FedYogi(beta_1=math.nan), False), (FedAdagrad("fast"), False), (FedAdagrad(beta_1=0.999999), True),
    ],
    ids=repr,
)  # fmt: skip
def test_rates_lie_above_0_and_shares_from_0_to_below_1(optimiser: Any, fine: bool) -> None:
    if fine:
        optimiser.check()
        return
    with pytest.raises(ParameterError, match=rf"^server: {type(optimiser).__name__}\(\w+=.*\): give a number"):
        optimiser.check()


@pytest.mark.parametrize(
    "kind", [*get_args(AnyMethod), *get_args(AnyCompression), Work], ids=lambda kind: kind.__name__
)
def test_methods_and_compressions_are_values(kind: Any) -> None:
    """Of which a copy is as good, and that nobody changes on their way."""
    assert kind() == kind() and hash(kind()) == hash(kind())
    for name in kind.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(kind(), name, 1)
