"""Compiled networks: the numbers of uncompiled ones, a kernel for each shape, an error without a compiler."""

from __future__ import annotations

import shutil

import pytest
import torch
import torch._dynamo
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from support.paths import PIPELINE, ROOT
from support.results import predictions, the_record

from baselines.networks import compiling as compiled
from baselines.networks.compiling import DIFFUSION_BLOCKS, compile_blocks
from baselines.stable_diffusion import shared
from baselines.stable_diffusion.backbone import StableDiffusion
from baselines.stable_diffusion.conditioning import Conditioning
from baselines.stable_diffusion.prefix import prefix_submodules
from baselines.vit.backbone import VisionTransformer

DINO = ROOT / "baselines" / "tiny" / "weights" / "dino"


@pytest.fixture(autouse=True)
def nothing_compiled():
    """Tests do not share compiled code, or limits of compilation."""
    names = ("cache_size_limit", "accumulated_cache_size_limit")
    usual = [getattr(torch._dynamo.config, name) for name in names]
    yield
    for name, limit in zip(names, usual, strict=True):
        setattr(torch._dynamo.config, name, limit)
    torch._dynamo.reset()


@pytest.fixture
def graphs(monkeypatch):
    """Input shapes of the graphs that are compiled; they run as they were traced, without a compiler."""
    shapes_of_inputs = []

    def backend(graph, inputs):
        shapes_of_inputs.append([getattr(value, "shape", value) for value in inputs])
        return graph.forward

    usual = torch.compile
    monkeypatch.setattr(
        torch,
        "compile",
        lambda function, **options: usual(function, **options | {"backend": backend, "options": None}),
    )
    return shapes_of_inputs


