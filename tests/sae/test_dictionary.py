"""Encoding and decoding by hand-set weights where the answer is obvious."""

import numpy as np
import torch

from pipeline.sae.dictionary import Dictionary

IDENTITY = torch.eye(3)
ZERO = torch.zeros(3)


def test_identity_weights_keep_the_positive_part():
    dictionary = Dictionary(IDENTITY, ZERO, IDENTITY, ZERO)
    assert dictionary(torch.tensor([[1.0, -2.0, 3.0]])).tolist() == [[1.0, 0.0, 3.0]]


def test_a_code_equal_to_its_threshold_does_not_fire():
    dictionary = Dictionary(IDENTITY, ZERO, IDENTITY, ZERO, threshold=torch.tensor([1.0, 0.5, 2.0]))
    assert dictionary.encode(torch.tensor([1.0, 0.6, 3.0])).tolist() == [0.0, torch.tensor(0.6).item(), 3.0]


def test_k_keeps_the_largest_of_each_row():
    dictionary = Dictionary(IDENTITY, ZERO, IDENTITY, ZERO, k=1)
    acts = torch.tensor([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]])
    assert dictionary.encode(acts).tolist() == [[0.0, 0.0, 3.0], [0.0, 0.0, 0.0]]


def test_sparse_codes_are_the_dense_ones():
    torch.manual_seed(0)
    rows = torch.randn(20, 6)
    dictionary = Dictionary(rows.T, torch.randn(20), rows, torch.randn(6), threshold=torch.rand(20) * 4)
    acts = torch.randn(9, 6)
    sparse, dense = dictionary.encode_sparse(acts), dictionary.encode(acts).numpy()
    rebuilt = np.zeros_like(dense)
    rebuilt[np.repeat(np.arange(9), np.diff(sparse.indptr)), sparse.index] = sparse.value
    np.testing.assert_array_equal(rebuilt, dense)
    assert sparse.indptr.dtype == np.int64 and sparse.index.dtype == np.uint16
    assert all((np.diff(row.astype(int)) > 0).all() for row in np.split(sparse.index, sparse.indptr[1:-1]))


def test_a_row_on_which_nothing_fires_is_empty():
    dictionary = Dictionary(IDENTITY, ZERO, IDENTITY, ZERO)
    assert dictionary.encode_sparse(torch.tensor([[-1.0, -1.0, -1.0], [0.0, 2.0, 0.0]])).indptr.tolist() == [0, 0, 1]


def test_gradients_reach_the_activations():
    acts = torch.tensor([[1.0, -2.0, 3.0]], requires_grad=True)
    Dictionary(IDENTITY, ZERO, IDENTITY, ZERO)(acts).sum().backward()
    assert acts.grad.tolist() == [[1.0, 0.0, 1.0]]
