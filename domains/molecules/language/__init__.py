"""Language models that read molecules: contexts as tokens and graphs, telling, and what is told from them."""

from domains.molecules.language.figures import ContextLoss as ContextLoss
from domains.molecules.language.processor import ContextProcessor as ContextProcessor
from domains.molecules.language.prompted import GraphPromptedLM as GraphPromptedLM
from domains.molecules.language.terms import NextToken as NextToken
