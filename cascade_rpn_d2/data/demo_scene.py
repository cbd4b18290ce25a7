"""Draws one picture of the demo dataset: shapes on a textured background, with their boxes.

The idea: what makes proposals hard in photographs, in a picture that costs a few milliseconds.
Object sizes are spread evenly in log scale over more than four octaves, aspect ratios from 1:5 to
5:1 at any angle, small objects crowd together, objects hide each other, and their colours are
often close to what is behind them. A box is always the tight box of the pixels that are *visible*
in the end.

A scene depends on its random generator alone.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

CLASSES = ("ellipse", "rectangle", "star")
CANVASES = ((256, 192), (256, 224), (256, 256), (192, 256))  # (width, height)

MIN_SIZE, MAX_SIZE = 8.0, 180.0  # sqrt(width * height) of the unrotated shape, pixels
MAX_ASPECT = 5.0
MIN_VISIBLE = 0.45  # of an object's own pixels; one that would show less is not drawn
MIN_SIDE = 3  # pixels, of a visible box

_SHIFT = 4  # fractional bits of the coordinates handed to OpenCV


@dataclasses.dataclass
class DemoObject:
    """One object of a scene.

    Attributes:
        category: index into ``CLASSES``.
        box: visible extent (x, y, width, height), whole pixels.
        area: number of visible pixels.
    """

    category: int
    box: tuple[int, int, int, int]
    area: int


def draw_scene(rng: np.random.Generator) -> tuple[np.ndarray, list[DemoObject]]:
    """Draw a picture.

    Args:
        rng: the only source of randomness; it is advanced.

    Returns:
        The picture, (H, W, 3) uint8 BGR of one of the sizes in ``CANVASES``, and its objects, at
        least one.
    """
    width, height = CANVASES[rng.integers(len(CANVASES))]
    image = _background(rng, height, width)
    _distractor_lines(rng, image, count=int(rng.integers(2, 7)))

    owner = np.zeros((height, width), np.int32)  # 0: background, i + 1: the object seen there
    full_area = [0]  # per owner number, its pixels if nothing hid it
    categories: list[int] = []
    for shape in _plan(rng, height, width):
        mask = _mask(shape, height, width)
        inside = mask >= 128
        if not _may_cover(inside, owner, full_area):
            continue
        owner[inside] = len(full_area)
        full_area.append(int(np.count_nonzero(inside)))
        categories.append(shape.category)
        _paint(rng, image, mask)

    _distractor_lines(rng, image, count=int(rng.integers(0, 3)))
    return _photograph(rng, image), _visible_objects(owner, categories)


@dataclasses.dataclass
class _Shape:
    category: int
    center: tuple[float, float]
    size: tuple[float, float]  # width, height before rotation
    angle: float
    points: int  # of a star


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _shape(
    rng: np.random.Generator, category: int, center: tuple[float, float], scale: float
) -> _Shape:
    # A thin small shape would be a line of a pixel or two: small ones are kept stouter.
    aspect = _log_uniform(rng, 1.0, min(MAX_ASPECT, (scale / MIN_SIDE) ** 2 / 2))
    width, height = scale * aspect**0.5, scale / aspect**0.5
    angle = float(rng.uniform(0, np.pi))
    if rng.random() < 0.4:  # axis-aligned, lying or standing: the extreme boxes
        angle = float(rng.integers(2)) * np.pi / 2
    return _Shape(category, center, (width, height), angle, int(rng.integers(4, 7)))


def _plan(rng: np.random.Generator, height: int, width: int) -> list[_Shape]:
    """Choose shapes in drawing order: roughly large to small, so that small ones show."""
    shapes = []
    for i in range(int(rng.integers(4, 12))):
        center = (rng.uniform(0, width), rng.uniform(0, height))
        # Clusters add small objects only: one larger shape a picture keeps the balance.
        scale = _log_uniform(rng, 72.0 if i == 0 else MIN_SIZE, MAX_SIZE)
        shapes.append(_shape(rng, int(rng.integers(len(CLASSES))), center, scale))
    for _ in range(int(rng.integers(0, 3))):
        shapes += _cluster(rng, height, width)
    order = np.argsort([-s.size[0] * s.size[1] * rng.lognormal(0, 0.5) for s in shapes])
    return [shapes[i] for i in order]


def _cluster(rng: np.random.Generator, height: int, width: int) -> list[_Shape]:
    """A crowd of small neighbours of one kind, touching or nearly so, on a jittered grid."""
    category = int(rng.integers(len(CLASSES)))
    scale = _log_uniform(rng, MIN_SIZE, 26.0)
    step = scale * rng.uniform(1.0, 1.4)
    columns, rows = rng.integers(2, 5, size=2)
    turn = rng.uniform(0, np.pi)
    axis = np.array([np.cos(turn), np.sin(turn)])
    normal = np.array([-axis[1], axis[0]])
    middle = rng.uniform((0.1 * width, 0.1 * height), (0.9 * width, 0.9 * height))
    shapes = []
    for i in range(columns):
        for j in range(rows):
            if rng.random() < 0.2:
                continue
            at = middle + step * ((i - columns / 2) * axis + (j - rows / 2) * normal)
            at = at + rng.normal(0, 0.12 * step, size=2)
            own = max(MIN_SIZE, scale * rng.uniform(0.8, 1.2))
            shapes.append(_shape(rng, category, (at[0], at[1]), own))
    return shapes


def _outline(shape: _Shape) -> np.ndarray:
    """Corners of a shape, (P, 2) float64 pixels."""
    if shape.category == 0:
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        unit = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    elif shape.category == 1:
        unit = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    else:
        turn = np.linspace(0, 2 * np.pi, 2 * shape.points, endpoint=False)
        radius = np.where(np.arange(2 * shape.points) % 2 == 0, 1.0, 0.5)
        unit = radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    corners = unit * np.array(shape.size) / 2
    cos, sin = np.cos(shape.angle), np.sin(shape.angle)
    return corners @ np.array([(cos, sin), (-sin, cos)]) + np.array(shape.center)


def _mask(shape: _Shape, height: int, width: int) -> np.ndarray:
    """Anti-aliased coverage, (H, W) uint8; fixed-point corners are equal on all machines."""
    mask = np.zeros((height, width), np.uint8)
    corners = np.rint(_outline(shape) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, lineType=cv2.LINE_AA, shift=_SHIFT)
    return mask


def _may_cover(inside: np.ndarray, owner: np.ndarray, full_area: list[int]) -> bool:
    """Whether drawing ``inside`` on top leaves every object, and the new one, visible enough."""
    rows, columns = np.nonzero(inside.any(axis=1))[0], np.nonzero(inside.any(axis=0))[0]
    if len(rows) < MIN_SIDE or len(columns) < MIN_SIDE:
        return False
    # An object cut by the frame is welcome, one of which only a sliver is left is not.
    height, width = inside.shape
    touches = rows[0] == 0 or columns[0] == 0 or rows[-1] == height - 1 or columns[-1] == width - 1
    if touches and np.count_nonzero(inside) < MIN_SIZE * MIN_SIZE:
        return False
    hidden = np.bincount(owner[inside], minlength=len(full_area))
    visible = np.bincount(owner.ravel(), minlength=len(full_area))
    return bool(np.all(visible[1:] - hidden[1:] >= MIN_VISIBLE * np.array(full_area[1:])))


def _visible_objects(owner: np.ndarray, categories: list[int]) -> list[DemoObject]:
    objects = []
    for number, category in enumerate(categories, start=1):
        seen = owner == number
        rows, columns = np.nonzero(seen.any(axis=1))[0], np.nonzero(seen.any(axis=0))[0]
        x, y = int(columns[0]), int(rows[0])
        box = (x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1)
        objects.append(DemoObject(category, box, int(np.count_nonzero(seen))))
    return objects


def _noise(rng: np.random.Generator, height: int, width: int, cell: float) -> np.ndarray:
    """Smooth noise of about unit strength, (H, W, 3) float32, that varies over ``cell`` pixels."""
    grid = (int(np.ceil(height / cell)) + 1, int(np.ceil(width / cell)) + 1)
    grey = rng.standard_normal((*grid, 1), dtype=np.float32)
    tint = rng.standard_normal((*grid, 3), dtype=np.float32)
    return cv2.resize(0.85 * grey + 0.4 * tint, (width, height), interpolation=cv2.INTER_CUBIC)


def _stripes(rng: np.random.Generator, height: int, width: int, period: float) -> np.ndarray:
    """Parallel stripes or a checkerboard, (H, W, 1) float32 in [-1, 1]."""
    turn = rng.uniform(0, np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u = 2 * np.pi / period * (np.cos(turn) * x + np.sin(turn) * y)
    v = 2 * np.pi / period * (-np.sin(turn) * x + np.cos(turn) * y)
    wave = np.sin(u) * np.sin(v) if rng.random() < 0.3 else np.sin(u)
    return np.clip(rng.uniform(1, 4) * wave, -1, 1)[:, :, None].astype(np.float32)


def _gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A ramp through the picture in a random direction, (H, W, 1) float32, about -1 to 1."""
    turn = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ramp = np.cos(turn) * (2 * x / width - 1) + np.sin(turn) * (2 * y / height - 1)
    return ramp[:, :, None].astype(np.float32)


