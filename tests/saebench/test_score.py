"""The unlearning score as sae-bench publishes it and the corrected one, on answers worked by hand."""

import numpy as np
import pytest

from pipeline.saebench.evals.unlearning_score import Run, corrected_score, published_score

FORGET, RETAIN, NEIGHBOUR = "bio", ("history", "geography"), "college"


def answers(forget: float, retain: float = 1.0, neighbour: float = 1.0, n: int = 400) -> dict[str, np.ndarray]:
    """The given shares of right answers; evenly mixed, so that dev and test see about the same share."""
    shares = {FORGET: forget, "history": retain, "geography": retain, NEIGHBOUR: neighbour}
    return {subject: np.arange(n) % 100 < round(100 * share) for subject, share in shares.items()}


def test_the_published_score_is_the_best_of_the_settings_that_keep_99_percent():
    runs = [
        Run("mild", 10, 25, answers(0.8)),
        Run("right", 10, 50, answers(0.6, retain=0.99)),  # exactly at the gate: passes
        Run("harsh", 20, 200, answers(0.1, retain=0.98)),  # below it: does not count
    ]
    assert published_score(runs, FORGET, RETAIN) == pytest.approx(0.4)


def test_without_a_setting_that_passes_both_scores_are_zero():
    runs = [Run("harsh", 20, 200, answers(0.0, retain=0.5))]
    score = corrected_score(runs, FORGET, RETAIN, NEIGHBOUR, seed=0)
    assert (score["published"], score["score"], score["setting"]) == (0.0, 0.0, None)


def test_damage_to_the_neighbouring_subject_is_refused_only_by_the_corrected_score():
    runs = [Run("mild", 10, 25, answers(0.8)), Run("greedy", 20, 100, answers(0.3, neighbour=0.5))]
    score = corrected_score(runs, FORGET, RETAIN, NEIGHBOUR, seed=0)
    assert score["published"] == pytest.approx(0.7)
    assert score["setting"] == {"name": "mild", "latents": 10, "multiplier": 25}
    assert score["score"] == pytest.approx(0.2, abs=0.08)
    low, high = score["score_interval"]
    assert low < score["score"] < high
    assert score["settings_passing"] == 1


def test_choice_and_report_use_different_questions():
    rng = np.random.default_rng(0)
    noise = [Run(f"n{i}", 10, 25, answers(1.0) | {FORGET: rng.random(60) < 0.5}) for i in range(64)]
    score = corrected_score(noise, FORGET, RETAIN, NEIGHBOUR, seed=0)
    # The best of 64 coin-flipping settings looks good on the questions that chose it, and not on the others.
    assert score["dev_score"] > 0.65
    assert abs(score["score"] - 0.5) < 0.2 < score["published"] - 0.4
    assert score["test_questions"][FORGET] == 30
    assert len(score["value_by_index"][FORGET]) == 30


def test_forgetting_below_chance_is_not_counted():
    score = corrected_score([Run("avoids", 10, 25, answers(0.0))], FORGET, RETAIN, NEIGHBOUR, seed=0)
    assert (score["score"], score["calibrated"]) == (1.0, 1.0)
    at_chance = corrected_score([Run("forgot", 10, 25, answers(0.25))], FORGET, RETAIN, NEIGHBOUR, seed=0)
    assert at_chance["calibrated"] == pytest.approx(1.0, abs=0.06)


def test_every_edit_is_judged_on_the_same_half():
    one, two = (
        corrected_score([Run("r", 10, 25, answers(share))], FORGET, RETAIN, NEIGHBOUR, seed=3) for share in (0.5, 0.5)
    )
    assert one == two
