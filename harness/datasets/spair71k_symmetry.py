"""Keypoints of SPair-71k that look alike, and those that trade places when a picture is mirrored.

Numbers are SPair-71k's own (`kps_ids`), of which bicycle and bus leave two unused (11 and 12, 8 and 9). Which
of them belong together is from GeoAware-SC (Zhang et al., CVPR 2024, `utils/utils_geoware.py`). Its program
counts on with positions in place of numbers, which moves some groups of bus, car, potted plant and TV monitor
to other points: see `docs/reference/geometry-aware.md`.
"""

from __future__ import annotations

from harness.datasets.symmetry import parse_groups, parse_partners

_QUADRUPED = "2-3 9-10-11-12"

_CATTLE = f"{_QUADRUPED} 15-16-17-18 19-20"

_ROAD_VEHICLE = "10-13-20-23 11-14-21-24 12-15-22-25 16-17-26-27 18-19-28-29"

SYMMETRIC_KEYPOINTS = parse_groups(
    {
        "aeroplane": "4-5 6-7 8-9 10-11 12-13 14-15 16-17 18-19 20-21",
        "bicycle": "2-3 6-7 9-10",
        "bird": "1-2 10-11 12-13 14-15",
        "boat": "1-2 3-4 5-6 7-8 9-10 11-12",
        "bottle": "0-1 2-3 4-5 6-7 8-9",
        "bus": f"0-1 2-3-5-6 4-7 {_ROAD_VEHICLE}",
        "car": f"0-1 2-3-6-7 4-8 5-9 {_ROAD_VEHICLE}",
        "cat": _QUADRUPED,
        "chair": "0-1 2-3 4-5-6-7 8-9 10-11 12-13",
        "cow": _CATTLE,
        "dog": _QUADRUPED,
        "horse": "2-3 10-11-12-13 16-17-18-19",
        "motorbike": "0-1 2-3",
        "person": "8-9 10-11 12-13 14-15 16-17 18-19",
        "pottedplant": "0-1-2-3 4-5 6-8",
        "sheep": _CATTLE,
        "train": "0-1 2-3 4-5 6-7 8-9 10-11 12-13 14-15 16-17",
        "tvmonitor": "0-2-4-6 1-3-5-7 8-10-12-14 9-11-13-15",
    }
)
"""Category -> groups of keypoints that a symmetric object has several times. Eyes and nostrils, which lie
closer together than a prediction is precise, are in none.
"""

_ANIMAL_HEAD = "0-1 2-3 4-5"

_CATTLE_PARTNERS = f"{_ANIMAL_HEAD} 6-7 9-10 11-12 15-16 17-18 19-20"

_ROAD_VEHICLE_PARTNERS = "10-20 13-23 11-21 14-24 12-22 15-25 16-17 26-27 18-19 28-29"

MIRROR_PARTNERS = parse_partners(
    {
        "aeroplane": "4-5 6-7 8-9 10-11 12-13 14-15 16-17 18-19 20-21",
        "bicycle": "2-3 6-7 9-10",
        "bird": "1-2 4-5 7-8 10-11 12-13 14-15",
        "boat": "1-2 3-4 5-6 7-8 9-10 11-12",
        "bottle": "0-1 2-3 4-5 6-7 8-9",
        "bus": f"0-1 2-3 5-6 {_ROAD_VEHICLE_PARTNERS}",
        "car": f"0-1 2-3 6-7 {_ROAD_VEHICLE_PARTNERS}",
        "cat": f"{_ANIMAL_HEAD} 6-7 9-10 11-12",
        "chair": "0-1 2-3 4-5 6-7 8-9 10-11 12-13",
        "cow": _CATTLE_PARTNERS,
        "dog": f"{_ANIMAL_HEAD} 9-10 11-12",
        "horse": f"{_ANIMAL_HEAD} 6-7 10-11 12-13 16-17 18-19",
        "motorbike": "0-1 2-3",
        "person": "0-1 2-3 8-9 10-11 12-13 14-15 16-17 18-19",
        "pottedplant": "0-2 4-5 6-8",
        "sheep": _CATTLE_PARTNERS,
        "train": "0-1 2-3 4-5 6-7 8-9 10-11 12-13 14-15 16-17",
        "tvmonitor": "0-2 4-6 3-7 8-10 12-14 11-15",
    }
)
"""Category -> keypoint -> the one of the other side."""
