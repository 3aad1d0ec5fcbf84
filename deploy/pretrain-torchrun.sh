#!/usr/bin/env bash
# Pretrain on all GPUs of this machine: deploy/pretrain-torchrun.sh FLAG...
#
# Every flag is one of `dilmac pretrain`:
#   deploy/pretrain-torchrun.sh --corpus corpus --tokenizer tokenizer --preset 134m-tied \
#       --tokens 2B --batch-tokens 524288 --micro-batch-tokens 32768 --out base
# One process for each GPU; PROCESSES=2 starts two, on a machine without GPUs, too. --batch-tokens is
# that of all processes together, --micro-batch-tokens that of each. The same command goes on after
# an interruption, with the same number of processes or another.
set -euo pipefail

if [ "$#" -eq 0 ]; then
    echo "usage: $0 --corpus CORPUS --tokenizer TOKENIZER --out OUT [FLAG...]" >&2
    exit 2
fi

source "${VENV:-$(dirname "$0")/../.venv}/bin/activate"

exec torchrun --standalone --nproc-per-node "${PROCESSES:-gpu}" -m dilmac pretrain "$@"
