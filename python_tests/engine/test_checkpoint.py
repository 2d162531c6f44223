"""Checkpoints: whole or not there, and only what learns is in them."""

import copy

import pytest
import torch

from colad_ops.detection import LAD, PAA, CoLAD
from colad_ops.engine import load_checkpoint, network_state, save_checkpoint
from python_tests.support.detection_cases import tiny_network


def same(state, other):
    return state.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in state.items())


def test_round_trip(tmp_path):
    method = PAA(tiny_network(0))
    optimizer = torch.optim.AdamW(method.parameters())
    for parameter in method.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    save_checkpoint(tmp_path / "a.pt", method, iteration=3, description={"method": "paa"}, optimizer=optimizer)
    state = load_checkpoint(tmp_path / "a.pt")
    assert state["iteration"] == 3 and state["description"] == {"method": "paa"}
    assert same(state["method"], method.state_dict())
    name, weights = network_state(state, None, "a.pt")
    assert name == "paa" and same(weights, method.network.state_dict())
    assert state["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    for row, values in optimizer.state_dict()["state"].items():
        assert torch.equal(state["optimizer"]["state"][row]["exp_avg"], values["exp_avg"])
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    method = PAA(tiny_network(0))
    path = tmp_path / "a.pt"
    save_checkpoint(path, method, iteration=1, description={})
    before = path.read_bytes()

    def half(state, file):
        file.write(b"half a checkpoint")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, method, iteration=2, description={})
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_the_new_file_takes_the_name_only_when_it_is_whole(tmp_path, monkeypatch):
    method, path = PAA(tiny_network(0)), tmp_path / "a.pt"
    save_checkpoint(path, method, iteration=1, description={})
    seen = []
    save = torch.save

    def watch(state, file):
        save(state, file)
        seen.append(load_checkpoint(path)["iteration"])  # while the new one is written, the old one is there

    monkeypatch.setattr(torch, "save", watch)
    save_checkpoint(path, method, iteration=2, description={})
    assert seen == [1] and load_checkpoint(path)["iteration"] == 2


def test_the_teacher_is_not_in_a_lad_checkpoint(tmp_path):
    student, teacher = tiny_network(0), tiny_network(1)
    save_checkpoint(tmp_path / "lad.pt", LAD(student, teacher), iteration=1, description={})
    save_checkpoint(tmp_path / "paa.pt", PAA(copy.deepcopy(student)), iteration=1, description={})
    state = load_checkpoint(tmp_path / "lad.pt")
    assert list(state["networks"]) == ["student"] and same(state["networks"]["student"], student.state_dict())
    assert len(state["method"]) == len(student.state_dict())
    assert abs((tmp_path / "lad.pt").stat().st_size - (tmp_path / "paa.pt").stat().st_size) < 10_000  # names only


def test_networks_of_a_pair_by_name(tmp_path):
    networks = tiny_network(0), tiny_network(1)
    save_checkpoint(tmp_path / "a.pt", CoLAD(networks), iteration=1, description={})
    state = load_checkpoint(tmp_path / "a.pt")
    for index in range(2):
        name, weights = network_state(state, f"network{index}", "a.pt")
        assert same(weights, networks[index].state_dict())
    with pytest.raises(ValueError, match="a.pt holds the networks network0, network1, got 'paa'"):
        network_state(state, "paa", "a.pt")


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pt"):
        load_checkpoint(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("text")
    with pytest.raises(ValueError, match="text.pt"):
        load_checkpoint(tmp_path / "text.pt")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="other.pt is no checkpoint"):
        load_checkpoint(tmp_path / "other.pt")
    method = PAA(tiny_network(0))
    save_checkpoint(tmp_path / "cut.pt", method, iteration=1, description={})
    whole = (tmp_path / "cut.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut.pt"):
        load_checkpoint(tmp_path / "cut.pt")
