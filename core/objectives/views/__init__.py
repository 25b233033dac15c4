"""What terms compare: vectors or token vectors of the rows in which a modality is present."""

from core.objectives.views.base import Embedding, FromTeacher, Head, View, Viewed, as_view
from core.objectives.views.codes import DiscreteTokens, Lexical
from core.objectives.views.stored import Stored
from core.objectives.views.tokens import PrefixToken, TokenView
from core.objectives.views.top_tokens import TopTokens

__all__ = [
    "DiscreteTokens",
    "Embedding",
    "FromTeacher",
    "Head",
    "Lexical",
    "PrefixToken",
    "Stored",
    "TokenView",
    "TopTokens",
    "View",
    "Viewed",
    "as_view",
]
