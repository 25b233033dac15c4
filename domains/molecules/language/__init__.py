"""Language models that read molecules: contexts as tokens and graphs, telling, and what is told from them."""

from domains.molecules.language.figures import ContextLoss as ContextLoss
from domains.molecules.language.processor import ContextProcessor as ContextProcessor
from domains.molecules.language.prompted import GraphPromptedLM as GraphPromptedLM
from domains.molecules.language.retrosynthesis import Retrosynthesis as Retrosynthesis
from domains.molecules.language.tasks import Captioning as Captioning
from domains.molecules.language.tasks import Procedures as Procedures
from domains.molecules.language.terms import NextToken as NextToken
