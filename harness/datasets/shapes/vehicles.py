"""Drawings of things that move people: aeroplane, bicycle, boat and car, each facing right.

Seen from its right side, an object's right is nearer; mirrored pictures show it from the left. Names of parts
that are drawn on the nearer side only do not contain a side.
"""

from __future__ import annotations

from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.outlines import (
    box,
    curve,
    ellipse,
    limb,
    point_between,
    point_toward,
    polygon,
    ring,
    smooth,
)
from harness.datasets.shapes.paint import Paint
from harness.datasets.shapes.sketch import Kind, Sketch


def _draw_aeroplane(sketch: Sketch, rng: KeyedRandom) -> None:
    thick = rng.uniform(0.11, 0.19)
    tail, nose = -1.0, 1.0
    fin = rng.uniform(0.28, 0.5)
    root = rng.uniform(0.05, 0.35)
    chord = rng.uniform(0.26, 0.42)
    sweep = rng.uniform(0.15, 0.6)
    span = rng.uniform(0.45, 0.8)
    reach = rng.uniform(0.25, 0.45)
    # The far side, above the fuselage in this view.
    far_wing = (root - sweep, -span * 0.75)
    sketch.add(
        "wing",
        polygon(
            (root, -0.03),
            far_wing,
            (far_wing[0] - 0.14, far_wing[1]),
            (root - chord, -0.03),
        ),
        depth=-0.3,
    )
    sketch.add(
        "tip",
        limb([(far_wing[0], far_wing[1] + 0.02), (far_wing[0] - 0.14, far_wing[1] + 0.02)], 0.045, 0.045),
        depth=-0.3,
    )
    sketch.mark("left_wing_tip", (far_wing[0] - 0.07, far_wing[1] + 0.02))
    far_stab = (tail - 0.1, -thick * 0.3 - reach * 0.65)
    sketch.add(
        "wing",
        polygon(
            (tail + 0.28, -0.05),
            far_stab,
            (far_stab[0] - 0.1, far_stab[1]),
            (tail + 0.06, -0.05),
        ),
        depth=-0.1,
    )
    sketch.add(
        "end",
        limb([(far_stab[0], far_stab[1] + 0.02), (far_stab[0] - 0.1, far_stab[1] + 0.02)], 0.035, 0.035),
        depth=-0.1,
    )
    sketch.mark("left_stabiliser_tip", (far_stab[0] - 0.05, far_stab[1] + 0.02))
    fin_tip = (tail - rng.uniform(-0.02, 0.14), -thick * 0.6 - fin)
    sketch.add(
        "fin",
        polygon(
            (tail + rng.uniform(0.32, 0.5), -thick * 0.6),
            (fin_tip[0] + 0.14, fin_tip[1]),
            fin_tip,
            (tail + 0.06, 0),
        ),
    )
    sketch.mark("fin_tip", (fin_tip[0] + 0.06, fin_tip[1] + 0.04))
    # Before the fuselage, which covers the strut's upper end.
    wheel = nose - rng.uniform(0.28, 0.4)
    sketch.add(
        "strut",
        limb([(wheel, thick * 0.5), (wheel, thick + 0.1)], 0.02, 0.02),
        depth=0.02,
    )
    sketch.add(
        "tyre",
        ellipse(wheel, thick + 0.13, 0.055),
        depth=0.02,
        front_wheel=(wheel, thick + 0.13),
    )
    droop = rng.uniform(-0.2, 0.3) * thick
    body = smooth(
        (nose, droop),
        (nose - 0.16, -thick * 0.75),
        (nose - 0.5, -thick),
        (tail + 0.5, -thick),
        (tail, -thick * 0.55),
        (tail - 0.03, -thick * 0.1),
        (tail + 0.45, thick * 0.75),
        (nose - 0.5, thick),
        (nose - 0.12, thick * 0.75),
    )
    sketch.add("body", body, depth=0.08)
    sketch.add(
        "cone",
        ellipse(tail + 0.03, -thick * 0.28, 0.06, thick * 0.3),
        depth=0.08,
        tail_end=(tail + 0.03, -thick * 0.28),
    )
    sketch.add(
        "radome", ellipse(nose - 0.06, droop, 0.07, thick * 0.42), depth=0.08, nose=(nose - 0.05, droop)
    )
    sketch.add(
        "band", limb([(tail + 0.3, thick * 0.3), (nose - 0.3, thick * 0.4)], 0.02, 0.03), depth=0.1, line=0
    )
    cockpit = (nose - 0.2, -thick * 0.4)
    sketch.add(
        "glass",
        polygon(
            (nose - 0.1, -thick * 0.2),
            (nose - 0.17, -thick * 0.7),
            (nose - 0.29, -thick * 0.72),
            (nose - 0.29, -thick * 0.15),
        ),
        depth=0.1,
    )
    sketch.mark("cockpit", cockpit)
    door = nose - rng.uniform(0.4, 0.5)
    sketch.add(
        "door",
        box(door - 0.04, -thick * 0.55, door + 0.04, thick * 0.45, 0.02),
        depth=0.1,
        door=(door, -thick * 0.05),
    )
    for window in range(rng.integer(3, 6)):
        sketch.add(
            "glass", ellipse(door - 0.16 - 0.13 * window, -thick * 0.35, 0.03, 0.035), depth=0.1, line=0
        )
    # The near side, painted last: it covers the fuselage.
    near_stab = (tail - 0.08, thick * 0.1 + reach * 0.7)
    sketch.add(
        "wing",
        polygon(
            (tail + 0.32, -0.02),
            (tail + 0.05, -0.02),
            (near_stab[0] - 0.1, near_stab[1]),
            near_stab,
        ),
        depth=0.15,
    )
    sketch.add(
        "end",
        limb([(near_stab[0], near_stab[1] - 0.02), (near_stab[0] - 0.1, near_stab[1] - 0.02)], 0.035, 0.035),
        depth=0.15,
    )
    sketch.mark("right_stabiliser_tip", (near_stab[0] - 0.05, near_stab[1] - 0.02))
    near_wing = (root - sweep, thick * 0.4 + span)
    engine = point_between((root, thick * 0.4), near_wing, rng.uniform(0.35, 0.5))
    sketch.add(
        "wing",
        polygon(
            (root, thick * 0.4), (root - chord, thick * 0.4), (near_wing[0] - 0.16, near_wing[1]), near_wing
        ),
        depth=0.25,
    )
    sketch.add(
        "tip",
        limb([(near_wing[0], near_wing[1] - 0.02), (near_wing[0] - 0.16, near_wing[1] - 0.02)], 0.045, 0.045),
        depth=0.25,
    )
    sketch.mark("right_wing_tip", (near_wing[0] - 0.08, near_wing[1] - 0.02))
    size = rng.uniform(0.06, 0.1)
    sketch.add(
        "engine",
        box(engine[0] - 0.16, engine[1] - size, engine[0] + 0.13, engine[1] + size, 0.06),
        depth=0.35,
    )
    sketch.add(
        "intake",
        ellipse(engine[0] + 0.12, engine[1], 0.035, size * 0.9),
        depth=0.35,
        engine=(engine[0] + 0.11, engine[1]),
    )


