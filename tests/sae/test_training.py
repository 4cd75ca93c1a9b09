"""Training: it finds a known dictionary, survives SIGKILL bit for bit, and stops with a sentence when it diverges."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.core.settings import parse
from pipeline.sae.build import measure
from pipeline.sae.inputs import by_mean_norm
from pipeline.sae.learner import Curves
from pipeline.sae.settings import SAESettings
from pipeline.sae.trainer import Adam, Trainer, learning_rate
from pipeline.sae.training import NAME, read_checkpoint, train
from tests.support.settings import recommended

D_MODEL, FEATURES = 24, 32


def world(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows that are sums of about 3 of 32 directions, around a mean far from zero; and the directions."""
    directions = torch.nn.functional.normalize(
        torch.randn(FEATURES, D_MODEL, generator=torch.Generator().manual_seed(0)), dim=1
    )
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(rows, FEATURES, generator=generator) < 0.1
    strength = 1 + torch.rand(rows, FEATURES, generator=generator)
    return (present * strength) @ directions * 5 + 2, directions


class Batches:
    """An endless source of batches whose position is the number of batches given out."""

    def __init__(self, batch_size: int) -> None:
        self.position = {"batch": 0}
        self.batch_size = batch_size

    def __next__(self) -> torch.Tensor:
        batch = self.position["batch"]
        self.position = {"batch": batch + 1}
        return world(self.batch_size, seed=1 + batch)[0]


def new_trainer(**settings) -> Trainer:
    small = {"d_sae": 48, "k": 3, "steps": 60, "batch_size": 128, "warm_up_steps": 5, "tree_penalty": 0}
    section = recommended(SAESettings, **small | settings)
    sample = world(2000, seed=10**6)[0]
    return Trainer(section, by_mean_norm(sample.mean(0), float(sample.norm(dim=1).mean())), seed=0, device="cpu")


def train_one(trainer: Trainer, batches: Batches, folder: Path) -> Curves:
    return train([trainer], batches, [folder])[0]


def test_batch_topk_finds_the_directions_of_a_known_world(tmp_path):
    trainer = new_trainer(steps=400, learning_rate=3e-3, dead_after_tokens=5000)
    rows = train_one(trainer, Batches(128), tmp_path).rows
    acts, directions = world(4000, seed=10**7)
    dictionary = trainer.dictionary()
    final = measure(dictionary, [acts], acts.mean(0))
    found = (dictionary.W_dec @ directions.T).max(0).values
    assert final["explained_variance"] > 0.9
    assert final["l0"] == pytest.approx(3, abs=0.5)
    assert (found > 0.9).float().mean() > 0.9
    assert rows[-1]["step"] == 400
    assert rows[0]["explained_variance"] < rows[-1]["explained_variance"] > 0.9
    assert all(row["l0"] == pytest.approx(3, abs=0.01) for row in rows)


def test_relu_with_more_l1_fires_less(tmp_path):
    l0 = []
    for l1 in (0.01, 0.3):
        trainer = new_trainer(architecture="relu", l1=l1, steps=150, learning_rate=3e-3)
        train_one(trainer, Batches(128), tmp_path / str(l1))
        acts = world(1000, seed=10**7)[0]
        l0.append(measure(trainer.dictionary(), [acts], acts.mean(0))["l0"])
    assert l0[1] < 0.7 * l0[0]


