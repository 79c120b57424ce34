"""Neural networks by federated averaging, over the same cohorts, weights, queries and channels as the trees."""
