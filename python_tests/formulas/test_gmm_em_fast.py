"""The fit of a warp (``gmm_em_fast_math.h``) against the CPU operator: the same iterations, and the same labels except
at ties.

It is arranged for a short chain of operations: one exponential a value, no division, moments in one pass, the logarithm
of a product. So its results differ by rounding. A value whose posterior is within ``MARGIN`` of 1/2 is a tie: it may
get the other label. All others have the label of the CPU, for all recorded costs, for those of the benches' batch, and
for a million drawn segments. ``python_tests/simt/test_gmm_em_warp.py`` shows that the kernel gives the same bits as
the fit here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch

from bench.workload.batch import workload
from bench.workload.candidates import cheapest_candidates
from colad_ops import GaussianMixture2, gmm_em
from python_tests import formulas
from python_tests.golden import golden_sets

MARGIN = 1e-10  # of costs and values like them, for the options of the presets; 100 times the largest difference found
COVARIANCES = pytest.mark.parametrize("covariance", ["full", "tied"])


class Segments(NamedTuple):
    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, pieces: list[np.ndarray]) -> Segments:
        return cls(np.concatenate(pieces).astype(np.float64), np.cumsum([0, *map(len, pieces)]))


def fit_of_warp(segments: Segments, covariance: str = "full", **options: float) -> GaussianMixture2:
    return GaussianMixture2(*formulas.warp_fit().fit_segments(*segments, tied=covariance == "tied", **options))


def fit_of_cpu(segments: Segments, covariance: str = "full", **options: float) -> GaussianMixture2:
    values, offsets = torch.from_numpy(segments.values), torch.from_numpy(segments.offsets)
    return GaussianMixture2(*(x.numpy() for x in gmm_em(values, offsets, covariance=covariance, **options)))


class Difference(NamedTuple):
    posterior: float
    """The largest difference of two posteriors."""
    flipped: int
    """Values with different labels. All are ties."""
    ties: int
    """Values whose posterior on the CPU is within the margin of 1/2."""


def compare(segments: Segments, covariance: str = "full", margin: float = MARGIN, **options: float) -> Difference:
    warp, cpu = fit_of_warp(segments, covariance, **options), fit_of_cpu(segments, covariance, **options)
    np.testing.assert_array_equal(warp.n_iter, cpu.n_iter)
    np.testing.assert_array_equal(warp.converged, cpu.converged)
    np.testing.assert_array_equal(np.isnan(warp.means), np.isnan(cpu.means))
    different, tie = warp.labels != cpu.labels, np.abs(cpu.responsibility - 0.5) <= margin
    assert not (different & ~tie).any()
    posterior = np.nanmax(np.abs(warp.responsibility - cpu.responsibility), initial=0.0)
    assert posterior <= margin
    return Difference(float(posterior), int(different.sum()), int(tie.sum()))


def cheapest(losses: np.ndarray, recorded: dict[str, np.ndarray]) -> Segments:
    """The costs that are split: of each object the ``topk`` cheapest of each level."""
    anchor, sizes = recorded["cand_anchor"], recorded["level_sizes"]
    level = np.repeat(np.arange(len(sizes)), sizes)[anchor]
    image = np.repeat(np.arange(len(recorded["cand_offsets"]) - 1), np.diff(recorded["cand_offsets"]))
    row = recorded["cand_gt"] if "cand_gt" in recorded else recorded["pre_gt_index"][image, anchor]
    topk = int(recorded.get("topk", 9))
    pieces = []
    for i, g in sorted(set(zip(image.tolist(), row.tolist()))):
        of_object = (image == i) & (row == g)
        of_levels = [np.sort(losses[of_object & (level == x)])[:topk] for x in range(len(sizes))]
        pieces.append(np.sort(np.concatenate(of_levels)))
    return Segments.of(pieces)


def recorded_costs() -> Iterator[Segments]:
    for kind in ("paa_assign", "colad_assign", "kkhoot_assign"):
        for name in golden_sets.cases(kind):
            recorded = golden_sets.load(name)
            for key, losses in recorded.items():
                if (key.endswith("_pos_loss") or key == "cand_cost") and len(losses):
                    yield cheapest(losses.astype(np.float32), recorded)


@COVARIANCES
def test_recorded_costs(covariance: str) -> None:
    """Of all objects in the golden sets of assignments, and of all segments of ``gmm2``: bimodal, equal and nearly
    equal values, scales far apart, outliers, ties."""
    costs = [*recorded_costs()]
    mixtures = golden_sets.load("gmm2/gmm2.npz")
    costs.append(Segments(mixtures["x"].astype(np.float64), mixtures["offsets"].astype(np.int64)))
    found = [compare(segments, covariance) for segments in costs]
    segments, values = sum(len(x.offsets) - 1 for x in costs), sum(len(x.values) for x in costs)
    print(
        f"{covariance}: {segments} segments, {values} values: largest difference {max(x.posterior for x in found):.1e}"
    )
    print(f"{sum(x.flipped for x in found)} labels differ, of {sum(x.ties for x in found)} ties")
    assert segments > (2000 if golden_sets.is_whole() else 200)


@COVARIANCES
def test_costs_of_the_bench(covariance: str) -> None:
    values, offsets = cheapest_candidates(workload(images=4, objects=29))
    assert compare(Segments(values.double().numpy(), offsets.numpy()), covariance).flipped == 0


def drawn(random: np.random.Generator, count: int) -> Iterator[Segments]:
    """``count`` segments of each family, of 1 to 40 values, which are float32 as costs are."""
    shapes = {
        "costs": lambda n: random.gamma(4, 0.5, n) + 0.3,
        "two groups": lambda n: np.where(
            random.random(n) < 0.4, random.normal(0.8, 0.2, n), random.normal(2.5, 0.4, n)
        ),
        "one group": lambda n: random.normal(2, 0.3, n),
        "uniform": lambda n: random.uniform(0, 3, n),
        "outliers": lambda n: np.where(random.random(n) < 0.05, random.uniform(3, 9, n), random.normal(1, 0.05, n)),
        "two close groups": lambda n: random.choice([1.0, 1.25], n) + random.normal(0, 0.01, n),
        "far from 0": lambda n: 50 + random.exponential(2, n),
        "many scales": lambda n: 10 ** random.uniform(-3, 3, n),
        "ties": lambda n: random.integers(0, 9, n) / 8,
        "near one another": lambda n: 1 + random.normal(0, 1e-3, n),
    }
    for shape in shapes.values():
        offsets = np.concatenate([[0], random.integers(1, 41, count).cumsum()])
        yield Segments(shape(offsets[-1]).astype(np.float32).astype(np.float64), offsets)


def test_a_million_drawn_segments() -> None:
    found = [compare(segments) for segments in drawn(np.random.default_rng(0), 100_000)]
    print(f"largest difference {max(x.posterior for x in found):.1e}")
    print(f"{sum(x.flipped for x in found)} labels differ, of {sum(x.ties for x in found)} ties")
    # Nearly all ties are in segments of one value, or in the middle of symmetric segments.
    assert sum(x.ties for x in found) < 2e-3 * 20_000_000


@pytest.mark.parametrize(
    "options",
    [
        {"covariance": "tied"},
        {"max_iter": 1},
        {"tol": np.inf},
        {"tol": 1e-6, "max_iter": 60},
        # Differences grow with the iterations that follow convergence.
        {"tol": 0.0, "max_iter": 30, "margin": 1e-8},
        {"tol": 0.0, "max_iter": 30, "margin": 1e-8, "covariance": "tied"},
    ],
    ids=str,
)
def test_drawn_segments_with_other_options(options: dict) -> None:
    for segments in drawn(np.random.default_rng(1), 3_000):
        compare(segments, **options)


@COVARIANCES
def test_more_values_than_registers(covariance: str) -> None:
    """Up to 32 values are one a lane, up to 64 two a lane; beyond, they are read in every iteration."""
    random = np.random.default_rng(2)
    lengths = [31, 32, 33, 63, 64, 65, 96, 97, 200, 1000] * 20
    compare(Segments.of([random.gamma(4, 0.5, n) + 0.3 for n in lengths]), covariance)


def test_a_mean_that_moves_by_many_deviations_takes_a_second_pass() -> None:
    """Component 1 first has a part of the group, then the outlier alone: the moments around its old mean cancel."""
    random = np.random.default_rng(3)
    for count in (20, 50, 90):
        pieces = [np.append(random.normal(1, 0.05, count), random.uniform(3, 9)) for _ in range(50)]
        before = formulas.warp_fit().second_passes()
        compare(Segments.of(pieces))
        assert formulas.warp_fit().second_passes() - before >= 40


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("count", [1, 5, 40, 70])
def test_a_value_that_is_no_number_ends_the_fit(bad: float, count: int) -> None:
    values = np.linspace(1, 3, count)
    values[count // 2] = bad
    fit = fit_of_warp(Segments.of([values]))
    assert np.isnan([*fit.weights, *fit.means, *fit.variances]).all()
    assert (fit.n_iter, fit.converged, fit.labels.any()) == (1, False, False)
    compare(Segments.of([values]))


def test_values_of_any_size() -> None:
    """Values of 1e30, subnormal ones, and those whose squares overflow: as on the CPU, these give NaN."""
    random = np.random.default_rng(4)
    scales = [1e-320, 1e-300, 1e-150, 1e-30, 1e30, 1e100, 1e150]
    compare(Segments.of([scale * random.uniform(-1, 1, 12) for scale in scales]), tol=0.0, max_iter=12, margin=1e-9)
    overflow = [[-1e160, 0.0, 1e160], [-1e160, 1e160], [1.0, 1e300, 5e299, 2e299, 9.0], [1e308], [3e200, 3e200]]
    compare(Segments.of([np.array(x) for x in overflow]))


@COVARIANCES
def test_without_reg_covar(covariance: str) -> None:
    """A component shrinks to one value. Its variance is then 0, and the fit ends as undefined, or it is what 10 eps in
    the mass leave of a rounding error. Both fits round in the same way there, as long as sums are exact: of float32
    values."""
    pieces = [np.full(n, value, np.float32) for n in (1, 2, 7, 32, 33, 64, 100) for value in (0.0, 0.7, 1.7, -3e5)]
    pieces += [np.append(np.full(n, 0.5), 3.0) for n in (1, 5, 31, 40)]
    pieces += [np.array([0.0, 0.0, 5.0]), np.array([-5.0, 0.0, 0.0])]  # component 0 or 1 loses its density
    segments = Segments.of(pieces)
    compare(segments, covariance, reg_covar=0.0)
    compare(segments, covariance, reg_covar=0.0, tol=0.0)
    assert np.isnan(fit_of_warp(segments, covariance, reg_covar=0.0).means).any()


def test_equal_values_give_one_component() -> None:
    pieces = [np.full(n, value) for n in range(1, 70) for value in (1e-6, 0.1, 1.7, -123.4)]
    fit = fit_of_warp(Segments.of(pieces))
    assert (fit.means[:, 0] == fit.means[:, 1]).all() and (fit.weights == 0.5).all() and not fit.labels.any()
    compare(Segments.of(pieces))


def test_no_values_have_no_mixture() -> None:
    fit = fit_of_warp(Segments.of([np.zeros(0)]))
    assert np.isnan([fit.weights, fit.means, fit.variances]).all() and fit.n_iter == 0 and not fit.converged
