"""The same two cases in other hands, each written as that library's users would write it.

A class `Sine` or `Omniglot` takes the parameters θ (a dict of torch tensors, in the names and the
layout of `networks.py`) and the size of the case, and has

- `run(iterations)`: so many whole meta-iterations, returning when the work is done;
- `meta_gradient(batch)`: the gradient at the θ it was given, for a mamlkit TaskBatch, in the same
  names and layout as θ. Asked for before `run`.
- `block`, where a run must be a multiple of so many iterations.
"""
