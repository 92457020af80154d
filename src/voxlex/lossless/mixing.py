"""The probability of a binary decision: counters and distributions, mixed by weights that learn as they go.

Everything that says something about a decision gives a logit, an input. There are three kinds:

- expectations of the value, each a logistic distribution, which the caller turns into logits;
- counters of how often the decision fell this way in the same context, found in a table by its number;
- counters for contexts that are too many for a table, found by a hash of context and decision.

Several mixers weigh the inputs, each with its own weights for each situation: logit = Σ wᵢ xᵢ. A last mixer weighs
their results. Weights follow the gradient of the code length, w ← w + η (bit − p) x. Two tables then correct the
probability by what happened when this probability was said in this context before.

References:
    Mahoney, "Adaptive weighing of context models for lossless data compression", 2005.
    Mattern, "Mixing strategies in data compression", DCC 2012.
"""

from typing import NamedTuple, no_type_check

import numpy as np

from voxlex.lossless.coder import PRECISION, code_bit
from voxlex.lossless.compiling import part
from voxlex.lossless.exact import clip, exponential, logarithm, squash, stretch

NODES = 96
"""Number of decisions that are told apart."""

SITUATIONS = 64
"""Number of situations for which a mixer has weights of its own."""

CONTEXTS = 1024
"""Number of contexts of a counter that is found in a table."""

_STEPS = 33
"""Points of the tables that correct a probability, from logit −8 to 8."""

_HASH, _SPREAD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_ONE, _LEAST = float(1 << PRECISION), 32
_SURE = 4095.0 / 4096.0

_LOW, _MIDDLE, _HIGH = 0, 1, 2
_INFINITE = 1e100


class Mixing(NamedTuple):
    """What has been learned about decisions, and the contexts of the next one, which the caller sets.

    Attributes:
        contexts: Context of each counter in a table, below `CONTEXTS`.
        hashes: Hash of the context of each other counter.
        situations: Situation of each mixer, below `SITUATIONS`.
        corrections: Context of both tables that correct a probability, below `SITUATIONS`.
        centres: Mean of each distribution.
        scales: Scale of each distribution.
        ends: e^u of the lower end, the threshold and the upper end for each distribution.
    """

    contexts: np.ndarray
    hashes: np.ndarray
    situations: np.ndarray
    corrections: np.ndarray
    centres: np.ndarray
    scales: np.ndarray
    ends: np.ndarray
    counters: np.ndarray
    counts: np.ndarray
    hashed: np.ndarray
    hashed_counts: np.ndarray
    weights: np.ndarray
    last_weights: np.ndarray
    corrected: np.ndarray
    inputs: np.ndarray
    places: np.ndarray
    hashed_places: np.ndarray
    logits: np.ndarray
    rates: np.ndarray


