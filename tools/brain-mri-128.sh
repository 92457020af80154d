#!/usr/bin/env bash
# Train the vocabulary brain-mri-128 again: `tools/brain-mri-128.sh SOURCE RUN`, in one thread of a CPU.
set -euo pipefail
voxlex train "$1" --out "$2" --stage autoencoder --steps 14000 --model.quantizer.rate-weight 0.09 --training.threads 1
voxlex train "$1" --out "$2" --stage prior --steps 20000 --prior.layers 4 --prior.width 192 --prior.heads 3 --training.prior.variations 4
voxlex train "$1" --out "$2" --stage texture --steps 4000
