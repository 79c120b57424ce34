"""Federated averaging: the laws it keeps, and that a round is what McMahan's algorithm says it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import examples

from fedtrees import (
    Channel,
    DataError,
    DivergenceError,
    FedGBTClassifier,
    FixedNumber,
    HeadroomError,
    LocalFederation,
    ParameterError,
    Poisson,
    Silo,
    SiloLostError,
)
from fedtrees.core.numeric.rng import stream
from fedtrees.core.sampling.weighting import SiloWeights, as_weighting
from fedtrees.neural.compression import AnyCompression, Exact, Rounded, TopK, UpdateScale
from fedtrees.neural.fedavg import AveragingState, average
from fedtrees.neural.local import Rows, Work, train
from fedtrees.neural.methods import AnyMethod, FedAvg, FedNova, FedPer, FedProx, FedSGD, QFedAvg, Scaffold
from fedtrees.neural.network import Network
from fedtrees.neural.perceptron import Perceptron
from fedtrees.neural.settings import NetworkSettings
from fedtrees.runtime.transport import InProcess
from fedtrees.runtime.unreliable import UnreliableFederation
from fedtrees.training.loop import Observer, Training

METHODS: list[AnyMethod] = [FedAvg(), FedSGD(), FedProx(0.1), Scaffold(), FedNova(), QFedAvg(0.5), FedPer()]
COMPRESSIONS: list[AnyCompression] = [Exact(), Rounded(8), Rounded(3), TopK(0.2)]
MODEL = Perceptron([3, 4, 1], "binary:logistic")
SEEDS = st.integers(0, 2**32)


@dataclass
class Seen(Observer[AveragingState]):
    """An observer that keeps what it sees."""

    networks: list[Network] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def begin(self, training: Training[AveragingState], state: AveragingState) -> None:
        self.networks.append(state.network)

    def after(self, state: AveragingState) -> AveragingState:
        self.networks.append(state.network)
        self.losses.append(state.losses[-1])
        return state


def table(seed: int, rows: int = 60) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 3)).astype(np.float32)
    y = (X[:, 0] + 0.3 * rng.normal(size=rows) > 0).astype(np.int64)
    y[:2] = 0, 1
    return X, y


def trained(
    federation: Any, settings: NetworkSettings, labels: Any = (0, 1), earlier: Network | None = None
) -> tuple[Seen, Channel]:
    seen, channel = Seen(), Channel(federation)
    average(channel, len(federation.names), None if labels is None else list(labels), settings, seen, earlier)
    return seen, channel


# -- laws ---------------------------------------------------------------------------------------------------


# law: FederatedAveraging, Model, LocalUpdate
@examples(15)
@given(
    seed=SEEDS,
    silos=st.integers(1, 6),
    method=st.sampled_from(METHODS),
    weighted=st.booleans(),
    batch=st.sampled_from([None, 1, 4]),
    compression=st.sampled_from(COMPRESSIONS),
    stragglers=st.sampled_from([0.0, 0.5]),
)
def test_fused_is_faithful_and_neither_order_nor_threads_change_a_bit(
    seed: int,
    silos: int,
    method: AnyMethod,
    weighted: bool,
    batch: int | None,
    compression: AnyCompression,
    stragglers: float,
) -> None:
    rng = np.random.default_rng(seed)
    X, y = table(seed)
    weight = rng.choice([0, 0.5, 1, 2], 60).astype(np.float32) if weighted else None
    whose = rng.integers(0, silos, 60).astype(str)
    settings = NetworkSettings(
        MODEL,
        3,
        targets=0,
        rounds=3,
        work=Work(2, batch, 0.3, 0.01, stragglers),
        method=method,
        sampler=Poisson(0.8),
        seed=seed,
        compression=compression,
    )
    found = []
    for mode, n_jobs in (("fused", 1), ("fused", 3), ("faithful", 2)):
        federation = LocalFederation.from_table(X, y, silos=whose, sample_weight=weight, mode=mode, n_jobs=n_jobs)
        seen, channel = trained(federation, settings)
        found.append(
            (seen.networks[-1].params.tobytes(), repr(seen.losses), channel.ledger.bytes_up, channel.ledger.bytes_down)
        )
        federation.close()
    assert found[0] == found[1] == found[2]
    # whoever stands first: cohorts are places, so all of them are asked
    names = sorted(set(whose))
    apart = [
        Silo(name, X[whose == name], y[whose == name], sample_weight=None if weight is None else weight[whose == name])
        for name in names
    ]
    settings = replace(settings, sampler=NetworkSettings(MODEL, 3).sampler)
    forth, back = (trained(LocalFederation(each), settings)[0].networks[-1] for each in (apart, apart[::-1]))
    assert forth.params.tobytes() == back.params.tobytes()


# law: NetworkState, silo.Silo
@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("compression", [Exact(), TopK(0.2)], ids=["all", "the largest"])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_a_silo_that_forgets_gives_the_same_answer(method: AnyMethod, compression: AnyCompression, mode: str) -> None:
    """Control variates, layers of its own and what waits come back with the rounds that it took part in."""
    X, y = table(0)
    silos = [Silo(name, X[place::3], y[place::3]) for place, name in enumerate("abc")]
    settings = NetworkSettings(
        MODEL, 3, targets=0, rounds=5, work=Work(1, 4, 0.3), method=method, compression=compression,
        sampler=FixedNumber(2), seed=4,
    )  # fmt: skip
    federation = LocalFederation(silos, mode=mode)

    class Forgetful(Seen):
        def after(self, state: AveragingState) -> AveragingState:
            for silo in silos[1:] if mode == "faithful" else [federation._fused]:
                silo.forget()
            return super().after(state)

    seen = Forgetful()
    average(Channel(federation), 3, [0, 1], settings, seen)
    whole, _ = trained(LocalFederation(silos, mode=mode), settings)
    assert seen.networks[-1].params.tobytes() == whole.networks[-1].params.tobytes()


def test_a_question_that_comes_twice_gets_the_same_answer() -> None:
    """As a network may lose the first; methods that keep something start from the same."""
    X, y = table(1)
    for method in METHODS:
        silo = Silo("a", X, y)
        sent: list[bytes] = []
        answer = silo.answer

        def twice(message: bytes, answer: Any = answer, sent: list[bytes] = sent) -> bytes:
            replies = answer(message), answer(message)
            assert replies[0] == replies[1]
            sent.append(replies[0])
            return replies[0]

        silo.answer = twice  # type: ignore[method-assign]
        federation = LocalFederation([silo], mode="faithful")
        trained(federation, NetworkSettings(MODEL, 3, targets=0, rounds=3, work=Work(1, 4, 0.3), method=method))
        assert len(sent) > 5


# -- what a round is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [FedAvg(), FedSGD()], ids=["weights", "gradients"])
def test_one_silo_that_takes_one_step_of_all_rows_is_plain_gradient_descent(method: AnyMethod) -> None:
    X, y = table(2)
    work = Work(1, None, 0.5, 0.02)
    settings = NetworkSettings(MODEL, 3, targets=0, rounds=8, work=work, method=method, standardize=False)
    seen, _ = trained(LocalFederation.from_table(X, y), settings)
    params, gradient = seen.networks[0].params.copy(), np.empty_like(seen.networks[0].params)
    for network, loss in zip(seen.networks[1:], seen.losses, strict=True):
        own = MODEL.gradient(params, X, y, None, gradient)
        params = params - np.float32(0.5) * (gradient + np.float32(0.02) * params)
        assert loss == pytest.approx(own, abs=2**-20)
        np.testing.assert_allclose(network.params, params, rtol=0, atol=1e-6)  # a step of the grid, and float32's own
        params = network.params


@examples(20)
@given(seed=SEEDS, silos=st.integers(1, 7), weighting=st.sampled_from(["rows", "equal", "own"]))
def test_a_round_is_the_weighted_mean_of_what_each_silo_makes_by_itself(seed: int, silos: int, weighting: str) -> None:
    """A naive twin: each silo trained by hand, and a float64 average."""
    X, y = table(seed)
    rng = np.random.default_rng(seed)
    whose = rng.integers(0, silos, 60).astype(str)
    names = sorted(set(whose))
    shares = {name: float(rng.uniform(0.5, 3)) for name in names}
    given_weighting = as_weighting(shares if weighting == "own" else weighting)
    work = Work(2, 5, 0.2)
    settings = NetworkSettings(
        MODEL, 3, targets=0, rounds=1, work=work, weighting=given_weighting, seed=seed, standardize=False
    )
    seen, _ = trained(LocalFederation.from_table(X, y, silos=whose), settings)
    start, total, mass = seen.networks[0].params, np.zeros(MODEL.n_params), 0.0
    for name in names:
        own = whose == name
        w = {"rows": float(own.sum()), "equal": 1.0, "own": shares[name]}[weighting]
        rows = Rows(X[own], y[own], None)
        total += w * train(MODEL, start, rows, work, stream(seed, "batches", 0, name)).params
        mass += w
    exact = isinstance(given_weighting, SiloWeights)  # factors are float32
    np.testing.assert_allclose(seen.networks[1].params, total / mass, rtol=0, atol=1e-6 if exact else 2**-23)


def test_fedsgd_over_silos_is_gradient_descent_on_all_rows() -> None:
    X, y = table(3)
    settings = NetworkSettings(MODEL, 3, targets=0, rounds=5, work=Work(1, None, 0.5), method=FedSGD())
    apart, _ = trained(LocalFederation.from_table(X, y, silos=np.arange(60) % 7), settings)
    pooled, _ = trained(LocalFederation.from_table(X, y), settings)
    np.testing.assert_allclose(apart.networks[-1].params, pooled.networks[-1].params, rtol=0, atol=1e-5)


def test_a_round_that_draws_nobody_changes_nothing() -> None:
    X, y = table(4)

    class Nobody:
        def draw(self, n_silos: int, seed: int, round: int) -> NDArray[np.int64]:
            return np.arange(n_silos) if round == 1 else np.zeros(0, np.int64)

    seen, _ = trained(
        LocalFederation.from_table(X, y), NetworkSettings(MODEL, 3, targets=0, rounds=3, sampler=Nobody())
    )
    params = [network.params.tobytes() for network in seen.networks]
    assert params[0] == params[1] != params[2] == params[3]
    assert np.isnan(seen.losses[0]) and np.isfinite(seen.losses[1]) and np.isnan(seen.losses[2])
    assert [network.round for network in seen.networks] == [0, 1, 2, 3]


def test_training_that_goes_on_is_training_in_one_piece() -> None:
    X, y = table(5)
    federation = LocalFederation.from_table(X, y, silos=np.arange(60) % 4)
    settings = NetworkSettings(MODEL, 3, targets=0, rounds=6, work=Work(1, 8, 0.3))
    whole, _ = trained(federation, settings)
    half, _ = trained(federation, replace(settings, rounds=3))
    rest, _ = trained(federation, replace(settings, rounds=3), earlier=half.networks[-1])
    assert rest.networks[-1].params.tobytes() == whole.networks[-1].params.tobytes()
    assert rest.networks[-1].round == 6


# -- limits -------------------------------------------------------------------------------------------------


def test_an_update_beyond_the_grid_is_refused_and_never_wrapped() -> None:
    grid = UpdateScale.for_mass(1000)
    assert grid == UpdateScale(24, 7)
    np.testing.assert_array_equal(grid.round(np.array([128.0, -128.0, 2**-25])), [2**31, -(2**31), 0])
    for beyond in (128.1, -1e30, np.inf, np.nan):
        with pytest.raises(HeadroomError, match=r"an update of .* is beyond the 128 that there is room for"):
            grid.round(np.array([0.0, beyond]))
    assert UpdateScale.for_mass(2**38).bits == 17  # coarser, so that the sum fits
    assert UpdateScale.for_mass(2**44 - 1).bits == 12  # and no coarser than that
    with pytest.raises(HeadroomError, match="leave 11 bits for fractions"):
        UpdateScale.for_mass(2**44)


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_a_loss_that_diverges_ends_training_where_it_was_well(mode: str) -> None:
    X, _ = table(6)
    target = (100 * X[:, 0]).astype(np.float32)
    model = Perceptron([3, 8, 1], "reg:squarederror")
    settings = NetworkSettings(model, 3, rounds=50, work=Work(1, 4, 3.0), standardize=False)
    seen = Seen()
    federation = LocalFederation.from_table(X, target, silos=np.repeat(["mayo", "ucla"], 30), mode=mode)
    with pytest.raises(DivergenceError, match=r"silo '(mayo|ucla)', round \d+: .* lower learning_rate"):
        average(Channel(federation), 2, None, settings, seen)
    assert seen.networks and np.isfinite(seen.networks[-1].params).all()


def test_missing_values_are_refused_by_silo_and_column() -> None:
    X, y = table(7)
    X[40, 2] = np.nan
    for mode in ("fused", "faithful"):
        federation = LocalFederation.from_table(X, y, silos=np.repeat(["mayo", "ucla"], 30), mode=mode)
        with pytest.raises(DataError, match=r"silo 'ucla': column 'f2' holds NaN, which a network cannot learn from"):
            trained(federation, NetworkSettings(MODEL, 3, targets=0))


def test_training_that_nobody_took_part_in_is_refused() -> None:
    federation = LocalFederation.from_table(*table(0))
    with pytest.raises(ParameterError, match="drew no silo that holds rows in any round; draw more"):
        trained(federation, NetworkSettings(MODEL, 3, targets=0, rounds=3, sampler=Poisson(1e-9)))


def test_no_sampler_draws_from_nothing() -> None:
    with pytest.raises(ParameterError, match="a rate lies above 0 and up to 1"):
        Poisson(0.0)


# -- silos that vanish --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_a_round_is_the_mean_of_those_that_answer(mode: str) -> None:
    X, y = table(8)
    whose = (np.arange(60) % 6).astype(str)
    settings = NetworkSettings(MODEL, 3, targets=0, rounds=4, work=Work(1, 8, 0.3), standardize=False)
    flaky = UnreliableFederation(LocalFederation.from_table(X, y, silos=whose, mode=mode), rate=0.5, seed=1)
    seen, channel = trained(flaky, settings)
    rounds = channel.ledger.per_round()
    answers = rounds.loc[rounds.kind == "LocalUpdate", "answers"].tolist()
    assert rounds.loc[rounds.kind != "LocalUpdate", "answers"].eq(6).all() and 0 < min(answers) < max(answers) < 6

    class ThoseWhoAnswered:
        """The same cohorts, of a federation that loses nobody."""

        def draw(self, n_silos: int, seed: int, round: int) -> NDArray[np.int64]:
            number = rounds.index[rounds.kind == "LocalUpdate"][round]
            lots = [stream(1, "vanished", int(number), name).random() for name in flaky.names]
            return np.flatnonzero(np.array(lots) >= 0.5)

    federation = LocalFederation.from_table(X, y, silos=whose, mode=mode)
    whole, _ = trained(federation, replace(settings, sampler=ThoseWhoAnswered()))
    assert seen.networks[-1].params.tobytes() == whole.networks[-1].params.tobytes()


def test_a_silo_whose_answers_get_lost_is_left_out_after_two_attempts() -> None:
    """Over a transport that loses messages, as a network would."""
    X, y = table(9)
    silos = [Silo(name, X[start::3], y[start::3]) for start, name in enumerate("abc")]
    settings = NetworkSettings(MODEL, 3, targets=0, rounds=2, work=Work(1, 8, 0.3), standardize=False)

    class Deaf(InProcess):
        asked = 0

        def exchange(self, messages: Any, timeout: float) -> dict[str, bytes]:
            replies = super().exchange(messages, timeout)
            if b"LocalUpdate" in messages.get("b", b""):
                Deaf.asked += 1
                del replies["b"]
            return replies

    federation = LocalFederation(silos, mode="faithful")
    federation._postman.transport = Deaf({silo.name: silo.answer for silo in silos})
    seen, channel = trained(federation, settings)
    assert Deaf.asked == 4  # two rounds, two attempts each
    rounds = channel.ledger.per_round()
    assert rounds.loc[rounds.kind == "LocalUpdate", "answers"].tolist() == [2, 2]
    detail = channel.ledger.detail("b")
    assert (detail.bytes_up[detail.kind == "LocalUpdate"] == 0).all()
    assert (detail.bytes_down[detail.kind == "LocalUpdate"] > 0).all()

    class WithoutB:
        def draw(self, n_silos: int, seed: int, round: int) -> NDArray[np.int64]:
            return np.array([0, 2])

    whole, _ = trained(LocalFederation(silos), replace(settings, sampler=WithoutB()))
    assert seen.networks[-1].params.tobytes() == whole.networks[-1].params.tobytes()


def test_trees_do_not_do_without_a_silo() -> None:
    """A histogram of fewer rows than were counted is no histogram of the cohort."""
    X, y = table(10)
    silos = [Silo(name, X[start::3], y[start::3]) for start, name in enumerate("abc")]
    federation = LocalFederation(silos, mode="faithful")

    class Deaf(InProcess):
        def exchange(self, messages: Any, timeout: float) -> dict[str, bytes]:
            replies = super().exchange(messages, timeout)
            return {name: reply for name, reply in replies.items() if name != "b"}

    federation._postman.transport = Deaf({silo.name: silo.answer for silo in silos})
    with pytest.raises(SiloLostError, match="no answer from silo 'b' in 2 attempts"):
        FedGBTClassifier(2).fit_federation(federation)


def test_a_share_of_silos_that_vanish_is_below_one() -> None:
    with pytest.raises(ParameterError, match=r"rate=1: give a number from 0 to below 1"):
        UnreliableFederation(LocalFederation.from_table(*table(0)), rate=1)
