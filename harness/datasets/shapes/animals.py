"""Drawings of animals: bird, fish and horse facing right, and a cat that sits and looks at the viewer.

Left and right are the animal's own: the horse's right legs are the nearer ones, the cat's right ear is on the
left of the picture.
"""

from __future__ import annotations

from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.outlines import (
    XY,
    curve,
    ellipse,
    limb,
    point_between,
    point_toward,
    polygon,
    smooth,
)
from harness.datasets.shapes.paint import Paint
from harness.datasets.shapes.sketch import SIDES, Kind, Sketch


def _draw_bird(sketch: Sketch, rng: KeyedRandom) -> None:
    tilt = rng.uniform(-38, 12)
    plump = rng.uniform(0.26, 0.4)
    body: XY = (0.0, 0.0)
    rump = point_toward(body, tilt + 180, 0.5)
    breast = point_toward(body, tilt, 0.5)
    tail = point_toward(rump, tilt + 180 + rng.around(0, 14), rng.uniform(0.35, 0.7))
    head = point_toward(breast, tilt - rng.uniform(15, 70), rng.uniform(0.2, 0.42))
    skull = rng.uniform(0.17, 0.24)
    beak = point_toward(head, rng.uniform(-15, 22), skull + rng.uniform(0.14, 0.36))
    spread = rng.uniform(0.05, 0.16)
    # From back to front: a part covers those that were painted before it, and their keypoints.
    sketch.add(
        "tail",
        polygon(
            point_toward(rump, tilt - 90, 0.08),
            point_toward(tail, tilt - 90, spread),
            point_toward(tail, tilt + 90, spread),
            point_toward(rump, tilt + 90, 0.08),
        ),
    )
    sketch.mark("tail_tip", point_between(tail, rump, 0.08))
    # Facing right, a bird has its left leg further away. Both are covered by the body.
    ground = plump + rng.uniform(0.2, 0.42)
    for side, depth, shift in (
        ("left", -0.12, rng.uniform(0.02, 0.16)),
        ("right", 0.12, rng.uniform(-0.16, -0.02)),
    ):
        hip = (shift, plump * 0.7)
        foot = (shift + rng.uniform(-0.08, 0.12), ground)
        sketch.add(
            "leg",
            limb([hip, point_between(hip, foot, 0.55), foot], 0.03, 0.02),
            depth=depth,
        )
        sketch.add(
            "foot",
            limb([(foot[0] - 0.05, foot[1]), (foot[0] + 0.13, foot[1] + 0.02)], 0.03, 0.02),
            depth=depth,
        )
        sketch.mark(f"{side}_foot", (foot[0] + 0.04, foot[1] + 0.01))
    sketch.add(
        "back",
        limb([breast, head], plump * 0.7, skull * 0.8),
        depth=0.05,
    )
    sketch.add(
        "back",
        ellipse(*body, 0.58, plump, tilt),
        depth=0.08,
    )
    sketch.mark("back", point_toward(point_toward(body, tilt, 0.05), tilt - 90, plump * 0.8))
    sketch.mark("rump", point_toward(body, tilt + 180, 0.5))
    chest = point_toward(point_between(body, breast, 0.75), tilt + 75, plump * 0.45)
    sketch.add(
        "breast",
        ellipse(*chest, 0.34, plump * 0.52, tilt + 12),
        depth=0.1,
        line=0,
        breast=point_toward(chest, tilt + 20, 0.14),
    )
    sketch.add(
        "crown",
        ellipse(*head, skull, skull * 0.95),
        depth=0.1,
    )
    crown = point_toward(head, -rng.uniform(95, 120), skull * 0.8)
    if rng.chance(0.4):
        sketch.add(
            "crest",
            polygon(
                point_toward(head, -60, skull * 0.9),
                point_toward(head, -120, skull * rng.uniform(1.4, 1.8)),
                point_toward(head, -140, skull * 0.9),
            ),
            depth=0.1,
        )
    sketch.add(
        "crown",
        ellipse(crown[0], crown[1], skull * 0.3, skull * 0.2),
        depth=0.1,
        line=0,
        crown=crown,
    )
    sketch.add(
        "cheek",
        ellipse(head[0] + skull * 0.25, head[1] + skull * 0.4, skull * 0.55, skull * 0.4),
        depth=0.12,
        line=0,
        throat=(head[0] + skull * 0.35, head[1] + skull * 0.6),
    )
    sketch.add(
        "beak",
        polygon(
            point_toward(head, -28, skull * 0.93),
            beak,
            point_toward(head, 34, skull * 0.93),
        ),
        depth=0.11,
        beak_tip=point_between(beak, head, 0.07),
    )
    eye = point_toward(head, -rng.uniform(10, 35), skull * 0.45)
    sketch.add(
        "eye",
        ellipse(*eye, rng.uniform(0.04, 0.06)),
        depth=0.14,
        eye=eye,
    )
    shoulder = point_toward(point_toward(body, tilt, 0.28), tilt - 90, plump * 0.2)
    # Folded, or raised.
    lift = rng.uniform(-16, 30) if rng.chance(0.65) else rng.uniform(70, 120)
    tip = point_toward(shoulder, tilt + 180 + lift, rng.uniform(0.6, 0.85))
    # The wing bulges down where it is folded, and forwards where it is raised.
    bulge = tilt + 90 if lift < 50 else tilt
    elbow = point_toward(point_between(shoulder, tip, 0.45), bulge, rng.uniform(0.16, 0.26))
    sketch.add(
        "wing",
        smooth(
            point_toward(shoulder, tilt - 60, 0.1), shoulder, elbow, tip, point_between(shoulder, tip, 0.5)
        ),
        depth=0.2,
    )
    sketch.mark(
        "shoulder",
        point_between(
            point_between(point_toward(shoulder, tilt - 60, 0.1), elbow, 0.35),
            point_between(shoulder, tip, 0.5),
            0.3,
        ),
    )
    # Tips look different from the rest of their part, or small networks cannot learn where they are.
    end = point_between(tip, elbow, 0.08)
    sketch.add(
        "primaries",
        limb([point_between(tip, point_between(shoulder, elbow, 0.7), 0.3), end], 0.07, 0.03),
        depth=0.2,
        wing_tip=end,
    )


