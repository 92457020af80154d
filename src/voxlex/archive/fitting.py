"""Fits probability tables to codes: trees of contexts, counts in each context, and the weights of their mixture."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from voxlex.archive.component import Component, functions
from voxlex.archive.tables import PLACE_FEATURES, Planes, Tables, sights
from voxlex.errors import CodesError

Array = np.ndarray

LARGE, SMALL = 16, 10
"""Binary logarithm of the largest number of entries of a table: of a run, and of an archive that holds its tables."""

MOST_CODES = 2**23
"""Codes of each codebook that are counted; more hardly change the tables."""

_DEPTH = 10  # of trees of contexts
_GROWN_ON = 2**16  # cells on which they are grown
_FEWEST = 64  # cells in a leaf
_TESTED = 8  # every eighth image is left out of the counts, and tells how far to trust them
_VECTOR = 8
_STRENGTH = 5.0  # counts that a whole context is worth in a half of it
_SET_BITS = 5  # of the context that chooses among sets of weights
_LARGEST_LOGIT = 30000


def fit_tables(
    codes: Sequence[Array],
    codewords: Sequence[Array],
    *,
    model: str = "",
    size: int = LARGE,
    report: Callable[[int, int], None] | None = None,
) -> Tables:
    """Fit tables to the codes of images.

    Args:
        codes: For each level, coarsest first, codes `(n, q, *grid)`.
        codewords: For each level, the vectors `(q, k, d)` of its codebooks.
        model: Fingerprint of the decoder of the codes.
        size: `LARGE` or `SMALL`.
        report: Called with the number of codebooks that are done, and of all.

    Raises:
        CodesError: If there are no codes.
    """
    if not len(codes) or not len(codes[0]):
        raise CodesError("codes: expected the codes of an image or more to fit tables to, got none")
    dims = codes[0].ndim - 2
    most = max(2, MOST_CODES // max(prod(level.shape[2:]) for level in codes))
    step = -(-len(codes[0]) // most)
    codes = [level[::step] for level in codes]
    embeddings = [
        [_embedding(own[:, j], words) for j, words in enumerate(vectors)]
        for own, vectors in zip(codes, codewords, strict=True)
    ]
    bare = Tables(tuple(tuple(_bare(e) for e in level) for level in embeddings), dims, model, b"")
    counts = [level.shape[1] for level in codes]
    planes = Planes.of(bare, [level.shape[2:] for level in codes], images=len(codes[0]), codebooks=counts)
    for i, level in enumerate(codes):
        for j in range(level.shape[1]):
            planes.codes[:, planes.span(i, j)] = level[:, j].reshape(len(level), -1)
    levels: list[list[Component]] = []
    for i in range(len(codes)):
        levels.append([])
        for j, words in enumerate(codewords[i]):
            levels[i].append(_fit(planes, i, j, words, embeddings[i][j], size))
            if report is not None:
                report(sum(map(len, levels)), sum(counts))
    return Tables.of(levels, spatial_dims=dims, model=model)


def _fit(planes: Planes, level: int, codebook: int, words: Array, embedding: Array, size: int) -> Component:
    codes = planes.codes[:, planes.span(level, codebook)]
    place, depth = _places(codes, words)
    fields = {"embedding": embedding, "place": place, "base": np.zeros(1 << depth, np.int16)}
    trees, normals, thresholds = _grow(planes, level, codebook, embedding)
    grown = _component(**fields, depth=depth, trees=trees, normals=normals, thresholds=thresholds)
    _, contexts = _seen(planes, level, codebook, grown, range(len(codes)))
    leaves, tested = place[codes], np.arange(len(codes)) % _TESTED == _TESTED - 1
    counted = leaves[~tested].reshape(-1), contexts[~tested].reshape(-1, len(trees))
    judged = leaves[tested].reshape(-1), contexts[tested].reshape(-1, len(trees))
    base = np.zeros(1 << depth, np.int16)
    shifts = np.zeros((depth, len(trees)), np.int64)
    deltas, bits = [], min(_SET_BITS, int(trees[0, 0]))
    weights = np.zeros((depth, 1 << bits, len(trees) + 1), np.int32)
    kinds = judged[1][:, 0] >> (int(trees[0, 0]) - bits)
    for d in range(depth):
        node, bit = _decision(counted[0], depth, d)
        own = _logits(node, bit, 1 << d)
        base[1 << d : 2 << d] = own
        tables = []
        for t, tree_depth in enumerate(trees[:, 0]):
            shifts[d, t] = min(max(0, d + tree_depth - size), tree_depth)
            tables.append(_deltas(node, bit, counted[1][:, t] >> shifts[d, t], int(tree_depth - shifts[d, t]), own))
        deltas += tables
        for kind in range(1 << bits):
            some = judged[0][kinds == kind], judged[1][kinds == kind]
            weights[d, kind] = _weights(own, tables, shifts[d], trees[:, 0], some, depth, d)
    return Component(
        embedding=embedding,
        place=place,
        base=base,
        trees=trees,
        normals=normals,
        thresholds=thresholds,
        shifts=shifts,
        deltas=np.concatenate([np.zeros(0, np.int8), *deltas]),
        weights=weights,
    )


def _bare(embedding: Array) -> Component:
    return _component(
        embedding=embedding, place=np.arange(len(embedding) - 1, dtype=np.int32), base=np.zeros(1, np.int16)
    )


def _component(
    *,
    embedding: Array,
    place: Array,
    base: Array,
    depth: int = 0,
    trees: Array | None = None,
    normals: Array | None = None,
    thresholds: Array | None = None,
) -> Component:
    count = 0 if trees is None else len(trees)
    return Component(
        embedding=embedding,
        place=place,
        base=base,
        trees=np.zeros((0, 3), np.int64) if trees is None else trees,
        normals=np.zeros(1, np.int8) if normals is None else normals,
        thresholds=np.zeros(1, np.int64) if thresholds is None else thresholds,
        shifts=np.zeros((depth, count), np.int64),
        deltas=np.zeros(1, np.int8),
        weights=np.zeros((depth, 1, count + 1), np.int32),
    )


def _embedding(codes: Array, words: Array) -> Array:
    """Return the codewords as vectors of bytes, of at most `_VECTOR` numbers, and the commonest for what is outside."""
    counts = np.bincount(codes.reshape(-1), minlength=len(words))
    centred = words.astype(np.float64) - np.average(words, axis=0, weights=counts)
    if centred.shape[1] > _VECTOR:
        spread = (centred * counts[:, None]).T @ centred
        centred = centred @ np.linalg.eigh(spread)[1][:, -_VECTOR:]
    padded = np.zeros((len(words), _VECTOR))
    padded[:, : centred.shape[1]] = centred
    largest = np.abs(padded[counts > 0]).max() or 1.0
    rounded = np.clip(np.rint(padded * (127 / largest)), -127, 127).astype(np.int8)
    return np.concatenate([rounded, rounded[[counts.argmax()]]])


def _places(codes: Array, words: Array) -> tuple[Array, int]:
    """Order the codes as leaves of a tree that halves them again and again, so that codes that are alike are near."""
    count = len(words)
    depth = max(count - 1, 0).bit_length()
    weights = np.bincount(codes.reshape(-1), minlength=count) + 0.05
    place = np.zeros(count, np.int32)

    def divide(codes: Array, first: int, room: int) -> None:
        if len(codes) == 1:
            place[codes] = first
            return
        own = weights[codes]
        centred = words[codes] - np.average(words[codes], axis=0, weights=own)
        direction = np.linalg.eigh((centred * own[:, None]).T @ centred)[1][:, -1]
        order = codes[np.argsort(centred @ direction, kind="stable")]
        half = max(len(order) - room // 2, len(order) // 2)
        divide(order[:half], first, room // 2)
        divide(order[half:], first + room // 2, room // 2)

    divide(np.arange(count), 0, 1 << depth)
    return place, depth


def _ranges(level: int, codebook: int, dims: int) -> list[tuple[int, int]]:
    """Return which features each tree of contexts looks at."""
    count, flat = len(sights(level, codebook, spatial_dims=dims)), 6
    places = count * _VECTOR
    looks = [(0, count), (1, 3), (1, flat), (4, flat), (0, 2), (2, 4)]
    ranges = [(first * _VECTOR, last * _VECTOR) for first, last in looks]
    ranges[0] = (0, places + PLACE_FEATURES)
    ranges.append((places, places + 3))
    if count > flat:
        ranges.append((flat * _VECTOR, places + PLACE_FEATURES))
    return ranges


def _seen(
    planes: Planes, level: int, codebook: int, component: Component, images: Sequence[int], *, features: bool = False
) -> tuple[Array, Array]:
    """Return the features and the contexts of each cell of some images; the features only if they are asked for."""
    sizes, looks, embedding = planes.surroundings(level, codebook)
    cells, width, trees = prod(planes.grids[level]), int(sizes[3] * sizes[4]) + PLACE_FEATURES, len(component.trees)
    found = np.zeros((len(images) if features else 1, cells, width), np.int32)
    contexts = np.zeros((len(images), cells, trees), np.int16)
    x, own, every = np.zeros(width, np.int32), np.zeros(trees, np.int64), np.zeros((cells, trees), np.int64)
    for place, image in enumerate(images):
        functions()["find_all"](
            planes.codes[image],
            sizes,
            looks,
            embedding,
            found[place if features else 0],
            x,
            component.tree_places,
            component.normals,
            component.thresholds,
            every,
            own,
        )
        contexts[place] = every
    return found, contexts


def _grow(planes: Planes, level: int, codebook: int, embedding: Array) -> tuple[Array, Array, Array]:
    """Grow trees of contexts, each on the features that it may see."""
    cells = prod(planes.grids[level])
    images = range(0, len(planes.codes), max(1, len(planes.codes) * cells // _GROWN_ON))
    codes = planes.codes[list(images), planes.span(level, codebook)]
    features, _ = _seen(planes, level, codebook, _bare(embedding), images, features=True)
    x = features.reshape(-1, features.shape[-1]).astype(np.float64)
    y = embedding[codes.reshape(-1)].astype(np.float64)
    depth = max(0, min(_DEPTH, (len(x) // _FEWEST).bit_length() - 1))
    ranges = _ranges(level, codebook, planes.tables.spatial_dims)
    grown = [_tree(x[:, first:last], y, depth) for first, last in ranges]
    trees = np.array([(depth, first, last) for first, last in ranges], np.int64)
    return trees, np.concatenate([normals.reshape(-1) for normals, _ in grown]), np.concatenate([t for _, t in grown])


def _tree(x: Array, y: Array, depth: int) -> tuple[Array, Array]:
    """Divide the cells again and again in halves, along the direction that tells most of what their codewords are.

    Within each part, the codewords are regressed on the features. The direction is the first principal component of
    what the regression predicts.
    """
    normals = np.zeros((1 << depth, x.shape[1]), np.int8)
    thresholds = np.zeros(1 << depth, np.int64)
    parts = [np.arange(len(x))]
    for d in range(depth):
        halves = []
        for i, part in enumerate(parts):
            own, target = x[part] - x[part].mean(axis=0), y[part] - y[part].mean(axis=0)
            spread = own.T @ own
            spread += (1e-3 * np.trace(spread) / len(spread) + 1e-3 * len(part) + 1) * np.eye(len(spread))
            slopes = np.linalg.solve(spread, own.T @ target)
            predicted = own @ slopes
            direction = slopes @ np.linalg.eigh(predicted.T @ predicted)[1][:, -1]
            normal = np.rint(direction * (127 / (np.abs(direction).max() or 1.0)))
            along = x[part] @ normal
            threshold = np.floor(np.median(along))
            normals[(1 << d) + i], thresholds[(1 << d) + i] = normal, threshold
            halves += [part[along <= threshold], part[along > threshold]]
        parts = [part if len(part) else halves[0] for part in halves]
    return normals, thresholds


def _decision(leaves: Array, depth: int, d: int) -> tuple[Array, Array]:
    """Return the node, numbered within its depth, and the way of each code in one decision."""
    return leaves >> (depth - d), (leaves >> (depth - 1 - d)) & 1


def _logits(node: Array, bit: Array, nodes: int) -> Array:
    taken = np.bincount(node, weights=bit, minlength=nodes)
    count = np.bincount(node, minlength=nodes)
    return _rounded(np.log((taken + 0.4) / (count - taken + 0.4)) * 256, _LARGEST_LOGIT).astype(np.int16)


def _deltas(node: Array, bit: Array, context: Array, bits: int, base: Array) -> Array:
    """Return what each context adds to the logit of each node.

    Going down the tree of contexts, the counts of each part are joined by some that say what the whole says, so that
    rare contexts stay near those that contain them.
    """
    key = (node.astype(np.int64) << bits) + context
    taken = [np.bincount(key, weights=bit, minlength=len(base) << bits)]
    count = [np.bincount(key, minlength=len(base) << bits)]
    for _ in range(bits):
        taken.append(taken[-1].reshape(-1, 2).sum(axis=1))
        count.append(count[-1].reshape(-1, 2).sum(axis=1))
    chance = 1 / (1 + np.exp(-base / 256))
    for b in reversed(range(bits + 1)):
        usual = chance if b == bits else np.repeat(chance, 2)
        chance = (taken[b] + _STRENGTH * usual) / (count[b] + _STRENGTH)
    chance = np.clip(chance, 1e-4, 1 - 1e-4)
    delta = (np.log(chance / (1 - chance)) - np.repeat(base / 256, 1 << bits)) * 16
    return _rounded(delta, 127).astype(np.int8)


def _rounded(values: Array, largest: int) -> Array:
    return np.clip(np.rint(values), -largest, largest)


def _weights(
    base: Array, tables: Sequence[Array], shifts: Array, depths: Array, judged: tuple[Array, Array], depth: int, d: int
) -> Array:
    """Return the weights that code the images best that were not counted: logistic regression by Newton's method."""
    node, bit = _decision(judged[0], depth, d)
    count = len(tables)
    start = np.full(count + 1, 1 / max(count, 1))
    start[0] = 0.0 if count else 1.0
    if not len(node):
        return np.rint(start * 65536).astype(np.int32)
    step = -(-len(node) // 2**17)
    node, bit = node[::step], bit[::step]
    columns = [base[node] / 256]
    for t, table in enumerate(tables):
        kept = int(depths[t] - shifts[t])
        context = judged[1][::step, t] >> shifts[t]
        columns.append(base[node] / 256 + table[(node.astype(np.int64) << kept) + context] / 16)
    x, weights, ridge = np.stack(columns, axis=1), start, 4.0 * np.eye(count + 1)
    for _ in range(12):
        chance = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (chance - bit) + ridge @ (weights - start)
        bend = (x * (chance * (1 - chance))[:, None]).T @ x + ridge
        weights = weights - np.linalg.solve(bend, slope)
    if not np.isfinite(weights).all() or np.abs(weights).max() > 8:
        weights = start
    return np.rint(weights * 65536).astype(np.int32)