def start_mixing(
    *,
    weights: np.ndarray,
    distributions: int,
    contexts: int,
    hashes: int,
    situations: int,
    hash_bits: int,
    rates: tuple[float, ...] = (0.003, 0.0005, 0.02, 120.0, 30.0),
) -> Mixing:
    """Return a mixing that has seen no decision yet.

    Args:
        weights: Weights of the mixers to begin with, for each node and input.
        distributions: Number of expectations of the value.
        contexts: Number of counters in tables.
        hashes: Number of counters found by a hash.
        situations: Number of mixers.
        hash_bits: Logarithm of the size of a table of hashes.
        rates: Learning rates of the mixers, of the last mixer and of the corrections, and limits of the counts.
    """
    inputs = distributions + contexts + hashes + 1
    curve = np.array([squash((step - _STEPS // 2) * 0.5) for step in range(_STEPS)])
    return Mixing(
        contexts=np.zeros(contexts, np.int64),
        hashes=np.zeros(hashes, np.uint64),
        situations=np.zeros(situations, np.int64),
        corrections=np.zeros(2, np.int64),
        centres=np.zeros(distributions),
        scales=np.ones(distributions),
        ends=np.zeros((3, distributions)),
        counters=np.full((contexts, CONTEXTS * NODES), 0.5, np.float32),
        counts=np.zeros((contexts, CONTEXTS * NODES), np.uint8),
        hashed=np.full((hashes, 1 << hash_bits), 0.5, np.float32),
        hashed_counts=np.zeros((hashes, 1 << hash_bits), np.uint8),
        weights=np.tile(weights.astype(np.float64), (situations, SITUATIONS, 1, 1)),
        last_weights=np.full((NODES, situations), 1.0 / situations),
        corrected=np.tile(curve, (2, SITUATIONS * NODES, 1)),
        inputs=np.full(inputs, 0.3),
        places=np.zeros(contexts, np.int64),
        hashed_places=np.zeros(hashes, np.int64),
        logits=np.zeros(situations),
        rates=np.array(rates),
    )


@part
@no_type_check
def hash_of(value, former):
    """Return the hash of a context that ends with this value, given the hash of what comes before."""
    return (former ^ np.uint64(value)) * _HASH + np.uint64(1)


@part
@no_type_check
def open_interval(m):
    """Begin with a value of which nothing is known but that it lies between 0 and the number of levels."""
    for i in range(len(m.centres)):
        m.ends[_LOW, i], m.ends[_HIGH, i] = 0.0, _INFINITE


@part
@no_type_check
def code_threshold(m, coder, data, decoding, node, threshold, bit):
    """Code whether the value of the open interval reaches a threshold, which then becomes an end of the interval."""
    for i in range(len(m.centres)):
        m.inputs[i] = _logistic_logit(m, i, threshold - 0.5)
    bit = code_decision(m, coder, data, decoding, node, threshold, bit)
    end = _LOW if bit else _HIGH
    for i in range(len(m.centres)):
        m.ends[end, i] = m.ends[_MIDDLE, i]
    return bit


@part
@no_type_check
def _logistic_logit(m, i, threshold):
    """Return the logit of x ≥ threshold, for x in the interval, by a logistic distribution cut at both ends.

    With u = (t − centre) / scale, the shares of the distribution below t and above it are e^u / (1 + e^u) and
    1 / (1 + e^u). Those of the tail are subtracted, because differences of shares near 1 have no digits left.
    """
    middle = exponential(clip((threshold - m.centres[i]) / m.scales[i], -30.0, 30.0))
    low, high = m.ends[_LOW, i], m.ends[_HIGH, i]
    m.ends[_MIDDLE, i] = middle
    if threshold > m.centres[i]:
        tail = 1.0 / (1.0 + middle)
        above, below = tail - 1.0 / (1.0 + high), 1.0 / (1.0 + low) - tail
    else:
        tail = middle / (1.0 + middle)
        above, below = high / (1.0 + high) - tail, tail - low / (1.0 + low)
    return clip(logarithm((above + 1e-12) / (below + 1e-12)), -8.0, 8.0)


@part
@no_type_check
def code_decision(m, coder, data, decoding, node, choice, bit):
    """Code a decision of which the caller has set the first inputs, learn from it, and return the bit.

    Args:
        m: The mixing.
        coder: State of the coder.
        data: Its bytes.
        decoding: Whether to decode.
        node: Number of the decision, below `NODES`.
        choice: Number of the decision among those that share hashed contexts.
        bit: How it falls, when encoding.
    """
    _find_counters(m, node, choice)
    logit = 0.0
    for k in range(len(m.logits)):
        weights, total = m.weights[k, m.situations[k], node], 0.0
        for i in range(len(m.inputs)):
            total += weights[i] * m.inputs[i]
        m.logits[k] = clip(total, -12.0, 12.0)
        logit += m.last_weights[node, k] * m.logits[k]
    logit = clip(logit, -14.0, 14.0)
    mixed = squash(logit)
    place = clip(logit * 2.0 + _STEPS // 2, 0.0, _STEPS - 1.001)
    step = int(place)
    part = place - step
    first = m.corrected[0, m.corrections[0] * NODES + node]
    second = m.corrected[1, m.corrections[1] * NODES + node]
    p = 0.5 * mixed
    p += 0.25 * (first[step] * (1.0 - part) + first[step + 1] * part)
    p += 0.25 * (second[step] * (1.0 - part) + second[step + 1] * part)
    one = min(max(int(p * _ONE), _LEAST), (1 << PRECISION) - _LEAST)
    bit = code_bit(coder, data, decoding, one, bit)
    truth = 1.0 if bit else 0.0
    _move(first, step, part, truth, m.rates[2])
    _move(second, step, part, truth, m.rates[2])
    _learn(m, node, truth, mixed)
    return bit


@part
@no_type_check
def _find_counters(m, node, choice):
    at = len(m.centres)
    for i in range(len(m.contexts)):
        place = m.contexts[i] * NODES + node
        m.places[i] = place
        m.inputs[at + i] = stretch(m.counters[i, place])
    at += len(m.contexts)
    bits = np.uint64(64 - _bits(m.hashed.shape[1]))
    for i in range(len(m.hashes)):
        h = hash_of(choice, m.hashes[i])
        h = (h ^ (h >> np.uint64(29))) * _SPREAD
        place = np.int64(h >> bits)
        m.hashed_places[i] = place
        # A counter that has seen little says little.
        m.inputs[at + i] = stretch(m.hashed[i, place]) * min(m.hashed_counts[i, place] * 0.25, 1.0)


@part
@no_type_check
def _bits(size):
    bits = 0
    while (1 << bits) < size:
        bits += 1
    return bits


@part
@no_type_check
def _move(curve, step, part, truth, rate):
    curve[step] = clip(curve[step] + (truth - curve[step]) * rate * (1.0 - part), 1e-5, 1.0 - 1e-5)
    curve[step + 1] = clip(curve[step + 1] + (truth - curve[step + 1]) * rate * part, 1e-5, 1.0 - 1e-5)


@part
@no_type_check
def _learn(m, node, truth, mixed):
    """Move the weights and the counters towards what happened."""
    for k in range(len(m.logits)):
        m.last_weights[node, k] += (truth - mixed) * m.rates[1] * m.logits[k]
        error = (truth - squash(m.logits[k])) * m.rates[0]
        weights = m.weights[k, m.situations[k], node]
        for i in range(len(m.inputs)):
            weights[i] += error * m.inputs[i]
    for i in range(len(m.contexts)):
        _count(m.counters[i], m.counts[i], m.places[i], truth, m.rates[3])
    for i in range(len(m.hashes)):
        _count(m.hashed[i], m.hashed_counts[i], m.hashed_places[i], truth, m.rates[4])


@part
@no_type_check
def _count(counters, counts, place, truth, limit):
    """Move a counter by a share that falls with each decision it saw, down to a limit."""
    p, seen = np.float64(counters[place]), counts[place]
    p += (truth - p) / (seen + 1.6)
    counters[place] = clip(p, 1.0 - _SURE, _SURE)
    if seen < limit:
        counts[place] = seen + 1