def _draw_cat(sketch: Sketch, rng: KeyedRandom) -> None:
    wide = rng.uniform(0.36, 0.5)
    tall = rng.uniform(0.5, 0.72)
    head: XY = (rng.around(0, 0.05), -tall - rng.uniform(0.12, 0.2))
    face = (rng.uniform(0.34, 0.44), rng.uniform(0.29, 0.37))
    side = rng.sign()
    tail = [
        (side * wide * 0.7, 0.32),
        (side * (wide + 0.3), 0.25),
        (side * (wide + rng.uniform(0.3, 0.5)), -0.1),
        (side * (wide + rng.uniform(0.05, 0.4)), -rng.uniform(0.25, 0.6)),
    ]
    # The tail first: the body is painted over its root.
    sketch.add(
        "fur",
        limb(curve(*tail), 0.09, 0.07),
        depth=-0.2,
    )
    end = curve(*tail)[-4:]
    sketch.add(
        "tip",
        limb(end, 0.08, 0.06),
        depth=-0.2,
        tail_tip=(float(end[-1][0]), float(end[-1][1])),
    )
    sketch.add(
        "fur",
        smooth(
            (0, -tall),
            (wide * 0.75, -tall * 0.5),
            (wide, 0.15),
            (wide * 0.8, 0.42),
            (-wide * 0.8, 0.42),
            (-wide, 0.15),
            (-wide * 0.75, -tall * 0.5),
        ),
    )
    sketch.add(
        "bib",
        ellipse(head[0] * 0.5, -tall * 0.42, wide * 0.42, tall * 0.36),
        depth=0.14,
        line=0,
    )
    sketch.mark("chest", (head[0] * 0.5, -tall * 0.32))
    gap = rng.uniform(0.13, 0.2)
    for name, sign in SIDES:
        paw = (sign * gap + rng.around(0, 0.02), 0.44 + rng.uniform(-0.04, 0.03))
        sketch.add(
            "fur", limb([(sign * gap * 1.2, -tall * 0.25), (sign * gap, 0.2), paw], 0.1, 0.085), depth=0.18
        )
        sketch.add(
            "sock",
            ellipse(*paw, 0.12, 0.075),
            depth=0.22,
        )
        sketch.mark(f"{name}_paw", paw)
        hind = (sign * wide * rng.uniform(0.85, 1.0), 0.43)
        sketch.add(
            "sock",
            ellipse(*hind, 0.14, 0.07),
            depth=0.1,
        )
        sketch.mark(f"{name}_hind_paw", (hind[0] + sign * 0.03, hind[1]))
    lean = rng.uniform(-12, 12)
    # A frame of its own, in which all parts of the head lean together.
    head_sketch = sketch.in_frame(head, lean, depth=0.22)
    ear = rng.uniform(0.26, 0.4)
    for name, sign in SIDES:
        tip = (sign * face[0] * rng.uniform(0.75, 1.0), -face[1] - ear + 0.08)
        base = ((sign * face[0] * 0.2, -face[1] * 0.8), (sign * face[0] * 0.95, -face[1] * 0.35))
        head_sketch.add(
            "fur",
            polygon(base[0], tip, base[1]),
            depth=-0.04,
        )
        head_sketch.mark(f"{name}_ear_tip", point_between(tip, (sign * face[0] * 0.58, -face[1] * 0.6), 0.08))
        # The ear once more, smaller about the middle of its base.
        middle = point_between(base[0], base[1], 0.5)
        inner_ear = [point_between(corner, middle, 0.38) for corner in (base[0], tip, base[1])]
        head_sketch.add(
            "inner_ear",
            polygon(*inner_ear),
            depth=-0.03,
            line=0,
        )
    head_sketch.add(
        "face",
        ellipse(0, 0, *face),
        depth=0.0,
    )
    head_sketch.mark("forehead", (0, -face[1] * 0.72))
    # Drawn once for both eyes.
    apart = face[0] * rng.uniform(0.4, 0.52)
    height = -face[1] * rng.uniform(0.02, 0.2)
    size = rng.uniform(0.07, 0.1)
    for name, sign in SIDES:
        eye = (sign * apart, height)
        head_sketch.add(
            "eye",
            ellipse(*eye, size, size * rng.uniform(0.7, 1.0)),
            depth=0.08,
        )
        head_sketch.add(
            "pupil",
            ellipse(*eye, size * rng.uniform(0.2, 0.5), size * 0.75),
            depth=0.09,
            line=0,
        )
        head_sketch.mark(f"{name}_eye", eye)
    head_sketch.add(
        "muzzle",
        ellipse(0, face[1] * 0.48, face[0] * 0.42, face[1] * 0.36),
        depth=0.12,
        line=0,
    )
    head_sketch.mark("chin", (0, face[1] * 0.74))
    snout = face[1] * rng.uniform(0.22, 0.34)
    for sign in (-1, 1):
        for droop in (-0.05, 0.06):
            start = (sign * face[0] * 0.22, face[1] * 0.45)
            head_sketch.add(
                "whisker",
                limb([start, (sign * face[0] * rng.uniform(1.0, 1.3), face[1] * 0.45 + droop)], 0.008, 0.005),
                depth=0.14,
                line=0,
            )
    head_sketch.add(
        "nose",
        polygon(
            (-0.055, snout - 0.03),
            (0.055, snout - 0.03),
            (0, snout + 0.045),
        ),
        depth=0.16,
        nose=(0, snout),
    )


