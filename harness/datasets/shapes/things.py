"""Drawings of things that stand still and face the viewer: chair and house.

A chair's left is its sitter's, on the right of the picture; a house's left is that of a person who walks out
of its door, so again on the right.
"""

from __future__ import annotations

from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.outlines import box, ellipse, limb, point_between, polygon, smooth
from harness.datasets.shapes.paint import Paint
from harness.datasets.shapes.sketch import SIDES, Kind, Sketch


def _draw_chair(sketch: Sketch, rng: KeyedRandom) -> None:
    half = rng.uniform(0.34, 0.48)
    rise = rng.uniform(0.12, 0.28)
    seat, ground = 0.1, rng.uniform(0.72, 0.98)
    narrow = half * rng.uniform(0.78, 0.98)
    flare = rng.uniform(0.82, 1.15)
    top = seat - rise - rng.uniform(0.6, 0.95)
    leg = rng.uniform(0.035, 0.06)
    # From back to front; the seat, which covers the upper ends of the legs, is painted last.
    for name, sign in SIDES:
        foot = (sign * narrow * flare, ground - rise * 0.8)
        sketch.add(
            "hind_leg",
            limb([(sign * narrow * 0.92, seat - rise), foot], leg, leg * 0.8),
            depth=-0.3,
        )
        sketch.mark(f"{name}_rear_foot", (foot[0], foot[1] - 0.02))
    for name, sign in SIDES:
        corner = (sign * narrow * flare, top)
        sketch.add(
            "post",
            limb([(sign * narrow * 0.95, seat - rise + 0.02), corner], leg, leg),
            depth=-0.3,
        )
        sketch.add(
            "knob",
            ellipse(*corner, leg * 1.5),
            depth=-0.3,
        )
        sketch.mark(f"{name}_top", corner)
    if rng.chance(0.5):
        for slat in range(rng.integer(2, 4)):
            y = top + 0.14 + slat * 0.2
            # A low backrest has no room for the last ones.
            if y < seat - rise - 0.12:
                sketch.add(
                    "slat",
                    box(-narrow * 0.93, y - 0.05, narrow * 0.93, y + 0.05, 0.02),
                    depth=-0.29,
                )
    else:
        panel = smooth(
            (-narrow * 0.8 * flare, top + 0.1),
            (0, top + rng.uniform(-0.04, 0.12)),
            (narrow * 0.8 * flare, top + 0.1),
            (narrow * 0.82, seat - rise - 0.1),
            (-narrow * 0.82, seat - rise - 0.1),
        )
        sketch.add("back", panel, depth=-0.29)
    rail = top + rng.uniform(0.07, 0.12)
    sketch.add(
        "slat",
        box(-narrow * flare, rail - 0.07, narrow * flare, rail + 0.07, 0.05),
        depth=-0.28,
    )
    sketch.add(
        "emblem",
        ellipse(0, rail, 0.055),
        depth=-0.27,
        backrest=(0, rail),
    )
    for name, sign in SIDES:
        foot = (sign * half * flare, ground)
        sketch.add(
            "leg",
            limb([(sign * half * 0.92, seat), foot], leg * 1.1, leg * 0.9),
            depth=0.3,
        )
        sketch.add(
            "shoe",
            box(foot[0] - leg * 1.5, foot[1] - 0.09, foot[0] + leg * 1.5, foot[1] + 0.03, 0.02),
            depth=0.3,
        )
        sketch.mark(f"{name}_front_foot", (foot[0], foot[1] - 0.03))
    if rng.chance(0.5):
        bar = point_between((0, seat), (0, ground), rng.uniform(0.45, 0.7))[1]
        sketch.add(
            "bar",
            limb([(-half * 0.95, bar), (half * 0.95, bar)], 0.025, 0.025),
            depth=0.3,
        )
    _draw_seat(sketch, rng, half, narrow, seat, rise)


def _draw_seat(
    sketch: Sketch,
    rng: KeyedRandom,
    half: float,
    narrow: float,
    seat: float,
    rise: float,
) -> None:
    """Draws seat and arms.

    Args:
        half, narrow: half the seat's width in front and at the back.
        seat: y of its front edge; its back edge is higher by `rise`.
    """
    # The seat in two parts: its top slopes back, its front edge is upright.
    sketch.add(
        "cushion",
        polygon(
            (-half, seat),
            (half, seat),
            (narrow, seat - rise),
            (-narrow, seat - rise),
        ),
        depth=0.0,
    )
    sketch.mark("seat", (0, seat - rise * 0.5))
    sketch.add(
        "edge",
        box(-half, seat - 0.01, half, seat + rng.uniform(0.07, 0.13), 0.02),
        depth=0.3,
    )
    sketch.mark("right_seat_corner", (-half + 0.04, seat + 0.025))
    sketch.mark("left_seat_corner", (half - 0.04, seat + 0.025))
    arm = rng.uniform(0.26, 0.36)
    for name, sign in SIDES:
        front = (sign * half * 1.05, seat - arm)
        rear = (sign * narrow * 1.05, seat - rise - arm)
        sketch.add(
            "arm_post",
            limb([(sign * half * 1.02, seat), front], 0.03, 0.03),
            depth=0.2,
        )
        sketch.add(
            "arm",
            limb([rear, front], 0.045, 0.05),
            depth=0.1,
        )
        sketch.mark(f"{name}_arm", front)


