"""O: sparse tensors."""
import pytest

import rushlight as torch

INDICES, VALUES = torch.tensor([[0, 1, 1], [2, 0, 2]]), torch.tensor([3.0, 4.0, 5.0])


def test_o01_coo():
    s = torch.sparse_coo_tensor(INDICES, VALUES, (2, 3))
    assert s.to_dense().tolist() == [[0, 0, 3], [4, 0, 5]] and s.layout == torch.sparse_coo and s.sparse_dim() == 2
    assert repr(s) == """\
tensor(indices=tensor([[0, 1, 1],
                       [2, 0, 2]]),
       values=tensor([3., 4., 5.]),
       size=(2, 3), nnz=3, layout=torch.sparse_coo)"""
    assert torch.sparse_coo_tensor(INDICES, VALUES).shape == (2, 3)
    assert torch.sparse_coo_tensor(INDICES, VALUES.bool(), (2, 3)).dtype == torch.bool
    with pytest.raises(RuntimeError, match=r"size is inconsistent with indices: for dim 1, size is 2 but found index 2"):
        torch.sparse_coo_tensor(INDICES, VALUES, (2, 2), check_invariants=True)


def test_o02_duplicates_and_explicit_zeros():
    s = torch.sparse_coo_tensor([[1, 1, 0]], [1.0, 2.0, 0.0], (3,))
    assert not s.is_coalesced()
    with pytest.raises(RuntimeError, match=r"Cannot get indices on an uncoalesced tensor, please call .coalesce\(\) first"):
        s.indices()
    c = s.coalesce()
    assert c.indices().tolist() == [[0, 1]] and c.values().tolist() == [0, 3] and c._nnz() == 2


def test_o03_csr():
    dense = torch.tensor([[0.0, 0, 3], [4, 0, 5]])
    s = dense.to_sparse_csr()
    assert s.crow_indices().tolist() == [0, 1, 3] and s.col_indices().tolist() == [2, 0, 2] and s.values().tolist() == [3, 4, 5]
    assert s.layout == torch.sparse_csr and "layout=torch.sparse_csr" in repr(s)
    again = torch.sparse_csr_tensor(s.crow_indices(), s.col_indices(), s.values(), (2, 3))
    assert torch.equal(again.to_dense(), dense)


def test_o04_csc():
    s = torch.sparse_csc_tensor([0, 1, 1, 3], [1, 0, 1], [4.0, 3.0, 5.0], (2, 3))
    assert s.to_dense().tolist() == [[0, 0, 3], [4, 0, 5]] and s.layout == torch.sparse_csc
    assert s.ccol_indices().tolist() == [0, 1, 1, 3] and s.row_indices().tolist() == [1, 0, 1]


def test_o05_further_formats_by_way_of_coo():
    sparse = pytest.importorskip("scipy.sparse")
    rows = sparse.lil_matrix((2, 3))
    rows[0, 2], rows[1, 0] = 3, 4
    coo = rows.tocoo()
    s = torch.sparse_coo_tensor(torch.tensor([coo.row.tolist(), coo.col.tolist()]), torch.from_numpy(coo.data), coo.shape)
    assert s.to_dense().tolist() == rows.toarray().tolist()


def test_o06_memory_cost():
    dense = torch.zeros(1000, 1000)
    dense[5, 7] = dense[500, 3] = 1
    s = dense.to_sparse()
    cost = sum(part.numel() * part.element_size() for part in (s.indices(), s.values()))
    assert cost == s._nnz() * (2 * 8 + 4) < dense.numel() * dense.element_size()


def test_o07_conversion():
    dense = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    for there in (dense.to_sparse(), dense.to_sparse_csr(), dense.to_sparse_csc(), dense.to_sparse(layout=torch.sparse_csr)):
        assert torch.equal(there.to_dense(), dense)
    assert torch.equal(dense.to_sparse() @ dense, torch.sparse.mm(dense.to_sparse(), dense)) and not dense.is_sparse
