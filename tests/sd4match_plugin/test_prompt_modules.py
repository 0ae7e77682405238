"""SD4Match's learned rows, conditional prompting module and loss, beside the vectors of tests/conformance."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.paths import PIPELINE

from baselines.stable_diffusion.backbone import StableDiffusion
from harness.errors import UserError
from harness.frames import Size
from sd4match_plugin.prompts.cpm import ABLATION, ConditionalPrompting, CpmConfig
from sd4match_plugin.prompts.learned import LearnedPrompts
from sd4match_plugin.prompts.tokens import Boundaries, assemble, random_rows
from sd4match_plugin.tuning.loss import matching_loss

SMALL = {"global_tokens": 2, "conditional_tokens": 3, "image_width": 6, "patches": 7, "text_width": 5}


@pytest.fixture(scope="module")
def backbone():
    return StableDiffusion(PIPELINE)


def make_generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def the_global_stream_is_left_alone():
    state = torch.get_rng_state()
    yield
    assert torch.equal(state, torch.get_rng_state())


def test_words_as_rows_are_the_text_with_its_boundaries(backbone):
    """A text's own rows, assembled, are what the text encoder makes of the text, up to and including its
    end.
    """
    text = backbone.token_embeddings("a photo of a cat")
    whole = assemble(text[None, 1:6], Boundaries.of(backbone))[0]
    torch.testing.assert_close(whole[:7], text[:7], rtol=0, atol=0)
    embeddings = (
        backbone.text_encoder.text_model.embeddings if hasattr(backbone.text_encoder, "text_model") else None
    )
    embeddings = embeddings or backbone.text_encoder.embeddings
    for row in (7, 76):
        expected = embeddings.token_embedding.weight[0] + embeddings.position_embedding.weight[row]
        torch.testing.assert_close(whole[row], expected, rtol=0, atol=0)


def test_gradients_reach_the_rows_through_the_text_encoder(backbone):
    rows = torch.rand(2, 75, 8, generator=make_generator()).requires_grad_()
    whole = assemble(rows, Boundaries.of(backbone))
    assert whole.shape == (2, 77, 8)
    backbone.embedding_states(whole)[1, 40].square().sum().backward()
    reached = rows.grad.abs().sum(dim=2) > 0
    # Another row of the batch is not reached, nor is what the causal mask hides.
    assert not reached[0].any()
    assert reached[1, :40].all()
    assert not reached[1, 40:].any()


def test_more_rows_than_there_is_room_for(backbone):
    with pytest.raises(ValueError, match="at most 75"):
        assemble(torch.zeros(1, 76, 8), Boundaries.of(backbone))


def test_random_rows_are_words_of_the_vocabulary_at_their_positions(backbone):
    rows = random_rows(backbone, 75, make_generator())
    inner = getattr(backbone.text_encoder, "text_model", backbone.text_encoder)
    words = rows - inner.embeddings.position_embedding.weight[1:76]
    nearest = torch.cdist(words, inner.embeddings.token_embedding.weight).min(dim=1)
    assert nearest.values.max() < 1e-4
    assert len(nearest.indices.unique()) > 70
    assert torch.equal(rows, random_rows(backbone, 75, make_generator()))
    assert not torch.equal(rows, random_rows(backbone, 75, make_generator(1)))


def test_learned_prompts_are_given_by_key(backbone):
    prompts = LearnedPrompts.random(["dog", "a.b c", "cat"], backbone, make_generator())
    assert prompts.keys == ("a.b c", "cat", "dog")
    found = prompts(["dog", "cat", "dog"])
    assert found.shape == (3, 75, 8)
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    found[0].sum().backward()
    assert [
        parameter.grad is not None and bool(parameter.grad.any()) for parameter in prompts.parameters()
    ] == [False, False, True]
    other = LearnedPrompts({key: torch.zeros(75, 8) for key in reversed(prompts.keys)})
    other.load_state_dict(prompts.state_dict())
    assert torch.equal(other(["dog"]), prompts(["dog"]))
    with pytest.raises(UserError, match="cart"):
        prompts(["cart"])


def plainly(module: ConditionalPrompting, source: np.ndarray, target: np.ndarray | None) -> np.ndarray:
    """The module in numpy for one pair, after the paper's section 3.3, and the release's gate."""
    config, state = (
        module.config,
        {name: value.double().numpy() for name, value in module.state_dict().items()},
    )
    x = source if target is None else np.concatenate([source, target], axis=-1)
    name = "linear_C" if "linear_C.weight" in state else "linear"
    x = x @ state[f"{name}.weight"].T + state[f"{name}.bias"]
    if config.mixing:
        x = state["linear_N.weight"] @ x + state["linear_N.bias"][:, None]
    if x.ndim == 2:
        ends = [
            (i * len(x) // config.conditional_tokens, -(-(i + 1) * len(x) // config.conditional_tokens))
            for i in range(3)
        ]
        x = np.stack([x[start:end].max(axis=0) for start, end in ends])
    alpha, position = state["alpha_cond"][0], state["positional_embedding"][0]
    rows = np.tanh(alpha) * (position + x) if config.gate == "release" else x * alpha + position
    return np.concatenate([state["global_embeds"][0], rows]) if "global_embeds" in state else rows


@pytest.mark.parametrize("gate", ["release", "paper"])
@pytest.mark.parametrize("case", ABLATION)
def test_every_variant_is_the_formula(case, gate):
    config = replace(
        ABLATION[case], **{**SMALL, "gate": gate, "global_tokens": 0 if case == "no-global" else 2}
    )
    module = ConditionalPrompting(config, make_generator())
    shape = (2, 7, 6) if config.descriptor == "patches" else (2, 6)
    source, target = (
        torch.randn(shape, generator=make_generator(1)),
        torch.randn(shape, generator=make_generator(2)),
    )
    both = (source, target) if config.inputs == "pair" else (source,)
    found = module(*both).detach().numpy()
    assert found.shape == (2, config.tokens, 5)
    for row in range(2):
        expected = plainly(
            module,
            *(descriptors[row].double().numpy() for descriptors in both),
            *([None] if len(both) == 1 else []),
        )
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-5)


def test_the_ablation_is_the_papers():
    structures = {
        case: (
            config.inputs,
            config.descriptor,
            config.global_tokens,
            config.conditional_tokens,
            config.mixing,
        )
        for case, config in ABLATION.items()
    }
    assert list(structures.values()) == [
        ("pair", "patches", 25, 50, True),
        ("pair", "head", 25, 50, False),
        ("image", "patches", 25, 50, True),
        ("image", "head", 25, 50, False),
        ("pair", "patches", 0, 50, True),
        ("pair", "patches", 25, 50, False),
    ]


@pytest.mark.parametrize("case", ABLATION)
def test_shapes_are_told_without_a_module(case):
    config = replace(ABLATION[case], image_width=6)
    state = ConditionalPrompting(config, make_generator()).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == config.shapes


def test_the_papers_module_has_the_releases_parameters_and_start():
    module = ConditionalPrompting(CpmConfig(), make_generator())
    state = module.state_dict()
    assert sum(value.numel() for value in state.values()) == 1_767_680
    for name, value in state.items():
        low, high = (0.0, 1.0) if "linear" not in name else (-1 / math.sqrt(1536), 1 / math.sqrt(1536))
        if "linear_N" in name:
            low, high = -1 / 16, 1 / 16
        assert low <= value.min() < low + 0.05 * (high - low), name
        assert high >= value.max() > high - 0.05 * (high - low), name
    again = ConditionalPrompting(CpmConfig(), make_generator()).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in state.items())
    assert not torch.equal(state["alpha_cond"], state["positional_embedding"])


def test_linear_layers_learn_at_their_own_rate():
    module = ConditionalPrompting(CpmConfig(**SMALL), make_generator())
    groups = torch.optim.Adam(module.parameter_groups()).param_groups
    assert [(group["lr"], len(group["params"])) for group in groups] == [(1e-2, 3), (1e-3, 4)]
    assert {id(parameter) for parameter in groups[1]["params"]} == {
        id(parameter) for parameter in (*module.linear_C.parameters(), *module.linear_N.parameters())
    }


@pytest.mark.parametrize(
    "name",
    [
        f"{inputs}-DINO-{part}-G{n}-C50"
        for inputs in ("Pair", "Img")
        for part in ("Feat", "Head")
        for n in (0, 25)
    ],
)
def test_the_releases_names(name):
    assert CpmConfig.from_release_name(f"CPM_spair_sd2-1_{name}").release_name == name


@pytest.mark.parametrize("changed", [{"gate": "paper"}, {"mixing": False}, {"inputs": "image"}])
def test_what_the_release_cannot_compute_has_no_name_of_its(changed):
    with pytest.raises(UserError, match="the release has no variant"):
        _ = CpmConfig(**changed).release_name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"global_tokens": 26}, "room for 75"),
        ({"conditional_tokens": 0}, "conditional_tokens is 0"),
        ({"patches": 2.5}, "patches is 2.5"),
        ({"gate": "open"}, "gate is 'open'; known: release, paper"),
        ({"mixing": 1}, "mixing is 1"),
    ],
)
def test_impossible_configurations(changed, message):
    with pytest.raises(UserError, match=message):
        CpmConfig(**changed)


def test_names_of_others():
    with pytest.raises(UserError, match="names no conditional prompt"):
        CpmConfig.from_release_name("Single_spair_sd2-1_TokenEmbeds75")
    with pytest.raises(UserError, match="only DINO variants"):
        CpmConfig.from_release_name("Pair-CLIP-Feat-G25-C50")


@pytest.mark.parametrize(
    ("inputs", "shapes"),
    [
        ("pair", [(1, 7, 6)]),
        ("image", [(1, 7, 6)] * 2),
        ("pair", [(1, 6, 6)] * 2),
        ("pair", [(2, 7, 6), (1, 7, 6)]),
        ("image", [(1, 7, 5)]),
    ],
)
def test_descriptors_of_another_configuration(inputs, shapes):
    module = ConditionalPrompting(CpmConfig(**SMALL, inputs=inputs), make_generator())
    with pytest.raises(ValueError, match="conditional prompt"):
        module(*(torch.zeros(shape) for shape in shapes))


def maps(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Of two pairs, with gradients wanted."""
    source, target = (
        torch.randn(2, 8, 5, 6, generator=make_generator()),
        torch.randn(2, 8, 7, 9, generator=make_generator(1)),
    )
    return source.to(dtype).requires_grad_(), target.to(dtype).requires_grad_()


