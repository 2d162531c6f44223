"""The single checks on a GPU can fail."""

import importlib
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

from bench.measure.machine import Machine
from bench.workload.batch import SMALL
from gpu_checks import against_cpu, em_slope, invariants, kernels, many_logits, peers, repeats, streams
from gpu_checks.context import Context, CouldNotRun
from gpu_checks.device import DryRun, Kernel


class Device(DryRun):
    """A dry run whose answers a test chooses."""

    def __init__(self, **answers) -> None:
        for name, answer in answers.items():
            setattr(self, name, answer)


def on(device, context):
    return Context(device, context.dry, context.folder)


def with_wrong(monkeypatch, module, name, change):
    """Calls of ``module.name`` on anything but the first call of a pair give a changed result."""
    right, calls = getattr(module, name), []

    def sometimes(*args, **kwargs):
        calls.append(name)
        result = right(*args, **kwargs)
        return result if len(calls) % 2 else change(result)

    monkeypatch.setattr(module, name, sometimes)


def test_a_comparison_says_where_the_device_differs():
    cpu = [torch.tensor([1.0, float("nan"), 3.0]), torch.tensor([[1, 2], [3, 4]])]
    assert against_cpu.compare("op", cpu, [x.clone() for x in cpu]) == 2
    assert against_cpu.compare("op", cpu[0], cpu[0] * (1 + 1e-6)) == 1
    with pytest.raises(
        AssertionError, match=r"op: output 0 .* in 1 of 3 places, first at \(2,\): 3.0999.* where .* 3.0"
    ):
        against_cpu.compare("op", cpu[0], torch.tensor([1.0, float("nan"), 3.1]))
    with pytest.raises(AssertionError, match=r"op: output 1 .* in 1 of 4 places, first at \(1, 0\): 5 where .* 3"):
        against_cpu.compare("op", cpu, [cpu[0], torch.tensor([[1, 2], [5, 4]])])
    with pytest.raises(AssertionError, match="output 0"):
        against_cpu.compare("op", cpu[1], cpu[1].int())


def test_another_label_or_number_of_iterations_is_found(context, monkeypatch):
    ops = SimpleNamespace(**vars(against_cpu.colad_ops))
    monkeypatch.setattr(against_cpu, "colad_ops", ops)
    with_wrong(monkeypatch, ops, "gmm_em", lambda fit: fit._replace(n_iter=fit.n_iter + 1))
    with pytest.raises(AssertionError, match="gmm_em 6 {}: output 6 differs"):
        against_cpu.check_mixtures(context)
    with_wrong(monkeypatch, ops, "paa_assign", lambda x: x._replace(num_pos=x.num_pos + 1))
    with pytest.raises(AssertionError, match="paa_assign, 2 images, 30 objects: output 2 differs"):
        against_cpu.check_crowd(context)


def test_other_bits_are_found(context, monkeypatch):
    call = SimpleNamespace(op="op", what="on a tensor", run=lambda: torch.rand(3))
    monkeypatch.setattr(repeats, "operator_calls", lambda w, device: [call])
    with pytest.raises(AssertionError, match="op on a tensor: run 2 has other bits"):
        repeats.check_repeats(context)
    assert not torch.equal(repeats.bits(torch.tensor(0.0)), repeats.bits(torch.tensor(-0.0)))


def test_a_host_that_waits_for_another_stream_is_found(context):
    waited = Device(busy_side_stream=lambda: nullcontext(lambda: False))
    with pytest.raises(AssertionError, match="the host has waited"):
        streams.check_side_stream(on(waited, context))


def test_a_result_of_empty_inputs_is_found(context, monkeypatch):
    """A kernel in another stream would see the inputs as they were before the pending work."""
    monkeypatch.setattr(streams, "fill", lambda target, source: None)
    with pytest.raises((AssertionError, RuntimeError)):
        streams.check_side_stream(context)


