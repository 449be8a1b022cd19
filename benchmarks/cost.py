"""What a relative of MAML costs: one meta-step of each, by turns, on one protocol."""

from benchmarks.measure import measure

SINE = "MAML", "FirstOrderMAML", "ANIL", "BOIL", "MetaSGD"
OMNIGLOT = "MAML", "FirstOrderMAML", "ANIL"
SIZES = {
    "sine": {"tasks": 25, "shots": 5, "queries": 5},
    "omniglot": {"tasks": 32, "shots": 1, "queries": 1},
}


def cost(*, rounds, seconds, say=print):
    """The section of results.json: case -> learner -> a summary as of any contender."""
    found = {}
    for case, kinds in (("sine", SINE), ("omniglot", OMNIGLOT)):
        say(f"  {case}")
        target = {"sine": "benchmarks.ours:Sine", "omniglot": "benchmarks.ours:Omniglot"}[case]
        specs = {
            kind: {"target": target, "network": case, "size": SIZES[case], "kind": kind}
            for kind in kinds
        }
        found[case] = measure(specs, rounds=rounds, seconds=seconds, say=say)
    return found
