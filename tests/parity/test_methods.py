"""Methods and server optimisers against their papers' equations, written out naively in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_fedavg import MODEL, table, trained

from fedtrees import LocalFederation
from fedtrees.core.numeric.rng import stream
from fedtrees.neural.compression import Exact, Rounded, TopK, UpdateScale, narrow, of_digits, to_digits
from fedtrees.neural.local import Rows, Work, train
from fedtrees.neural.memory import Memory
from fedtrees.neural.methods import AnyMethod, FedAvg, FedNova, FedProx, QFedAvg, Scaffold
from fedtrees.neural.optimisers import Averaging, FedAdagrad, FedAdam, FedYogi, Momentum, ServerOptimiser
from fedtrees.neural.settings import NetworkSettings

X, Y = table(0)
WHOSE = np.repeat(["a", "b"], [20, 40])
PARTS = {name: Rows(X[own], Y[own], None) for name in "ab" for own in [name == WHOSE]}
WORK = Work(2, 8, 0.3)
SEED, ROUNDS = 5, 3


def networks(method: AnyMethod) -> list[NDArray[np.float32]]:
    settings = NetworkSettings(
        MODEL, 3, targets=0, rounds=ROUNDS, work=WORK, method=method, seed=SEED, standardize=False
    )
    seen, _ = trained(LocalFederation.from_table(X, Y, silos=WHOSE), settings)
    return [network.params for network in seen.networks]


def local(name: str, round: int, start: Any, correct: Any = None) -> Any:
    rng = stream(SEED, "batches", round, name)
    return train(MODEL, start.astype(np.float32), PARTS[name], WORK, rng, correct)


def same(ours: NDArray[np.float32], theirs: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-6)


def test_fedprox_adds_the_gradient_of_the_distance() -> None:
    """Li et al. (2020), equation 2."""
    ours, mu = networks(FedProx(0.7)), 0.7
    w = ours[0]
    for round in range(ROUNDS):
        start = w

        def pull(own: Any, gradient: Any, start: Any = start) -> None:
            gradient += np.float32(mu) * (own - start)

        w = sum(len(PARTS[k]) / 60 * local(k, round, start, pull).params.astype(np.float64) for k in "ab")
        same(ours[round + 1], w)
    assert np.abs(ours[-1] - networks(FedAvg())[-1]).max() > 1e-2


def test_scaffold_corrects_by_control_variates() -> None:
    """Karimireddy et al. (2020), Algorithm 1: line 10, line 12 option II, lines 16 and 17."""
    ours = networks(Scaffold())
    w, c = ours[0].astype(np.float64), np.zeros(MODEL.n_params)
    own = {k: np.zeros(MODEL.n_params) for k in "ab"}
    for round in range(ROUNDS):
        moved, changed = np.zeros_like(w), np.zeros_like(c)
        for k in "ab":

            def correct(params: Any, gradient: Any, k: str = k, c: Any = c) -> None:
                gradient += (c - own[k]).astype(np.float32)

            done = local(k, round, w, correct)
            new = own[k] - c + (w - done.params) / (done.steps * WORK.learning_rate)
            share = len(PARTS[k]) / 60
            moved += share * (done.params - w)
            changed += share * (new - own[k])
            own[k] = new
        w, c = w + moved, c + changed
        same(ours[round + 1], w)


def test_fednova_averages_by_step_and_steps_as_far_as_the_mean() -> None:
    """Wang et al. (2020), equations 6 and 7, of plain gradient steps."""
    ours = networks(FedNova())
    w = ours[0].astype(np.float64)
    for round in range(ROUNDS):
        done = {k: local(k, round, w) for k in "ab"}
        shares = {k: len(PARTS[k]) / 60 for k in "ab"}
        tau = sum(shares[k] * done[k].steps for k in "ab")
        assert done["a"].steps == 6 and done["b"].steps == 10
        w = w + tau * sum(shares[k] * (done[k].params - w) / done[k].steps for k in "ab")
        same(ours[round + 1], w)


@pytest.mark.parametrize("q", [0.5, 1.0, 3.0])
def test_qfedavg_weighs_by_powers_of_losses(q: float) -> None:
    """Li et al. (2020), Fair Resource Allocation in Federated Learning, Algorithm 2."""
    ours = networks(QFedAvg(q))
    w, L = ours[0].astype(np.float64), 1 / WORK.learning_rate
    for round in range(ROUNDS):
        top, bottom = np.zeros_like(w), 0.0
        for k in "ab":
            loss = PARTS[k].loss(MODEL, w.astype(np.float32))
            step = L * (w - local(k, round, w).params)
            share = len(PARTS[k]) / 60
            top += share * loss**q * step
            bottom += share * (q * loss ** (q - 1) * step @ step + L * loss**q)
        w = w - top / bottom
        np.testing.assert_allclose(ours[round + 1], w, rtol=0, atol=1e-5)


def test_where_a_method_has_nothing_to_do_it_is_federated_averaging() -> None:
    plain = networks(FedAvg())[-1]
    np.testing.assert_array_equal(networks(FedProx(0.0))[-1], plain)
    np.testing.assert_allclose(networks(QFedAvg(0.0))[-1], plain, rtol=0, atol=1e-6)
    pooled = NetworkSettings(MODEL, 3, targets=0, rounds=ROUNDS, work=WORK, seed=SEED)
    federation = LocalFederation.from_table(X, Y)
    one = [
        trained(federation, NetworkSettings(**{**vars(pooled), "method": method}))[0].networks[-1].params
        for method in (FedAvg(), Scaffold(), FedNova())
    ]
    for other in one[1:]:  # of one silo, there is no drift and no other number of steps
        np.testing.assert_allclose(other, one[0], rtol=0, atol=1e-5)


# -- the server's optimisers --------------------------------------------------------------------------------

CHANGES = [0.5, -0.25, 0.125, 0.7, 0.0]


def scalar(optimiser: ServerOptimiser) -> list[float]:
    memory, steps = optimiser.start(1), []
    for change in CHANGES:
        step, memory = optimiser.step(np.array([change]), memory)
        steps.append(float(step[0]))
    return steps


def adaptive(second: Any, rate: float, beta_1: float, tau: float) -> list[float]:
    """Algorithm 2 of Reddi et al. (2021), of one number."""
    m, v, steps = 0.0, tau**2, []
    for change in CHANGES:
        m = beta_1 * m + (1 - beta_1) * change
        v = second(v, change)
        steps.append(rate * m / (math.sqrt(v) + tau))
    return steps


def test_server_optimisers_are_their_papers() -> None:
    assert scalar(Averaging(0.5)) == pytest.approx([0.5 * change for change in CHANGES])
    velocity, steps = 0.0, []
    for change in CHANGES:
        velocity = 0.9 * velocity + change
        steps.append(velocity)
    assert scalar(Momentum()) == pytest.approx(steps)
    assert scalar(FedAdagrad(0.1)) == pytest.approx(adaptive(lambda v, d: v + d * d, 0.1, 0.0, 1e-3))
    assert scalar(FedAdam(0.1)) == pytest.approx(adaptive(lambda v, d: 0.99 * v + 0.01 * d * d, 0.1, 0.9, 1e-3))
    yogi = adaptive(lambda v, d: v - 0.01 * d * d * np.sign(v - d * d), 0.1, 0.9, 1e-3)
    assert scalar(FedYogi(0.1)) == pytest.approx(yogi)


# -- compression --------------------------------------------------------------------------------------------

FLOATS = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50)


@given(values=FLOATS, exponent=st.integers(-10, 7), bits=st.integers(2, 16))
def test_rounding_by_lot_is_right_in_the_mean_and_off_by_less_than_a_step(
    values: list[float], exponent: int, bits: int
) -> None:
    grid, rng = narrow(bits, exponent), np.random.default_rng(0)
    given_values = np.array(values)
    whole = Rounded(bits).round(given_values, grid, lambda: rng, Memory())
    most = 1 << (bits - 1)
    assert np.abs(whole).max() <= most
    inside = np.abs(grid.steps(given_values)) < most - 1
    assert (np.abs(whole - grid.steps(given_values))[inside] < 1).all()


def test_the_mean_of_many_lots_is_the_value() -> None:
    grid = narrow(4, 0)
    values = np.linspace(-0.9, 0.9, 7).repeat(20_000)
    whole = Rounded(4).round(values, grid, lambda: np.random.default_rng(1), Memory())
    means = np.ldexp(whole.reshape(7, -1).mean(axis=1), -grid.bits)
    np.testing.assert_allclose(means, np.linspace(-0.9, 0.9, 7), atol=4 * 0.25 / 2 / math.sqrt(20_000))


@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.01, 0.3, 1.0]))
def test_what_top_k_does_not_send_waits_and_nothing_is_lost(seed: int, share: float) -> None:
    rng, memory = np.random.default_rng(seed), Memory()
    top, grid, sent, total = TopK(share), narrow(12, 2), np.zeros(40), np.zeros(40)
    for round in range(5):
        values = rng.normal(size=40)
        whole = top.round(values, grid, lambda: rng, memory.enter(round))
        assert np.count_nonzero(whole) <= max(1, math.ceil(share * 40))
        sent += np.ldexp(whole.astype(float), -grid.bits)
        total += values
    np.testing.assert_allclose(sent + memory.enter(5).recall(40), total, atol=1e-5)


# law: to_digits
@given(values=st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=9), width=st.integers(1, 31))
def test_digits_are_read_as_what_they_were_and_so_are_their_sums(values: list[int], width: int) -> None:
    n = -(-32 // width)
    digits = to_digits(np.array(values), width, n)
    assert np.abs(digits).max() <= 1 << width
    np.testing.assert_array_equal(of_digits(digits, width, n), values)
    np.testing.assert_array_equal(
        of_digits(3 * digits + to_digits(np.array(values), width, n), width, n), np.array(values) * 4
    )


def test_exact_is_the_nearest_step() -> None:
    grid = Exact().grid(60_000, None)
    assert grid == UpdateScale(24, 7)
    values = np.random.default_rng(0).normal(size=100)
    whole = Exact().round(values, grid, lambda: np.random.default_rng(0), Memory())
    assert np.abs(np.ldexp(whole.astype(float), -24) - values).max() <= 2**-25
