"""The door for the weights of networks: files are read without running code, and tensors compared by name.

`fill_network` is the whole of it for a network of one's own:

    fill_network(network, context.weights["my-weights"])
"""

from harness.networks.comparing import check_names, strip_prefixes
from harness.networks.file_names import find_tensor_file, tensor_patterns
from harness.networks.filling import check_finite, fill_network
from harness.networks.tensor_files import read_tensors

__all__ = [
    "check_finite",
    "check_names",
    "fill_network",
    "find_tensor_file",
    "read_tensors",
    "strip_prefixes",
    "tensor_patterns",
]
