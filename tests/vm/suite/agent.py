"""Runs scripts for the suite on beta: one process per worker, so that a command costs no ssh connection.

A line of JSON comes in, {"script": ..., "timeout": ...}; one goes out, [status, stdout, stderr].
"""

import json
import subprocess
import sys


def run_script(script, timeout):
    """[status, stdout, stderr] of an `sh -e` script; a status of None says that it ran out of time."""
    try:
        done = subprocess.run(
            ["sh", "-ec", script], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as late:
        return [None, (late.stdout or b"").decode(errors="replace"), (late.stderr or b"").decode(errors="replace")]
    return [done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")]


READY = "agent ready"

if __name__ == "__main__":
    # A start-up file of root's shell may have printed before.
    print(READY, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(run_script(request["script"], request["timeout"])), flush=True)
