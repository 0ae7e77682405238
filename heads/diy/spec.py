"""DIY-SC's extractors, recipes and weights."""

from __future__ import annotations

from harness.specs import NOT_STATED, MethodSpec, WeightSource
from heads.aggregation.settings import spec_on_sd_dino, spec_on_tokens
from heads.citations import DIY_SC
from heads.weights import bundled_head, read_training

SOURCE, ON_SD_DINO = "diy-sc", "diy-sc-sd-dino"

EXTRACTORS = (
    spec_on_tokens(SOURCE, SOURCE, citation=DIY_SC, description="DINOv2's tokens, refined by a trained head"),
    spec_on_sd_dino(
        ON_SD_DINO,
        ON_SD_DINO,
        citation=DIY_SC,
        description="Stable Diffusion's states and DINOv2's tokens, refined by a trained head",
    ),
)

_NOTES = (
    "As in the authors' program: DINOv2's tokens before the final norm of the picture padded to 840 x 840 in "
    "black, a query is the patch that it falls into, soft-argmax in a window of 7, pixel = 14 patch + 7. "
    "Their head learned from pseudo-labels, without keypoints: matches along chains of pictures of near "
    "poses, filtered by cycle consistency and by a spherical prototype. Files of bench train learn from "
    "matches that are consistent within masks, without poses, chains and sphere. The paper's numbers are per "
    "keypoint. On which data the window was chosen is not stated. "
)

METHODS = (
    MethodSpec(
        name=SOURCE,
        extractor=SOURCE,
        localizer="window-softmax",
        localizer_options={"window-softmax": {"window": 7}},
        supervision="I",
        trained_on="spair-71k",
        tuned_on=(NOT_STATED,),
        description="DIY-SC (2025): a head on DINOv2, trained on pseudo-labels",
        notes=_NOTES,
        citation=DIY_SC,
    ),
    MethodSpec(
        name=ON_SD_DINO,
        extractor=ON_SD_DINO,
        prompt="implicit-captioner",
        localizer="window-softmax",
        localizer_options={"window-softmax": {"window": 7}},
        supervision="I",
        trained_on="spair-71k",
        tuned_on=(NOT_STATED,),
        description="DIY-SC (2025): its head on Stable Diffusion 1-5 and DINOv2, trained on pseudo-labels",
        notes=_NOTES + "Features are geoaware-sc's, at t 50.",
        citation=DIY_SC,
    ),
)


def _source(name: str, folder: str, features: str) -> WeightSource:
    return WeightSource(
        name=name,
        file="best.pth",
        stand_in=f"tiny-{name}",
        training=read_training,
        advice=f"get ckpts/{folder}/best.pth from github.com/odunkel/DIY-SC and give --weights {name}=FILE",
        citation=DIY_SC,
        description=f"DIY-SC's head on {features}, trained on SPair-71k; github.com/odunkel/DIY-SC, CC0; "
        "read with torch.load(weights_only=True)",
    )


WEIGHTS = (
    _source(SOURCE, "0300_dino_spair", "DINOv2"),
    _source(ON_SD_DINO, "0280_spair", "Stable Diffusion and DINOv2"),
    bundled_head(SOURCE, "a small head on tiny-dino, trained on matches within masks"),
    bundled_head(ON_SD_DINO, "a small head on tiny-stable-diffusion and tiny-dino, trained as tiny-diy-sc"),
)
