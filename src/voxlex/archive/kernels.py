"""The coder of tables in integer arithmetic: an arithmetic coder, contexts from neighbouring codes, and their mixture.

`compiling` turns these functions into machine code. As they stand, they are the reference of what an archive contains.

A code is coded as binary decisions, from the root of a tree with the K codes as leaves to its leaf. The probability of
a decision is a mixture of what several contexts say, as in PAQ (Mahoney, 2005): each context gives a logit, and their
weighted sum, in the logistic domain, is the logit of the mixture. Logits are integers in units of 1/256.
"""

from typing import Any, TypeAlias

Bytes: TypeAlias = Any
Chars: TypeAlias = Any
Shorts: TypeAlias = Any
Ints: TypeAlias = Any
Longs: TypeAlias = Any
"""Arrays of integers; see `compiling.ARRAYS`."""

STATE = 5
"""Numbers in the state of an arithmetic coder: the ends of its interval, what a decoder has read, where it is in the
bytes, and where they end."""


def start_reading(state: Longs, stream: Bytes, place: int, end: int) -> None:
    """Begin to decode `stream[place:end]`; what lies beyond the end is read as zeros."""
    state[0] = 0
    state[1] = 4294967295
    state[2] = 0
    state[3] = place
    state[4] = end
    for _ in range(4):
        byte = 0
        if state[3] < state[4]:
            byte = stream[state[3]]
        state[2] = (state[2] << 8) | byte
        state[3] += 1


def start_writing(state: Longs) -> None:
    """Begin to encode."""
    state[0] = 0
    state[1] = 4294967295
    state[3] = 0


def code_bit(decoding: int, state: Longs, own: int, stream: Bytes, bit: int, chance: int) -> int:
    """Code one decision, and return it. The state of the coder begins at `state[own]`.

    `chance` is the probability of a 1 in 65,536ths, from 1 to 65,535.
    """
    low = state[own]
    high = state[own + 1]
    width = high - low
    middle = low + (width >> 16) * chance + (((width & 65535) * chance) >> 16)
    if decoding != 0:
        bit = 1 if state[own + 2] <= middle else 0
    if bit != 0:
        high = middle
    else:
        low = middle + 1
    while ((low ^ high) & 4278190080) == 0:
        if decoding != 0:
            byte = 0
            if state[own + 3] < state[own + 4]:
                byte = stream[state[own + 3]]
            state[own + 2] = ((state[own + 2] << 8) & 4294967295) | byte
        else:
            stream[state[own + 3]] = high >> 24
        state[own + 3] += 1
        low = (low << 8) & 4294967295
        high = ((high << 8) & 4294967295) | 255
    state[own] = low
    state[own + 1] = high
    return bit


def finish_writing(state: Longs, stream: Bytes) -> int:
    """Write the fewest bytes that, followed by zeros, lie in the interval; return the length of the stream."""
    low = state[0]
    kept = 0
    value = 0
    while value < low:
        kept += 8
        step = 32 - kept
        value = ((low + (1 << step) - 1) >> step) << step
        if value > state[1]:
            value = low - 1
    while kept > 0:
        stream[state[3]] = (value >> 24) & 255
        value = value << 8
        kept -= 8
        state[3] += 1
    return state[3]


def look(x: Ints, planes: Ints, sizes: Longs, looks: Longs, embedding: Chars, z: int, h: int, w: int) -> None:
    """Write what is known of the cell (z, h, w) into `x`: its neighbours' vectors, its place, and differences.

    Args:
        x: Features: a vector for each look, then three numbers of place, and three of differences.
        planes: Codes of all planes of the scan.
        sizes: The grid (depth, height, width); the number of looks; the length of a vector; three pairs of looks.
        looks: For each look, the first code of its plane, the grid of the plane, the steps to go along each axis,
            the first number of its vectors, and the number of the vector for what lies outside.
        embedding: Vectors.
        z: Plane of the cell.
        h: Row of the cell.
        w: Column of the cell.
    """
    length = sizes[4]
    for i in range(sizes[3]):
        k = i * 9
        there_z = (z * looks[k + 1]) // sizes[0] + looks[k + 4]
        there_h = (h * looks[k + 2]) // sizes[1] + looks[k + 5]
        there_w = (w * looks[k + 3]) // sizes[2] + looks[k + 6]
        code = looks[k + 8]
        if there_z >= 0 and there_h >= 0 and there_w >= 0 and there_h < looks[k + 2] and there_w < looks[k + 3]:
            code = planes[looks[k] + (there_z * looks[k + 2] + there_h) * looks[k + 3] + there_w]
        first = looks[k + 7] + code * length
        for j in range(length):
            x[i * length + j] = embedding[first + j]
    end = sizes[3] * length
    x[end] = (z * 128) // sizes[0]
    x[end + 1] = (h * 128) // sizes[1]
    x[end + 2] = (w * 128) // sizes[2]
    for i in range(3):
        one = sizes[5 + 2 * i] * length
        other = sizes[6 + 2 * i] * length
        total = 0
        for j in range(length):
            difference = x[one + j] - x[other + j]
            total += difference if difference > 0 else -difference
        x[end + 3 + i] = total >> 2


