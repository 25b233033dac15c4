"""Federated learning that exchanges features of public items (CreamFL)."""

from core.federated.aggregate import aggregate, client_weights
from core.federated.bank import own_log_prob
from core.federated.data import Shard, mixed_batch, public_name
from core.federated.simulate import Client, Round, Settings, features, simulate
from core.federated.terms import BankRegression, InterModal, IntraModal, Labels

__all__ = [
    "BankRegression",
    "Client",
    "InterModal",
    "IntraModal",
    "Labels",
    "Round",
    "Settings",
    "Shard",
    "aggregate",
    "client_weights",
    "features",
    "mixed_batch",
    "own_log_prob",
    "public_name",
    "simulate",
]