def _draw_bicycle(sketch: Sketch, rng: KeyedRandom) -> None:
    radius = rng.uniform(0.36, 0.46)
    tyre = rng.uniform(0.045, 0.085)
    front = (0.58, 0.3)
    rear = (-0.58, 0.3 + rng.around(0, 0.02))
    crank = (rng.uniform(-0.12, 0.02), 0.3 + rng.uniform(0, 0.1))
    saddle = (crank[0] - rng.uniform(0.1, 0.26), -rng.uniform(0.2, 0.42))
    seat = point_between(crank, saddle, 0.8)
    head = (rng.uniform(0.3, 0.42), -rng.uniform(0.12, 0.3))
    bar = (head[0] - rng.uniform(0.0, 0.08), head[1] - rng.uniform(0.16, 0.28))
    pipe = rng.uniform(0.024, 0.042)
    turn = rng.uniform(0, 360)
    pedals = point_toward(crank, turn, 0.2), point_toward(crank, turn + 180, 0.2)
    # Wheels first: the frame, which lies in their plane, is painted over them.
    for hub in (front, rear):
        sketch.add("tyre", ring(*hub, radius, tyre))
        for step in range(3):
            # Three spokes through the hub, one in each sixth of the wheel.
            angle = rng.uniform(0, 60) + 60 * step
            sketch.add(
                "spoke",
                limb(
                    [point_toward(hub, angle, radius - tyre), point_toward(hub, angle + 180, radius - tyre)],
                    0.006,
                    0.006,
                ),
                line=0,
            )
    # The left pedal is on the far side, behind the frame; the right one comes last.
    sketch.add(
        "crank",
        limb([crank, pedals[1]], 0.018, 0.018),
        depth=-0.08,
    )
    sketch.add(
        "pedal",
        box(pedals[1][0] - 0.09, pedals[1][1] - 0.03, pedals[1][0] + 0.09, pedals[1][1] + 0.03),
        depth=-0.14,
    )
    sketch.mark("left_pedal", pedals[1])
    sketch.add(
        "left_grip",
        limb([bar, (bar[0] + 0.13, bar[1] + 0.01)], 0.035, 0.035),
        depth=-0.22,
        left_grip=(bar[0] + 0.11, bar[1] + 0.01),
    )
    for start, end, width in (
        (rear, crank, 0.7),
        (rear, seat, 0.6),
        (crank, point_between(head, front, 0.12), 1.0),
        (seat, head, 1.0),
        (crank, saddle, 1.0),
    ):
        sketch.add("frame", limb([start, end], pipe * width, pipe * width))
    sketch.mark("frame_corner", point_between(crank, saddle, 0.79))
    sketch.add(
        "fork", limb(curve(head, point_between(head, front, 0.6), front), pipe, pipe * 0.7), depth=0.03
    )
    for name, hub in (("front", front), ("rear", rear)):
        sketch.add("hub", ellipse(*hub, 0.055), depth=0.04)
        sketch.mark(f"{name}_hub", hub)
    sketch.add("stem", limb([point_between(head, front, 0.1), head, bar], pipe, pipe))
    sketch.add(
        "lamp",
        ellipse(head[0] + 0.09, head[1] - 0.01, 0.06, 0.05),
        depth=0.04,
        lamp=(head[0] + 0.1, head[1] - 0.01),
    )
    sketch.add(
        "saddle",
        smooth(
            (saddle[0] - 0.17, saddle[1] - 0.06),
            (saddle[0] + 0.02, saddle[1] - 0.05),
            (saddle[0] + 0.2, saddle[1]),
            (saddle[0] - 0.14, saddle[1] + 0.05),
        ),
    )
    sketch.mark("saddle_nose", (saddle[0] + 0.17, saddle[1]))
    sketch.mark("saddle_rear", (saddle[0] - 0.14, saddle[1] - 0.01))
    sketch.add(
        "gear",
        ellipse(*crank, rng.uniform(0.085, 0.12)),
        depth=0.05,
        crank=crank,
    )
    sketch.add(
        "crank",
        limb([crank, pedals[0]], 0.02, 0.02),
        depth=0.08,
    )
    sketch.mark("crank", crank)
    sketch.add(
        "pedal",
        box(pedals[0][0] - 0.09, pedals[0][1] - 0.03, pedals[0][0] + 0.09, pedals[0][1] + 0.03),
        depth=0.14,
    )
    sketch.mark("right_pedal", pedals[0])
    grip = (bar[0] - rng.uniform(0.1, 0.16), bar[1] - rng.uniform(-0.04, 0.06))
    sketch.add(
        "grip",
        limb([bar, grip], 0.035, 0.035),
        depth=0.22,
        right_grip=grip,
    )