def _draw_fish(sketch: Sketch, rng: KeyedRandom) -> None:
    tall = rng.uniform(0.26, 0.5)
    tail = (-rng.uniform(0.55, 0.7), rng.around(0, 0.03))
    fork = rng.uniform(0.22, 0.42)
    ends = (tail[0] - rng.uniform(0.2, 0.42), -fork), (tail[0] - rng.uniform(0.2, 0.42), fork)
    peak = (rng.uniform(-0.3, 0.15), -tall - rng.uniform(0.12, 0.34))
    fin_front = (rng.uniform(0.2, 0.36), -tall * 0.82)
    sketch.add(
        "dorsal",
        smooth(
            fin_front, point_between(fin_front, peak, 0.7), peak, (-0.45, -tall * 0.45), (-0.1, -tall * 0.7)
        ),
        depth=0.0,
    )
    sketch.add(
        "edge",
        limb([point_between(peak, (0, 0), 0.22), point_between(peak, (0, 0), 0.05)], 0.06, 0.03),
        dorsal_tip=point_between(peak, (0, 0), 0.09),
    )
    low = (-rng.uniform(0.1, 0.35), tall + rng.uniform(0.08, 0.24))
    sketch.add(
        "anal",
        polygon(
            (0.02, tall * 0.8),
            low,
            (low[0] - 0.1, low[1] - 0.02),
            (-0.42, tall * 0.45),
        ),
    )
    sketch.mark("anal_fin_tip", point_between((low[0] - 0.04, low[1]), (-0.2, 0), 0.12))
    root = (tail[0] + 0.05, tail[1])
    sketch.add(
        "tail",
        smooth(
            (root[0] + 0.1, root[1] - 0.08),
            ends[0],
            (tail[0] - rng.uniform(0.05, 0.2), 0),
            ends[1],
            (root[0] + 0.1, root[1] + 0.08),
            steps=3,
        ),
    )
    sketch.add(
        "upper",
        limb([point_between(ends[0], root, 0.3), point_between(ends[0], root, 0.06)], 0.05, 0.04),
        tail_top=point_between(ends[0], root, 0.12),
    )
    sketch.add(
        "lower",
        limb([point_between(ends[1], root, 0.3), point_between(ends[1], root, 0.06)], 0.05, 0.04),
        tail_bottom=point_between(ends[1], root, 0.12),
    )
    mouth = (0.8, rng.uniform(-0.04, 0.1))
    back = smooth(
        mouth,
        (0.55, -tall * 0.7),
        (0.1, -tall),
        (-0.35, -tall * 0.6),
        (tail[0] - 0.02, -0.08),
        (tail[0] - 0.02, 0.08),
        (-0.35, tall * 0.55),
        (0.1, tall),
        (0.55, tall * 0.75),
    )
    sketch.add("scales", back, depth=0.06)
    sketch.mark("back", (0.1, -tall * 0.86))
    sketch.mark("tail_root", (tail[0] + 0.06, 0.0))
    sketch.add(
        "belly",
        smooth(
            (0.6, tall * 0.55),
            (0.1, tall * 0.55),
            (-0.35, tall * 0.3),
            (0.0, tall * 0.93),
            (0.4, tall * 0.86),
        ),
        depth=0.08,
        line=0,
    )
    sketch.mark("belly", (0.1, tall * 0.82))
    # Every second fish has none.
    for band in range(rng.pick((0, 0, 1, 2))):
        x = -0.07 - 0.22 * band
        sketch.add(
            "band",
            limb(curve((x, -tall * 0.85), (x - 0.06, 0), (x, tall * 0.8)), 0.05, 0.03),
            depth=0.09,
            line=0,
        )
    gill = rng.uniform(0.28, 0.4)
    head = smooth(
        (mouth[0] - 0.01, mouth[1]),
        (0.56, -tall * 0.62),
        (gill, -tall * 0.75),
        (gill - 0.1, 0.05),
        (gill, tall * 0.75),
        (0.56, tall * 0.65),
    )
    sketch.add("head", head, depth=0.1)
    sketch.mark("gill", (gill - 0.06, 0.06))
    sketch.add(
        "lip", ellipse(mouth[0] - 0.04, mouth[1], 0.055, 0.05), depth=0.1, mouth=(mouth[0] - 0.03, mouth[1])
    )
    eye = (0.54 + rng.around(0, 0.02), -tall * rng.uniform(0.22, 0.36))
    size = rng.uniform(0.06, 0.09)
    sketch.add("eye", ellipse(*eye, size), depth=0.14)
    sketch.add(
        "pupil",
        ellipse(*eye, size * 0.5),
        depth=0.15,
        line=0,
        eye=eye,
    )
    base = (gill - 0.1, tall * rng.uniform(0.15, 0.4))
    flap = point_toward(base, 180 + rng.uniform(-50, 20), rng.uniform(0.22, 0.36))
    sketch.add(
        "pectoral",
        smooth(
            (base[0], base[1] - 0.06),
            flap,
            (flap[0] + 0.04, flap[1] + 0.1),
            (base[0], base[1] + 0.08),
        ),
        depth=0.22,
    )
    sketch.mark("side_fin_tip", point_between((flap[0] + 0.02, flap[1] + 0.04), base, 0.12))


