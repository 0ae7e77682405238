"""The tiny DINO: a vision transformer that learns, without labels, to give the same part of two views of a picture the same code.

Self-distillation as in DINO (Caron et al., 2021) and iBOT (Zhou et al., 2022), with the loss on patches: a student sees one crop with
some patches masked, a teacher (the student's running mean) sees another, and wherever the two crops show the same place the student
predicts which of a few hundred prototypes the teacher's patch belongs to. Assignments are balanced over the batch (Sinkhorn-Knopp, as in
SwAV, Caron et al., 2020), which keeps everything from collapsing onto one prototype.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.tiny.loop import Losses, Schedule, train
from baselines.tiny.pictures import SIDE, Pictures

if TYPE_CHECKING:
    import torch

PATCH = 8
GRID = SIDE // PATCH
WIDTH = 144
PROTOTYPES = 512
MASKED = 0.3
"""Share of the student's patches that are replaced by the mask token."""

STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.1, 0.05


def make_vit() -> Any:
    """DINOv2's architecture: six layers of width 144, patches of 8 x 8 pixels."""
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=WIDTH,
        num_hidden_layers=6,
        num_attention_heads=6,
        mlp_ratio=4,
        image_size=SIDE,
        patch_size=PATCH,
        layerscale_value=1.0,
        use_swiglu_ffn=False,
    )
    # On a CPU, attention written out trains twice as fast as the fused kernel.
    config._attn_implementation = "eager"
    return Dinov2Model(config)


