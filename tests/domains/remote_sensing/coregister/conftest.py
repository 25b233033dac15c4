"""scikit-image is a condition of the tests of registration."""

import pytest

pytest.importorskip("skimage", reason="the remote-sensing extra is not installed")