def _draw_house(sketch: Sketch, rng: KeyedRandom) -> None:
    half = rng.uniform(0.55, 0.85)
    storey = rng.uniform(0.5, 0.85)
    ground = 0.75
    eave = ground - storey
    peak = eave - rng.uniform(0.35, 0.75)
    # Two of three roofs end in a point, the others in a ridge.
    ridge = half * rng.pick((0.0, 0.0, rng.uniform(0.3, 0.75)))
    over = half + rng.uniform(0.05, 0.18)
    stack = (rng.uniform(0.25, 0.5) * half, peak - rng.uniform(0.02, 0.16))
    wide = rng.uniform(0.08, 0.12)
    sketch.add(
        "chimney",
        box(stack[0] - wide, stack[1], stack[0] + wide, eave),
        depth=-0.1,
    )
    sketch.add(
        "chimney_cap",
        box(stack[0] - wide * 1.3, stack[1] - 0.06, stack[0] + wide * 1.3, stack[1] + 0.03),
        depth=-0.1,
        chimney_top=(stack[0], stack[1] - 0.015),
    )
    sketch.add("wall", box(-half, eave - 0.05, half, ground))
    for name, sign in SIDES:
        sketch.add(
            "corner",
            box(sign * half - 0.045, eave, sign * half + 0.045, ground),
            depth=0.02,
            line=0.5,
        )
        sketch.mark(f"{name}_base", (sign * half, ground - 0.04))
    roof = (
        polygon(
            (-over, eave),
            (-ridge, peak),
            (ridge, peak),
            (over, eave),
        )
        if ridge
        else polygon(
            (-over, eave),
            (0, peak),
            (over, eave),
        )
    )
    sketch.add(
        "roof",
        roof,
        depth=0.06,
        roof_peak=(0, peak + 0.04),
    )
    sketch.add(
        "gutter",
        box(-over, eave - 0.035, over, eave + 0.035, 0.02),
        depth=0.1,
    )
    sketch.mark("right_eave", (-over + 0.035, eave))
    sketch.mark("left_eave", (over - 0.035, eave))
    attic = (eave + peak) / 2 + rng.uniform(0.04, 0.1)
    size = rng.uniform(0.07, 0.11)
    sketch.add(
        "frame",
        ellipse(0, attic, size * 1.35),
        depth=0.12,
    )
    sketch.add(
        "attic",
        ellipse(0, attic, size),
        depth=0.13,
        attic_window=(0, attic),
    )
    shift = rng.around(0, 0.06)
    door = rng.uniform(0.12, 0.18)
    _draw_door(sketch, rng, shift, door, storey, ground)
    _draw_windows(sketch, rng, half, shift, door, storey, eave)


def _draw_door(
    sketch: Sketch,
    rng: KeyedRandom,
    shift: float,
    door: float,
    storey: float,
    ground: float,
) -> None:
    """
    Args:
        shift: x of the door's middle.
        door: half its width.
    """
    head = ground - rng.uniform(0.4, 0.6) * storey - 0.1
    sketch.add(
        "frame",
        box(shift - door - 0.03, head - 0.035, shift + door + 0.03, ground),
        depth=0.08,
    )
    sketch.add(
        "door", box(shift - door, head, shift + door, ground, 0.02), depth=0.1, door_top=(shift, head + 0.03)
    )
    sketch.add(
        "knob",
        ellipse(shift - door * 0.62, (head + ground) / 2 + 0.03, 0.04),
        depth=0.12,
        door_knob=(shift - door * 0.62, (head + ground) / 2 + 0.03),
    )
    sketch.add(
        "step",
        box(shift - door * 1.6, ground - 0.03, shift + door * 1.6, ground + 0.06),
        depth=0.2,
        doorstep=(shift, ground + 0.015),
    )


def _draw_windows(
    sketch: Sketch,
    rng: KeyedRandom,
    half: float,
    shift: float,
    door: float,
    storey: float,
    eave: float,
) -> None:
    """Draws a window on each side of the door.

    Args:
        half: half the wall's width.
        shift, door: x of the door's middle, and half its width.
    """
    # The wall that is left on the narrower side of the door, which windows must fit in.
    free = half - door - abs(shift)
    pane = min(rng.uniform(0.12, 0.17), free * 0.38)
    tall = min(rng.uniform(0.12, 0.18), storey * 0.25)
    level = eave + storey * rng.uniform(0.38, 0.52)
    for name, sign in SIDES:
        x = sign * (half + door) / 2 + shift * 0.4
        sketch.add(
            "shutter",
            box(x - pane * 1.35, level - tall * 1.1, x + pane * 1.35, level + tall * 1.1),
            depth=0.04,
        )
        sketch.add(
            "glass",
            box(x - pane * 0.8, level - tall, x + pane * 0.8, level + tall),
            depth=0.05,
        )
        sketch.add(
            "frame",
            box(x - 0.02, level - tall, x + 0.02, level + tall),
            depth=0.06,
            line=0,
        )
        sketch.mark(f"{name}_window", (x, level))
        if rng.chance(0.6):
            sketch.add(
                "flowers",
                limb([(x - pane, level + tall * 1.15), (x + pane, level + tall * 1.15)], 0.05, 0.05),
                depth=0.12,
                line=0.4,
            )