def _draw_boat(sketch: Sketch, rng: KeyedRandom) -> None:
    deck = rng.uniform(0.3, 0.42)
    keel = rng.uniform(0.62, 0.8)
    bow = (0.95, deck - rng.uniform(0.02, 0.16))
    stern = (-0.85, deck - rng.uniform(-0.02, 0.08))
    mast = rng.uniform(-0.1, 0.22)
    top = (mast + rng.around(0, 0.03), -rng.uniform(0.75, 1.05))
    clew = (mast - rng.uniform(0.5, 0.78), deck - rng.uniform(0.2, 0.3))
    belly = rng.uniform(0.02, 0.14)
    # Rudder, keel and mast come before the hull, which covers their ends.
    rudder = (-0.84, keel + rng.uniform(-0.02, 0.1))
    sketch.add(
        "rudder",
        polygon(
            (-0.78, deck),
            (-0.93, deck),
            (rudder[0] - 0.09, rudder[1]),
            (rudder[0] + 0.04, rudder[1]),
        ),
    )
    sketch.mark("rudder", (rudder[0] - 0.03, rudder[1] - 0.04))
    fin = rng.uniform(-0.1, 0.15)
    sketch.add(
        "keel",
        polygon(
            (fin + 0.2, keel - 0.08),
            (fin - 0.2, keel - 0.08),
            (fin - 0.15, keel + 0.2),
            (fin + 0.06, keel + 0.2),
        ),
    )
    sketch.mark("keel", (fin - 0.04, keel + 0.16))
    jib = (0.86, deck - 0.08)
    jib_top = point_between((mast, deck), top, rng.uniform(0.72, 0.92))
    sketch.add(
        "jib",
        smooth(
            (jib_top[0] + 0.03, jib_top[1]),
            point_between(jib, jib_top, 0.5),
            jib,
            (mast + 0.16, deck - 0.16),
            steps=3,
        ),
        depth=0.05,
    )
    sketch.mark("jib_tack", (jib[0] - 0.05, jib[1] - 0.03))
    sketch.add("mast", limb([(mast, deck + 0.02), top], 0.03, 0.018))
    sketch.mark("mast_top", (top[0], top[1] + 0.02))
    flag = rng.uniform(0.14, 0.24)
    sketch.add(
        "flag",
        polygon(
            (top[0], top[1]),
            (top[0] - flag, top[1] + 0.06),
            (top[0] - 0.01, top[1] + 0.13),
        ),
        flag=(top[0] - flag * 0.75, top[1] + 0.06),
    )
    sail = [(mast - 0.03, top[1] + 0.14), (mast - 0.04, clew[1]), clew]
    bulge = point_between(clew, sail[0], 0.55)
    sketch.add(
        "sail",
        polygon(*sail, *map(tuple, curve(clew, (bulge[0] - belly, bulge[1]), sail[0]).tolist())),
        depth=0.1,
    )
    sketch.mark("clew", (clew[0] + 0.04, clew[1] - 0.03))
    mark = point_between(sail[0], (sail[1][0] * 0.6 + clew[0] * 0.4, clew[1]), 0.55)
    sketch.add(
        "emblem",
        ellipse(*mark, 0.075, turn=20),
        depth=0.12,
        emblem=mark,
    )
    sketch.add(
        "boom", limb([(mast, clew[1] + 0.03), (clew[0] - 0.04, clew[1] + 0.03)], 0.022, 0.018), depth=0.1
    )
    cabin = (mast - rng.uniform(0.28, 0.4), mast + rng.uniform(0.06, 0.24))
    height = rng.uniform(0.13, 0.2)
    sketch.add(
        "cabin",
        polygon(
            (cabin[0], deck + 0.02),
            (cabin[0] + 0.03, deck - height),
            (cabin[1] - 0.08, deck - height),
            (cabin[1], deck + 0.02),
        ),
        depth=0.12,
    )
    sketch.add(
        "glass",
        ellipse((cabin[0] + cabin[1]) / 2, deck - height / 2, 0.07, height * 0.3),
        depth=0.14,
    )
    sketch.mark("cabin_window", ((cabin[0] + cabin[1]) / 2, deck - height / 2))
    hull = [bow, (0.6, keel - 0.12), (0.25, keel), (-0.5, keel), (-0.84, keel - 0.14), stern]
    sketch.add(
        "hull",
        polygon(*hull, (0.0, deck + 0.03)),
        depth=0.18,
    )
    prow = point_between(bow, (0.2, keel - 0.1), 0.09)
    transom = (stern[0] + 0.05, stern[1] + 0.08)
    sketch.add(
        "prow",
        ellipse(*prow, 0.07, 0.05),
        depth=0.18,
        bow=prow,
    )
    sketch.add(
        "transom",
        limb([(stern[0] + 0.04, stern[1] + 0.02), (stern[0] + 0.05, stern[1] + 0.16)], 0.045, 0.045),
        depth=0.18,
        stern=transom,
    )
    sketch.add(
        "stripe",
        limb(curve((-0.83, deck + 0.12), (0.0, deck + 0.15), (0.78, deck + 0.06)), 0.03, 0.025),
        depth=0.2,
        line=0,
    )
    hole = rng.uniform(0.3, 0.5)
    sketch.add(
        "porthole",
        ellipse(hole, deck + 0.13, 0.05),
        depth=0.22,
        porthole=(hole, deck + 0.13),
    )