def find_contexts(x: Ints, contexts: Longs, trees: Longs, normals: Chars, thresholds: Longs) -> None:
    """Find the leaf of each tree of contexts for features `x`.

    Args:
        x: Features.
        contexts: The leaf in each tree, to be written.
        trees: Their number; then for each its depth, its first node, its first number of a normal, and the first
            feature it looks at and the one after its last.
        normals: For each node, the normal of the plane that divides the features.
        thresholds: For each node, where the plane lies along its normal.
    """
    for t in range(trees[0]):
        k = 1 + t * 5
        first = trees[k + 3]
        length = trees[k + 4] - first
        node = 1
        for _ in range(trees[k]):
            row = trees[k + 2] + node * length
            total = 0
            for j in range(length):
                total += x[first + j] * normals[row + j]
            node = node * 2 + (1 if total > thresholds[trees[k + 1] + node] else 0)
        contexts[t] = node - (1 << trees[k])


def find_all(
    planes: Ints,
    sizes: Longs,
    looks: Longs,
    embedding: Chars,
    features: Ints,
    x: Ints,
    trees: Longs,
    normals: Chars,
    thresholds: Longs,
    contexts: Longs,
    own: Longs,
) -> None:
    """Write the features and the contexts of every cell, from codes that are known."""
    width = sizes[3] * sizes[4] + 6
    at = 0
    for z in range(sizes[0]):
        for h in range(sizes[1]):
            for w in range(sizes[2]):
                look(x, planes, sizes, looks, embedding, z, h, w)
                find_contexts(x, own, trees, normals, thresholds)
                for j in range(width):
                    features[at * width + j] = x[j]
                for t in range(trees[0]):
                    contexts[at * trees[0] + t] = own[t]
                at += 1


def code_plane(
    decoding: int,
    planes: Ints,
    start: int,
    sizes: Longs,
    looks: Longs,
    embedding: Chars,
    x: Ints,
    trees: Longs,
    normals: Chars,
    thresholds: Longs,
    own: Longs,
    sets: int,
    ignored: int,
    depth: int,
    place: Ints,
    code_at: Ints,
    base: Shorts,
    tables: Longs,
    deltas: Chars,
    weights: Ints,
    chances: Ints,
    state: Longs,
    stream: Bytes,
) -> int:
    """Encode or decode the codes of one codebook, which begin at `planes[start]`.

    Args:
        decoding: 1 to decode, 0 to encode.
        planes: Codes of all planes of the scan, also those to be decoded.
        start: The first of these.
        sizes: See `look`.
        looks: See `look`.
        embedding: See `look`.
        x: Room for features.
        trees: See `find_contexts`.
        normals: See `find_contexts`.
        thresholds: See `find_contexts`.
        own: Room for a context of each tree.
        sets: Number of sets of weights; the first bits of the context of the first tree choose one.
        ignored: The other bits of this context.
        depth: Decisions of a code, D.
        place: The leaf of each code among 2^D.
        code_at: The code of each leaf; -1 for none.
        base: Logit of each node, whatever the context.
        tables: For each decision and tree, where its deltas begin, and how many bits of the context it ignores.
        deltas: For each node and context, in units of 1/16, what the context adds to the logit of the node.
        weights: For each decision and set, the weight of the base and of each tree, in 65,536ths.
        chances: Probability for each logit from -2048 to 2047, in 65,536ths.
        state: State of the arithmetic coder.
        stream: Bytes to write or to read.

    Returns:
        0; or 1 if the bytes decode to a leaf without a code.
    """
    count = trees[0]
    at = start
    bad = 0
    for z in range(sizes[0]):
        for h in range(sizes[1]):
            for w in range(sizes[2]):
                look(x, planes, sizes, looks, embedding, z, h, w)
                find_contexts(x, own, trees, normals, thresholds)
                kind = own[0] >> ignored
                leaf = 0
                if decoding == 0:
                    leaf = place[planes[at]]
                node = 1
                for d in range(depth):
                    inside = node - (1 << d)
                    here = base[node]
                    row = (d * sets + kind) * (count + 1)
                    total = weights[row] * here
                    for t in range(count):
                        k = (d * count + t) * 2
                        kept = trees[1 + t * 5] - tables[k + 1]
                        delta = deltas[tables[k] + (inside << kept) + (own[t] >> tables[k + 1])]
                        total += weights[row + 1 + t] * (here + delta * 16)
                    logit = total >> 16
                    logit = 2047 if logit > 2047 else (-2048 if logit < -2048 else logit)
                    bit = code_bit(decoding, state, 0, stream, (leaf >> (depth - 1 - d)) & 1, chances[logit + 2048])
                    node = node * 2 + bit
                if decoding != 0:
                    code = code_at[node - (1 << depth)]
                    if code < 0:
                        bad = 1
                        code = 0
                    planes[at] = code
                at += 1
    return bad


def code_bits(decoding: int, bits: Bytes, chances: Ints, count: int, state: Longs, stream: Bytes) -> None:
    """Encode or decode decisions of given probabilities."""
    for i in range(count):
        bits[i] = code_bit(decoding, state, 0, stream, bits[i], chances[i])


def code_many(decoding: int, bits: Bytes, chances: Ints, count: int, states: Longs, stream: Bytes) -> None:
    """Encode or decode one decision of each of several coders, whose states follow one another."""
    for i in range(count):
        bits[i] = code_bit(decoding, states, i * 5, stream, bits[i], chances[i])
