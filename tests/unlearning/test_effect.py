"""Measured effect: the first order against a true clamp, margins by hand, who is asked."""

from types import SimpleNamespace

import pytest
import torch

from pipeline.language_model.hooks import upper_layers
from pipeline.sae.dictionary import Dictionary
from pipeline.unlearning.apply import rewrite
from pipeline.unlearning.bench import Bench
from pipeline.unlearning.clamps.worth import margins, margins_lost
from pipeline.unlearning.edit import Edit
from pipeline.unlearning.gates.lesson import asked, together
from pipeline.unlearning.weights.losses import option_scores_of
from tests.support.tiny_lm import gemma, word_tokenizer


def probe(prompt: str, topic: str) -> dict:
    return {"id": prompt, "prompt": prompt, "answer": "w4", "options": ["w3", "w4", "w5", "w6"], "path": ["d", topic]}


@pytest.fixture(scope="module")
def case():
    """One probe of one word on the target, so that each latent has one code; two on a sibling."""
    torch.manual_seed(0)
    dictionary = Dictionary(torch.randn(16, 24), torch.zeros(24), torch.randn(24, 16), torch.zeros(16))
    probes = [probe("w10", "t"), probe("w30 w31", "u"), probe("w32 w9 w8", "u")]
    bench = Bench(gemma().requires_grad_(False), word_tokenizer(), dictionary, 1, probes, [])
    return SimpleNamespace(train=bench, target=("d", "t"), layer=1)


def margin_under(case, wanted: str, edit: Edit | None) -> float:
    """The mean margin with the stream really rewritten."""
    some = asked(case.train, case.target, wanted)
    total = 0.0
    with torch.no_grad(), upper_layers(case.train.model, case.layer) as run:
        for one in some:
            batch = together(one.rows)
            resid = batch.resid_btd
            if edit is not None:
                resid = rewrite(edit, case.train.dictionary, resid, batch.editable_bt)
            total += margins(option_scores_of(run(resid, batch.mask_bt), [one.question]), [one]).item()
    return total / len(some)


def test_the_margin_is_the_answer_over_the_other_options():
    scores = torch.tensor([[0.2, 0.5, 0.2, 0.1]]).log()
    some = [SimpleNamespace(question=SimpleNamespace(answer=1))]
    assert margins(scores, some).item() == pytest.approx(0.0, abs=1e-6), "0.5 against 0.5"


def test_a_small_clamp_costs_what_the_first_order_says(case):
    row = asked(case.train, case.target, "forget")[0].rows[0]
    codes_s = case.train.dictionary.encode(row.resid_td)[row.editable_t][0]
    values = codes_s - 1e-2  # close to what each latent shows, so that the first order is nearly exact
    predicted = margins_lost(case, "forget", values)
    before = margin_under(case, "forget", None)
    fires = torch.nonzero(codes_s > 0).flatten().tolist()
    assert len(fires) > 5
    for latent in fires:
        edit = Edit("x", "topic", case.target, 1, torch.tensor([latent]), values[[latent]], torch.zeros(1))
        true = before - margin_under(case, "forget", edit)
        assert predicted[latent] == pytest.approx(true, rel=0.1, abs=2e-5), latent
    assert all(predicted[latent] == 0 for latent in range(24) if latent not in fires), "a silent latent is not clamped"


def test_the_mean_is_over_the_probes_of_the_relation(case):
    values = torch.zeros(24)
    both = margins_lost(case, "sibling", values)
    parts = []
    for kept in (1, 2):
        bench = Bench(case.train.model, case.train.tokenizer, case.train.dictionary, 1, [case.train.probes[kept]], [])
        parts.append(margins_lost(SimpleNamespace(train=bench, target=case.target, layer=1), "sibling", values))
    assert both == pytest.approx((parts[0] + parts[1]) / 2, rel=1e-3, abs=1e-5), "padding changes nothing"
    assert not margins_lost(case, "other", values).any(), "there is none to ask"
