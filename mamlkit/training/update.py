"""The common optimisers' updates as functions, so that they compile together with the gradient."""

import torch


def traceable(optimizer):
    """`(state, update)` for a `torch.optim` optimiser, or None where there is none.

    For SGD, Adam and AdamW with one group of parameters and no rarer option. `state` is a list of
    dicts of tensors, one a parameter: the optimiser's own, which `optimizer.state_dict()` saves.
    `update(params, gradients, state, rate)` changes parameters and state in place exactly as
    `optimizer.step()` would, to rounding. `rate`, the step size, is a tensor, so that a schedule
    can change it.
    """
    if len(optimizer.param_groups) != 1:
        return None
    (group,) = optimizer.param_groups
    kind = type(optimizer)
    make = {torch.optim.SGD: _sgd, torch.optim.Adam: _adam, torch.optim.AdamW: _adam}.get(kind)
    rare = group.get("amsgrad") or group.get("dampening") or group["maximize"]
    if make is None or rare or isinstance(group["lr"], torch.Tensor):
        return None
    names, once, one = make(group)
    for leaf in group["params"]:
        for name in names:
            empty = torch.zeros(() if name == "step" else leaf.shape, dtype=leaf.dtype)
            optimizer.state[leaf].setdefault(name, empty.to(leaf.device))
    state = [{n: optimizer.state[leaf][n] for n in names} for leaf in group["params"]]

    def update(params, gradients, state, rate):
        common = once(state, rate)
        for each in zip(params, gradients, state, strict=True):
            one(*each, rate, *common)

    return state, update


def _sgd(group):
    """Momentum as in torch (Sutskever et al. 2013), Nesterov's too."""
    momentum, decay = group["momentum"], group["weight_decay"]

    def one(parameter, gradient, state, rate):
        gradient = gradient + decay * parameter if decay else gradient
        if momentum:
            state["momentum_buffer"].mul_(momentum).add_(gradient)
            moved = state["momentum_buffer"]
            gradient = gradient + momentum * moved if group["nesterov"] else moved
        parameter.sub_(rate * gradient)

    return ["momentum_buffer"] if momentum else [], lambda state, rate: (), one


def _adam(group):
    """Kingma and Ba 2015, algorithm 1; decoupled decay: Loshchilov and Hutter 2019, algorithm 2."""
    (beta1, beta2), decay = group["betas"], group["weight_decay"]

    def once(state, rate):
        step = state[0]["step"] + 1  # each parameter counts its own, all alike
        return rate / (1 - beta1**step), 1 - beta2**step

    def one(parameter, gradient, state, rate, scaled_rate, correction):
        mean, square, step = state["exp_avg"], state["exp_avg_sq"], state["step"]
        if decay and group["decoupled_weight_decay"]:
            parameter.mul_(1 - rate * decay)
        elif decay:
            gradient = gradient + decay * parameter
        step.add_(1)
        mean.mul_(beta1).add_((1 - beta1) * gradient)
        square.mul_(beta2).add_((1 - beta2) * gradient * gradient)
        root = (square / correction).sqrt() + group["eps"]
        parameter.sub_(scaled_rate * mean / root)

    return ["step", "exp_avg", "exp_avg_sq"], once, one