class Blocks(torch.nn.Module):
    """Two blocks of one shape, and an attention block."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = (
            ResnetBlock2D(in_channels=32, out_channels=32, temb_channels=16) for _ in range(2)
        )
        self.attention = BasicTransformerBlock(32, 2, 16, cross_attention_dim=8)

    def forward(self, image: torch.Tensor, time: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        state = self.second(self.first(image, time), time)
        return self.attention(state.flatten(2).transpose(1, 2), encoder_hidden_states=text)


def blocks_and_inputs(images: int = 2):
    network = Blocks().eval().requires_grad_(False)
    torch.manual_seed(1)
    return network, (torch.randn(images, 32, 8, 8), torch.randn(images, 16), torch.randn(images, 7, 8))


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_compiled_blocks_give_the_same_but_for_rounding():
    network, inputs = blocks_and_inputs()
    expected = network(*inputs)
    assert compile_blocks(network, DIFFUSION_BLOCKS) == 3
    torch._dynamo.utils.counters.clear()
    output = network(*inputs)
    # Blocks of one shape share one.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    assert (output - expected).norm() <= 1e-4 * expected.norm()


class Little(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.sin() + 1


def little(images: int) -> torch.Tensor:
    return torch.ones(images, 2)


def test_each_shape_has_a_kernel_of_its_own_whatever_came_before(graphs):
    network = torch.nn.Sequential(Little(), Little())
    compile_blocks(network, ["Little"])
    for images in (2, 3, 2, 1, 3):
        network(little(images))
    assert graphs == [[(2, 2)], [(3, 2)], [(1, 2)]]


def test_many_shapes_are_compiled_and_one_too_many_is_an_error(graphs, monkeypatch):
    network = torch.nn.Sequential(Little(), Little())
    compile_blocks(network, ["Little"])
    for images in range(1, 13):
        network(little(images))
    assert len(graphs) == 12

    torch._dynamo.reset()
    monkeypatch.setattr(compiled, "MOST_SHAPES", 2)
    network = Little()
    compile_blocks(network, ["Little"])
    for images in (1, 2):
        network(little(images))
    # And no fall back to uncompiled code, in silence.
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        network(little(3))


def test_a_block_that_is_read_inside_runs_as_it_was_written(graphs):
    network, inputs = blocks_and_inputs()
    compile_blocks(network, DIFFUSION_BLOCKS)
    outputs = []
    hook = network.attention.attn2.to_k.register_forward_hook(
        lambda module, inputs, output: outputs.append(output)
    )
    network(*inputs)
    assert (len(outputs), len(graphs)) == (1, 1)
    hook.remove()
    network(*inputs)
    assert (len(outputs), len(graphs)) == (1, 2)


def test_a_block_runs_as_it_was_written_while_a_forward_inside_is_replaced(graphs):
    network, inputs = blocks_and_inputs()
    compile_blocks(network, DIFFUSION_BLOCKS)
    attention = network.attention.attn1
    network(*inputs)
    compiled_before, outputs = len(graphs), []
    usual = attention.forward
    attention.forward = lambda *args, **kwargs: outputs.append(args) or usual(*args, **kwargs)
    network(*inputs)
    assert (len(outputs), len(graphs)) == (1, compiled_before)
    del attention.forward
    network(*inputs)
    assert (len(outputs), len(graphs)) == (1, compiled_before)


def test_a_compiled_diffusion_still_stops_at_the_last_place(graphs):
    fast, plain = StableDiffusion(PIPELINE, compiled=True), StableDiffusion(PIPELINE)
    torch.manual_seed(0)
    pixels, noisy, prompts = (
        torch.rand(1, 3, 64, 64),
        torch.randn(2, 4, 8, 8),
        [Conditioning(backbone) for backbone in torch.randn(2, 77, 8)],
    )
    assert torch.equal(fast.posterior(pixels).std, plain.posterior(pixels).std)
    # The encoder runs once for a picture, and no faster.
    assert not graphs
    ran = []
    fast.unet.up_blocks[2].register_forward_hook(lambda module, inputs, output: ran.append(module))
    for submodules in (["up_blocks.1"], ["up_blocks.0.resnets.0", "up_blocks.1.resnets.0"]):
        outputs, expected = (
            backbone.activations(noisy, 261, prompts, submodules) for backbone in (fast, plain)
        )
        assert all(torch.equal(outputs[name], expected[name]) for name in submodules)
    assert graphs
    assert not ran


@pytest.mark.parametrize("folder", [PIPELINE, DINO.parent / "stable-diffusion"])
def test_the_blocks_that_others_exchange_are_left_alone(graphs, folder):
    """The prefix is replaced by another `forward`, which compiled code would neither call nor restore."""
    fast, plain = StableDiffusion(folder, compiled=True), StableDiffusion(folder)
    changed = {name for name, module in fast.unet.named_modules() if "forward" in vars(module)}
    prefix = prefix_submodules(fast.unet)
    assert changed
    assert not any(f"{name}.".startswith(f"{block}.") for block in changed for name in prefix)
    torch.manual_seed(0)
    noisy, prompts = (
        torch.randn(2, 4, 8, 8),
        [Conditioning(states) for states in torch.randn(2, 77, fast.text_width)],
    )
    with torch.inference_mode():
        for _ in range(2):
            prefix_outputs = fast.run_prefix(noisy, 50)
            expected = plain.activations(noisy, 50, prompts, ["up_blocks.1"])["up_blocks.1"]
            assert torch.equal(
                fast.activations(noisy, 50, prompts, ["up_blocks.1"], prefix_outputs)["up_blocks.1"], expected
            )
    assert graphs
    assert {name for name, module in fast.unet.named_modules() if "forward" in vars(module)} == changed


@pytest.mark.parametrize(("layer", "facet"), [(-1, "token"), (1, "key"), (-1, "token-norm")])
def test_every_facet_of_a_compiled_dino(graphs, layer, facet):
    plain, fast = VisionTransformer(DINO), VisionTransformer(DINO, compiled=True)
    side = 4 * plain.card.patch
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fast.features(pixels, layer, facet), plain.features(pixels, layer, facet))
    assert graphs


def test_a_run_is_compiled_where_asked_and_says_so(bench, graphs, tmp_path, monkeypatch):
    arguments = (
        "run",
        "--methods",
        "dift",
        "--ensemble",
        "1",
        "--limit",
        "1",
        "--batch-size",
        "2",
        "--device",
        "cpu",
    )
    backbones, usual = [], shared.shared_backbone

    def watched(*arguments):
        backbone, memory = usual(*arguments)
        backbones.append(backbone)
        return backbone, memory

    monkeypatch.setattr(shared, "shared_backbone", watched)
    outcomes = []
    for name, more in (("plain", ()), ("fast", ("--compile",)), ("again", ())):
        assert bench(*arguments, "--out", tmp_path / name, *more).status == 0
        outcomes.append(any("forward" in vars(module) for module in backbones[-1].unet.modules()))
    assert outcomes == [False, True, False]
    assert [
        the_record(tmp_path / name)["provenance"]["compiled"] for name in ("plain", "fast", "again")
    ] == outcomes
    assert predictions(tmp_path / "plain") == predictions(tmp_path / "fast")


def test_without_a_compiler_one_line_says_what_is_missing(shell_bench, tmp_path):
    outcome = shell_bench(
        *(
            "run",
            "--methods",
            "hog",
            "--limit",
            "1",
            "--device",
            "cpu",
            "--compile",
            "--out",
            tmp_path / "results",
        ),
        CXX="no-such-compiler",
        TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "kept"),
    )
    assert outcome.status == 2
    assert "--compile: PyTorch cannot compile for cpu (" in outcome.complaint
    assert "no-such-compiler" in outcome.complaint
    assert "install a C++ compiler such as g++, or leave --compile out" in outcome.complaint
    assert not (tmp_path / "results").exists()