POINTS = torch.rand(2, 4, 2, generator=make_generator(2)) * 60

SIZES = (Size(64, 72), Size(80, 66))


def plain_loss(
    source: torch.Tensor, target: torch.Tensor, counts: tuple[int, ...], temperature: float
) -> torch.Tensor:
    """The formula in float64, by PyTorch's own sampling; the logarithm of a sum."""
    total = torch.zeros((), dtype=torch.float64)
    for one, other, points, count in zip(
        source.double(), target.double(), POINTS.double(), counts, strict=True
    ):
        for point in points[:count]:
            (width, height), (columns, rows) = SIZES[1], (other.shape[2], other.shape[1])
            where = point / torch.tensor([SIZES[0][0] - 1, SIZES[0][1] - 1]) * 2 - 1
            query = torch.nn.functional.grid_sample(one[None], where[None, None, None], align_corners=True)[
                0, :, 0, 0
            ]
            cosine = torch.einsum(
                "c,chw->hw", query / (query.norm() + 1e-6), other / (other.norm(dim=0) + 1e-6)
            )
            probability = (cosine / temperature).flatten().softmax(dim=0).view_as(cosine)
            x, y = float(point[0]) * (columns - 1) / (width - 1), float(point[1]) * (rows - 1) / (height - 1)
            for dx in range(-3, 4):
                for dy in range(-3, 4):
                    if 0 < x + dx < columns - 1 and 0 < y + dy < rows - 1:
                        left, top = int(x + dx), int(y + dy)
                        a, b = x + dx - left, y + dy - top
                        upper = probability[top, left] * (1 - a) + probability[top, left + 1] * a
                        lower = probability[top + 1, left] * (1 - a) + probability[top + 1, left + 1] * a
                        weight = math.exp(-(dx**2 + dy**2) / (2 * 1.5**2)) / (2 * math.pi * 1.5**2)
                        total = total - weight * (upper * (1 - b) + lower * b).log() / count
    return total / len(source)


