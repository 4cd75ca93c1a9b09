"""docs/develop.md: the method that it shows is one, as it stands."""

import re
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from scipy.sparse import csr_array

from pipeline.unlearning import methods, settings
from pipeline.unlearning.bench import Outcome
from pipeline.unlearning.case import Case
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.firing import Firing
from studies.tables import ROOT
from tests.support.cases import case_with

PAGE = (ROOT / "docs/develop.md").read_text(encoding="utf-8")
MODULE, ROW = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PROBES = [{"path": ["d", "t"]}, {"path": ["d", "u"]}]


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> methods.Method:
    """The module at the place that the row of the table names, and the row in the table."""
    row = eval(ROW, {"Method": methods.Method})
    assert f"`{row.home.replace('.', '/')}.py`" in PAGE
    module = ModuleType(row.home)
    exec(MODULE, module.__dict__)
    monkeypatch.setitem(sys.modules, row.home, module)
    monkeypatch.setitem(methods.METHODS, row.name, row)
    return row


def planted() -> Case:
    """Latents 3 and 1 hold the target, 0 its sibling; 2 is silent on the target. By loudness there: 3, 1, 0."""

    def measure(edit: Edit) -> Outcome:
        edited = set(edit.latents.tolist())
        known = torch.tensor([1.0 - len(edited & {1, 3}) / 2, 0.0 if 0 in edited else 1.0])
        return Outcome(known, 0.25 + 0.75 * known, torch.zeros(0))

    codes_xs = csr_array(np.array([[1.0, 4.0, 0.0, 9.0], [5.0, 0.0, 3.0, 0.0]]))
    firing = Firing([{"path": ["d", "t"]}, {"path": ["d", "u"]}], np.full(2, 10.0), (codes_xs > 0) * 1.0, codes_xs)
    bench = SimpleNamespace(probes=PROBES, texts=[], measure=measure)
    return case_with(firing=firing, dev=bench, before=Outcome(torch.ones(2), torch.ones(2), torch.zeros(0)))


def test_the_method_stops_where_the_next_latent_does_harm(added: methods.Method) -> None:
    choice = planted().choose(added.name)
    assert (choice.edit.method, choice.edit.latents.tolist()) == ("loudest", [3, 1])
    assert [row["n"] for row in choice.sweep] == [1, 2, 3], "the third was tried, and the silent one was not"


def test_the_table_is_all_that_must_know_it(added: methods.Method) -> None:
    assert TypeAdapter(settings.Method).validate_python(added.name) == "loudest"


def test_it_is_about_thirty_lines() -> None:
    assert len(MODULE.splitlines()) + len(ROW.splitlines()) <= 35
