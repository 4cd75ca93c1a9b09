"""The seed's baseline file stands beside a result, unchanged and with its caveats."""

import pytest

from pipeline.core.files import read_json, write_json
from pipeline.saebench.results import beside_seed, beside_world, seed_caveats, seed_metrics


@pytest.fixture
def baseline(root):
    return root / "data/baselines/sparse_probing_vanilla_sae.json"


def test_the_seeds_means_keep_their_names_and_values(baseline):
    metrics = seed_metrics(baseline)
    assert metrics["llm_top_1_test_accuracy"] == 0.6842749999999999
    assert metrics["sae_top_50_test_accuracy"] == 0.5
    assert "llm_top_100_test_accuracy" not in metrics  # null in the file: not measured


def test_the_caveats_are_read_from_the_file(baseline, tmp_path):
    untrained, layers = seed_caveats(baseline)
    assert "every SAE figure is 0.5" in untrained and "training_steps 0" in untrained
    assert layers == "its name and hook say layer 5, its training record says layer 19"
    content = read_json(baseline)
    content["eval_result_details"][0]["sae_test_accuracy"] = 0.9
    write_json(tmp_path / "b.json", content | {"layer": 5})
    assert seed_caveats(tmp_path / "b.json") == []


def test_a_gemma_result_stands_beside_the_seed_per_data_set_and_k(baseline, tmp_path):
    content = read_json(baseline)
    content["eval_result_metrics"]["sae"]["sae_top_5_test_accuracy"] = 0.8
    content["eval_result_details"][1]["llm_test_accuracy"] = 0.9
    write_json(tmp_path / "r.json", content)
    rows = {(row.dataset, row.metric): row for row in beside_seed(tmp_path / "r.json", baseline)}
    assert len(rows) == 9 * 7  # the mean and eight data sets; all latents and six k
    mean = rows["mean", "top_5_test_accuracy"]
    assert (mean.sae, mean.sae_seed, mean.llm, mean.llm_seed) == (0.8, 0.5, 0.7746249999999999, 0.7746249999999999)
    second = rows["LabHC/bias_in_bios_class_set2", "test_accuracy"]
    assert second.llm == 0.9 != second.llm_seed


def test_a_result_on_other_data_is_shown_with_the_seed_for_reference(baseline, tmp_path):
    content = read_json(baseline)
    content["eval_result_details"] = [{"dataset_name": "world_topic_results", "llm_test_accuracy": 1.0}]
    write_json(tmp_path / "r.json", content)
    rows = {(row.dataset, row.metric): row for row in beside_seed(tmp_path / "r.json", baseline)}
    own, seeds = rows["world_topic", "test_accuracy"], rows["fancyzhx/ag_news", "test_accuracy"]
    assert (own.llm, own.llm_seed, own.sae) == (1.0, None, None)
    assert seeds.llm is None and seeds.llm_seed is not None


def test_vanilla_dictionaries_stand_beside_the_embedded_world_alone(baseline, root):
    world = root / "data/baselines/sparse_probing_world.json"
    assert beside_world(baseline, world) == {}, "the seed's data sets are others"


def test_vanilla_dictionaries_are_those_of_the_file(root, tmp_path):
    world = root / "data/baselines/sparse_probing_world.json"
    result = {"eval_result_details": [{"dataset_name": name} for name in read_json(world)["datasets"]]}
    write_json(tmp_path / "r.json", result)
    vanilla, tuned = beside_world(tmp_path / "r.json", world).values()
    assert {"sae_top_1_test_accuracy", "sae_top_50_test_accuracy"} <= vanilla.keys() == tuned.keys()
