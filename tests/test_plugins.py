"""Packages declare parts by entry points, loaded when first needed; a broken one brings nothing down."""

import sys
import textwrap
from importlib.metadata import EntryPoint

import pytest

from bayesglu import plugins
from bayesglu.analytes import analytes
from bayesglu.errors import BayesgluWarning
from bayesglu.physiology.registry import list_parts

pytestmark = pytest.mark.usefixtures("registry")

PLUGIN = """
from typing import Annotated
import bayesglu as bg

def lactate_rate(
    lactate: Annotated[float, "mmol/L"], lactate_loss: Annotated[float, "1/min"]
) -> Annotated[float, "mmol/L/min"]:
    return -lactate_loss * lactate

def register():
    assert "lost" not in bg.list_parts().get("lactate", ())
    part = bg.Part({"lactate_rate": lactate_rate}, {"lactate": bg.State("lactate_rate", None, "mmol/L", 1.0)})
    bg.register_part("lactate", "lost", part)
    bg.register_analyte("lactate", {"mmol/L": 1.0})
"""


@pytest.fixture
def declared(monkeypatch, tmp_path):
    """A function that declares modules, by name and text, as plugins that have not been loaded yet."""
    monkeypatch.setattr(plugins, "_begun", False)
    monkeypatch.setattr(plugins, "_done", False)
    monkeypatch.syspath_prepend(str(tmp_path))

    def declare(**modules: tuple[str, str]):
        points = []
        for name, (text, value) in modules.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
            monkeypatch.delitem(sys.modules, name, raising=False)
            points.append(EntryPoint(name, value, plugins.GROUP))
        monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == plugins.GROUP else [])

    return declare


@pytest.mark.parametrize("by_import", [True, False])
def test_a_plugin_is_loaded_when_parts_are_first_asked_for_and_then_no_more(declared, by_import):
    text = PLUGIN + ("\nregister()\n" if by_import else "")
    declared(plugin_lactate=(text, "plugin_lactate" if by_import else "plugin_lactate:register"))
    assert "plugin_lactate" not in sys.modules
    assert list_parts()["lactate"] == ("none", "lost")
    del sys.modules["plugin_lactate"]
    assert "lactate" in analytes()
    assert "plugin_lactate" not in sys.modules


def test_an_analyte_of_a_plugin_is_there_before_any_model_is_read(declared):
    declared(plugin_lactate=(PLUGIN, "plugin_lactate:register"))
    assert analytes()["lactate"].units == {"mmol/L": 1.0}


def test_a_broken_plugin_is_a_warning_that_names_it_and_the_others_are_loaded(declared):
    declared(
        a_broken=("import no_such_library", "a_broken"),
        b_broken=("raise RuntimeError('out of order')", "b_broken"),
        plugin_lactate=(PLUGIN, "plugin_lactate:register"),
    )
    with pytest.warns(BayesgluWarning) as told:
        parts = list_parts()
    assert "lactate" in parts
    messages = [str(warning.message) for warning in told]
    assert len(messages) == 2
    assert "'a_broken' (a_broken)" in messages[0] and "no_such_library" in messages[0]
    assert "RuntimeError: out of order" in messages[1]
    assert all(warning.filename == __file__ for warning in told)