def test_the_folded_dictionary_reconstructs_what_training_reconstructed(tmp_path):
    trainer = new_trainer(architecture="relu", l1=0.01)
    train_one(trainer, Batches(128), tmp_path)
    acts = world(50, seed=3)[0]
    weights = trainer.weights
    centred = acts * trainer.scale - weights.b_dec
    codes = (centred @ weights.W_enc.T + weights.b_enc).relu()
    expected = (codes @ weights.W_dec + weights.b_dec) / trainer.scale
    torch.testing.assert_close(trainer.dictionary()(acts), expected, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(weights.W_dec.norm(dim=1), torch.ones(48))


RESUMED = {"checkpoint_every": 10, "dead_after_tokens": 200, "correlation_every": 8, "tree_penalty": 0.01}


VARIED = RESUMED | {"tree_penalty": 0.03, "k": 2}  # a second dictionary on the same batches


class Deadly(Batches):
    """Kills its process when it is asked for a batch."""

    def __init__(self, at: int) -> None:
        super().__init__(128)
        self.at = at

    def __next__(self) -> torch.Tensor:
        if self.position["batch"] == self.at:
            kill()
        return super().__next__()


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_two(batches: Batches, folder: Path) -> tuple[list[Trainer], list[Curves]]:
    """Both dictionaries, from where the folder's checkpoint stands."""
    trainers = [new_trainer(**RESUMED), new_trainer(**VARIED)]
    return trainers, train(trainers, batches, [folder, folder / "other"])


def killed_in_training(batches: Batches, folder: Path) -> bool:
    """Train in a forked process, which needs no second import of torch."""
    child = os.fork()
    if child == 0:
        train_two(batches, folder)
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in several threads may differ in the last bit; and a fork must not hold another thread's lock."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> tuple[list[Trainer], list[Curves]]:
    """Both dictionaries without an interruption."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trained = train_two(Batches(128), tmp_path_factory.mktemp("straight"))
    torch.set_num_threads(threads)
    return trained


def assert_ends_the_same(folder: Path, straight: tuple[list[Trainer], list[Curves]]) -> None:
    """Continue in the folder, and compare every tensor and every figure with the uninterrupted training."""
    trainers, curves = train_two(Batches(128), folder)
    assert curves == straight[1]
    for resumed, whole in zip(trainers, straight[0], strict=True):
        ours, theirs = resumed.tensors(), whole.tensors()
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_the_interrupted_training_has_dead_latents_and_a_penalty(straight):
    """Else the counters and the groups of the last snapshot would not be tested below."""
    assert any(row["dead_share"] > 0 for row in straight[1][0].rows)
    assert all(curves.rows[-1]["tree_loss"] > 0 for curves in straight[1])


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # one thread computes, so nothing can lock
@pytest.mark.parametrize("at", [0, 9, 10, 16, 37, 59])
def test_a_training_killed_at_any_step_continues_bit_for_bit(at, straight, one_thread, tmp_path):
    assert killed_in_training(Deadly(at), tmp_path)
    kept = read_checkpoint(tmp_path)
    assert (kept.state["learners"][0]["step"] if kept else 0) == at // 10 * 10
    assert_ends_the_same(tmp_path, straight)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("moment", ["training.Path.replace", "learner.write_snapshot", "learner.describe"])
def test_a_kill_while_something_is_written_loses_nothing(moment, straight, one_thread, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(f"pipeline.sae.{moment}", kill)
        assert killed_in_training(Batches(128), tmp_path)
    assert_ends_the_same(tmp_path, straight)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_training_killed_again_and_again_arrives(straight, one_thread, tmp_path):
    for at in (13, 12, 29, 41, 55):
        assert killed_in_training(Deadly(at), tmp_path)
    assert_ends_the_same(tmp_path, straight)


def test_dictionaries_that_share_batches_are_those_trained_alone(straight, one_thread, tmp_path):
    for number, settings in enumerate((RESUMED, VARIED)):
        alone = new_trainer(**settings)
        assert train_one(alone, Batches(128), tmp_path / str(number)) == straight[1][number]
        assert torch.equal(alone.weights.W_dec, straight[0][number].weights.W_dec)


def test_weights_that_an_update_broke_are_never_saved(tmp_path):
    trainer = new_trainer(checkpoint_every=1, learning_rate=1e39, warm_up_steps=0)
    with pytest.raises(PipelineError, match=r"diverged at step 0 \(weights that are no numbers\)"):
        train_one(trainer, Batches(128), tmp_path)
    assert read_checkpoint(tmp_path) is None


@pytest.mark.parametrize("poison", [float("nan"), 1e9], ids=["not a number", "exploding"])
def test_divergence_stops_with_a_sentence_and_keeps_the_last_good_checkpoint(poison, tmp_path):
    class Poisoned(Batches):
        def __next__(self) -> torch.Tensor:
            batch = super().__next__()
            return batch.clone().fill_(poison) if self.position["batch"] == 25 else batch

    trainer = new_trainer(checkpoint_every=20)
    with pytest.raises(PipelineError, match=r"diverged at step 24 .*lower `sae\.learning_rate` \(0\.002\)"):
        train_one(trainer, Poisoned(128), tmp_path)
    kept = read_checkpoint(tmp_path)
    assert kept.state["learners"][0]["step"] == 20
    assert all(bool(tensor.isfinite().all()) for tensor in kept.tensors.values())
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_learning_rate_warms_up_and_decays_to_nothing():
    settings = recommended(SAESettings, learning_rate=1.0, steps=10, warm_up_steps=4, decay_share=0.4)
    rates = [learning_rate(settings, step) for step in range(10)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25])


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"k": 2000}, r"k is 2000; it must lie between 1 and d_sae \(1024\)"),
        ({"k": 0}, "`sae.k` is 0; it must be 1 or more"),
        ({"learning_rate": 0.0}, "`sae.learning_rate` is 0.0; it must be above 0"),
        ({"warm_up_steps": 800}, r"between 0 and steps \(700\)"),
        ({"architecture": "batchtopk"}, "it must be one of batch_topk"),
        ({"lr": 1e-3}, "unknown key `sae.lr`"),
    ],
)
def test_impossible_settings_are_refused(section, reason):
    with pytest.raises(PipelineError, match=reason):
        parse(SAESettings, recommended(SAESettings).plain() | section, "sae")


def test_adam_is_torch_s_adam():
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
    theirs.load_state_dict(ours.state_dict())
    for parameter in ours.parameters():
        parameter.requires_grad_(False)
    adam, reference = Adam(ours), torch.optim.Adam(theirs.parameters(), fused=True)
    for rate in (0.1, 0.05, 0.2):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        reference.param_groups[0]["lr"] = rate
        adam.step(rate)
        reference.step()
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)
