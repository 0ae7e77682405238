"""The losses of SFNet and PMD: what they are for maps that are known, and that they go down."""

import math

import numpy as np
import pytest
import torch

from matchers.backbones.resnet import ResNet
from matchers.pmd import objective as pmd
from matchers.sfnet import objective as sfnet
from matchers.sfnet.affine import make_views, own_positions
from matchers.sfnet.training import Direction
from matchers.training.objective import Batch

STILL = {"turn": 0.0, "shear": 0.0, "octaves": 0.0, "shift": 0.0}
TINY = {"layer": 1, "third_kernel": 3, "fourth_kernel": 1}


def settings_of(objective, border=0, **options):
    small = objective.SMALL
    return small.model_copy(
        update={"image_size": 48, "border": border, "options": {**small.options, **TINY, **options}}
    )


def make_network(objective, settings):
    torch.manual_seed(0)
    backbone = ResNet(4, (6, 8), (1, 1))
    return objective.make_network(backbone.torchvision_state(), settings).train()


def make_batch(step=0, steps=10, count=3, side=48):
    """Pairs of smooth noise; the object is a square in the middle."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2 * count, 3, 8, 8, generator=generator)
    pictures = torch.nn.functional.interpolate(noise, (side, side), mode="bicubic")
    mask = torch.zeros(count, 1, side, side)
    mask[..., side // 4 : -side // 4, side // 4 : -side // 4] = 1
    return Batch(
        source=pictures[:count],
        target=pictures[count:],
        source_points=[torch.zeros(0, 2)] * count,
        target_points=[torch.zeros(0, 2)] * count,
        source_mask=mask,
        target_mask=mask.clone(),
        categories=("cat",) * count,
        step=step,
        steps=steps,
    )


@pytest.mark.parametrize("border", [0, 4])
def test_goals_are_where_a_views_pixels_are(border):
    """Views of a ramp: the value at a source cell is the value at its goal in the target."""
    settings = settings_of(sfnet, border)
    inner = 48 - 2 * border
    ramp = torch.linspace(-1, 1, inner)
    ones = torch.ones(inner, inner)
    picture = torch.stack([ramp * ones, ramp[:, None] * ones, ones])
    bordered = torch.full((2, 3, 48, 48), -9.0)
    bordered[..., border : 48 - border, border : 48 - border] = picture
    views = make_views(bordered, None, settings, torch.Generator().manual_seed(3))
    if border:
        assert (views.source[..., :border] == -9).all()
    goals, is_known = views.goals((48, 48))
    assert 0.3 < is_known.float().mean() < 1
    seen = torch.nn.functional.grid_sample(views.target, goals, align_corners=True)
    # A pixel from the edge on: next to it, half of what is sampled is border.
    near = is_known & (goals.abs().amax(-1) < 1 - 2 * (border + 1) / 47)
    difference = (seen - views.source).abs().amax(1)[near]
    assert near.float().mean() > 0.2
    # Next to the picture's edge, beyond which its last pixels go on, it is less exact.
    assert difference.quantile(0.95) < 1e-4
    assert difference.max() < 0.1
    # The two views are not the same.
    assert (views.source - views.target).abs().mean() > 0.05


def shifted(columns):
    """Places of 6 x 6 cells that lie some columns further right in the other picture."""
    own = own_positions((6, 6), torch.zeros(1))
    grid = own + torch.tensor([columns * 2 / 5, 0.0])
    return Direction(grid[None], torch.zeros(1, 6, 6))


def test_the_losses_of_a_known_shift():
    mask = torch.zeros(1, 1, 6, 6)
    mask[..., 1:4, 1:3] = 1
    moved = mask.roll(1, dims=3)
    right = sfnet.consistency((shifted(1), shifted(-1)), (mask, moved))
    assert all(float(loss) == pytest.approx(0, abs=1e-6) for loss in right.values())
    # Back too far by a column: 0.4 of a half side, squared, in both directions.
    wrong = sfnet.consistency((shifted(1), shifted(-2)), (mask, moved))
    assert float(wrong["flow"]) == pytest.approx(0.32, abs=1e-3)
    # Three rows of the object, whose mask is a column off at either end.
    assert float(wrong["mask"]) == pytest.approx(6 / 36, abs=1e-5)
    assert float(wrong["smooth"]) == pytest.approx(0, abs=1e-6)


def test_smoothness_counts_steps_inside_the_mask_alone():
    direction = shifted(0)
    grid = direction.grid.clone()
    grid[0, 2, 2, 0] += 0.5
    bumpy = Direction(grid, direction.variance)
    inside, outside = torch.zeros(1, 1, 6, 6), torch.zeros(1, 1, 6, 6)
    inside[..., 2, 2] = 1
    outside[..., 5, 5] = 1
    far = sfnet.consistency((bumpy, direction), (outside, outside))
    near = sfnet.consistency((bumpy, direction), (inside, inside))
    assert float(far["smooth"]) == 0
    # To the right and down.
    assert float(near["smooth"]) == pytest.approx(1.0)


def test_the_teachers_likelihood_is_that_of_its_spread():
    """Known places off by d are likeliest under a variance of d squared."""
    exact = shifted(0)
    goals = exact.grid + torch.tensor([0.2, 0.0])
    is_known = torch.ones(1, 6, 6, dtype=torch.bool)

    def loss(variance):
        return float(
            pmd.unlikelihood(Direction(exact.grid, torch.full((1, 6, 6), variance)), goals, is_known)
        )

    best = 0.04 - pmd.SMALLEST_VARIANCE
    assert loss(best) == pytest.approx(1 + math.log(0.04), abs=1e-4)
    assert loss(best) < min(loss(best / 2), loss(best * 2))
    assert float(pmd.distance(exact, goals, is_known)) == pytest.approx(0.2, abs=1e-4)


def test_trust_falls_with_spread_and_with_ways_that_do_not_lead_back():
    vague = Direction(shifted(0).grid, torch.full((1, 6, 6), 0.02))
    assert float(pmd.trust_in(shifted(0), shifted(0), 0.1).min()) == pytest.approx(1)
    assert float(pmd.trust_in(vague, shifted(0), 0.1).mean()) == pytest.approx(math.exp(-1), abs=1e-4)
    assert float(pmd.trust_in(shifted(0), shifted(1), 0.1).mean()) < 1e-3
    settings = settings_of(pmd, trust=0.1)
    loss, trusted = pmd.distill((shifted(0), shifted(0)), (shifted(1), shifted(0)), settings)
    assert float(loss) == pytest.approx(0.2, abs=1e-3)
    assert float(trusted) == pytest.approx(1)


@pytest.mark.parametrize("objective", [sfnet, pmd])
def test_a_loss_goes_down_and_the_backbone_stays(objective):
    settings = settings_of(objective, teacher_share=0.6) if objective is pmd else settings_of(objective)
    network = make_network(objective, settings)
    frozen = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
    parameters = objective.groups(network)
    assert not parameters.backbone
    optimizer = torch.optim.Adam(parameters.head, 3e-3)
    losses = []
    for step in range(10):
        batch = make_batch(step, 10)
        network.train()
        result = objective.lose(network, batch, settings, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        result["loss"].backward()
        optimizer.step()
        objective.OBJECTIVE.after_step(network, batch, settings)
        losses.append(result["loss"].item())
    assert np.isfinite(losses).all()
    # PMD's teacher learns until step 6; what comes then is another loss.
    last = 5 if objective is pmd else 9
    assert losses[last] < losses[0]
    for name, tensor in network.backbone.state_dict().items():
        assert torch.equal(tensor, frozen[name]), name


def test_the_student_starts_as_the_teacher_which_then_stays():
    settings = settings_of(pmd, teacher_share=0.5)
    network = make_network(pmd, settings)
    optimizer = torch.optim.Adam(pmd.groups(network).head, 3e-3)
    teachers = []
    for step in range(4):
        batch = make_batch(step, 4)
        network.train()
        optimizer.zero_grad()
        pmd.lose(network, batch, settings, torch.Generator().manual_seed(step))["loss"].backward()
        optimizer.step()
        pmd.hand_over(network, batch, settings)
        teachers.append({name: tensor.clone() for name, tensor in network.teacher.state_dict().items()})
        student = network.student.state_dict()
        is_same = all(torch.equal(student[name], tensor) for name, tensor in teachers[-1].items())
        assert is_same == (step < 2)
    assert all(torch.equal(teachers[1][name], tensor) for name, tensor in teachers[3].items())
    assert any(not torch.equal(teachers[0][name], tensor) for name, tensor in teachers[1].items())


def test_sfnet_asks_for_masks():
    settings = settings_of(sfnet)
    batch = make_batch()
    no_masks = Batch(
        batch.source, batch.target, batch.source_points, batch.target_points, None, None, batch.categories
    )
    with pytest.raises(ValueError, match="masks"):
        sfnet.lose(make_network(sfnet, settings), no_masks, settings, torch.Generator())
