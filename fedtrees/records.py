"""All records that travel: a reader that meets an unknown kind imports this module, and with it every record."""

from __future__ import annotations

import fedtrees.bagging.facts
import fedtrees.bagging.questions
import fedtrees.core.data.table
import fedtrees.core.protocol.aggregation
import fedtrees.core.protocol.count_weights
import fedtrees.core.protocol.describe
import fedtrees.core.protocol.holdout
import fedtrees.core.protocol.start_messages
import fedtrees.neural.class_weights
import fedtrees.neural.largest_loss
import fedtrees.neural.one_class
import fedtrees.neural.scores
import fedtrees.neural.state
import fedtrees.neural.update
import fedtrees.queries.categories
import fedtrees.queries.counts
import fedtrees.queries.moments
import fedtrees.queries.query_weights
import fedtrees.queries.ranks
import fedtrees.queries.scores
import fedtrees.queries.target_steps
import fedtrees.trees.messages.class_factors
import fedtrees.trees.messages.earlier_model
import fedtrees.trees.messages.evaluation
import fedtrees.trees.messages.histograms
import fedtrees.trees.messages.initial_margin
import fedtrees.trees.messages.leaf_moments
import fedtrees.trees.messages.leaf_quantiles
import fedtrees.trees.messages.node_histograms
import fedtrees.trees.messages.out_of_bag
import fedtrees.trees.messages.position_bias
import fedtrees.trees.messages.rare_categories
import fedtrees.trees.messages.risk_sets
import fedtrees.trees.messages.training
import fedtrees.trees.messages.tree_errors
