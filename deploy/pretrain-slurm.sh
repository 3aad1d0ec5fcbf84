#!/usr/bin/env bash
# Pretrain on a Slurm cluster: sbatch deploy/pretrain-slurm.sh FLAG...
#
# Every flag is one of `dilmac pretrain`. Hand it in where the environment .venv lies (or set VENV); what
# the cluster wants otherwise stands before the script and wins over the lines below:
#   sbatch deploy/pretrain-slurm.sh --corpus corpus --tokenizer tokenizer --preset 134m-tied \
#       --tokens 2B --batch-tokens 524288 --micro-batch-tokens 32768 --out base
#   sbatch --partition gpu --nodes 2 --gpus-per-node 4 deploy/pretrain-slurm.sh --corpus ...
# Corpus, tokenizer, --out and the environment must lie on a file system that all nodes share.
# When its time is up, a node fails, or the job is preempted, it goes into the queue again under the
# same number, and the same command goes on at the last checkpoint: set --checkpoint-steps so that
# what lies between two of them may be lost.
#SBATCH --job-name=dilmac-pretrain
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@180
#SBATCH --output=%x-%j.log
set -euo pipefail

if [ "$#" -eq 0 ]; then
    echo "usage: sbatch $0 --corpus CORPUS --tokenizer TOKENIZER --out OUT [FLAG...]" >&2
    exit 2
fi

# Slurm runs a copy of this script, so its own place says nothing.
source "${VENV:-$SLURM_SUBMIT_DIR/.venv}/bin/activate"

# Three minutes before the end (--signal): back into the queue. Slurm ends the step itself.
requeue() {
    echo "time is up: job $SLURM_JOB_ID goes into the queue again"
    scontrol requeue "$SLURM_JOB_ID"
}
trap requeue USR1

# One torchrun on each node; they meet on the first.
# (No `| head`: it may close the pipe before scontrol has written, and pipefail ends the job.)
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
first=${hosts%%$'\n'*}
srun torchrun \
    --nnodes "$SLURM_NNODES" \
    --nproc-per-node "${PROCESSES:-gpu}" \
    --rdzv-id "$SLURM_JOB_ID" \
    --rdzv-backend c10d \
    --rdzv-endpoint "$first:${PORT:-$((20000 + SLURM_JOB_ID % 20000))}" \
    -m dilmac pretrain "$@" &

# `wait` returns when a signal comes; the shell must then wait again for what still runs.
status=0
wait "$!" || status=$?
while kill -0 "$!" 2> /dev/null; do
    status=0
    wait "$!" || status=$?
done
exit "$status"