# At the smaller temperature probabilities are too small for float32.
@pytest.mark.parametrize("temperature", [0.04, 0.005])
def test_loss_and_gradients_are_the_formulas(temperature):
    source, target = maps()
    loss = matching_loss(source, target, POINTS, POINTS, [4, 2], *SIZES, temperature=temperature)
    expected = plain_loss(source, target, (4, 2), temperature)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    for found, wanted in zip(
        torch.autograd.grad(loss, (source, target)),
        torch.autograd.grad(expected, (source, target)),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5 * float(wanted.abs().max()))


def test_probabilities_that_single_precision_cannot_hold():
    source, target = maps()
    loss = matching_loss(source, target, POINTS, POINTS, [4, 4], *SIZES, temperature=1e-4)
    loss.backward()
    assert loss.isfinite()
    assert source.grad.isfinite().all()
    assert target.grad.abs().max() > 0


def test_a_uniform_map_gives_the_known_loss():
    """Log of 48 x 48 cells, times what the Gaussian's 49 weights sum to."""
    flat, centre = torch.ones(1, 3, 48, 48), torch.full((1, 1, 2), 380.0)
    loss = matching_loss(flat, flat, centre, centre, [1], Size(768, 768), Size(768, 768))
    assert loss == pytest.approx(7.47, abs=0.005)
    single = matching_loss(flat, flat, centre, centre, [1], Size(768, 768), Size(768, 768), kernel=1)
    assert single == pytest.approx(math.log(48 * 48), abs=1e-4)


def test_points_beyond_the_counts_are_not_looked_at():
    source, target = maps()
    padded = torch.cat([POINTS, torch.full((2, 3, 2), torch.nan)], dim=1)
    loss = matching_loss(source, target, padded, padded, torch.tensor([4, 4]), *SIZES)
    loss.backward()
    assert loss == matching_loss(source, target, POINTS, POINTS, (4, 4), *SIZES)
    assert source.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_with_in_single(dtype):
    source, target = maps(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = matching_loss(source, target, POINTS, POINTS, [4, 4], *SIZES)
    assert loss.dtype == torch.float32
    assert loss == matching_loss(source.float(), target.float(), POINTS, POINTS, [4, 4], *SIZES)


@pytest.mark.parametrize(
    ("counts", "kernel", "message"), [([4, 0], 7, "at least one point"), ([4, 4], 6, "positive odd")]
)
def test_what_has_no_loss(counts, kernel, message):
    with pytest.raises(ValueError, match=message):
        matching_loss(*maps(), POINTS, POINTS, counts, *SIZES, kernel=kernel)
