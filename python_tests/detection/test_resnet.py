"""ResNet: torchvision's names and shapes, what is frozen, what normalises how."""

from __future__ import annotations

import pytest
import torch

from colad_ops.detection import BasicBlock, Bottleneck, ResNet

LAYERS = {"r18": (2, 2, 2, 2), "r34": (3, 4, 6, 3), "r50": (3, 4, 6, 3), "r101": (3, 4, 23, 3)}
PARAMETERS = {  # as torchvision's documentation states them
    "r18": 11_689_512,
    "r34": 21_797_672,
    "r50": 25_557_032,
    "r101": 44_549_160,
}


def torchvision_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a torchvision ResNet state dict, from the published architecture (He et al., table 1)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(prefix: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{prefix}.{part}"] = (channels,)
        shapes[f"{prefix}.num_batches_tracked"] = ()

    bottleneck = name in ("r50", "r101")
    shapes["conv1.weight"] = (64, 3, 7, 7)
    norm("bn1", 64)
    channels = 64
    for stage, blocks in enumerate(LAYERS[name], start=1):
        width = 64 * 2 ** (stage - 1)
        out = width * 4 if bottleneck else width
        for block in range(blocks):
            prefix = f"layer{stage}.{block}"
            kernels = (
                [(width, channels, 1), (width, width, 3), (out, width, 1)]
                if bottleneck
                else [(width, channels, 3), (out, width, 3)]
            )
            for index, (outputs, inputs, side) in enumerate(kernels, start=1):
                shapes[f"{prefix}.conv{index}.weight"] = (outputs, inputs, side, side)
                norm(f"{prefix}.bn{index}", outputs)
            if block == 0 and channels != out:
                shapes[f"{prefix}.downsample.0.weight"] = (out, channels, 1, 1)
                norm(f"{prefix}.downsample.1", out)
            channels = out
    shapes["fc.weight"], shapes["fc.bias"] = (1000, channels), (1000,)
    return shapes


def resnet(name: str, **options) -> ResNet:
    return ResNet(Bottleneck if name in ("r50", "r101") else BasicBlock, LAYERS[name], **options)


def small_resnet(**options) -> ResNet:
    return ResNet(BasicBlock, (1, 1, 1, 1), widths=(4, 4, 8, 8), **options)


@pytest.mark.parametrize("name", LAYERS)
def test_names_and_shapes_are_torchvisions(name: str) -> None:
    expected = torchvision_shapes(name)
    counted = sum(
        torch.Size(shape).numel()
        for key, shape in expected.items()
        if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))
    )
    assert counted == PARAMETERS[name]  # the list itself is right
    ours = {key: tuple(value.shape) for key, value in resnet(name).state_dict().items()}
    assert ours == {key: shape for key, shape in expected.items() if not key.startswith("fc.")}


@pytest.mark.parametrize("norm", ["batch", "frozen"])
def test_torchvision_state_loads_and_only_fc_is_left(norm: str) -> None:
    generator = torch.Generator().manual_seed(0)
    state = {key: torch.rand(shape, generator=generator) for key, shape in torchvision_shapes("r18").items()}
    network = resnet("r18", norm=norm)
    left = network.load_state_dict({key: value.clone() for key, value in state.items()}, strict=False)
    assert left.missing_keys == [] and set(left.unexpected_keys) == {"fc.weight", "fc.bias"}

    network = resnet("r18", norm=norm)
    network.load_torchvision(state)
    assert torch.equal(network.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    assert torch.equal(network.layer2[0].downsample[1].running_var, state["layer2.0.downsample.1.running_var"])
    assert "fc.weight" in state and "bn1.num_batches_tracked" in state  # the caller's state dict stays whole


def test_state_that_does_not_fit_is_refused() -> None:
    state = {key: torch.zeros(shape) for key, shape in torchvision_shapes("r18").items()}
    missing = {key: value for key, value in state.items() if key != "layer3.0.conv1.weight"}
    with pytest.raises(RuntimeError, match="layer3.0.conv1.weight"):
        resnet("r18").load_torchvision(missing)
    with pytest.raises(RuntimeError, match="layer9"):
        resnet("r18").load_torchvision({**state, "layer9.weight": torch.zeros(1)})


@pytest.mark.parametrize("stem", ["large", "small"])
@pytest.mark.parametrize("size", [(64, 96), (75, 101)])
def test_maps_have_the_stated_strides_and_channels(stem: str, size: tuple[int, int]) -> None:
    network = small_resnet(stem=stem, out_stages=(1, 2, 4)).eval()
    assert network.strides == (4, 8, 32) and network.out_channels == (4, 4, 8)
    for feature, stride, channels in zip(network(torch.zeros(2, 3, *size)), network.strides, network.out_channels):
        assert feature.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_frozen_norm_is_batch_norm_in_eval() -> None:
    torch.manual_seed(0)
    ordinary = small_resnet()
    for value in ordinary.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.1)
    frozen = small_resnet(norm="frozen")
    frozen.load_state_dict(ordinary.state_dict())
    images = torch.randn(2, 3, 64, 64)
    for one, other in zip(frozen.train()(images), ordinary.eval()(images)):
        torch.testing.assert_close(one, other)
    assert not any("bn" in name for name, _ in frozen.named_parameters())


def test_frozen_stages_do_not_learn_and_do_not_count() -> None:
    network = small_resnet(frozen_stages=1).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    sum(feature.sum() for feature in network(torch.randn(2, 3, 64, 64))).backward()
    for name, parameter in network.named_parameters():
        frozen = name.startswith(("conv1", "bn1", "layer1"))
        assert (parameter.grad is None) == frozen, name
    after = network.state_dict()
    assert torch.equal(after["layer1.0.bn1.running_mean"], before["layer1.0.bn1.running_mean"])
    assert not torch.equal(after["layer2.0.bn1.running_mean"], before["layer2.0.bn1.running_mean"])


def test_norm_eval_keeps_statistics_while_weights_learn() -> None:
    network = small_resnet(norm_eval=True)
    for _ in range(2):  # as it is born, and after train()
        assert network.training and not any(
            module.training for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)
        )
        network.train()
    before = network.layer3[0].bn2.running_var.clone()
    sum(feature.sum() for feature in network(torch.randn(2, 3, 64, 64))).backward()
    assert torch.equal(network.layer3[0].bn2.running_var, before)
    assert network.layer3[0].bn2.weight.grad is not None


@pytest.mark.parametrize(
    "options, named",
    [
        ({"stem": "tiny"}, "stem"),
        ({"norm": "group"}, "norm"),
        ({"out_stages": (3, 2)}, "out_stages"),
        ({"out_stages": (2, 5)}, "out_stages"),
        ({"frozen_stages": 5}, "frozen_stages"),
    ],
)
def test_bad_arguments_are_named(options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        small_resnet(**options)
