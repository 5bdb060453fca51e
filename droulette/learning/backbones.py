"""Networks by name: our own `polar`, or a torchvision classification model with a regression head."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from droulette.errors import UserError
from droulette.learning import own
from droulette.learning.observed import ObservedPicture
from droulette.learning.polar import Polar
from droulette.learning.preprocessing import WholePicture
from droulette.learning.symmetry import Laws

OWN = {
    "polar": {"widths": (32, 64, 128, 256), "hidden": 512, "maps": 32},
    "polar_large": {"widths": (64, 128, 256, 512), "rows": 96, "columns": 192, "hidden": 512, "maps": 32},
    "polar_tiny": {"widths": (8, 16, 32), "rows": 32, "columns": 64, "hidden": 64},  # to try things out
}
CLASSES = 1000  # ImageNet's, by which a classification head is recognised
FIXED_INPUT = dict.fromkeys(("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14", "maxvit_t"), 224)
LEAST_INPUT = {"inception_v3": 75, "alexnet": 64}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def names() -> list[str]:
    """Every backbone that `build` knows."""
    import torchvision.models

    return [*OWN, *(name for module in (torchvision.models, own) for name in torchvision.models.list_models(module))]


def check(name: str) -> None:
    """Raises `UserError`, with the nearest known name, if there is no such backbone."""
    if name not in OWN and name not in (known := names()):  # torchvision takes seconds to import
        nearest = difflib.get_close_matches(name, known, 1, cutoff=0)[0]
        raise UserError(
            f"settings.model: found {name!r}, expected 'polar' or a torchvision model; nearest: {nearest!r}"
        )


def build(
    name: str, columns: Sequence[str], weights: str = "", input_size: int = 256, observed: bool = False
) -> nn.Module:
    """A network that takes views, made by its `preprocessing`, of pictures (B, N, N), N = `input_size`.

    It gives (B, 2C): the C columns on the trained scale, and the logarithms of their variances.

    observed: the pictures are an instrument's, with noise; see `observed`.
    weights: "" random (from torch's generator), "pretrained" torchvision's own, or a .safetensors or .pth
    file of a network that differs in its head at most.

    Raises:
        UserError: unknown name; weights that cannot be downloaded or read, or that are another network's.
    """
    check(name)
    if weights and not (weights == "pretrained" or Path(weights).is_file()):
        raise UserError(f"settings.weights: found {weights!r}, expected '', 'pretrained' or an existing file")
    if name in OWN:
        if weights == "pretrained":
            raise UserError(f"settings.weights: found 'pretrained', expected '' or a file for model {name!r}")
        network = Polar(Laws.of(columns), input_size, observed=observed, **OWN[name])
    else:
        network = Torchvision(name, len(columns), input_size, pretrained=weights == "pretrained", observed=observed)
    if weights not in ("", "pretrained"):
        _load(network, Path(weights))
    return network


class Torchvision(nn.Module):
    """A torchvision classification model behind the pictures it expects, with a linear regression head."""

    def __init__(self, name: str, outputs: int, input_size: int, *, pretrained: bool = False, observed: bool = False):
        super().__init__()
        self.preprocessing = (ObservedPicture if observed else WholePicture)(input_size)
        self.observed = observed
        size = FIXED_INPUT.get(name, max(input_size, LEAST_INPUT.get(name, 32)))
        self.resize_to = size if size != input_size else None
        self.model = _classifier(name, pretrained)
        _keep_formats(self.model)
        self.head_name = "model." + _replace_head(self.model, name, outputs)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        pictures = views.float() if self.observed else views[:, None].float() / 255
        if self.resize_to:
            shape = (self.resize_to, self.resize_to)
            pictures = functional.interpolate(pictures, shape, mode="bilinear", antialias=True)
        if self.observed:  # three channels of the order of 1
            return self.model(pictures.contiguous(memory_format=torch.channels_last)).float()
        mean, deviation = pictures.new_tensor([IMAGENET_MEAN, IMAGENET_DEVIATION])[..., None, None]
        pictures = (pictures - mean) / deviation  # which also makes one channel three
        return self.model(pictures.contiguous(memory_format=torch.channels_last)).float()


class Heads(nn.Module):
    """Two layers side by side: of the columns, and of their log variances, which the body is not trained for."""

    def __init__(self, columns: nn.Module, spread: nn.Module):
        super().__init__()
        self.columns, self.spread = columns, spread

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.columns(features), self.spread(features.detach())], 1)


def _classifier(name: str, pretrained: bool) -> nn.Module:
    import torchvision.models

    options = {"init_weights": True} if name in ("googlenet", "inception_v3") and not pretrained else {}
    try:
        model = torchvision.models.get_model(name, weights="DEFAULT" if pretrained else None, **options)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise UserError(f"settings.weights: could not download the pretrained {name!r}: {error}") from error
    if hasattr(model, "aux_logits"):  # auxiliary classifiers' losses have no place in a regression
        model.aux_logits = False
        for part in ("AuxLogits", "aux1", "aux2"):
            if hasattr(model, part):
                setattr(model, part, None)
    return model


class StridedDepthwise(nn.Conv2d):
    """Where autocast would take bfloat16 on the processor, whose gradient of this layer is eight times as slow."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if features.device.type != "cpu":
            return super().forward(features)
        with torch.autocast("cpu", enabled=False):
            return super().forward(features.float())


def _keep_formats(model: nn.Module) -> None:
    """Replace, in place, what is slow in channels-last or in bfloat16 by the same function without that fault."""
    from torchvision.models import shufflenetv2

    class Unit(shufflenetv2.InvertedResidual):
        """torchvision's shuffle would give channels-first features, and each layer around it copy them."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = x.chunk(2, 1) if self.stride == 1 else (x, x)
            both = self.branch1(left), self.branch2(right)
            return torch.stack([part.permute(0, 2, 3, 1) for part in both], -1).flatten(3).permute(0, 3, 1, 2)

    for layer in model.modules():
        if type(layer) is nn.Conv2d and layer.groups == layer.in_channels > 1 and max(layer.stride) > 1:
            layer.__class__ = StridedDepthwise
        elif type(layer) is shufflenetv2.InvertedResidual:
            layer.__class__ = Unit


def _replace_head(model: nn.Module, name: str, outputs: int) -> str:
    """Put regression layers where the model's last layer of `CLASSES` outputs is, and give that place."""
    for path, layer in reversed(list(model.named_modules())):
        if isinstance(layer, nn.Linear) and layer.out_features == CLASSES:
            heads = [nn.Linear(layer.in_features, outputs) for _ in range(2)]
        elif isinstance(layer, nn.Conv2d) and layer.out_channels == CLASSES:
            heads = [nn.Conv2d(layer.in_channels, outputs, layer.kernel_size) for _ in range(2)]
        else:
            continue
        parent, _, own_name = path.rpartition(".")
        setattr(model.get_submodule(parent), own_name, Heads(*heads))
        if name.startswith("squeezenet"):  # it ends in conv, ReLU, pool: a ReLU would keep targets above 0
            model.classifier[2] = nn.Identity()
        return path
    raise UserError(f"settings.model: found {name!r} without a layer of {CLASSES} outputs, expected one to replace")


def _load(network: nn.Module, path: Path) -> None:
    """Load tensors, and nothing but tensors, from a file.

    The weights may be those of a whole network of ours, of a torchvision model, or of one with another head:
    all but the head must fit.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each of the two readers has its own family of errors for foreign bytes
        raise UserError(f"{path}: not a file of weights: {(str(error) or repr(error)).splitlines()[0]}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path}: found no plain table of tensors, expected a network's state")
    own = network.state_dict()
    # Ours as they are, torchvision's under the name they have inside our network.
    state = {key.removeprefix("network."): value for key, value in state.items()}
    state = {key if key in own else f"model.{key}": value for key, value in state.items()}
    for key, value in own.items():
        found = tuple(state[key].shape) if key in state else "nothing"
        if found == tuple(value.shape):
            value.copy_(state[key])
        elif not key.startswith(network.head_name):
            raise UserError(f"{path}: found {found} for {key!r}, expected {tuple(value.shape)}")
