"""Any backbone by name, with a regression head; weights from a file, of which nothing is run."""

import pickle

import pytest
import torch
import torchvision.models
from torch import nn
from torchvision.models import regnet

from droulette.errors import UserError
from droulette.learning.backbones import build, names

FAST = ["shufflenet_v2_x0_5", "mobilenet_v3_small", "squeezenet1_0", "resnet18", "regnet_y_400mf"]


def test_every_classification_model_of_torchvision_gets_a_head(monkeypatch):
    # RegNet computes its widths with tensors, which cannot be read on the meta device.
    widths = regnet.BlockParams.from_init_params

    def on_the_processor(*args, **options):
        with torch.device("cpu"):
            return widths(*args, **options)

    monkeypatch.setattr(regnet.BlockParams, "from_init_params", on_the_processor)
    listed = torchvision.models.list_models(module=torchvision.models)
    assert len(listed) > 70 and set(listed) < set(names())
    for name in names():
        with torch.device("meta"):
            network = build(name, 23, input_size=64)
        head = network.get_submodule(network.head_name)
        assert isinstance(head, nn.Linear | nn.Conv2d) and head.weight.shape[0] == 23, name
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
        assert last is head, name


@pytest.mark.parametrize("name", [*FAST, "foveal", "googlenet", "vit_b_32"])
def test_networks_run_and_learn_at_64_pixels(name):
    torch.manual_seed(0)
    network = build(name, 7, input_size=64).train()
    output = network(torch.rand(3, 1, 64, 64))
    assert output.shape == (3, 7)
    output.square().mean().backward()
    assert network.get_submodule(network.head_name).weight.grad.abs().sum() > 0
    assert (output < 0).any() and (output > 0).any()


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UserError, match=r"found 'resnet19'.*'resnet18'"):
        build("resnet19", 2)


def test_weights_of_torchvision_and_of_ours_are_loaded_but_for_the_head(tmp_path):
    from safetensors.torch import save_file

    published = torchvision.models.shufflenet_v2_x0_5(weights=None)
    torch.save(published.state_dict(), tmp_path / "published.pth")
    network = build("shufflenet_v2_x0_5", 4, str(tmp_path / "published.pth"))
    assert torch.equal(network.model.conv1[0].weight, published.conv1[0].weight)

    save_file({f"network.{k}": v for k, v in network.state_dict().items()}, tmp_path / "ours.safetensors")
    again = build("shufflenet_v2_x0_5", 4, str(tmp_path / "ours.safetensors"))
    other = build("shufflenet_v2_x0_5", 9, str(tmp_path / "ours.safetensors"))
    assert torch.equal(again.model.fc.weight, network.model.fc.weight)
    assert torch.equal(other.model.conv1[0].weight, published.conv1[0].weight)
    assert other.model.fc.weight.shape[0] == 9
    with pytest.raises(UserError, match=r"published\.pth: found .* expected \("):
        build("resnet18", 4, str(tmp_path / "published.pth"))


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_no_code_in_a_file_of_weights_is_run(tmp_path, suffix, capsys):
    path = tmp_path / f"evil{suffix}"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=r"evil.*not a file of weights"):
        build("resnet18", 4, str(path))
    torch.save({"conv1.weight": Evil()}, path)
    with pytest.raises(UserError, match=r"evil.*not a file of weights"):
        build("resnet18", 4, str(path))
    assert "code ran" not in capsys.readouterr().out


def test_weights_that_are_not_there_are_said(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"settings\.weights: found .*nothing\.pth"):
        build("resnet18", 4, str(tmp_path / "nothing.pth"))
    with pytest.raises(UserError, match=r"settings\.weights: found 'pretrained'"):
        build("foveal", 4, "pretrained")

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models, "get_model", offline)
    with pytest.raises(UserError, match=r"could not download .*'resnet18'.*no route to host"):
        build("resnet18", 4, "pretrained")
