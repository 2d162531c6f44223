"""Does the emulator of test_kernels.py detect faults? Each kernel in ``simt/faults`` has one fault. The emulator must
report it with kernel and line in every order of the threads. Without the fault the same kernel must pass."""

from __future__ import annotations

import re

import pytest
import torch

from python_tests import simt

FOLDER = simt.HERE / "faults"
SOURCES = [FOLDER / "barriers.cuh", FOLDER / "memory.cuh", FOLDER / "blocks.cuh"]
SEEDS = range(20)
# The message for each fault, as a regular expression.
NO_BARRIER = r"(reads|writes) {} that block \d+, thread \d+ (wrote|read), with no barrier between"
NOBODY_WROTE = r"(reads|changes) {} where nobody wrote"
SHARED = rf"{NO_BARRIER}|{NOBODY_WROTE}".replace("{}", "shared memory")
GLOBAL = rf"{NO_BARRIER}|{NOBODY_WROTE}".replace("{}", "an output")
STALE = r"reads an output that block \d+, thread \d+ wrote, with no fence after the atomic operation between"
OUTSIDE = "{} memory outside of what the launch was given, {} bytes {} of {}"
FAULTS = {
    "missing_syncthreads": SHARED,
    "missing_second_syncthreads": NO_BARRIER.format("shared memory"),
    "missing_syncthreads_around_global_memory": GLOBAL,
    "missing_syncwarp": SHARED,
    "missing_second_syncwarp": NO_BARRIER.format("shared memory"),
    "syncwarp_where_the_block_must_wait": SHARED,
    "syncwarp_of_other_lanes": SHARED,
    "syncwarp_of_other_lanes_again": SHARED,
    "diverging_barriers": "threads diverge between the barriers",
    "unreached_barrier": "thread 5: never reaches the barrier",
    "return_before_a_barrier": r"thread [456]\d: never reaches the barrier",
    "mask_lacks_the_calling_lane": r"thread (31|63): calls with a mask that does not name its lane",
    "mask_names_a_lane_that_ended": "lane 31, which the mask names, ended and never comes",
    "mask_names_a_lane_that_waits_elsewhere": r"lane \d+, which the mask names, waits at .* and never comes",
    "masks_differ": r"lane \d+, which the mask names, (waits at .*|ended) and never comes",
    "shuffle_from_a_lane_outside_the_mask": "a shuffle reads a lane that its mask does not name",
    "mask_beyond_the_block": "a mask that names lanes beyond the end of the block",
    "shared_read_past_the_end": OUTSIDE.format("reads", 1, "past the end", "shared memory"),
    "shared_write_before_the_start": OUTSIDE.format("writes", 4, "before the start", "shared memory"),
    "shared_write_far_past_the_end": OUTSIDE.format("writes", r"\d+", "past the end", "shared memory"),
    "shared_never_written": NOBODY_WROTE.format("shared memory"),
    "shared_written_by_another_block": NOBODY_WROTE.format("shared memory"),
    "read_past_the_end": OUTSIDE.format("reads", 1, "past the end", "an input"),
    "read_before_the_start": OUTSIDE.format("reads", 4, "before the start", "an input"),
    "write_past_the_end": f"{OUTSIDE}|{GLOBAL}".format("writes", 1, "past the end", "an output"),
    "write_before_the_start": f"{OUTSIDE}|{GLOBAL}".format("writes", 4, "before the start", "an output"),
    "scratch_write_into_the_next_array": OUTSIDE.format("writes", 1, "past the end", "an output"),
    "load_of_16_bytes_past_the_end": OUTSIDE.format("reads", 1, "past the end", "an input"),
    "misaligned_load": "uses a misaligned address",
    "write_to_an_input": "writes an input",
    "output_never_written": NOBODY_WROTE.format("an output"),
    "race_of_blocks": NO_BARRIER.format("an output"),
    "atomic_and_plain_write": r"(writes|changes) an output that block \d+, thread \d+ wrote, with no barrier between",
    "plain_read_after_atomics": r"(reads|changes) an output that block \d+, thread \d+ (wrote|read), with no",
    "too_much_stack": "uses too much of its stack at .*::deep",
    "two_template_arguments": "never reaches the barrier",
    "no_fence_before_the_ticket": GLOBAL,
    "no_barrier_before_the_ticket": GLOBAL,
    "fence_of_one_thread_before_the_barrier": GLOBAL,
    "ticket_not_atomic": GLOBAL,
    "no_barrier_after_the_ticket": SHARED,
    "no_fence_after_the_ticket": STALE,
    "counter_reset_by_a_block_that_is_not_last": r"(writes|changes) an output that block \d+, thread 0 wrote, with no",
    "plain_load_after_the_ticket": STALE,
    "no_fence_before_the_ticket_of_a_warp": GLOBAL,
    "no_syncwarp_before_the_ticket_of_a_warp": GLOBAL,
    "no_fence_after_the_ticket_of_a_warp": STALE,
    "no_fence_between_two_tickets": GLOBAL,
    "read_before_waiting_for_the_launch_before": "reads an input before it waits for the work ahead in the stream",
    "no_wait_for_the_launch_before": "no thread waits for the work ahead in the stream",
    "too_large_a_block": "1 blocks of 1025 threads cannot be launched",
}
ZEROED = ("race_of_blocks", "atomic_and_plain_write", "plain_read_after_atomics")


@pytest.fixture(scope="module")
def device() -> simt.Device:
    return simt.Device(simt.build(folder=simt.REPOSITORY / "build" / "simt_faults", kernels=[FOLDER / "faults.cu"]))


def call(device: simt.Device, fault: str, right: bool, seed: int) -> torch.Tensor:
    return device.call("fault", (torch.ones(128), fault, right, fault in ZEROED), seed)


def places_of(fault: str) -> set[str]:
    """The lines that end with the fault's name."""
    return {
        f"{source.name}:{i}"
        for source in SOURCES
        for i, line in enumerate(source.read_text().splitlines(), 1)
        if line.endswith(f"  // {fault}")
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_kernel_and_line(fault: str, device: simt.Device) -> None:
    for seed in SEEDS:
        with pytest.raises(RuntimeError) as error:
            call(device, fault, False, seed)
        message = str(error.value)
        assert re.match(rf"kernel {fault}<(float, )?kRight>[,:]", message), message
        assert re.search(FAULTS[fault], message), message
        if places_of(fault):
            assert re.findall(r"\w+\.cuh:\d+", message)[-1] in places_of(fault), message


@pytest.mark.parametrize("fault", FAULTS)
def test_the_kernel_without_the_fault_passes(fault: str, device: simt.Device) -> None:
    for seed in SEEDS:
        call(device, fault, True, seed)


def test_every_fault_is_tried() -> None:
    text = "".join(source.read_text() for source in SOURCES)
    kernels = re.findall(r"^(?:KERNEL\(|__global__ void )(\w+)", text, re.MULTILINE)
    assert set(kernels) == set(FAULTS)