CHAIR = Kind(
    keypoints=(
        "left_top",
        "right_top",
        "backrest",
        "seat",
        "left_seat_corner",
        "right_seat_corner",
        "left_arm",
        "right_arm",
        "left_front_foot",
        "right_front_foot",
        "left_rear_foot",
        "right_rear_foot",
    ),
    paints={
        "post": Paint(0.07, 0.6, 0.5, "fur", (0.0, 0.0, -0.2), pitch=0.15, turn=0, hue_spread=0.024),
        "knob": Paint(0.1, 0.7, 0.78, hue_spread=0.024),
        "slat": Paint(0.06, 0.55, 0.6, "fur", (0.0, 0.0, -0.2), pitch=0.15, turn=90, hue_spread=0.024),
        "back": Paint(0.4, 0.45, 0.6, "checks", (0.0, -0.1, 0.25), pitch=0.18, hue_spread=0.1),
        "emblem": Paint(0.15, 0.7, 0.92, hue_spread=0.048),
        "cushion": Paint(0.0, 0.65, 0.72, "checks", (0.0, -0.3, 0.2), pitch=0.22, hue_spread=0.06),
        "edge": Paint(0.95, 0.6, 0.45, "stripes", (0.0, 0.0, 0.25), pitch=0.1, hue_spread=0.05),
        "leg": Paint(0.07, 0.65, 0.42, "fur", (0.0, 0.0, -0.2), pitch=0.15, hue_spread=0.024),
        "hind_leg": Paint(0.07, 0.65, 0.26, hue_spread=0.024, spread=0.05),
        "shoe": Paint(0.6, 0.1, 0.25, hue_spread=0.1),
        "bar": Paint(0.07, 0.5, 0.5, hue_spread=0.024),
        "arm": Paint(0.3, 0.35, 0.42, "stripes", (0.0, 0.0, 0.2), pitch=0.12, hue_spread=0.04),
        "arm_post": Paint(0.07, 0.5, 0.45, hue_spread=0.024),
    },
    draw=_draw_chair,
)

HOUSE = Kind(
    keypoints=(
        "roof_peak",
        "chimney_top",
        "attic_window",
        "left_eave",
        "right_eave",
        "left_window",
        "right_window",
        "door_top",
        "door_knob",
        "doorstep",
        "left_base",
        "right_base",
    ),
    paints={
        "wall": Paint(0.11, 0.3, 0.86, "bricks", (-0.02, 0.15, -0.15), pitch=0.15, hue_spread=0.04),
        "corner": Paint(0.1, 0.1, 0.7, "bricks", (0.0, 0.1, -0.3), pitch=0.14, turn=0),
        "roof": Paint(0.02, 0.65, 0.62, "scales", (0.0, 0.05, -0.25), pitch=0.15, hue_spread=0.028),
        "gutter": Paint(0.6, 0.1, 0.4, hue_spread=0.1),
        "chimney": Paint(0.01, 0.55, 0.5, "bricks", (0.05, -0.3, 0.25), pitch=0.1, hue_spread=0.016),
        "chimney_cap": Paint(0.6, 0.08, 0.35),
        "frame": Paint(0.1, 0.06, 0.95),
        "attic": Paint(0.14, 0.7, 0.95, "gradient", (-0.03, 0.0, -0.25), pitch=0.12, hue_spread=0.024),
        "glass": Paint(0.56, 0.5, 0.55, "gradient", (0.0, -0.3, 0.3), pitch=0.2, turn=50),
        "shutter": Paint(
            0.38, 0.55, 0.45, "stripes", (0.0, 0.0, -0.2), pitch=0.07, turn=90, hue_spread=0.035
        ),
        "flowers": Paint(0.92, 0.65, 0.8, "dots", (0.4, 0.0, -0.3), pitch=0.07, hue_spread=0.04),
        "door": Paint(0.07, 0.7, 0.4, "stripes", (0.0, 0.0, -0.12), pitch=0.12, hue_spread=0.06),
        "knob": Paint(0.14, 0.8, 0.95, hue_spread=0.016),
        "step": Paint(0.6, 0.05, 0.6, "speckle", (0.0, 0.0, -0.25), pitch=0.1),
    },
    draw=_draw_house,
)
