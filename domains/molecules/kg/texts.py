"""Entity descriptions as vectors, without a pretrained model: hashed words or hashed character n-grams, tf-idf.

Both are deterministic, need no vocabulary and run on any machine. Vectors of a sentence encoder can be given instead,
as a `.npy` file with one row per line of its `.names.txt` (see `read_vectors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, DataError, nearest
from domains.molecules.kg.triples import read_lines

Floats = NDArray[np.float32]
ANALYZERS = {"words": ("word", (1, 1)), "characters": ("char_wb", (3, 5))}  # FastText's subwords are of 3 to 6 letters


def text_features(texts: Sequence[str], *, kind: str, size: int) -> Floats:
    """(E, size) tf-idf of hashed units, unit rows; an empty text is a row of zeros. kind: words or characters."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    if kind not in ANALYZERS:
        raise ConfigError(f"text features: there is no kind '{kind}'{nearest(kind, ANALYZERS)}")
    analyzer, ngrams = ANALYZERS[kind]
    counted = HashingVectorizer(
        n_features=size, analyzer=analyzer, ngram_range=ngrams, norm=None, alternate_sign=False, dtype=np.float64
    ).transform(texts)
    found = TfidfTransformer(sublinear_tf=True).fit_transform(counted)
    return np.asarray(found.todense(), dtype=np.float32)


def read_vectors(path: Path, names: Sequence[str]) -> Floats:
    """(E, F) rows for `names` from `path` (.npy, float, (N, F)) and `path` with the suffix .names.txt (N lines).

    Rows are brought to unit length; an entity that the file does not name is a row of zeros. Raises DataError for a
    missing, pickled or misshapen file, and when the two files disagree.
    """
    listed = [line for line in read_lines(path.with_suffix(".names.txt")) if line]
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise DataError(f"{path}: not a readable .npy array ({err}); save it with numpy.save, without objects") from err
    if found.ndim != 2 or len(found) != len(listed) or found.dtype.kind != "f":
        raise DataError(f"{path}: is {found.dtype} {found.shape}; expected floats ({len(listed)}, F), a row per name")
    if not np.isfinite(found).all():
        raise DataError(f"{path}: holds values that are not finite; write the vectors again")
    row_of: Mapping[str, int] = {name: row for row, name in enumerate(listed)}
    out = np.zeros((len(names), found.shape[1]), dtype=np.float32)
    for i, name in enumerate(names):
        if name in row_of:
            out[i] = found[row_of[name]]
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
