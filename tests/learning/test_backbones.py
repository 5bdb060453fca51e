"""Any backbone by name, with a regression head; weights from a file, of which nothing is run."""

import pickle
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision.models
from torch import nn
from torchvision.models import regnet

from droulette.errors import UserError
from droulette.learning.backbones import OWN, StridedDepthwise, build, names
from droulette.learning.prediction import predict_scaled
from droulette.learning.scaling import SCALINGS
from droulette.learning.symmetry import Group, Laws

COLUMNS = ("sigma", "xiX", "xiY", "alpha[1][0]", "alpha[1][2]", "beta[1][2]", "theta")
TWENTY_THREE = tuple(f"c{k}" for k in range(23))
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
            network = build(name, TWENTY_THREE, input_size=64)
        head = network.get_submodule(network.head_name)
        layers = [layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        if name not in OWN:
            assert [layer.weight.shape[0] for layer in layers] == [23, 23], name
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
        assert last is layers[-1], name


@pytest.mark.parametrize("name", [*FAST, "polar", "polar_tiny", "googlenet", "vit_b_32"])
def test_networks_run_and_learn_at_64_pixels(name):
    torch.manual_seed(0)
    network = build(name, COLUMNS, input_size=64).train()
    output = network(network.preprocessing.views(torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)))
    assert output.shape == (3, 14)
    output.square().mean().backward()
    grown = [parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters()]
    assert all(grown[-4:]) and np.mean(grown) > 0.95
    assert (output < 0).any() and (output > 0).any()


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "mobilenet_v3_small", "regnet_y_400mf"])
def test_what_is_replaced_for_speed_computes_what_torchvision_does(name):
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None)
    network = build(name, COLUMNS, input_size=64).model
    network.load_state_dict(theirs.state_dict() | {k: v for k, v in network.state_dict().items() if ".spread" in k
                                                   or ".columns" in k}, strict=False)  # fmt: skip
    pictures = torch.randn(4, 3, 64, 64)
    seen = [[], []]
    for model, features in zip((theirs, network), seen, strict=True):
        model = model.eval().to(memory_format=torch.channels_last)
        last = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)][-1]
        last.register_forward_hook(lambda layer, before, after, features=features: features.append(after))
        model(pictures)
    torch.testing.assert_close(seen[0], seen[1], rtol=1e-5, atol=1e-6)


def test_depthwise_layers_with_a_stride_take_float32_under_autocast_on_the_processor():
    network = build("mobilenet_v3_small", COLUMNS, input_size=64)
    layers = [layer for layer in network.modules() if isinstance(layer, StridedDepthwise)]
    assert len(layers) == 4
    dtypes = []
    for layer in layers:
        layer.register_forward_hook(lambda layer, before, after: dtypes.append(after.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.zeros(2, 64, 64, dtype=torch.uint8))
    assert dtypes == [torch.float32] * 4


@pytest.mark.parametrize("name", [*FAST, "polar_tiny", "vit_b_32"])
def test_all_that_sees_and_predicts_is_on_the_device(cuda, name):
    columns, rng = COLUMNS[:-1], np.random.default_rng(3)
    network = build(name, columns, input_size=64).to(memory_format=torch.channels_last)
    pictures = torch.from_numpy(rng.integers(0, 256, (3, 64, 64), np.uint8))
    laws, scaling = Laws.of(columns), SCALINGS["radial"].fit(rng.normal(size=(99, len(columns))), columns)
    turns = Group.of(laws, network.preprocessing.turns).some(3)

    def predicted(device: str) -> np.ndarray:
        fabric = SimpleNamespace(device=torch.device(device), autocast=nullcontext)
        views = network.preprocessing.views(pictures.to(device)).cpu().numpy()
        return np.stack(predict_scaled(network, views, laws, scaling, turns, fabric.device, fabric.autocast))

    expected = predicted("cpu")
    with cuda:
        for module in network.modules():  # as Module.to, which cannot exchange tensors of two classes
            for tensors in (module._parameters, module._buffers):
                tensors.update({name: tensor.to("cuda") for name, tensor in tensors.items() if tensor is not None})
        found = predicted("cuda")
    # A card sums in another order, and its convolutions round float32 to TF32's 10 bits.
    np.testing.assert_allclose(found, expected, atol=5e-3 if torch.cuda.is_available() else 0, rtol=0)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UserError, match=r"found 'resnet19'.*'resnet18'"):
        build("resnet19", COLUMNS)


def test_weights_of_torchvision_and_of_ours_are_loaded_but_for_the_head(tmp_path):
    from safetensors.torch import save_file

    published = torchvision.models.shufflenet_v2_x0_5(weights=None)
    torch.save(published.state_dict(), tmp_path / "published.pth")
    network = build("shufflenet_v2_x0_5", COLUMNS, str(tmp_path / "published.pth"))
    assert torch.equal(network.model.conv1[0].weight, published.conv1[0].weight)

    save_file({f"network.{k}": v for k, v in network.state_dict().items()}, tmp_path / "ours.safetensors")
    again = build("shufflenet_v2_x0_5", COLUMNS, str(tmp_path / "ours.safetensors"))
    other = build("shufflenet_v2_x0_5", TWENTY_THREE, str(tmp_path / "ours.safetensors"))
    assert torch.equal(again.model.fc.columns.weight, network.model.fc.columns.weight)
    assert torch.equal(other.model.conv1[0].weight, published.conv1[0].weight)
    assert other.model.fc.columns.weight.shape[0] == 23
    with pytest.raises(UserError, match=r"published\.pth: found .* expected \("):
        build("resnet18", COLUMNS, str(tmp_path / "published.pth"))


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_no_code_in_a_file_of_weights_is_run(tmp_path, suffix, capsys):
    path = tmp_path / f"evil{suffix}"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=r"evil.*not a file of weights"):
        build("resnet18", COLUMNS, str(path))
    torch.save({"conv1.weight": Evil()}, path)
    with pytest.raises(UserError, match=r"evil.*not a file of weights"):
        build("resnet18", COLUMNS, str(path))
    assert "code ran" not in capsys.readouterr().out


def test_weights_that_are_not_there_are_said(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"settings\.weights: found .*nothing\.pth"):
        build("resnet18", COLUMNS, str(tmp_path / "nothing.pth"))
    with pytest.raises(UserError, match=r"settings\.weights: found 'pretrained'"):
        build("polar", COLUMNS, "pretrained")

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models, "get_model", offline)
    with pytest.raises(UserError, match=r"could not download .*'resnet18'.*no route to host"):
        build("resnet18", COLUMNS, "pretrained")
