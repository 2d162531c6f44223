import pytest
import torch

from colad_ops import gmm_em
from python_tests.support.cases.gmm_em import GmmEmCases, segments
from python_tests.support.op_contract import NoSyncContract


class TestGmmEm(GmmEmCases, NoSyncContract):
    pass


def test_padded_rows_equal_ragged_segments():
    lengths = [5, 0, 3, 8]
    values, offsets = segments(lengths)
    padded = torch.full((4, 8), 77.0)
    mask = torch.arange(8) < torch.tensor(lengths)[:, None]
    padded[mask] = values
    ragged, rows = gmm_em(values, offsets), gmm_em(padded, counts=torch.tensor(lengths))
    torch.testing.assert_close(tuple(rows[:3]), tuple(ragged[:3]), rtol=0, atol=0, equal_nan=True)
    for name in ("responsibility", "labels", "log_likelihood"):
        assert getattr(rows, name)[mask].equal(getattr(ragged, name))
    assert (rows.labels[~mask] == -1).all() and rows.responsibility[~mask].isnan().all()


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0, 2.0]])
def test_one_or_equal_values(values):
    fit = gmm_em(torch.tensor(values), torch.tensor([0, len(values)]))
    torch.testing.assert_close(fit.means[0], torch.tensor([values[0]] * 2, dtype=torch.float64))
    torch.testing.assert_close(fit.weights[0], torch.tensor([0.5, 0.5], dtype=torch.float64))
    assert (fit.labels == 0).all() and fit.converged[0]


def test_nothing_cancels_far_from_zero():
    """The values are shifted by 1e6. E[x^2] - E[x]^2 would lose every digit of variances around 1e-2."""
    values, offsets = segments([40], dtype=torch.float64)
    near, far = gmm_em(values, offsets), gmm_em(values + 1e6, offsets)
    assert near.labels.equal(far.labels) and near.n_iter.equal(far.n_iter)
    torch.testing.assert_close(near.variances, far.variances, rtol=1e-6, atol=0)


def test_order_within_a_segment_does_not_matter():
    values, offsets = segments([30], dtype=torch.float64)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    assert gmm_em(values[order], offsets).labels.equal(gmm_em(values, offsets).labels[order])


def test_segments_of_the_operator_follow_one_another():
    """On CUDA the values between two segments are padding, and segments that overlap would be written twice."""
    starts, ends = torch.tensor([0, 2]), torch.tensor([3, 5])
    with pytest.raises(RuntimeError, match="follow one another, got one that ends at 3 and then one that starts at 2"):
        torch.ops.colad.gmm_em(torch.ones(5), starts, ends)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_value_that_is_no_number_ends_the_fit_at_once(bad):
    fit = gmm_em(torch.tensor([1.0, 2.0, 4.0, 1.0, bad, 3.0]), torch.tensor([0, 3, 6]), tol=0.0)
    assert fit.n_iter.tolist() == [100, 1] and not fit.converged.any()
    assert torch.stack([fit.weights[1], fit.means[1], fit.variances[1]]).isnan().all()