def _draw_car(sketch: Sketch, rng: KeyedRandom) -> None:
    floor, belt = 0.3, 0.3 - rng.uniform(0.34, 0.46)
    roof = belt - rng.uniform(0.24, 0.48)
    shield = rng.uniform(0.22, 0.62)
    roof_front = shield - rng.uniform(0.1, 0.34)
    back = rng.uniform(-0.94, -0.55)
    roof_rear = back + rng.uniform(0.04, 0.28)
    bonnet = belt + rng.uniform(0.0, 0.1)
    axles = (-rng.uniform(0.52, 0.64), rng.uniform(0.52, 0.64))
    radius = rng.uniform(0.17, 0.24)
    # The far wheels: the body leaves little of them to be seen.
    for axle in axles:
        sketch.add(
            "tyre",
            ellipse(axle, floor + 0.03, radius, radius * 0.96),
            depth=-0.3,
        )
    sketch.add(
        "roof",
        smooth(
            (shield + 0.04, belt + 0.04),
            (roof_front, roof),
            ((roof_front + roof_rear) / 2, roof - 0.04),
            (roof_rear, roof),
            (back - 0.04, belt + 0.04),
            steps=3,
        ),
        depth=0.16,
    )
    sketch.mark("roof_front", (roof_front - 0.01, roof + 0.015))
    sketch.mark("roof_rear", (roof_rear + 0.01, roof + 0.015))
    # The post between the windows, below the middle of the roof.
    post = (roof_front + roof_rear) / 2 + rng.around(0, 0.04)
    sketch.add(
        "glass",
        polygon(
            (post + 0.03, belt),
            (post + 0.03, roof + 0.05),
            (roof_front - 0.02, roof + 0.05),
            (shield - 0.06, belt),
        ),
        depth=0.2,
    )
    sketch.mark("front_window_corner", (shield - 0.2, belt - 0.05))
    sketch.add(
        "glass",
        polygon(
            (post - 0.03, belt),
            (post - 0.03, roof + 0.05),
            (roof_rear + 0.03, roof + 0.05),
            (back + 0.07, belt),
        ),
        depth=0.2,
    )
    sketch.mark("rear_window_corner", (back + 0.14, belt - 0.03))
    nose, tail = 1.0, -1.0
    body = smooth(
        (nose - 0.05, bonnet + 0.06),
        (shield, belt),
        (0.0, belt - 0.01),
        (back, belt),
        (tail + 0.03, belt + rng.uniform(0.0, 0.08)),
        (tail, floor - 0.08),
        (tail + 0.1, floor),
        (nose - 0.1, floor),
        (nose, floor - 0.08),
        steps=3,
    )
    sketch.add("body", body, depth=0.22)
    sketch.add(
        "bumper",
        box(nose - 0.14, floor - 0.1, nose + 0.03, floor - 0.01, 0.04),
        depth=0.24,
        front_bumper=(nose - 0.01, floor - 0.055),
    )
    sketch.add(
        "bumper",
        box(tail - 0.03, floor - 0.1, tail + 0.14, floor - 0.01, 0.04),
        depth=0.24,
        rear_bumper=(tail + 0.01, floor - 0.055),
    )
    lamp = bonnet + rng.uniform(0.1, 0.15)
    sketch.add(
        "headlight",
        ellipse(nose - 0.07, lamp, rng.uniform(0.05, 0.08), 0.05),
        depth=0.24,
        headlight=(nose - 0.07, lamp),
    )
    sketch.add(
        "taillight",
        box(tail + 0.01, belt + 0.1, tail + rng.uniform(0.08, 0.14), belt + 0.2, 0.02),
        depth=0.24,
    )
    sketch.mark("taillight", (tail + 0.05, belt + 0.15))
    sketch.add(
        "door",
        polygon(
            (shield - 0.12, belt + 0.03),
            (post, belt + 0.03),
            (post, floor - 0.05),
            (shield - 0.1, floor - 0.05),
        ),
        depth=0.23,
    )
    handle = (post + 0.09, belt + rng.uniform(0.07, 0.11))
    sketch.add(
        "handle",
        limb([handle, (handle[0] + 0.09, handle[1])], 0.018, 0.018),
        depth=0.25,
        door_handle=(handle[0] + 0.045, handle[1]),
    )
    mirror = (shield - 0.09, belt - 0.04)
    sketch.add(
        "mirror",
        ellipse(*mirror, 0.05, 0.04),
        depth=0.34,
        side_mirror=mirror,
    )
    for name, axle in zip(("rear_wheel", "front_wheel"), axles, strict=True):
        sketch.add(
            "tyre",
            ellipse(axle, floor + 0.03, radius),
            depth=0.3,
        )
        sketch.add(
            "rim",
            ellipse(axle, floor + 0.03, radius * rng.uniform(0.45, 0.65)),
            depth=0.32,
        )
        sketch.mark(name, (axle, floor + 0.03))


