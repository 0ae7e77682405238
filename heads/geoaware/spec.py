"""GeoAware-SC's extractors, recipes and weights."""

from __future__ import annotations

from harness.citations import GEOAWARE
from harness.specs import NOT_STATED, MethodSpec, WeightSource
from heads.aggregation.settings import spec_on_sd_dino
from heads.weights import bundled_head, read_training

SOURCE = "geoaware-sc"

EXTRACTORS = (
    spec_on_sd_dino(
        "geoaware-sc",
        SOURCE,
        citation=GEOAWARE,
        description="Stable Diffusion's states and DINOv2's tokens, aggregated by a trained head",
    ),
    spec_on_sd_dino(
        "sd-dinov2-levels",
        None,
        citation=GEOAWARE,
        description="Stable Diffusion's states s3, s4, s5 and DINOv2's tokens, each part normalised",
    ),
)

_FEATURES = (
    "Features as in the authors' program: decoder states s3, s4, s5 at t 50 of the picture padded to 960 x "
    "960 in black (four crops of 512, posterior mean, one noise for all pictures, implicit captioner), and "
    "DINOv2's tokens before the final norm at 840 x 840, all brought to 60 x 60 bilinearly. "
)

_READING = "Points in the padded square; a query is the patch that it falls into, pixel = 14 patch + 7. "

METHODS = (
    MethodSpec(
        name="geoaware-sc",
        extractor="geoaware-sc",
        prompt="implicit-captioner",
        localizer="window-softmax",
        localizer_options={"window-softmax": {"window": 7}},
        supervision="K",
        trained_on="spair-71k",
        tuned_on=(NOT_STATED,),
        description="GeoAware-SC (2024): a head on Stable Diffusion 1-5 and DINOv2, trained with keypoints",
        notes=_FEATURES
        + _READING
        + "The head is trained, and no pose is aligned: in the authors' supervised setting neither. The 85.6 "
        "of the paper comes from best_856.PTH, which began with a head trained on AP-10K. On "
        "which data timestep and window were chosen is not stated.",
        citation=GEOAWARE,
    ),
    MethodSpec(
        name="geoaware-sc-zero-shot",
        extractor="sd-dinov2-levels",
        prompt="implicit-captioner",
        localizer="window-softmax",
        localizer_options={"window-softmax": {"window": 5}},
        tuned_on=(NOT_STATED,),
        description="GeoAware-SC (2024) without its head: Stable Diffusion 1-5 and DINOv2, window of 5",
        notes=_FEATURES
        + _READING
        + "Unlike SD+DINO, no principal components are taken, so that features belong to one picture. States "
        "and tokens are normalised apart and joined. The 65.4 of the paper has its pose alignment besides, "
        "which looks at the target's visible keypoints. On which data timestep and window were chosen is "
        "not stated.",
        citation=GEOAWARE,
    ),
)

WEIGHTS = (
    WeightSource(
        name=SOURCE,
        file="best_856.PTH",
        stand_in="tiny-geoaware-sc",
        training=read_training,
        advice="get best_856.PTH from folder results_spair of github.com/Junyi42/GeoAware-SC and give "
        "--weights geoaware-sc=FILE; other files of its results folders fit, too",
        citation=GEOAWARE,
        description="GeoAware-SC's head, trained on SPair-71k; github.com/Junyi42/GeoAware-SC, no licence "
        "stated; read with torch.load(weights_only=True)",
    ),
    bundled_head("geoaware-sc", "a small head on tiny-stable-diffusion and tiny-dino, trained on keypoints"),
)
