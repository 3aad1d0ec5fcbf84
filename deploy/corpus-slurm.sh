#!/usr/bin/env bash
# Clean a corpus on a Slurm cluster: deploy/corpus-slurm.sh PARTITION OUT INPUT...
#
# Run it on a login node, in tmux or with nohup: it hands in one job array for each of three passes
# and waits for them (24 hours a task at most, one core and 2 GB each). INPUT, OUT and the
# environment that holds dilmac must lie on a file system that all nodes share. After a failure the
# same command goes on with the parts that are left.
set -euo pipefail

if [ "$#" -lt 3 ]; then
    echo "usage: $0 PARTITION OUT INPUT..." >&2
    exit 2
fi
partition=$1 out=$2
shift 2

# The nodes get the PATH of this shell, and find dilmac and datatrove there.
source "$(dirname "$0")/../${VENV:-.venv}/bin/activate"

exec dilmac corpus build "$@" --out "$out" \
    --engine datatrove --executor slurm --partition "$partition" --workers "${TASKS:-64}"