_TYRE = Paint(0.6, 0.1, 0.16, "stripes", (0.0, 0.0, 0.12), pitch=0.07, hue_spread=0.1, spread=0.05)
_GLASS = Paint(0.55, 0.35, 0.72, "gradient", (0.02, -0.2, 0.25), pitch=0.2, turn=60, hue_spread=0.024)

AEROPLANE = Kind(
    keypoints=(
        "nose",
        "cockpit",
        "door",
        "fin_tip",
        "tail_end",
        "left_wing_tip",
        "right_wing_tip",
        "left_stabiliser_tip",
        "right_stabiliser_tip",
        "engine",
        "front_wheel",
    ),
    paints={
        "body": Paint(0.6, 0.08, 0.9, "plain", (0.0, 0.05, -0.12), hue_spread=0.15, spread=0.06),
        "band": Paint(0.62, 0.75, 0.7, hue_spread=0.048),
        "radome": Paint(0.6, 0.1, 0.22, hue_spread=0.05),
        "cone": Paint(0.3, 0.55, 0.5, hue_spread=0.032),
        "tip": Paint(0.97, 0.8, 0.8, hue_spread=0.024),
        "end": Paint(0.13, 0.8, 0.9, hue_spread=0.024),
        "wing": Paint(0.58, 0.12, 0.66, "stripes", (0.0, 0.1, -0.2), pitch=0.22, turn=90),
        "fin": Paint(0.02, 0.75, 0.8, "stripes", (0.08, -0.3, 0.15), pitch=0.2, turn=60, hue_spread=0.035),
        "glass": Paint(0.57, 0.6, 0.35, "gradient", (0.0, -0.3, 0.4), pitch=0.15),
        "door": Paint(0.1, 0.55, 0.8, hue_spread=0.048),
        "engine": Paint(0.6, 0.1, 0.45, "stripes", (0.0, 0.1, 0.25), pitch=0.12),
        "intake": Paint(0.6, 0.1, 0.15),
        "strut": Paint(0.6, 0.05, 0.55),
        "tyre": _TYRE,
    },
    draw=_draw_aeroplane,
)

