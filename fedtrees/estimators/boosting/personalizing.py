"""An estimator's copy for one silo, made inside it."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Self

from numpy.typing import ArrayLike

from fedtrees.core.data.silo_column import codes_of_silos
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.silo import Silo
from fedtrees.errors import ParameterError
from fedtrees.estimators.boosting.model import HoldsBooster
from fedtrees.estimators.boosting.model_file import note_own_silo
from fedtrees.estimators.boosting.parameters import check_feature_weights
from fedtrees.estimators.boosting.personal_trees import MoreTrees, PersonalTrees, personal_booster
from fedtrees.estimators.common.parameter_checks import seed_of
from fedtrees.estimators.common.personal import check_personal
from fedtrees.trees.losses.custom import Function
from fedtrees.trees.server.constraints import Constraints, Interactions, Monotone

if TYPE_CHECKING:
    from fedtrees.estimators.common.parameter_types import Seed


class Personalizes(HoldsBooster):
    """An estimator that a silo can fit to its rows."""

    # parameters of the constructor that are needed here
    objective: str | Function | None
    feature_weights: ArrayLike | None
    monotone_constraints: Monotone
    interaction_constraints: Interactions
    random_state: Seed

    def personalize(self, silo: Silo, how: PersonalTrees | None = None) -> Self:
        """A copy of this model that fits one silo better; made in that silo, and nothing leaves it.

        Parameters
        ----------
        silo : Silo
        how : MoreTrees or OwnLeaves, optional
            Whether trees are added, or the leaves of the shared ones are the silo's own; None is ``MoreTrees()``. A
            model with ``split_on_silo`` has branches of the silo's own: its copy takes all rows for that silo's.

        Returns
        -------
        A fitted estimator.

        Raises
        ------
        SchemaError
            If the silo has other columns.
        DataError
            If it holds no row, or a label that was not there in training.
        """
        shared = self.get_booster()
        if self._silos is not None:
            return self._of_silo(silo, how)
        if callable(self.objective) or self._objective == "survival:aft":
            what = "a function" if callable(self.objective) else self._objective
            raise ParameterError(f"personalize: models whose objective is {what} are not made personal.")
        params = {**self.get_xgb_params(), "objective": self._objective, "nthread": Threads(self.n_jobs).n}
        for ours in ("n_jobs", "random_state", "base_score", "eval_metric"):
            params.pop(ours, None)
        params |= Constraints.of(
            self.monotone_constraints, self.interaction_constraints, self._schema.names
        ).params()  # fmt: skip
        if self._objective.startswith("multi:"):
            params["num_class"] = max(2, len(self._schema.labels or ()))
        params["seed"] = seed_of(0 if self.random_state is None else self.random_state)
        weights = check_feature_weights(self.feature_weights, len(self._schema.names))
        booster = personal_booster(shared, self._schema, silo, how or MoreTrees(), params, weights)
        personal = copy(self)
        personal._hold(booster, self._schema)
        personal._note(None)
        return personal

    def _of_silo(self, silo: Silo, how: PersonalTrees | None) -> Self:
        """The model for one of the silos that it has branches of."""
        check_personal(self._schema, silo)
        if how is not None:
            raise ParameterError(f"how={how!r}: a model with split_on_silo has the silo's own branches; leave it out.")
        codes_of_silos(silo.name, self._silos or (), 1)  # refuses others
        personal = copy(self)
        personal._Booster = self.booster_.copy()
        personal._Booster.set_param({"nthread": Threads(self.n_jobs).n})
        note_own_silo(personal._Booster, silo.name)
        personal._own_silo = silo.name
        return personal
