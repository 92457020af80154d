#!/usr/bin/env bash
# Train the vocabulary brain-mri-128 again, in about three hours of one core: tools/brain-mri-128.sh SOURCE RUN
# `provenance.json` beside the weights says how the ones in the package were trained.
set -euo pipefail
options=(--out "$2" --training.threads 1)
voxlex train "$1" "${options[@]}" --stage autoencoder --steps 14000 --model.quantizer.rate-weight 0.09
voxlex train "$1" "${options[@]}" --stage prior --steps 15500 --prior.layers 4 --prior.width 192 --prior.heads 3 \
    --training.prior.variations 4
voxlex train "$1" "${options[@]}" --stage texture --steps 3000