def make_head() -> Any:
    """Patch features -> similarities to prototypes, before the temperature."""
    from torch import nn

    last = nn.utils.parametrizations.weight_norm(nn.Linear(64, PROTOTYPES, bias=False))
    last.parametrizations.weight.original0.data.fill_(1.0)
    last.parametrizations.weight.original0.requires_grad_(False)

    class Normalised(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.normalize(x, dim=-1)

    return nn.Sequential(nn.Linear(WIDTH, 256), nn.GELU(), nn.Linear(256, 64), Normalised(), last)


def train_vit(pictures: Pictures, folder: Path, schedule: Schedule, batch: int) -> None:
    """Trains student and teacher and keeps the student's running mean."""
    import torch
    import torch.nn.functional as F

    student = torch.nn.ModuleDict({"vit": make_vit(), "head": make_head()})
    teacher = deepcopy(student).requires_grad_(False).eval()
    both = torch.nn.ModuleDict({"student": student, "teacher": teacher})

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        _follow(teacher, student, 0.996)
        rows = torch.randint(len(pictures.captions), (batch,), generator=generator).numpy()
        images = torch.from_numpy(pictures.pixels[rows]).permute(0, 3, 1, 2).float() / 255
        boxes = [_crops(batch, generator) for _ in range(2)]
        views = [_normalise(_jitter(_cut(images, box), generator)) for box in boxes]
        masks = torch.rand(2, batch, GRID * GRID, generator=generator) < MASKED * 2 * torch.rand(2, batch, 1, generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                seen = [_logits(teacher, view) for view in views]
            predicted = [_logits(student, view, mask) for view, mask in zip(views, masks, strict=True)]
        codes = [
            code.unflatten(0, (batch, GRID * GRID)) for code in _balance(torch.cat([one.float().flatten(0, 1) for one in seen])).chunk(2)
        ]
        losses = []
        for mine, other in ((0, 1), (1, 0), (0, 0), (1, 1)):
            target, shared = _carry(codes[other], boxes[other], boxes[mine])
            # Within one view only masked patches are a task.
            counted = shared & masks[mine] if mine == other else shared
            errors = -(target * F.log_softmax(predicted[mine].float() / STUDENT_TEMPERATURE, dim=-1)).sum(dim=-1)
            losses.append((errors * counted).sum() / counted.sum().clamp(min=1))
        usage = codes[0].flatten(0, 1).mean(dim=0)
        entropy = -(usage * usage.clamp(min=1e-9).log()).sum()
        return {"loss": torch.stack(losses).mean(), "across": losses[0], "masked": losses[2], "used": entropy.exp()}

    train(both, losses_of, schedule, folder)
    kept: Any = student["vit"]
    kept.save_pretrained(folder)


def _logits(model: Any, views: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """(n, 3, 96, 96) -> (n, 144, prototypes)."""
    states = model["vit"](views, bool_masked_pos=mask).last_hidden_state[:, 1:]
    logits: torch.Tensor = model["head"](states)
    return logits


def _balance(logits: torch.Tensor) -> torch.Tensor:
    """(n, prototypes) similarities -> soft assignments of which every prototype gets as many (Sinkhorn-Knopp, three rounds)."""
    import torch

    shares = torch.exp((logits - logits.max()) / TEACHER_TEMPERATURE)
    for _ in range(3):
        shares = shares / shares.sum(dim=0, keepdim=True).clamp(min=1e-12)
        shares = shares / shares.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return shares


def _follow(teacher: torch.nn.Module, student: torch.nn.Module, momentum: float) -> None:
    import torch

    pairs = zip(teacher.parameters(), student.parameters(), strict=True)
    with torch.no_grad():
        for mine, theirs in pairs:
            mine.lerp_(theirs, 1 - momentum)


def _crops(number: int, generator: torch.Generator) -> torch.Tensor:
    """(n, 4) boxes x, y, width, height in shares of the picture, covering 35 to 100 % of it, nearly square."""
    import torch

    area, tall = 0.35 + 0.65 * torch.rand(number, generator=generator), torch.exp(0.25 * (2 * torch.rand(number, generator=generator) - 1))
    size = torch.stack([(area / tall).sqrt(), (area * tall).sqrt()], dim=1).clamp(max=1)
    return torch.cat([torch.rand(number, 2, generator=generator) * (1 - size), size], dim=1)


def _cut(images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """The crops, resized to the pictures' size."""
    import torch
    import torch.nn.functional as F

    steps = (torch.arange(SIDE) + 0.5) / SIDE
    x, y = (boxes[:, axis, None] + boxes[:, axis + 2, None] * steps for axis in (0, 1))
    grid = torch.stack([x[:, None, :].expand(-1, SIDE, -1), y[:, :, None].expand(-1, -1, SIDE)], dim=-1)
    return F.grid_sample(images, 2 * grid - 1, mode="bilinear", padding_mode="border", align_corners=False)


def _jitter(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Brightness, contrast, saturation and a little noise; hues stay, since they tell parts apart."""
    import torch

    factors = torch.exp(0.3 * (2 * torch.rand(3, len(images), 1, 1, 1, generator=generator) - 1))
    grey = images.mean(dim=1, keepdim=True)
    images = grey + factors[0] * (images - grey)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((middle + factors[1] * (images - middle)) * factors[2] + 0.02 * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def _normalise(images: torch.Tensor) -> torch.Tensor:
    import torch

    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (images - mean) / std


def _carry(codes: torch.Tensor, from_boxes: torch.Tensor, to_boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Assignments of one crop's patches, read off at the centres of another crop's patches.

    Returns:
        (n, 144, prototypes), and (n, 144): whether the place lies within the first crop.
    """
    import torch
    import torch.nn.functional as F

    steps = (torch.arange(GRID) + 0.5) / GRID
    x, y = (
        (to_boxes[:, axis, None] + to_boxes[:, axis + 2, None] * steps - from_boxes[:, axis, None]) / from_boxes[:, axis + 2, None]
        for axis in (0, 1)
    )
    grid = torch.stack([x[:, None, :].expand(-1, GRID, -1), y[:, :, None].expand(-1, -1, GRID)], dim=-1)
    maps = codes.transpose(1, 2).unflatten(2, (GRID, GRID))
    carried = F.grid_sample(maps, 2 * grid - 1, mode="bilinear", padding_mode="border", align_corners=False)
    inside = ((grid >= 0) & (grid <= 1)).all(dim=-1)
    return carried.flatten(2).transpose(1, 2), inside.flatten(1)