def _draw_horse(sketch: Sketch, rng: KeyedRandom) -> None:
    deep, back = rng.uniform(0.22, 0.32), -0.12
    shoulder = (0.42, back + rng.around(0, 0.03))
    hip = (-0.46, back + rng.around(0, 0.03))
    neck = point_toward(shoulder, -rng.uniform(30, 75), rng.uniform(0.42, 0.58))
    muzzle = point_toward(neck, rng.uniform(5, 60), rng.uniform(0.32, 0.42))
    ground = deep + rng.uniform(0.5, 0.66)
    tail_root = (hip[0] - 0.16, hip[1] - deep * 0.55)
    tail = point_toward(tail_root, rng.uniform(95, 155), rng.uniform(0.45, 0.7))
    bend = point_toward(point_between(tail_root, tail, 0.4), 180, 0.14)
    sketch.add(
        "mane",
        limb(curve(tail_root, bend, tail), 0.05, 0.07),
        depth=0.0,
        tail_tip=tail,
    )
    for side, depth, shade in (("left", -0.16, "far_leg"), ("right", 0.16, "coat")):
        # Between the far legs and the near ones: it covers the upper ends of the far ones.
        if side == "right":
            _draw_horse_body(sketch, rng, deep, shoulder, hip, neck, muzzle, tail_root)
        for end, top in (
            ("front", (shoulder[0] + 0.02, shoulder[1] + deep * 0.5)),
            ("hind", (hip[0] - 0.02, hip[1] + deep * 0.5)),
        ):
            swing = rng.around(0, 0.13)
            # Front knees bend forwards, hind ones backwards.
            bend_at_knee = 0.05 if end == "front" else -0.05
            knee = (top[0] + swing + bend_at_knee, (top[1] + ground) / 2)
            hoof = (knee[0] + swing * 0.4 + rng.around(0, 0.07), ground - rng.uniform(0, 0.08))
            sketch.add(
                shade,
                limb([top, knee, hoof], 0.13, 0.05),
                depth=depth,
            )
            sketch.add(
                "sock", limb([point_between(knee, hoof, 0.65), hoof], 0.055, 0.05), depth=depth, line=0
            )
            sketch.add(
                "hoof",
                polygon(
                    (hoof[0] - 0.06, hoof[1] - 0.03),
                    (hoof[0] + 0.06, hoof[1] - 0.03),
                    (hoof[0] + 0.1, hoof[1] + 0.08),
                    (hoof[0] - 0.06, hoof[1] + 0.08),
                ),
                depth=depth,
            )
            sketch.mark(f"{side}_{end}_hoof", (hoof[0] + 0.01, hoof[1] + 0.03))


