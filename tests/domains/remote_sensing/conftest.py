"""Makes `rs_files` importable for the tests below, and rasterio a condition of them."""

import pytest

pytest.importorskip("rasterio", reason="the remote_sensing extra is not installed")
