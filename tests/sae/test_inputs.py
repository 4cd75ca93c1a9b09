"""What training sees: rows drawn by rarity, rows far out left alone, dimensions standardised and folded back."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.core.settings import parse
from pipeline.sae.inputs import Draws, expected_draws, inputs_of
from pipeline.sae.settings import SAESettings
from pipeline.sae.trainer import Trainer
from tests.support.settings import recommended

D, N = 12, 5000


@pytest.fixture(scope="module")
def store() -> SimpleNamespace:
    """Rows of which one dimension holds nearly all variance; every hundredth row is thirty times as long."""
    rows = torch.randn(N, D, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.logspace(0, 3, D)) + 5
    rows[::100] *= 30
    return SimpleNamespace(
        n_tokens=N,
        windows=["all"],
        tokens=lambda window: {"token_id": (np.arange(N) % 7) ** 2, "norm": rows.norm(dim=1).numpy()},
        mean_d=rows.double().mean(0).numpy(),
        mean_norm=float(rows.norm(dim=1).mean()),
        rows=lambda start, stop: rows[start:stop],
        all=rows,
    )


def test_rare_tokens_are_drawn_more_often_and_as_many_rows_in_all():
    token_n = np.repeat([1, 2, 3], [900, 90, 10])
    expected = expected_draws(token_n, np.ones(1000, bool), 0.5)
    assert expected.sum() == pytest.approx(1000)
    assert expected[950] / expected[0] == pytest.approx((900 / 90) ** 0.5)
    assert expected_draws(token_n, np.ones(1000, bool), 0.0).tolist() == [1.0] * 1000
    without = expected_draws(token_n, token_n != 1, 1.0)
    assert without[:900].sum() == 0 and without.sum() == pytest.approx(100), "what is left out is never drawn"


def test_draws_follow_the_expectation_and_the_seed():
    draws = Draws(np.array([0.0, 0.25, 1.0, 2.5]))
    drawn = np.array([draws.repeats(epoch, seed=3) for epoch in range(400)])
    assert drawn[:, 0].max() == 0 and set(drawn[:, 2]) == {1} and set(drawn[:, 3]) == {2, 3}
    assert drawn.mean(0) == pytest.approx([0, 0.25, 1, 2.5], abs=0.08)
    assert np.array_equal(draws.repeats(7, 3), drawn[7]) and not np.array_equal(draws.repeats(7, 4), drawn[7])


def test_the_default_is_the_stores_own_mean_and_norm(store):
    inputs = inputs_of(store, recommended(SAESettings))
    assert inputs.draws is None and inputs.scale_d.item() == 1 / store.mean_norm


def test_standardised_inputs_have_a_norm_of_one_and_no_dimension_of_its_own(store):
    settings = recommended(SAESettings, inputs="standardised", most_norm=5.0)
    inputs = inputs_of(store, settings)
    kept = np.flatnonzero(inputs.draws.expected_n)
    assert len(kept) == N - N // 100, "the long rows are left out"
    scaled = (store.all[kept].double() - inputs.mean_d) * inputs.scale_d
    assert scaled.std(0).tolist() == pytest.approx([D**-0.5] * D, rel=0.01)
    assert float(scaled.norm(dim=1).mean()) == pytest.approx(1, abs=0.1)


def test_a_dictionary_on_standardised_inputs_is_folded_back_to_raw_rows(store):
    """What training computes on scaled rows the written dictionary computes on raw ones, with rows of norm 1."""
    settings = recommended(SAESettings, inputs="standardised", d_sae=32, k=4, architecture="batch_topk")
    trainer = Trainer(settings, inputs_of(store, settings), 0, "cpu")
    for start in range(0, 4000, 500):
        trainer.step(store.all[start : start + 500])
    rows, dictionary = store.all[4000:4200], trainer.dictionary()
    weights, threshold = trainer.weights, trainer.architecture.state["threshold"]
    pre = (rows * trainer.scale - weights.b_dec) @ weights.W_enc.T + weights.b_enc
    codes = torch.where(pre > threshold, pre, 0.0)
    wanted = (codes @ weights.W_dec + weights.b_dec) / trainer.scale
    got = dictionary(rows)
    assert ((dictionary.encode(rows) > 0) == (codes > 0)).float().mean() > 0.999
    assert torch.allclose(got, wanted, rtol=1e-3, atol=1e-2)
    assert torch.allclose(dictionary.W_dec.norm(dim=1), torch.ones(32), atol=1e-5)


def test_topk_cannot_undo_a_scale_of_every_dimension():
    keys = recommended(SAESettings).plain() | {"inputs": "standardised", "architecture": "topk"}
    with pytest.raises(PipelineError, match="inputs is standardised, which topk cannot undo"):
        parse(SAESettings, keys, "sae")
