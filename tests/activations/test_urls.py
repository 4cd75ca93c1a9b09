"""A store at an s3:// URL, on a real S3 server that the test starts on loopback: equal to the same store on disk."""

import subprocess
import sys
import urllib.request

import pytest
import torch

from pipeline.activations.build import build_store
from pipeline.activations.loader import ActivationLoader
from pipeline.activations.settings import ActivationsSettings
from pipeline.activations.store import ActivationStore
from pipeline.activations.writer import WindowWriter
from pipeline.core.errors import PipelineError
from tests.activations.test_store import MACHINE, SMALL, tokens_of, write_text
from tests.support.settings import recommended
from tests.support.tiny_lm import save_model

pytest.importorskip("moto", reason="the development dependencies hold the S3 server")


SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)  # 0: the system picks a port that is free
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # until the tests close it, or die
"""


@pytest.fixture(scope="module")
def bucket():
    """``s3://store`` on a moto server of our own; the environment of this module points there."""
    command = [sys.executable, "-W", "ignore", "-c", SERVER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as server, pytest.MonkeyPatch.context() as patch:
        port = server.stdout.readline().strip()  # said when it answers
        assert port, "the S3 server ended; is moto[s3,server] installed?"
        address = f"http://127.0.0.1:{port}"
        environment = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        urllib.request.urlopen(urllib.request.Request(f"{address}/store", method="PUT")).close()
        yield "s3://store"
        server.stdin.close()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_text(folder)
    save_model(folder / "model")
    return folder


def build(inputs, final, **settings) -> None:
    arguments = {"source": "test", "seed": 3, "device": "cpu"}
    chosen = recommended(ActivationsSettings, **(SMALL | settings))
    build_store(final, inputs / "train.jsonl", inputs / "model", chosen, MACHINE, **arguments)


def test_a_store_at_a_url_equals_the_one_on_disk(bucket, inputs, tmp_path):
    few = {"window_rows": 128, "max_tokens": 150}  # the server answers a hundred requests a second
    build(inputs, tmp_path / "local.zarr", **few)
    build(inputs, tmp_path / "remote.zarr", url=bucket, **few)
    assert [path.name for path in (tmp_path / "remote.zarr").iterdir()] == ["url.json"]
    local, remote = ActivationStore.open(tmp_path / "local.zarr"), ActivationStore.open(tmp_path / "remote.zarr")
    assert remote.path.startswith("s3://store/remote.zarr-") and remote.array.shards is not None
    assert torch.equal(local.rows(0, local.n_tokens), remote.rows(0, remote.n_tokens))
    assert (local.mean_d == remote.mean_d).all()
    assert all((values == tokens_of(remote)[name]).all() for name, values in tokens_of(local).items())
    batches = (ActivationLoader(store, 32, seed=0, memory_mib=1) for store in (local, remote))
    assert all(torch.equal(*pair) for pair, _ in zip(zip(*batches, strict=True), range(20), strict=False))


def test_an_interrupted_store_at_a_url_goes_on(bucket, inputs, tmp_path, monkeypatch):
    write, written = WindowWriter.write, []

    def stops_at_window_2(self, window, *rest):
        if window.number == 2 and len(written) == 2:
            raise OSError("connection lost")
        written.append(window.number)
        write(self, window, *rest)

    monkeypatch.setattr(WindowWriter, "write", stops_at_window_2)
    with pytest.raises(PipelineError, match=r"s3://store/a.zarr-\w+ can't be written at window 2: connection lost"):
        build(inputs, tmp_path / "a.zarr", url=bucket, max_tokens=230)
    written.append("again")
    build(inputs, tmp_path / "a.zarr", url=bucket, max_tokens=230)
    assert written == [0, 1, "again", 2, 3]
    assert len(ActivationStore.open(tmp_path / "a.zarr").rows(0, 230)) == 230


def test_a_bucket_that_is_not_there_is_named(bucket, inputs, tmp_path):
    with pytest.raises(PipelineError, match=r"s3://nowhere/a.zarr-\w+ can't be (reached|written)"):
        build(inputs, tmp_path / "a.zarr", url="s3://nowhere")
