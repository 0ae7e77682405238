"""Fixtures for the tests of baselines."""

from __future__ import annotations

import pytest
import torch
from support.vision_transformers import NETWORKS, save_network


@pytest.fixture(scope="module")
def one_thread():
    """Networks this small lose more time to waiting for threads than they win by them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: save_network(tmp_path_factory.mktemp(kind), kind) for kind in NETWORKS}


@pytest.fixture(params=NETWORKS)
def folder(folders, request):
    return folders[request.param]
