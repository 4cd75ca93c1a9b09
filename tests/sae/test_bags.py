"""Sums over active latents: the CPU's kernels, torch's for a GPU, and dense products agree."""

import pytest
import torch

from pipeline.sae.sparse.products import BLOCK, embedding_bags, inner_products, sampled_product, weighted_sums

LENGTHS = [0, 3, 4, 5, 0, 9, 1, 16]  # rests of every size, and nothing at all
N_ROWS = 20


def case(width: int, lengths: list[int] = LENGTHS) -> tuple[torch.Tensor, ...]:
    """Weights [n, d], index and offsets of the bags, values, rows [bags, d], and the dense codes [bags, n]."""
    generator = torch.Generator().manual_seed(0)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    index = torch.cat([torch.randperm(N_ROWS, generator=generator)[:n].sort().values for n in lengths])
    value = torch.randn(len(index), generator=generator)
    weight, rows = (torch.randn(n, width, generator=generator) for n in (N_ROWS, len(lengths)))
    codes = torch.zeros(len(lengths), N_ROWS)
    codes[torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)), index] = value
    return weight, index, offsets, value, rows, codes


@pytest.mark.parametrize("width", [1, 7, BLOCK, BLOCK + 9])
@pytest.mark.parametrize("sums", [weighted_sums, embedding_bags])
def test_weighted_sums_are_those_of_a_dense_product(sums, width):
    weight, index, offsets, value, _, codes = case(width)
    assert torch.allclose(sums(weight, index, offsets, value).double(), codes.double() @ weight.double(), atol=1e-5)


@pytest.mark.parametrize("width", [1, 7, BLOCK + 9])
@pytest.mark.parametrize("products", [inner_products, sampled_product])
def test_inner_products_are_those_of_a_dense_product(products, width):
    weight, index, offsets, _, rows, codes = case(width)
    expected = (rows.double() @ weight.double().T)[codes != 0]
    assert torch.allclose(products(weight, index, offsets, rows).double(), expected, atol=1e-4)


@pytest.mark.parametrize("lengths", [LENGTHS, [0, 0], [7]], ids=["many", "empty", "one"])
def test_several_threads_give_the_same_bits(lengths):
    weight, index, offsets, value, rows, _ = case(33, lengths)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append((weighted_sums(weight, index, offsets, value), inner_products(weight, index, offsets, rows)))
    finally:
        torch.set_num_threads(threads)
    for one, three in zip(*found, strict=True):
        assert torch.equal(one, three)
