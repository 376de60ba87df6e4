# SPDX-License-Identifier: GPL-2.0-or-later
"""The one error the lab reports to people, and running a command so that its failure becomes one."""

import subprocess


class LabError(Exception):
    """What failed, on what, why, and what to do about it: the whole text is for people."""


def run(argv, *, what=None, timeout=60, input=None, check=True, env=None, cwd=None):
    """Runs a command to its end and returns its CompletedProcess; LabError when it fails or takes too long."""
    what = what or " ".join(map(str, argv))
    try:
        done = subprocess.run(
            [str(a) for a in argv], timeout=timeout, input=input, text=True, env=env, cwd=cwd,
            stdin=subprocess.DEVNULL if input is None else None,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors="replace")
    except subprocess.TimeoutExpired as e:
        raise LabError(f"{what}: no end after {timeout} s") from e
    except FileNotFoundError as e:
        raise LabError(f"{what}: {argv[0]} is not installed; run lab/install-packages lab") from e
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing said")[-800:]
        raise LabError(f"{what}: failed with {done.returncode}: {said}")
    return done
