"""The table of layouts: every name leads to a class that states where its data comes from."""

import subprocess
import sys

import pytest

from core.data.layout import Layout
from core.errors import ConfigError
from domains.medical.data import LAYOUTS, layout_class


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_name_is_a_layout_with_licence_and_source(name):
    layout = layout_class(name)
    assert issubclass(layout, Layout)
    assert layout.name
    assert layout.licence
    assert layout.source
    assert layout.simulated == (name == "thorax_phantom")


def test_a_wrong_name_gets_the_nearest():
    with pytest.raises(ConfigError, match="there is no layout 'ctrate'; did you mean 'ct_rate'"):
        layout_class("ctrate")


def test_the_table_itself_imports_no_layout_and_no_torch():
    code = (
        "import sys, domains.medical.data as d; d.layout_class; "
        "print([m for m in ('torch', 'pandas', 'numpy', 'domains.medical.data.ct_rate') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