BICYCLE = Kind(
    keypoints=(
        "front_hub",
        "rear_hub",
        "crank",
        "frame_corner",
        "saddle_nose",
        "saddle_rear",
        "lamp",
        "left_grip",
        "right_grip",
        "left_pedal",
        "right_pedal",
    ),
    paints={
        "tyre": _TYRE,
        "spoke": Paint(0.6, 0.05, 0.75),
        "hub": Paint(0.12, 0.65, 0.85, "dots", (0.0, 0.1, -0.35), pitch=0.06),
        "frame": Paint(0.97, 0.75, 0.75, "stripes", (0.05, -0.3, 0.2), pitch=0.3, hue_spread=0.06),
        "fork": Paint(0.6, 0.1, 0.8, hue_spread=0.1),
        "stem": Paint(0.6, 0.08, 0.6),
        "lamp": Paint(0.15, 0.6, 0.97, "plain", (0.0, -0.3, 0.0)),
        "saddle": Paint(0.07, 0.6, 0.4, "speckle", (0.0, 0.0, -0.2), pitch=0.08),
        "gear": Paint(0.55, 0.15, 0.5, "dots", (0.0, 0.0, -0.35), pitch=0.08),
        "crank": Paint(0.6, 0.05, 0.7),
        "pedal": Paint(0.78, 0.5, 0.5, "checks", (0.0, 0.1, -0.3), pitch=0.08),
        "grip": Paint(0.36, 0.55, 0.5, "stripes", (0.0, 0.0, -0.3), pitch=0.06),
        "left_grip": Paint(0.36, 0.55, 0.35, "stripes", (0.0, 0.0, -0.2), pitch=0.06),
    },
    draw=_draw_bicycle,
)