def _background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise at several octaves, a gradient and sometimes stripes, (H, W, 3) float32 in 0..255."""
    image = np.empty((height, width, 3), np.float32)
    image[:] = rng.uniform(60, 195) + rng.uniform(-30, 30, size=3)
    for cell in (96, 48, 24, 12, 6):
        image += (
            rng.uniform(0.05, 0.6) * min(20.0, 3 * cell**0.5) * _noise(rng, height, width, cell)
        )
    image += rng.uniform(0, 35) * _gradient(rng, height, width)
    if rng.random() < 0.35:
        strength, period = rng.uniform(4, 12), _log_uniform(rng, 6, 50)
        image += strength * _stripes(rng, height, width, period)
    return np.clip(image, 0, 255)


def _distractor_lines(rng: np.random.Generator, image: np.ndarray, count: int) -> None:
    """Draw thin lines and arcs into ``image``: they look like edges of objects."""
    height, width = image.shape[:2]
    for _ in range(count):
        color = [float(c) for c in rng.uniform(20, 235) + rng.uniform(-25, 25, size=3)]
        thickness = int(rng.integers(1, 3))
        ends = rng.integers((-20, -20), (width + 20, height + 20), size=(2, 2))
        layer = image.copy()
        if rng.random() < 0.5:
            cv2.line(layer, ends[0].tolist(), ends[1].tolist(), color, thickness)
        else:
            axes = rng.integers(10, 90, size=2).tolist()
            turn, start, sweep = (float(a) for a in rng.uniform((0, 0, 60), (180, 360, 240)))
            cv2.ellipse(layer, ends[0].tolist(), axes, turn, start, start + sweep, color, thickness)
        cv2.addWeighted(layer, 0.7, image, 0.3, 0, dst=image)


def _paint(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> None:
    """Fill a shape with a shaded texture whose mean is often near what it covers."""
    x, y, width, height = cv2.boundingRect(mask)
    patch = image[y : y + height, x : x + width]  # a view: painting goes into the image
    alpha = mask[y : y + height, x : x + width, None].astype(np.float32) / 255

    if rng.random() < 0.5:
        behind = (patch * alpha).sum(axis=(0, 1)) / alpha.sum()
        # One brightness step away from the background, up or down where there is room, little tint.
        step = rng.uniform(28, 64) * (1 if rng.random() < 0.5 else -1)
        step = -step if not 15 < behind.mean() + step < 240 else step
        color = behind + step + rng.uniform(-14, 14, size=3)
    else:
        color = rng.uniform(10, 245, size=3)

    fill = np.empty_like(patch)
    fill[:] = color
    size = max(width, height)
    fill += rng.uniform(2, 12) * _noise(rng, height, width, max(3.0, size / rng.uniform(2, 8)))
    fill += rng.uniform(0, 18) * _gradient(rng, height, width)
    if size > 16 and rng.random() < 0.35:
        strength, period = rng.uniform(6, 22), max(4.0, size / rng.uniform(3, 8))
        fill += strength * _stripes(rng, height, width, period)
    if size > 12 and rng.random() < 0.3:  # a rim, lighter or darker than the fill
        padded = cv2.copyMakeBorder(
            mask[y : y + height, x : x + width], 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0
        )
        core = cv2.erode(padded, np.ones((3, 3), np.uint8))[2:-2, 2:-2, None] / np.float32(255)
        fill += rng.choice((-35.0, 35.0)) * (1 - core)
    patch += alpha * (np.clip(fill, 0, 255) - patch)


def _photograph(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Light, lens and sensor: contrast, brightness, slight blur and noise. Returns uint8."""
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 0.9)))
    image = (image - 128) * rng.uniform(0.75, 1.15) + 128 + rng.uniform(-20, 20)
    image = image + rng.uniform(1, 6) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
