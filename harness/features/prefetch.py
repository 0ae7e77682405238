"""Pictures decoded, and prepared for the network, by worker processes before they are asked for."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import PIL.Image

from harness.features.items import Item
from harness.features.pictures import PictureKey, Pictures, PrefetchedImage, open_checked, picture_key
from harness.frames import Size
from harness.interrupts import holding_interrupts
from harness.messages import first_line
from harness.specs import ImageSource, Prepare

if TYPE_CHECKING:
    import torch

MOST_WORKERS = 4
"""Workers beside a GPU, unless the user names a number: each decodes some hundred photos a second."""


def default_workers(device: str) -> int:
    """Number of worker processes: none beside a CPU, since the networks use all of its cores."""
    if not device.startswith("cuda"):
        return 0
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        # The cores that this process may use, of a machine that it may share.
        cores = len(os.sched_getaffinity(0))
    return min(MOST_WORKERS, cores)


def start_server() -> None:
    """Starts the process from which workers are forked.

    It imports PyTorch while this process loads the networks. Workers cannot be forked from this process: its
    state of CUDA and OpenMP does not survive a fork.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["torch.utils.data", "harness.features.prefetch"]
    )
    # Otherwise started below, and with it the mask of signals would be another.
    resource_tracker.ensure_running()
    # Ctrl-C reaches every process of a terminal. Whatever is born here never sees it, and ends with the run.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class PrefetchRequest(NamedTuple):
    """A picture that will be asked for, with its size as annotated."""

    key: PictureKey
    image: ImageSource
    size: Size


def prefetch_requests(items: Iterable[Item]) -> list[PrefetchRequest]:
    """The pictures of items, each once, in order of first use; without those that are missing."""
    requests: dict[PictureKey, PrefetchRequest] = {}
    for item in items:
        for image, size in zip(item.images, item.sizes, strict=True):
            key = picture_key(image, size)
            if key and key not in requests:
                requests[key] = PrefetchRequest(key, image, size)
    return list(requests.values())


class Prefetcher:
    """Decodes pictures in the order in which they will be asked for.

    A fault of a picture in a worker is left to whoever asks for the picture, decodes it again and reports the
    fault in the usual words. The death of a worker is reported once, and from then on there are no workers.

    Args:
        pictures: in the order in which they will be asked for, each once.
        prepare: the extractor's; None for an extractor without it.
        images: whether the pictures themselves are needed, too.
        workers: number of processes, 1 or more.
        batch: number of pictures that are asked for at a time; about two batches are decoded ahead.
        pin: whether the results are in page-locked memory, from where a GPU fetches them faster.
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

        self._positions: dict[PictureKey, int] = {}
        for position, picture in enumerate(pictures):
            self._positions[picture.key] = position
        self._next = 0
        self._arriving: Iterator[Any] | None = None
        workers = min(workers, len(pictures))
        if not workers:
            return
        try:
            # The loader counts the results of each worker: two batches, divided and rounded up.
            results_ahead = -(-2 * batch // workers)
            with warnings.catch_warnings():
                # PyTorch's advice on the number of workers; it is the user's to choose.
                warnings.simplefilter("ignore")
                loader = DataLoader[Any](
                    cast("Any", _Decoding(pictures, prepare, images)),
                    # Pictures differ in size, so that they do not stack.
                    batch_size=None,
                    num_workers=workers,
                    prefetch_factor=max(2, results_ahead),
                    pin_memory=pin,
                    multiprocessing_context="forkserver",
                    worker_init_fn=_leave_with_parent,
                )
                # A signal in the middle would leave half of it, whose end complains of what it lacks.
                with holding_interrupts():
                    self._arriving = iter(loader)
        except Exception as error:  # noqa: BLE001 - images or `prepare` of a plugin may not be picklable
            self._give_up(error)

    def get(self, key: PictureKey) -> PrefetchedImage | None:
        """Waits for a picture and returns it; None where its turn has passed or it has a fault.

        Such a picture is decoded on the spot.
        """
        position = self._positions.get(key)
        if position is None or self._arriving is None:
            return None
        pixels, prepared = None, None
        try:
            # Pictures that nobody asked for come first, and are dropped.
            while self._next <= position:
                pixels, prepared = next(self._arriving)
                self._next += 1
        except Exception as error:  # noqa: BLE001 - a worker that died must not end the run
            # The message of the error depends on the worker's activity at its death.
            self._give_up(error, "one did not arrive from its worker: ")
            return None
        if pixels is None and prepared is None:
            return None
        image = None
        if pixels is not None:
            image = PIL.Image.fromarray(pixels.numpy())
        return PrefetchedImage(image, prepared)

    def close(self) -> None:
        """Ends the workers."""
        self._arriving = None

    def _give_up(self, error: Exception, because: str = "") -> None:
        logging.getLogger(__name__).warning(
            "bench: pictures are no longer decoded ahead, but when they are needed: %s",
            because + first_line(error),
        )
        self.close()


@contextmanager
def decoding_ahead(
    pictures: Pictures,
    items: Iterable[Item],
    prepare: Prepare | None,
    *,
    images: bool,
    workers: int,
    batch: int,
    pin: bool = False,
) -> Iterator[None]:
    """Lets a `Prefetcher` supply the pictures of items while the context lasts; idle without workers."""
    if not workers:
        yield
        return
    requests = prefetch_requests(items)
    prefetcher = Prefetcher(requests, prepare, images=images, workers=workers, batch=batch, pin=pin)
    pictures.ahead = prefetcher.get
    try:
        yield
    finally:
        pictures.ahead = None
        prefetcher.close()


def _leave_with_parent(worker: int) -> None:
    """Ends a worker when the run is killed.

    PyTorch watches the worker's parent for this; here that is the fork server, which lives as long as its
    workers.
    """
    parent = multiprocessing.parent_process()

    def leave() -> None:
        if parent:
            parent.join()
            # `sys.exit` would end this thread alone.
            os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


class _Decoding:
    """The work of the workers, as a dataset of PyTorch's loader.

    Pictures travel as tensors, which pass through shared memory: the messages in the pipe are short enough to
    be written at once. A worker that is killed cannot leave half a message behind, for which everyone would
    wait.
    """

    def __init__(self, pictures: Sequence[PrefetchRequest], prepare: Prepare | None, images: bool) -> None:
        self._pictures = [(picture.image, picture.size) for picture in pictures]
        self._prepare, self._images = prepare, images

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, number: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Returns (H, W, 3) uint8 pixels and the result of `prepare`.

        None stands in for the one that is not needed, and for both where the picture has a fault.
        """
        import torch

        try:
            image = open_checked(*self._pictures[number])
            pixels, prepared = None, None
            # Only RGB comes back from an array as it was.
            if self._images and image.mode == "RGB":
                pixels = torch.from_numpy(np.array(image))
            if self._prepare:
                prepared = self._prepare(image)
            return pixels, prepared
        except Exception:  # noqa: BLE001 - raised again where the picture is asked for
            return None, None