def test_a_gradient_that_depends_on_the_number_of_logits_is_found():
    def loss(x, y, reduction):
        return (x * len(x)).sum()

    with pytest.raises(AssertionError, match="loss: the gradient differs in part 1 of 4"):
        many_logits.compare_with_parts("loss", loss, torch.ones(8, 2), torch.ones(8, 2))


def test_many_logits_need_memory(context):
    assert (
        many_logits.ROWS * many_logits.CLASSES > 1 << 31 > many_logits.ROWS * many_logits.CLASSES // many_logits.PARTS
    )
    full = Device(free_bytes=lambda: 1 << 30)
    with pytest.raises(CouldNotRun, match="less than 20 GiB free"):
        many_logits.check_many_logits(Context(full, False, context.folder))


def test_too_much_memory_is_found(context):
    with pytest.raises(AssertionError, match="peak 1000000000 bytes, bound"):
        invariants.check_memory(on(Device(peak_bytes=lambda run: 10**9), context))


def test_the_slope_of_em_is_that_of_the_times(context, monkeypatch):
    """5 us and 2 us an iteration are 25 us for 10 and 85 us for 40."""
    monkeypatch.setattr(em_slope, "replay_microseconds", lambda device, run: 5 + 2 * run.keywords["max_iter"])
    monkeypatch.setattr(em_slope, "megahertz", lambda: 1500.0)
    assert "6 objects: 2.000 us an iteration; 1000 objects: 2.000 us" in em_slope.write_em_slope(context)
    assert "25,85,2.000,1500.000,3000.000" in (context.folder / "em_slope.csv").read_text()


def test_kernels_of_a_replay_are_added_up_by_name():
    first, second = "void colad::(anonymous namespace)::first<float>(P)", "void colad::second(P, int*)"
    profiles = [
        [Kernel(first, 0, 3), Kernel(second, 4, 6), Kernel(first, 7, 9)],
        [Kernel(first, 10, 14), Kernel(second, 15, 18), Kernel(first, 20, 22)],
    ]  # fmt: skip
    call = SimpleNamespace(op="op", what="", run=None)
    device = Device(graph=lambda run: run, kernels=lambda run, times: profiles)
    rows = kernels.kernel_rows(call, device, replays=2)
    assert [(row["kernel"], row["calls"], row["us"]) for row in rows] == [
        ("first<float>", 2, 5.5), ("second", 1, 2.5), ("gaps", "", 2.5), ("whole replay", 3, 10.5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name, short",
    [
        ("void colad::(anonymous namespace)::pass<float, 3>(colad::P<float>)", "pass<float, 3>"),
        ("void colad::dense<colad::Focal<float>, (bool)1>(colad::Q, long)", "dense<Focal<float>, (bool)1>"),
        ("Memset (Device)", "Memset "),
        ("aten::sum", "aten::sum"),
    ],
)
def test_the_short_name_of_a_kernel(name, short):
    assert kernels.short_name(name) == short


class NoDefaultDevice(TorchFunctionMode):
    """A tensor that is made without a device is an error: on a GPU it would be on the CPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in _device_constructors() and "device" not in (kwargs or {}):
            raise AssertionError(f"{func.__name__} without a device")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("bench", peers.ON)
def test_peers_make_their_tensors_on_the_device_of_the_workload(bench, one_thread):
    cases = importlib.import_module(f"bench.cases.{bench}").cases
    machine = Machine("", "", torch.device("cpu"), 1, 1e9, 1e9)
    cases(SMALL, machine)  # the workloads are made on the CPU, once
    with NoDefaultDevice():
        for case in cases(SMALL, machine):
            for peer in case.peers:
                if peer.name in peers.PEERS and peer.run is not None:
                    peer.run()


def test_a_peer_that_disagrees_is_named_and_timed(context, monkeypatch):
    def disagree(ours, peers):
        raise AssertionError("0.1 is not 0.2\nmore")

    monkeypatch.setattr("bench.cases.assign_cost.close", disagree)
    assert "a peer disagrees: 0.1 is not 0.2;" in peers.write_peers(context, "assign_cost")
    assert "vectorised torch" in (context.folder / "peers_assign_cost.csv").read_text()
