"""SLURM's commands as small shell scripts: one job of one node, whose tasks `srun` starts side by side."""

import os
import socket
from pathlib import Path

JOB = "4711"

_COMMANDS = {
    # Keeps what it was given, and refuses a partition that is not there.
    "sbatch": """
        cp "$1" "$SLURM_TEST/script.sh.part" && mv "$SLURM_TEST/script.sh.part" "$SLURM_TEST/script.sh"
        if grep -q partition=nowhere "$1"; then
            echo "sbatch: error: invalid partition specified: nowhere" >&2
            exit 1
        fi
        echo "Submitted batch job $SLURM_TEST_JOB"
    """,
    "srun": """
        output=/dev/fd/1 error=/dev/fd/2
        while true; do
            case "$1" in
                --output) output=$2; shift 2 ;;
                --error) error=$2; shift 2 ;;
                --*) shift ;;
                *) break ;;
            esac
        done
        status=0 pids=""
        for task in $(seq 0 $((SLURM_NTASKS - 1))); do
            SLURM_STEP_ID=0 SLURM_NODEID=0 SLURM_PROCID=$task SLURM_LOCALID=$task "$@" \\
                >>"$(echo "$output" | sed "s/%j/$SLURM_JOB_ID/g; s/%t/$task/g")" \\
                2>>"$(echo "$error" | sed "s/%j/$SLURM_JOB_ID/g; s/%t/$task/g")" &
            pids="$pids $!"
        done
        for pid in $pids; do
            wait "$pid" || { code=$?; [ $code -gt $status ] && status=$code; }
        done
        exit $status
    """,
    "scontrol": 'echo "$@" >>"$SLURM_TEST/scontrol.txt"',
    "sacct": "",
}


def install_slurm(folder: Path) -> dict[str, str]:
    """Write the commands into a new folder; gives the environment that finds them.

    `folder/script.sh` will be what was submitted last, `folder/scontrol.txt` what scontrol was asked for.
    """
    folder.mkdir()
    for name, script in _COMMANDS.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(folder), os.environ["PATH"]]),
        "SLURM_TEST": str(folder),
        "SLURM_TEST_JOB": JOB,
    }


def job_environment(num_tasks: int) -> dict[str, str]:
    """What SLURM tells a batch job of one node."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return {
        "SLURM_JOB_ID": JOB,
        "SLURM_JOB_NAME": "codec",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_NODELIST": "localhost",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NNODES": "1",
        "SLURM_NTASKS": str(num_tasks),
        "SLURM_NTASKS_PER_NODE": str(num_tasks),
        "MASTER_PORT": str(port),
    }
