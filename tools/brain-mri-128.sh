#!/usr/bin/env bash
# Train the vocabulary brain-mri-128 again: tools/brain-mri-128.sh SOURCE RUN. Four minutes on an H200, many hours on a CPU.
# `provenance.json` beside the weights says how the ones in the package were trained: by minutes, with these numbers of steps.
set -euo pipefail
options=(--out "$2")
voxlex train "$1" "${options[@]}" --stage autoencoder --steps 15000 --model.quantizer.rate-weight 0.09 \
    --training.autoencoder.batch-size 32
voxlex train "$1" "${options[@]}" --stage prior --steps 7000 --prior.layers 4 --prior.width 192 --prior.heads 3 \
    --training.prior.batch-size 32 --training.prior.learning-rate 0.0168 --training.prior.variations 11
voxlex train "$1" "${options[@]}" --stage texture --steps 1150 \
    --training.texture.batch-size 32 --training.texture.learning-rate 0.00168
