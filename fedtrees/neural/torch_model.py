"""Networks of PyTorch's: any module that maps rows to outputs. The extra ``torch`` brings it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from threading import local
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import MissingExtraError, ParameterError, ProtocolError
from fedtrees.neural.losses import Targets

if TYPE_CHECKING:
    from torch import Tensor  # PyTorch is optional, and slow to import
    from torch.nn import Module

Floats = NDArray[np.float32]
Factory = Callable[[int, int], "Module"]

_FACTORIES: dict[str, Factory] = {}


class TorchModel:
    """A factory of modules, for an estimator's ``model=``.

    A module's parameters are averaged, and nothing else of it: one with buffers, such as the running means of batch
    normalisation, is refused (group normalisation has none), as is one that draws, such as dropout, whose draws
    could not be repeated.

    Parameters
    ----------
    module_factory : callable
        Given the numbers of features and of outputs, returns a ``torch.nn.Module`` that maps float32 (rows, features)
        to (rows, outputs). Silos in other processes have to have made a `TorchModel` of a function of that name, too.

    Raises
    ------
    MissingExtraError
        From the estimator, if PyTorch is not installed.
    """

    def __init__(self, module_factory: Factory):
        self.module_factory = module_factory

    def for_task(self, features: int, outputs: int, objective: str) -> TorchNetwork:
        """The network for so many columns and outputs."""
        if not callable(self.module_factory):
            raise ParameterError(f"TorchModel({self.module_factory!r}): give a function of features and outputs.")
        factory = self.module_factory
        name = f"{getattr(factory, '__module__', '')}.{getattr(factory, '__qualname__', type(factory).__qualname__)}"
        while _FACTORIES.setdefault(name, factory) is not factory:
            name += "'"
        network = TorchNetwork(name, features, outputs, objective)
        network.check()
        return network

    def __repr__(self) -> str:
        return f"TorchModel({getattr(self.module_factory, '__name__', self.module_factory)})"


class TorchNetwork(msgspec.Struct, frozen=True, tag="torch"):
    """A module of a registered name, for a task; see `neural.model.Model`.

    Parameters
    ----------
    name : str
        Of the factory.
    features, outputs : int
    objective : str
    """

    name: str
    features: int
    outputs: int
    objective: str

    @property
    def n_params(self) -> int:
        """Length of the vector of parameters."""
        return sum(tensor.numel() for tensor in _module(self.name, self.features, self.outputs).parameters())

    def tail(self, layers: int) -> int:
        """The number of parameters of the last modules that have some, without their children's."""
        module = _module(self.name, self.features, self.outputs)
        sizes = [sum(tensor.numel() for tensor in part.parameters(recurse=False)) for part in module.modules()]
        return sum([size for size in sizes if size][-layers:])

    def check(self) -> None:
        """Refuse a module that cannot be averaged, or of other shapes than the task's.

        Raises
        ------
        ParameterError
        """
        torch = _torch()
        module = _module(self.name, self.features, self.outputs)
        if not isinstance(module, torch.nn.Module):
            raise ParameterError(f"model: {self.name} returned a {type(module).__name__}, and not a torch.nn.Module.")
        buffers = [name for name, _ in module.named_buffers()]
        if buffers:
            raise ParameterError(
                f"model: {self.name} has the buffer {buffers[0]!r}, which averaging knows nothing of; use layers "
                "without one, as GroupNorm is instead of BatchNorm."
            )
        draws = [part for part in module.modules() if isinstance(part, torch.nn.modules.dropout._DropoutNd) and part.p]
        if draws:
            raise ParameterError(f"model: {self.name} has a {type(draws[0]).__name__}, whose draws nobody can repeat.")
        if not self.n_params:
            raise ParameterError(f"model: {self.name} has no parameters to train.")
        frozen = [name for name, tensor in module.named_parameters() if not tensor.requires_grad]
        if frozen:
            raise ParameterError(f"model: {self.name} freezes {frozen[0]!r}, and averaging trains all parameters.")
        if any(tensor.dtype != torch.float32 for tensor in module.parameters()):
            raise ParameterError(f"model: {self.name} has parameters that are not float32.")
        try:
            params = self.initial(np.random.default_rng(0))
            rows = np.linspace(-1, 1, 2 * self.features, dtype=np.float32).reshape(2, self.features)
            with torch.random.fork_rng(devices=[]):
                before = torch.random.get_rng_state()
                first, again = (self.margins(params, rows) for _ in range(2))
                drew = not torch.equal(torch.random.get_rng_state(), before)
        except RuntimeError as error:
            raise ParameterError(f"model: {self.name} does not take {self.features} features: {error}") from error
        if first.shape != (2, self.outputs):
            raise ParameterError(
                f"model: {self.name} maps two rows to {first.shape}, where (2, {self.outputs}) is needed."
            )
        # two draws may happen to be the same, and a module may have a generator of its own: either gives it away
        if drew or not np.array_equal(first, again):
            raise ParameterError(f"model: {self.name} draws: it says something else of the same rows each time.")

    def initial(self, rng: np.random.Generator) -> Floats:
        """Parameters as the module itself starts, drawn by a seed from ``rng``."""
        torch = _torch()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            module = _FACTORIES[self.name](self.features, self.outputs)
        parts = [tensor.detach().numpy().ravel() for tensor in module.parameters()]
        return np.concatenate(parts).astype(np.float32)

    def constant(self, params: Floats, margins: Floats) -> Floats | None:
        """See `neural.model.Model`; for modules that end with a linear layer and its biases."""
        shapes = [tuple(tensor.shape) for tensor in _module(self.name, self.features, self.outputs).parameters()]
        last = self.tail(1)
        if len(shapes) < 2 or len(shapes[-2]) != 2 or shapes[-1] != margins.shape or shapes[-2][0] != len(margins):
            return None
        if last != (shapes[-2][1] + 1) * len(margins):
            return None
        constant, held = params.copy(), ~np.isnan(margins)
        constant[-last : -len(margins)].reshape(shapes[-2])[held] = 0
        constant[-len(margins) :][held] = margins[held]
        return constant

    def margins(self, params: Floats, X: Floats) -> Floats:
        """The module's output, float32 (rows, outputs)."""
        with _torch().no_grad():
            margins: Floats = self._call(_tensor(params), X).numpy()
            return margins

    def losses(self, params: Floats, X: Floats, y: Targets) -> NDArray[np.float64]:
        """Each row's loss, float64 (rows,)."""
        with _torch().no_grad():
            each: NDArray[np.float64] = self._losses(_tensor(params), X, y).numpy().astype(np.float64)
            return each

    def gradient(self, params: Floats, X: Floats, y: Targets, weight: Floats | None, out: Floats) -> float:
        """Write the gradient of the mean of the rows' losses, each times its weight, into ``out``; return that mean."""
        torch = _torch()
        flat = _tensor(params).requires_grad_()
        each = self._losses(flat, X, y)
        share = torch.full((len(X),), 1 / len(X)) if weight is None else torch.from_numpy(weight / np.float32(len(X)))
        loss = each @ share
        torch.from_numpy(out).copy_(torch.autograd.grad(loss, flat)[0])
        return float(loss.detach())

    def row_gradients(self, params: Floats, X: Floats, y: Targets) -> Floats:
        """The gradient of each row's own loss, float32 (rows, n_params)."""
        out = np.empty((len(X), len(params)), np.float32)
        for row in range(len(X)):
            self.gradient(params, X[row : row + 1], y[row : row + 1], None, out[row])
        return out

    def _call(self, flat: Tensor, X: Floats) -> Tensor:
        torch, module = _torch(), _module(self.name, self.features, self.outputs)
        named = dict(module.named_parameters())
        parts = torch.split(flat, [tensor.numel() for tensor in named.values()])
        views = {name: part.view(tensor.shape) for (name, tensor), part in zip(named.items(), parts, strict=True)}
        margin: Tensor = torch.func.functional_call(module, views, (_tensor(X),))
        return margin

    def _losses(self, flat: Tensor, X: Floats, y: Targets) -> Tensor:
        torch = _torch()
        margin, target = self._call(flat, X), _tensor(np.ascontiguousarray(y))
        functional = torch.nn.functional
        losses: Tensor
        if self.objective == "binary:logistic":
            losses = functional.binary_cross_entropy_with_logits(margin[:, 0], target.float(), reduction="none")
        elif self.objective == "multi:softprob":
            losses = functional.cross_entropy(margin, target, reduction="none")
        elif self.objective == "count:poisson":
            losses = (margin.exp() - target * margin + torch.special.xlogy(target, target) - target).sum(dim=1)
        else:
            losses = ((margin - target) ** 2).sum(dim=1) / 2
        return losses


def _torch() -> ModuleType:
    try:
        return import_module("torch")
    except ImportError as error:
        raise MissingExtraError("TorchModel needs PyTorch: pip install '.[torch]' in a checkout.") from error


def _tensor(values: Targets) -> Tensor:
    """Share an array's memory, or copy an array that is only to be read, of which PyTorch makes no tensor in peace."""
    tensor: Tensor = _torch().from_numpy(values if values.flags.writeable else values.copy())
    return tensor


_of_thread = local()  # a module is called with other parameters by putting them into it: threads cannot share one


def _module(name: str, features: int, outputs: int) -> Module:
    """The module of this thread, to be called with any parameters of the shapes of its own."""
    modules: dict[tuple[str, int, int], Module] = _of_thread.__dict__.setdefault("modules", {})
    key = name, features, outputs
    if key not in modules:
        modules[key] = _built(name, features, outputs)
    return modules[key]


def _built(name: str, features: int, outputs: int) -> Module:
    if name not in _FACTORIES:
        raise ProtocolError(f"no module factory {name!r} here; make a TorchModel of it in this silo's process.")
    torch = _torch()
    with torch.random.fork_rng(devices=[]):
        return _FACTORIES[name](features, outputs)