def _draw_horse_body(
    sketch: Sketch,
    rng: KeyedRandom,
    deep: float,
    shoulder: XY,
    hip: XY,
    neck: XY,
    muzzle: XY,
    tail_root: XY,
) -> None:
    ear = point_toward(neck, -rng.uniform(85, 125), rng.uniform(0.2, 0.27))
    sketch.add(
        "coat",
        polygon(
            point_toward(neck, -60, 0.08),
            ear,
            point_toward(neck, -160, 0.1),
        ),
        depth=0.06,
        ear_tip=point_between(ear, neck, 0.1),
    )
    sketch.add(
        "coat",
        limb([point_between(hip, shoulder, 0.9), point_between(shoulder, neck, 0.5), neck], deep * 0.9, 0.13),
        depth=0.08,
    )
    sketch.add(
        "mane",
        limb(
            curve(
                point_toward(shoulder, -100, deep * 0.8),
                point_toward(point_between(shoulder, neck, 0.6), 190, 0.1),
                point_toward(neck, -120, 0.16),
            ),
            0.1,
            0.06,
        ),
        depth=0.09,
    )
    sketch.mark("mane", point_toward(point_between(shoulder, neck, 0.55), 195, 0.15))
    barrel = smooth(
        (tail_root[0], tail_root[1] + 0.05),
        (hip[0], hip[1] - deep * 0.85),
        (0, -0.12 - deep * 0.62),
        (shoulder[0] - 0.02, shoulder[1] - deep * 0.85),
        (shoulder[0] + 0.2, shoulder[1] + 0.05),
        (shoulder[0] + 0.02, shoulder[1] + deep),
        (-0.05, -0.1 + deep * rng.uniform(0.9, 1.1)),
        (hip[0], hip[1] + deep * 0.75),
        (tail_root[0] - 0.02, tail_root[1] + deep),
    )
    sketch.add("coat", barrel, depth=0.1)
    sketch.mark("tail_root", (tail_root[0] + 0.04, tail_root[1] + 0.06))
    sketch.mark("chest", (shoulder[0] + 0.13, shoulder[1] + 0.07))
    if rng.chance(0.5):
        sketch.add(
            "patch",
            ellipse(
                rng.uniform(-0.3, 0.2),
                hip[1] + rng.uniform(-0.05, 0.1),
                rng.uniform(0.08, 0.18),
                rng.uniform(0.06, 0.12),
                rng.uniform(0, 90),
            ),
            depth=0.11,
            line=0,
        )
    sketch.add(
        "saddle",
        smooth(
            (-0.14, -0.14 - deep * 0.66),
            (0.16, -0.14 - deep * 0.66),
            (0.18, 0.0),
            (0.0, 0.06),
            (-0.14, 0.0),
            steps=3,
        ),
        depth=0.14,
    )
    sketch.mark("saddle", (0.02, -0.06))
    sketch.add(
        "coat",
        limb([point_toward(neck, 180, 0.02), muzzle], 0.135, 0.085),
        depth=0.1,
    )
    sketch.add(
        "muzzle",
        limb([point_between(neck, muzzle, 0.8), muzzle], 0.09, 0.085),
        depth=0.11,
        line=0,
        muzzle=point_toward(muzzle, 30, 0.03),
    )
    eye = point_toward(point_between(neck, muzzle, 0.22), -80, 0.03)
    sketch.add(
        "eye",
        ellipse(*eye, 0.035),
        depth=0.14,
        eye=eye,
    )


