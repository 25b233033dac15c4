"""Raw string to model input: used by training, evaluation, embedding and deployment alike."""

from domains.molecules.processors.fingerprint import FingerprintProcessor as FingerprintProcessor
from domains.molecules.processors.graph import GraphProcessor as GraphProcessor
from domains.molecules.processors.wording import WordingProcessor as WordingProcessor