BOAT = Kind(
    keypoints=(
        "bow",
        "stern",
        "mast_top",
        "flag",
        "clew",
        "emblem",
        "jib_tack",
        "cabin_window",
        "porthole",
        "rudder",
        "keel",
    ),
    paints={
        "hull": Paint(0.05, 0.6, 0.5, "stripes", (0.0, 0.05, -0.18), pitch=0.16, turn=90, hue_spread=0.048),
        "stripe": Paint(0.6, 0.1, 0.95),
        "prow": Paint(0.13, 0.75, 0.9, hue_spread=0.024),
        "transom": Paint(0.45, 0.6, 0.4, hue_spread=0.032),
        "keel": Paint(0.0, 0.7, 0.45, hue_spread=0.04),
        "rudder": Paint(0.09, 0.65, 0.6, "fur", (0.0, 0.1, -0.3), pitch=0.12),
        "sail": Paint(0.13, 0.12, 0.94, "stripes", (0.0, 0.1, -0.15), pitch=0.3, turn=80, hue_spread=0.05),
        "jib": Paint(0.55, 0.4, 0.85, "stripes", (0.0, -0.3, 0.1), pitch=0.25, turn=40, hue_spread=0.06),
        "emblem": Paint(0.6, 0.8, 0.6, hue_spread=0.125),
        "mast": Paint(0.09, 0.5, 0.45),
        "boom": Paint(0.09, 0.5, 0.45),
        "flag": Paint(0.98, 0.85, 0.85, "stripes", (0.0, -0.6, 0.1), pitch=0.1, hue_spread=0.032),
        "cabin": Paint(0.1, 0.25, 0.9, "plain"),
        "glass": _GLASS,
        "porthole": Paint(0.5, 0.5, 0.35, "gradient", (0.0, 0.0, 0.4), pitch=0.1),
    },
    draw=_draw_boat,
)

CAR = Kind(
    keypoints=(
        "front_wheel",
        "rear_wheel",
        "headlight",
        "taillight",
        "front_bumper",
        "rear_bumper",
        "roof_front",
        "roof_rear",
        "front_window_corner",
        "rear_window_corner",
        "door_handle",
        "side_mirror",
    ),
    paints={
        "body": Paint(0.6, 0.65, 0.7, "plain", (0.0, 0.0, -0.18), hue_spread=0.15, spread=0.08),
        "door": Paint(0.6, 0.55, 0.62, "plain", (0.0, 0.0, -0.15), hue_spread=0.15, spread=0.08),
        "roof": Paint(0.0, 0.1, 0.5, "plain", hue_spread=0.25, spread=0.08),
        "glass": _GLASS,
        "bumper": Paint(0.6, 0.05, 0.62, "gradient", (0.0, 0.0, -0.4), pitch=0.1),
        "headlight": Paint(0.14, 0.45, 0.98, "plain", (0.0, 0.2, -0.1)),
        "taillight": Paint(0.99, 0.85, 0.8, "stripes", (0.02, 0.0, -0.25), pitch=0.06, hue_spread=0.016),
        "handle": Paint(0.6, 0.05, 0.88),
        "mirror": Paint(0.6, 0.3, 0.25, hue_spread=0.1),
        "tyre": _TYRE,
        "rim": Paint(0.6, 0.06, 0.78, "checks", (0.0, 0.0, -0.3), pitch=0.12, hue_spread=0.1),
    },
    draw=_draw_car,
)
