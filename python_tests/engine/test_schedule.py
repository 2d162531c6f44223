"""Learning rate and optimisers."""

import pytest
import torch

from colad_ops.engine import OptimizerConfig, build_optimizer, learning_rate


def test_warm_up_then_cosine_down_to_nothing():
    config = OptimizerConfig("adamw", lr=2.0, schedule="cosine", warmup=10)
    rates = [learning_rate(config, iteration, 200) for iteration in range(200)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(2.0) and rates[105] == pytest.approx(1.0) and 0 < rates[-1] < 0.01
    assert all(later < earlier for earlier, later in zip(rates[10:], rates[11:]))


def test_steps_at_eight_and_eleven_twelfths():
    config = OptimizerConfig(lr=1.0, warmup=0)
    rates = [learning_rate(config, iteration, 120) for iteration in range(120)]
    assert rates == pytest.approx([1.0] * 80 + [0.1] * 30 + [0.01] * 10)


def test_a_short_run_shortens_the_warm_up():
    config = OptimizerConfig(lr=1.0, warmup=500)
    assert learning_rate(config, 0, 100) == pytest.approx(0.1) and learning_rate(config, 10, 100) == 1.0
    assert learning_rate(config, 0, 1) == 1.0


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"name": "lion"}, "name should be one of adamw, sgd, got 'lion'"),
        ({"schedule": "flat"}, "schedule .* got 'flat'"),
        ({"lr": 0.0}, "lr should be positive, got 0.0"),
        ({"warmup": -1}, "warmup .* got -1"),
        ({"clip_grad": 0.0}, "clip_grad .* got 0.0"),
    ],
)
def test_values_that_do_not_exist_are_named(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        OptimizerConfig(**options)


def test_only_what_wants_a_gradient_is_optimised():
    module = torch.nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    for name, kind in (("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)):
        optimizer = build_optimizer(module.parameters(), OptimizerConfig(name))
        assert type(optimizer) is kind and [id(p) for group in optimizer.param_groups for p in group["params"]] == [
            id(module.weight)
        ]
    with pytest.raises(ValueError, match="nothing to train"):
        build_optimizer(module.requires_grad_(False).parameters(), OptimizerConfig())
