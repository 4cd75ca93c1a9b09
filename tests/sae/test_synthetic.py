"""A small world of SynthSAEBench's kind: training finds its features, by SAELens' own scores.

Roots with mutually exclusive children whose size follows their parent's (version 2 semantics): a child's direction
never comes without its parent's, so a flat dictionary mixes the two, and nested prefixes keep them apart.
"""

import pytest
import torch

from pipeline.sae.inputs import by_mean_norm
from pipeline.sae.settings import SAESettings
from pipeline.sae.trainer import Trainer
from tests.support.settings import recommended

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning", "ignore::SyntaxWarning"
)


def small_world():
    from sae_lens.synthetic import (
        ConstantFiringProbabilityConfig,
        HierarchyConfig,
        SyntheticModel,
        SyntheticModelConfig,
    )

    hierarchy = HierarchyConfig(
        total_root_nodes=8,
        branching_factor=3,
        max_depth=1,
        mutually_exclusive_portion=1.0,
        scale_children_by_parent=True,
    )
    config = SyntheticModelConfig(
        num_features=32,
        hidden_dim=48,
        hierarchy=hierarchy,
        firing_probability=ConstantFiringProbabilityConfig(0.2),
        std_firing_magnitudes=0.2,
        seed=7,
    )
    return SyntheticModel(config)


def new_trainer(architecture: str, sample: torch.Tensor) -> Trainer:
    settings = recommended(
        SAESettings,
        architecture=architecture,
        d_sae=32,
        k=2,
        steps=600,
        learning_rate=1e-2,
        prefix_shares=(0.25, 1.0),
        correlation_every=0,
        tree_penalty=0,
    )
    return Trainer(settings, by_mean_norm(sample.mean(0), float(sample.norm(dim=1).mean())), 0, "cpu")


def test_nested_prefixes_find_the_true_features_better_than_a_flat_dictionary():
    from sae_lens.synthetic import ClassificationMetricsCalculator, mean_correlation_coefficient

    torch.manual_seed(0)
    world = small_world()
    sample = world.sample(2000)
    trainers = {name: new_trainer(name, sample) for name in ("matryoshka", "batch_topk")}
    features = world.feature_dict.feature_vectors.detach()
    assert mean_correlation_coefficient(trainers["batch_topk"].weights.W_dec, features) < 0.5
    for _ in range(600):
        batch = world.sample(256)
        for trainer in trainers.values():
            trainer.step(batch)
    acts, true = world.sample_with_features(4000)
    mcc, f1 = {}, {}
    for name, trainer in trainers.items():
        dictionary = trainer.dictionary()
        scores = ClassificationMetricsCalculator(dictionary.W_dec, features)
        scores.add_batch(dictionary.encode(acts), true)
        mcc[name], f1[name] = mean_correlation_coefficient(dictionary.W_dec, features), scores.compute().f1_score
    assert mcc["matryoshka"] > 0.75 and f1["matryoshka"] > 0.7
    assert mcc["matryoshka"] > mcc["batch_topk"] > 0.6
    assert f1["matryoshka"] > f1["batch_topk"] > 0.5
