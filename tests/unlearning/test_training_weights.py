"""Training that forgets: losses by hand, option scores as multiple choice reads them, and what the weights then say."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.language_model.answers import answer, logits_at, plan, tokenize
from pipeline.unlearning.case import Case
from pipeline.unlearning.settings import BatchSettings, TrainingSettings, UnlearningSettings
from pipeline.unlearning.weights import losses
from pipeline.unlearning.weights.examples import Example, answered, by_length, draw, padded, whole
from pipeline.unlearning.weights.group_adapter import LowRank, _merged
from pipeline.unlearning.weights.losses import indifference, option_scores
from pipeline.unlearning.weights.training import Lesson, minimise, terms_of, trainable, two_phases, weight_edits
from tests.support.cases import case_with
from tests.support.settings import recommended
from tests.support.tiny_lm import WORDS, gemma, word_tokenizer

TOKENIZER = word_tokenizer()
PROBES = [
    {"prompt": f"{WORDS[i]} {WORDS[i + 1]}", "answer": WORDS[i + 2], "options": list(WORDS[i + 2 : i + 6])}
    for i in range(0, 24, 3)
]
LONG = [p | {"answer": f"{p['answer']} w0", "options": [f"{o} w0" for o in p["options"]]} for p in PROBES]


def test_answers_count_and_prompts_do_not():
    first = answered(PROBES, TOKENIZER)[0]
    assert len(first.tokens) == 4 and first.counted == (False, False, False, True), "bos and two words, then the answer"
    batch = padded([first, Example((2, 5), (False, True))], TOKENIZER.pad_token_id, torch.device("cpu"))
    assert batch.counted_bt.tolist() == [[False, False, True], [True, False, False]]
    assert batch.mask_bt.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_a_long_text_stands_for_as_many_probes_as_fit():
    rng = np.random.default_rng(0)
    probe, text = Example((1,) * 10, (True,) * 10), Example((1,) * 64, (True,) * 64)
    assert len(draw([probe] * 50, 24, rng)) == 24
    assert len(draw([text] * 50, 24, rng)) == 6
    assert len(draw([text] * 50, 1, rng)) == 1, "never none"


def test_forget_losses_by_hand():
    got = torch.tensor([[math.log(0.5), math.log(0.25)], [math.log(0.1), -9.0]])
    counted = torch.tensor([[True, True], [True, False]])
    mean = (math.log(0.5) + math.log(0.25) + math.log(0.1)) / 3
    assert losses.ascent(got, counted).item() == pytest.approx(mean)
    bounded = (math.log(0.5) + 2 * -1.0) / 3  # the other two are past a loss of 1 nat
    assert losses.bounded_ascent(got, counted, 1.0).item() == pytest.approx(bounded)
    original = torch.zeros_like(got)
    ratios = [0.5 * 0.25, 0.1]  # p / p_original of the two examples
    wanted = 2 / 0.5 * np.mean([math.log(1 + ratio**0.5) for ratio in ratios])
    assert losses.preference(got, original, counted, beta=0.5).item() == pytest.approx(wanted)


def test_preference_becomes_ascent_for_a_small_beta():
    got = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    losses.preference(got, torch.tensor([[-0.5, -0.5]]), torch.ones(1, 2, dtype=torch.bool), beta=1e-4).backward()
    assert got.grad.tolist() == [pytest.approx([1.0, 1.0], rel=1e-3)], "the gradient of the summed log-probability"


def test_the_divergence_from_itself_is_nothing_and_grows():
    model, other = gemma(), gemma()
    batch = padded(answered(PROBES, TOKENIZER), TOKENIZER.pad_token_id, torch.device("cpu"))
    assert losses.divergence(model, other, batch, np.random.default_rng(0)).item() == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        other.model.layers[1].mlp.down_proj.weight.mul_(-3)
    assert losses.divergence(model, other, batch, np.random.default_rng(0)).item() > 1e-3


@pytest.mark.parametrize("probes", [PROBES, LONG], ids=["one_token", "two_tokens"])
def test_option_scores_are_those_of_multiple_choice(probes):
    model, questions = gemma(), [tokenize(probe, TOKENIZER) for probe in probes]
    batches = plan(questions, TOKENIZER.pad_token_id)
    with torch.no_grad():
        wanted = answer(questions, batches, (logits_at(model, batch) for batch in batches)).scores_qo
        got = option_scores(model, questions, TOKENIZER.pad_token_id)
    assert torch.allclose(got.double(), wanted, atol=1e-5)


def test_indifference_is_least_when_all_options_are_equal():
    assert indifference(torch.zeros(3, 4)).item() == pytest.approx(math.log(4))
    assert indifference(torch.tensor([[0.0, -3.0, -3.0, -3.0]])).item() > math.log(4) + 0.5


BATCH = BatchSettings(forget=4, retain={"sibling": 24, "other": 48, "general": 8})


def case_of(model) -> Case:
    settings = recommended(UnlearningSettings, batch=BATCH)
    return case_with(train=SimpleNamespace(model=model, tokenizer=TOKENIZER), settings=settings)


def logprob(model, examples) -> float:
    batch = padded(examples, TOKENIZER.pad_token_id, torch.device("cpu"))
    with torch.no_grad():
        return losses.token_logprobs(model, batch)[batch.counted_bt].mean().item()


@pytest.mark.parametrize("arithmetic", ["float32", "autocast"])
def test_the_first_phase_forgets_and_the_second_makes_the_options_alike(arithmetic):
    model = gemma()
    case = case_of(model)._replace(arithmetic=arithmetic)
    trained = copy.deepcopy(model).requires_grad_(True)
    examples = answered(PROBES, TOKENIZER)
    lesson = Lesson([examples[:4]], {"sibling": [examples[4:]]}, [tokenize(p, TOKENIZER) for p in PROBES[:4]])
    settings = recommended(TrainingSettings, learning_rate=1e-2, steps=20, calibration_steps=40)
    terms = terms_of(case, trained, lesson, settings, lambda got, ref, on: losses.preference(got, ref, on, 0.1))
    parameters = list(trained.parameters())

    def unlike() -> float:
        with torch.no_grad():
            return indifference(option_scores(trained, lesson.questions, TOKENIZER.pad_token_id)).item()

    two_phases(case, parameters, terms._replace(calibrating=None), settings)
    lost, kept = (logprob(model, part) - logprob(trained, part) for part in (examples[:4], examples[4:]))
    assert lost > 3 > 1 > kept, "the forget set is lost, what is kept is kept"
    before = unlike()
    two_phases(case, parameters, terms, settings)
    assert math.log(4) <= unlike() < before


def test_the_same_seed_trains_the_same_weights():
    model = gemma()
    lesson = Lesson([answered(PROBES, TOKENIZER)], {}, [])
    settings = recommended(TrainingSettings, steps=3)

    def once(arithmetic: str = "float32") -> dict[str, torch.Tensor]:
        trained = copy.deepcopy(model).requires_grad_(True)
        case = case_of(model)._replace(arithmetic=arithmetic)
        terms = terms_of(case, trained, lesson, settings, lambda got, _, on: losses.ascent(got, on))
        two_phases(case, list(trained.parameters()), terms, settings)
        return trained.state_dict()

    whole, again, rounded = once(), once(), once("autocast")
    assert all(torch.equal(a, b) for a, b in zip(whole.values(), again.values(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(whole.values(), rounded.values(), strict=True))
    for name, weight in rounded.items():
        assert weight.dtype == torch.float32
        steps = settings.steps * settings.learning_rate  # the most that AdamW moves a weight
        assert (weight - whole[name]).abs().max() <= 2 * steps, "rounded products, the same training"


def test_edits_lie_on_the_line_to_the_trained_weights_and_hold_only_what_changed():
    model = gemma()
    trained = copy.deepcopy(model)
    with torch.no_grad():
        trained.model.norm.weight.add_(1.0)
    half, full = weight_edits(case_of(model), (0.5, 1.0), trained)
    assert list(half.weights) == list(full.weights) == ["model.norm.weight"]
    assert torch.allclose(half.weights["model.norm.weight"], model.model.norm.weight + 0.5)
    assert full.settings == {"strength": 1.0}


@pytest.mark.parametrize("which", ["all", "layers", "mlps"])
def test_the_embedding_is_trained_with_all_and_else_left_and_shared(which):
    model = gemma().requires_grad_(False)
    copied, parameters = trainable(model, which)
    minimised = minimise(parameters, lambda: copied(input_ids=torch.arange(3)[None]).logits.square().mean(), 1, 0.1)
    assert list(minimised) == [1]
    changed = {n for n, w in copied.named_parameters() if not torch.equal(w, model.get_parameter(n))}
    of_layers = {n for n, _ in model.named_parameters() if n.startswith("model.layers.")}
    of_mlps = {n for n in of_layers if ".mlp." in n and not n.startswith("model.layers.0.")}
    assert changed >= of_mlps
    assert (changed <= of_layers) is (which != "all")
    assert (changed <= of_mlps) is (which == "mlps")
    assert (copied.model.embed_tokens.weight is model.model.embed_tokens.weight) is (which != "all")
    assert copied.lm_head.weight is copied.model.embed_tokens.weight, "tied as before"
    assert not any(weight.requires_grad for weight in model.parameters())


def test_an_adapter_acts_on_its_directions_only():
    model = gemma()
    name = "model.layers.3.mlp.up_proj"
    weight = dict(model.named_modules())[name].weight
    direction = torch.nn.functional.normalize(torch.randn(1, weight.shape[1]), dim=1)
    adapter = LowRank(len(weight), direction)
    with torch.no_grad():
        assert torch.equal(adapter(weight), weight), "it starts as nothing"
        adapter.change_or.fill_(1.0)
        merged = dict(_merged(model, {name: adapter}).named_modules())[name].weight
        x = torch.randn(5, weight.shape[1])
        across = x - (x @ direction.T) @ direction
        assert torch.allclose(across @ merged.T, across @ weight.T, atol=1e-5)
        assert not torch.allclose(direction @ merged.T, direction @ weight.T, atol=1e-2)
    assert torch.equal(dict(model.named_modules())[name].weight, weight), "the model itself is left alone"


def test_what_is_kept_is_passed_in_batches_of_like_length():
    given = [whole(tuple(range(n))) for n in (30, 9, 64, 10, 8, 31)]
    batches = by_length(given)
    assert [[len(example.tokens) for example in batch] for batch in batches] == [[8, 9, 10], [30, 31], [64]]
    assert by_length([]) == []
