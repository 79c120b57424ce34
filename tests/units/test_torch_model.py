"""PyTorch's networks: gradients are the perceptron's, laws hold, and what cannot be averaged is refused."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fedtrees import FedAvgClassifier, FedAvgRegressor, MissingExtraError, ParameterError, ProtocolError, Silo
from fedtrees.core.numeric.rng import stream
from fedtrees.neural.perceptron import Perceptron
from fedtrees.neural.personal import OwnHead
from fedtrees.neural.torch_model import TorchModel, TorchNetwork

torch = pytest.importorskip("torch")
nn: Any = torch.nn


def mlp(features: int, outputs: int) -> Any:
    return nn.Sequential(nn.Linear(features, 6), nn.ReLU(), nn.Linear(6, outputs))


def convolutions(features: int, outputs: int) -> Any:
    side = int(features**0.5)
    return nn.Sequential(
        nn.Unflatten(1, (1, side, side)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(8 * (side // 2) ** 2, outputs),
    )  # fmt: skip


class Drawing(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(features, outputs)

    def forward(self, X: Any) -> Any:
        return self.layer(nn.functional.dropout(X, 0.5, True))


def as_torch(model: Perceptron, params: Any) -> Any:
    """The perceptron's parameters as a module's, whose weights are (outputs, inputs)."""
    return np.concatenate([part.T.ravel() for pair in model.layers(params) for part in pair])


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob", "reg:squarederror", "count:poisson"])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_are_the_perceptron_s(objective: str, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    outputs = {"binary:logistic": 1, "multi:softprob": 3}.get(objective, 2)
    own, theirs = Perceptron([4, 6, outputs], objective), TorchModel(mlp).for_task(4, outputs, objective)
    X, weight = rng.normal(size=(9, 4)).astype(np.float32), rng.uniform(0.5, 2, 9).astype(np.float32)
    y: Any = rng.normal(size=(9, 2)).astype(np.float32)
    if objective == "count:poisson":
        y = rng.poisson(1.0, (9, 2)).astype(np.float32)
    elif objective != "reg:squarederror":
        y = rng.integers(0, max(2, outputs), 9)
    params = own.initial(rng)
    moved = as_torch(own, params)
    assert theirs.n_params == own.n_params and theirs.tail(1) == own.tail(1)
    np.testing.assert_allclose(theirs.margins(moved, X), own.margins(params, X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(theirs.losses(moved, X, y), own.losses(params, X, y), rtol=1e-5, atol=1e-6)
    one, other = np.empty_like(params), np.empty_like(params)
    chosen = weight if weighted else None
    loss = theirs.gradient(moved, X, y, chosen, other)
    assert loss == pytest.approx(own.gradient(params, X, y, chosen, one), rel=1e-5)
    np.testing.assert_allclose(other, as_torch(own, one), rtol=1e-4, atol=1e-6)
    rows = np.stack([as_torch(own, row) for row in own.row_gradients(params, X, y)])
    np.testing.assert_allclose(theirs.row_gradients(moved, X, y), rows, rtol=1e-4, atol=1e-6)


# law: Model
def test_convolutions_learn_digits_and_neither_threads_nor_messages_change_a_bit() -> None:
    X, y = load_digits(return_X_y=True)
    silos = np.arange(len(y)) % 10
    common = {"model": TorchModel(convolutions), "n_rounds": 8, "batch_size": 16, "learning_rate": 0.2, "sampling": 0.5}
    one, two = (FedAvgClassifier(n_jobs=n, **common).fit(X / 16, y, silos=silos) for n in (1, 2))
    assert one.params_.tobytes() == two.params_.tobytes() and one.score(X / 16, y) > 0.9
    state = torch.random.get_rng_state()
    FedAvgClassifier(n_jobs=1, **common).fit(X / 16, y, silos=silos)
    assert torch.equal(torch.random.get_rng_state(), state)  # the global generator is nobody's
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.predict(X / 16), one.predict(X / 16))
    personal = one.personalize(Silo("a", X[silos == 0] / 16, y[silos == 0]), OwnHead(epochs=3))
    body = len(one.params_) - one._settings.model.tail(1)
    assert (personal.params_[:body] == one.params_[:body]).all() and (personal.params_ != one.params_).any()


def test_regression_of_two_targets() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 4))
    y = np.stack([100 + 10 * X[:, 0], -3 * X[:, 1]], axis=1)
    model = FedAvgRegressor(model=TorchModel(mlp), n_rounds=60).fit(X, y, silos=np.arange(300) % 3)
    assert model.score(X, y) > 0.95


WRONG: dict[str, tuple[Any, str]] = {
    "buffers": (lambda a, b: nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b)), "the buffer '1.running_mean'"),
    "draws": (lambda a, b: nn.Sequential(nn.Dropout(0.5), nn.Linear(a, b)), "a Dropout, whose draws nobody can repeat"),
    "draws in a function": (lambda a, b: Drawing(a, b), "draws: it says something else of the same rows each time"),
    "frozen layers": (lambda a, b: nn.Linear(a, b).requires_grad_(False), "freezes 'weight', and averaging trains all"),
    "no module": (lambda a, b: np.zeros(3), r"returned a ndarray, and not a torch.nn.Module"),
    "no parameters": (lambda a, b: nn.Identity(), "no parameters to train"),
    "other features": (lambda a, b: nn.Linear(a + 1, b), "does not take 4 features"),
    "other outputs": (lambda a, b: nn.Linear(a, b + 1), r"maps two rows to \(2, 2\), where \(2, 1\) is needed"),
    "float64": (lambda a, b: nn.Linear(a, b).double(), "parameters that are not float32"),
    "no function": ("nn.Linear", "give a function of features and outputs"),
}


def test_a_module_that_draws_is_refused_though_it_says_the_same_twice_by_chance() -> None:
    X, y = np.ones((20, 1), np.float32), np.arange(20) % 2
    for seed in range(16):  # of one column and two rows every sixteenth pair of draws is equal
        torch.manual_seed(seed)
        state = torch.random.get_rng_state()
        with pytest.raises(ParameterError, match="draws"):
            FedAvgClassifier(model=TorchModel(Drawing)).fit(X, y)
        assert torch.equal(torch.random.get_rng_state(), state)  # the global generator is nobody's


@pytest.mark.parametrize("case", WRONG)
def test_modules_that_cannot_be_averaged_are_refused(case: str) -> None:
    factory, match = WRONG[case]
    X, y = np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 2
    with pytest.raises(ParameterError, match=match):
        FedAvgClassifier(model=TorchModel(factory)).fit(X, y)


CONSTANT: dict[str, tuple[Any, bool]] = {  # modules of features and outputs, and whether they end with biases
    "one layer": (lambda a, b: nn.Linear(a, b), True),
    "two": (mlp, True),
    "two of one unit": (lambda a, b: nn.Sequential(nn.Linear(a, 1), nn.Tanh(), nn.Linear(1, b)), True),
    "no biases": (lambda a, b: nn.Linear(a, b, bias=False), False),
    "none at the end": (lambda a, b: nn.Sequential(nn.Linear(a, b), nn.Linear(b, b, bias=False)), False),
    "a slope behind": (lambda a, b: nn.Sequential(nn.Linear(a, b), nn.PReLU(b)), False),
    "a scale behind": (lambda a, b: nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b)), False),
    "three axes": (lambda a, b: nn.Sequential(nn.Unflatten(1, (1, a)), nn.Conv1d(1, b, a), nn.Flatten()), False),
}


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("case", CONSTANT)
def test_modules_that_end_with_biases_are_made_constant(case: str, outputs: int) -> None:
    """In the outputs that are to be, and in no others."""
    factory, fits = CONSTANT[case]
    network = TorchModel(factory).for_task(4, outputs, "reg:squarederror")
    params = network.initial(np.random.default_rng(0))
    X = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    before, kept = network.margins(params, X), params.tobytes()
    for wanted in (np.float32([1.5, -2, 0.25])[:outputs], np.float32([np.nan, -2, np.nan])[-outputs:]):
        constant = network.constant(params, wanted)
        assert (constant is not None) == fits and params.tobytes() == kept
        if constant is not None:
            found, held = network.margins(constant, X), ~np.isnan(wanted)
            np.testing.assert_array_equal(found[:, held], np.broadcast_to(wanted, found.shape)[:, held])
            np.testing.assert_allclose(found[:, ~held], before[:, ~held], rtol=1e-6, atol=1e-7)


def test_layers_that_could_draw_and_do_not_are_fine() -> None:
    for factory in (lambda a, b: nn.Sequential(nn.Dropout(0.0), nn.Linear(a, b)), lambda a, b: nn.Linear(a, b)):
        assert TorchModel(factory).for_task(4, 2, "multi:softprob").n_params == 10


def test_a_silo_that_has_no_such_factory_says_so() -> None:
    with pytest.raises(ProtocolError, match=r"no module factory 'elsewhere.net' here; make a TorchModel of it"):
        _ = TorchNetwork("elsewhere.net", 3, 1, "binary:logistic").n_params


def test_without_pytorch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[torch\]'"):
        FedAvgClassifier(model=TorchModel(mlp)).fit(np.eye(4), [0, 1, 0, 1])


class Noisy(torch.nn.Module):  # type: ignore[misc]
    """Draws from a generator of its own, of PyTorch's or NumPy's, or always the same."""

    def __init__(self, features: int, outputs: int, how: str):
        super().__init__()
        self.layer, self.how, self.rng = torch.nn.Linear(features, outputs), how, np.random.default_rng(0)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, rows: Any) -> Any:
        said = self.layer(rows)
        if self.how == "numpy":
            return said + float(self.rng.normal())
        if self.how == "torch's own":
            return said + torch.randn(said.shape, generator=self.generator)
        return said + 0 * torch.randn(said.shape) if self.how == "for nothing" else said


@pytest.mark.parametrize("how", ["numpy", "torch's own", "for nothing", "none"])
def test_a_module_that_draws_is_refused_whatever_generator_it_has(how: str) -> None:
    X, y = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32), np.arange(20) % 2
    model = FedAvgClassifier(model=TorchModel(lambda a, b: Noisy(a, b, how)), n_rounds=1, n_jobs=1)
    if how == "none":
        model.fit(X, y)
        return
    with pytest.raises(ParameterError, match="draws: it says something else of the same rows each time"):
        model.fit(X, y)


class Wrong(torch.nn.Module):  # type: ignore[misc]
    """Says something of all rows together, or too little or too much of each."""

    def __init__(self, features: int, outputs: int, how: str):
        super().__init__()
        self.layer, self.how = torch.nn.Linear(features, outputs), how

    def forward(self, rows: Any) -> Any:
        said = self.layer(rows)
        together = {"one row": said.mean(dim=0, keepdim=True), "no rows": said.mean(dim=0), "twice": said.repeat(2, 1)}
        return together.get(self.how, said[:, :1])


@pytest.mark.parametrize(("how", "shape"), [("one row", "1, 3"), ("no rows", "3,"), ("twice", "4, 3"), ("few", "2, 1")])
def test_a_module_of_other_shapes_is_refused(how: str, shape: str) -> None:
    X, y = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32), np.arange(21) % 3
    model = FedAvgClassifier(model=TorchModel(lambda a, b: Wrong(a, b, how)), n_rounds=1, n_jobs=1)
    with pytest.raises(ParameterError, match=rf"maps two rows to .*\({shape}\).*, where \(2, 3\) is needed"):
        model.fit(X, y)


def test_a_module_starts_as_it_does_by_itself_drawn_by_the_seed() -> None:
    X, y = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32), np.arange(20) % 2
    for seed in (0, 1, 7):
        model = FedAvgClassifier(model=TorchModel(torch.nn.Linear), random_state=seed, n_jobs=1)
        found = model.partial_fit(X, y, classes=[0, 1], n_rounds=0).params_
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(stream(seed, "initial weights").integers(2**63)))
            layer = torch.nn.Linear(3, 1)
        expected = np.concatenate([own.detach().numpy().ravel() for own in layer.parameters()])
        assert found.tobytes() == expected.tobytes()
