"""Pictures decoded, and prepared for the network, by worker processes before they are asked for."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import PIL.Image

from harness.features.pictures import Key, opened
from harness.frames import Size
from harness.specs import ImageSource, Prepare

if TYPE_CHECKING:
    import torch

MOST_WORKERS = 4
"""Workers beside a GPU, where nothing else is asked for: each decodes some hundred photos a second."""


def default_workers(device: str) -> int:
    """Number of worker processes: none on a CPU, all of whose cores the networks use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, cores) if device.startswith("cuda") else 0


def start_server() -> None:
    """Starts the process that workers are forked from, which imports PyTorch while this one loads the networks.

    Workers cannot be forked from this process: what CUDA and OpenMP hold in it does not survive a fork.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["torch.utils.data", "harness.features.prefetch"]
    )
    forkserver.ensure_running()


class PrefetchRequest(NamedTuple):
    """A picture that will be asked for."""

    key: Key
    image: ImageSource
    size: Size


class PrefetchedImage(NamedTuple):
    """A picture that is as its annotation says.

    Attributes:
        image: None where only what was prepared of it is wanted.
        prepared: what the extractor's `prepare` made of it.
    """

    image: PIL.Image.Image | None
    prepared: torch.Tensor | None


class Prefetcher:
    """Decodes pictures in the order in which they will be asked for.

    Whatever goes wrong with a picture in a worker is left to whoever asks for it, who decodes it again and is told in the usual words.
    Where a worker dies, that is told once, and there are no workers from then on.

    Args:
        pictures: in the order in which they will be asked for, each once.
        prepare: the extractor's; None for none.
        images: whether the pictures themselves are wanted, too.
        workers: processes, 1 or more.
        batch: pictures that are asked for at a time; about two batches are decoded ahead.
        pin: whether what arrives is in page-locked memory, from where a GPU fetches it faster.
    """

    def __init__(
        self,
        pictures: Sequence[PrefetchRequest],
        prepare: Prepare | None,
        *,
        images: bool,
        workers: int,
        batch: int,
        pin: bool = False,
    ) -> None:
        from torch.utils.data import DataLoader

        self._places = {one.key: number for number, one in enumerate(pictures)}
        self._next, self._arriving = 0, cast("Iterator[Any] | None", None)
        workers = min(workers, len(pictures))
        if not workers:
            return
        try:
            with warnings.catch_warnings():
                # PyTorch's advice on the number of workers; it is the user's to choose.
                warnings.simplefilter("ignore")
                loader = DataLoader[Any](
                    cast("Any", _Decoding(pictures, prepare, images)),
                    batch_size=None,
                    num_workers=workers,
                    prefetch_factor=max(2, -(-2 * batch // workers)),
                    pin_memory=pin,
                    multiprocessing_context="forkserver",
                    worker_init_fn=_leave_with_parent,
                )
                self._arriving = iter(loader)
        except Exception as error:  # noqa: BLE001 - what a dataset or an extractor hands over need not be picklable
            self._give_up(error)

    def get(self, key: Key) -> PrefetchedImage | None:
        """A picture, which is waited for; None where it must be decoded on the spot: it is not its turn, or something is wrong with it."""
        place = self._places.get(key)
        if place is None or self._arriving is None:
            return None
        pixels, prepared = None, None
        try:
            while self._next <= place:
                pixels, prepared = next(self._arriving)
                self._next += 1
        except Exception as error:  # noqa: BLE001 - a worker that died must not end the run
            # What is raised depends on what it was doing when it died.
            self._give_up(error, "one did not arrive from its worker: ")
            return None
        if pixels is None and prepared is None:
            return None
        return PrefetchedImage(None if pixels is None else PIL.Image.fromarray(pixels.numpy()), prepared)

    def close(self) -> None:
        """Ends the workers."""
        self._arriving = None

    def _give_up(self, error: Exception, because: str = "") -> None:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        logging.getLogger(__name__).warning(
            "bench: pictures are no longer decoded ahead, but when they are needed: %s", because + told
        )
        self.close()


def _leave_with_parent(worker: int) -> None:
    """Ends a worker when the run is killed. PyTorch's own watch is on the process that it was forked from, which stays for its sake."""
    parent = multiprocessing.parent_process()

    def leave() -> None:
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


class _Decoding:
    """What workers do, as a dataset of PyTorch's loader.

    Pictures travel as tensors: those pass through shared memory, and what goes through the pipe is short enough to be written at once.
    A worker that is killed cannot leave half a message behind, for which everyone would wait.
    """

    def __init__(self, pictures: Sequence[PrefetchRequest], prepare: Prepare | None, images: bool) -> None:
        self._pictures, self._prepare, self._images = (
            [(one.image, one.size) for one in pictures],
            prepare,
            images,
        )

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, number: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """(H, W, 3) uint8 pixels and what was prepared of them, None for what is not wanted; None for both where something is wrong."""
        import torch

        try:
            image = opened(*self._pictures[number])
            # Only RGB comes back from an array as it was.
            pixels = torch.from_numpy(np.array(image)) if self._images and image.mode == "RGB" else None
            return pixels, self._prepare(image) if self._prepare else None
        except Exception:  # noqa: BLE001 - found again, and told, where the picture is asked for
            return None, None