BIRD = Kind(
    keypoints=(
        "beak_tip",
        "eye",
        "crown",
        "throat",
        "breast",
        "back",
        "shoulder",
        "wing_tip",
        "rump",
        "tail_tip",
        "left_foot",
        "right_foot",
    ),
    paints={
        "back": Paint(0.58, 0.5, 0.6, "fur", (0.02, 0.1, -0.2), pitch=0.12, hue_spread=0.06),
        "crown": Paint(0.6, 0.6, 0.42, "fur", (0.0, 0.0, -0.15), pitch=0.1, hue_spread=0.06),
        "crest": Paint(0.97, 0.7, 0.7, hue_spread=0.04),
        "breast": Paint(0.06, 0.65, 0.85, "speckle", (0.0, -0.2, 0.1), pitch=0.09, hue_spread=0.04),
        "cheek": Paint(0.12, 0.15, 0.92, hue_spread=0.04),
        "wing": Paint(0.62, 0.45, 0.4, "scales", (0.0, -0.15, 0.35), pitch=0.13, hue_spread=0.06),
        "primaries": Paint(0.12, 0.3, 0.88, "stripes", (0.0, 0.0, -0.4), pitch=0.07, hue_spread=0.04),
        "tail": Paint(0.66, 0.4, 0.35, "stripes", (0.0, -0.1, 0.35), pitch=0.1, turn=20, hue_spread=0.05),
        "beak": Paint(0.09, 0.85, 0.92, "gradient", (-0.03, 0.0, -0.3), pitch=0.1, hue_spread=0.02),
        "eye": Paint(0.0, 0.2, 0.08, spread=0.03),
        "leg": Paint(0.05, 0.7, 0.65, hue_spread=0.024),
        "foot": Paint(0.03, 0.75, 0.55, hue_spread=0.024),
    },
    draw=_draw_bird,
)

