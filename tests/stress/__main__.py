"""`python -m tests.stress NAME`: what takes too long for `make test`.

Each keeps its outcome in results/NAME.json and fails where a promise was broken.
"""

import click

from tests.stress import endurance, foreign, fuzz, fuzz_api, kill_resume

COMMANDS = {
    "endurance": endurance.main,
    "foreign": foreign.main,
    "fuzz": fuzz.main,
    "fuzz_api": fuzz_api.main,
    "kill_resume": kill_resume.main,
}

if __name__ == "__main__":
    click.Group(commands=COMMANDS, help=__doc__)(prog_name="python -m tests.stress")
