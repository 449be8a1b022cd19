"""Small tensors that large ones need are computed once, not again for each few of their numbers."""

import torch
from torch import Tensor
from torch._inductor.lowering import register_lowering

MANY = 8  # numbers that need one


@torch.library.custom_op("mamlkit::kept", mutates_args=())
def kept(x: Tensor) -> Tensor:
    """`x`, which the compiler puts into memory instead of into the loops that read it."""
    return x.clone()


@kept.register_fake
def _(x):
    return torch.empty_like(x)


@register_lowering(torch.ops.mamlkit.kept.default, type_promotion_kind=None)
def _lowered(x):
    x.realize()
    return x


class Once:
    """Keep what is computed number by number where something much larger reads it.

    TorchInductor writes such expressions into every loop that uses them: the deviation by which a
    channel is divided was a division, a square root and another division at each place of each
    image, in 52 places of the Omniglot meta-step.
    """

    def __call__(self, graph):
        """Rewrite the graph in place."""
        for node in list(graph.nodes):
            if not _pointwise(node):
                continue
            size = node.meta["val"].numel()
            if any(_numbers(user) >= MANY * size for user in node.users):
                with graph.inserting_after(node):
                    new = graph.call_function(torch.ops.mamlkit.kept.default, (node,))
                new.meta["val"] = node.meta["val"]
                node.replace_all_uses_with(new, delete_user_cb=lambda user, new=new: user != new)


def _pointwise(node):
    tags = getattr(node.target, "tags", ())
    return (
        torch.Tag.pointwise in tags
        and not node.target._schema.is_mutable
        and isinstance(node.meta.get("val"), Tensor)
    )


def _numbers(node):
    value = node.meta.get("val")
    return value.numel() if isinstance(value, Tensor) else 0