CAT = Kind(
    keypoints=(
        "left_ear_tip",
        "right_ear_tip",
        "forehead",
        "left_eye",
        "right_eye",
        "nose",
        "chin",
        "chest",
        "left_paw",
        "right_paw",
        "left_hind_paw",
        "right_hind_paw",
        "tail_tip",
    ),
    paints={
        "fur": Paint(
            0.08, 0.5, 0.62, "stripes", (0.0, 0.1, -0.25), pitch=0.16, turn=90, hue_spread=0.032, spread=0.08
        ),
        "face": Paint(0.08, 0.48, 0.66, "fur", (0.0, 0.1, -0.25), pitch=0.14, hue_spread=0.032, spread=0.08),
        "bib": Paint(0.1, 0.1, 0.92, "fur", (0.0, 0.05, -0.12), pitch=0.12),
        "sock": Paint(0.1, 0.1, 0.9, hue_spread=0.04),
        "tip": Paint(0.08, 0.3, 0.22, "fur", (0.0, 0.0, 0.15), pitch=0.1),
        "inner_ear": Paint(0.98, 0.4, 0.85, hue_spread=0.024),
        "eye": Paint(0.27, 0.7, 0.8, "gradient", (0.05, 0.0, -0.3), pitch=0.1, hue_spread=0.035),
        "pupil": Paint(0.6, 0.2, 0.06, spread=0.02),
        "muzzle": Paint(0.1, 0.12, 0.93, "dots", (0.0, 0.05, -0.2), pitch=0.07),
        "nose": Paint(0.97, 0.55, 0.75, hue_spread=0.016),
        "whisker": Paint(0.1, 0.03, 0.95),
    },
    draw=_draw_cat,
)

FISH = Kind(
    keypoints=(
        "mouth",
        "eye",
        "gill",
        "back",
        "belly",
        "dorsal_tip",
        "anal_fin_tip",
        "tail_root",
        "tail_top",
        "tail_bottom",
        "side_fin_tip",
    ),
    paints={
        "scales": Paint(0.07, 0.75, 0.85, "scales", (0.02, 0.0, -0.28), pitch=0.13, hue_spread=0.035),
        "belly": Paint(0.13, 0.25, 0.94, "scales", (0.0, 0.1, -0.15), pitch=0.12),
        "head": Paint(0.05, 0.6, 0.7, "speckle", (0.0, 0.0, -0.2), pitch=0.1, hue_spread=0.048),
        "dorsal": Paint(0.95, 0.6, 0.6, "stripes", (0.05, 0.0, 0.25), pitch=0.09, turn=10, hue_spread=0.04),
        "anal": Paint(0.8, 0.45, 0.6, "stripes", (0.0, 0.0, 0.25), pitch=0.09, turn=-20, hue_spread=0.048),
        "tail": Paint(0.98, 0.75, 0.75, "stripes", (0.08, 0.0, 0.15), pitch=0.1, turn=90, hue_spread=0.048),
        "band": Paint(0.6, 0.1, 0.93, hue_spread=0.05),
        "edge": Paint(0.65, 0.5, 0.3, hue_spread=0.032),
        "upper": Paint(0.15, 0.7, 0.92, hue_spread=0.024),
        "lower": Paint(0.6, 0.4, 0.25, hue_spread=0.04),
        "lip": Paint(0.97, 0.5, 0.8, hue_spread=0.024),
        "eye": Paint(0.15, 0.3, 0.95),
        "pupil": Paint(0.6, 0.2, 0.06, spread=0.02),
        "pectoral": Paint(0.14, 0.65, 0.9, "stripes", (0.0, 0.0, -0.25), pitch=0.08, hue_spread=0.032),
    },
    draw=_draw_fish,
)

HORSE = Kind(
    keypoints=(
        "muzzle",
        "eye",
        "ear_tip",
        "mane",
        "chest",
        "saddle",
        "tail_root",
        "tail_tip",
        "left_front_hoof",
        "right_front_hoof",
        "left_hind_hoof",
        "right_hind_hoof",
    ),
    paints={
        "coat": Paint(0.06, 0.6, 0.5, "fur", (0.0, 0.0, -0.1), pitch=0.25, hue_spread=0.02, spread=0.08),
        "far_leg": Paint(0.06, 0.6, 0.32, "plain", (0.0, 0.0, -0.1), hue_spread=0.02),
        "patch": Paint(0.1, 0.1, 0.9),
        "mane": Paint(
            0.08, 0.5, 0.2, "fur", (0.02, 0.0, 0.25), pitch=0.14, turn=60, hue_spread=0.032, spread=0.08
        ),
        "muzzle": Paint(0.97, 0.2, 0.45, hue_spread=0.04),
        "eye": Paint(0.6, 0.2, 0.08, spread=0.03),
        "sock": Paint(0.1, 0.08, 0.92),
        "hoof": Paint(0.1, 0.25, 0.25, spread=0.06),
        "saddle": Paint(0.6, 0.6, 0.6, "checks", (0.06, -0.2, 0.2), pitch=0.15, hue_spread=0.075),
    },
    draw=_draw_horse,
)
