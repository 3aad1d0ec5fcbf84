#!/usr/bin/env bash
# Clean a corpus on a Ray cluster: deploy/corpus-ray.sh OUT INPUT...
#
# First, on one machine:         ray start --head
# then, on each of the others:   ray start --address=HEAD:6379
# and then this script on the first, all with the same RAY_AUTH_TOKEN (any long random text): newer
# versions of Ray refuse who has none. INPUT, OUT and the environment that holds dilmac must lie at the
# same path on all machines, on a file system that they share. A task takes one core and 2 GB. After
# a failure the same command goes on with the parts that are left.
set -euo pipefail

if [ "$#" -lt 2 ]; then
    echo "usage: $0 OUT INPUT..." >&2
    exit 2
fi
out=$1
shift

source "$(dirname "$0")/../${VENV:-.venv}/bin/activate"

RAY_ADDRESS=${RAY_ADDRESS:-auto} exec dilmac corpus build "$@" --out "$out" \
    --engine datatrove --executor ray --workers "${TASKS:-$(nproc)}"
