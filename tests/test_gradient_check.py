"""Every layer and loss of torch: the meta-gradient is right, or refused by name."""

import inspect
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from mamlkit import (
    ANIL,
    MAML,
    Bandits,
    FirstOrderMAML,
    GaussianPolicy,
    PointRobot,
    PolicyGradientMAML,
    RecurrentActor,
    RecurrentPolicy,
    Reptile,
    TaskBatch,
    check_meta_gradient,
    meta_gradient,
)

first = lambda layer, h: layer(h)[0]
ids = lambda h: (2.49 * h).detach().abs().long()
look_up = lambda layer, h: layer(ids(h)) * h[..., None]
FREE = {"track_running_stats": False}
LAST = {"batch_first": True}
LAYERS = {  # name: how to build it, the shape of a point, and how to call it where that is not h
    "Linear": (lambda: nn.Linear(4, 5), (4,)),
    "Bilinear": (lambda: nn.Bilinear(4, 4, 5), (4,), lambda m, h: m(h, h.sin())),
    "Conv1d": (lambda: nn.Conv1d(2, 3, 3), (2, 6)),
    "Conv2d": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 4, 4)),
    "Conv2d of groups": (lambda: nn.Conv2d(2, 4, 3, stride=2, groups=2), (2, 5, 5)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 3, 3)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(2, 3, 3), (2, 4)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 3, 3, stride=2), (2, 3, 3)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 3, 2), (2, 2, 2, 2)),
    "PReLU": (lambda: nn.PReLU(4), (4,)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4, **FREE), (4,)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(2, **FREE), (2, 3, 3)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(2, **FREE), (2, 2, 2, 2)),
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(4, **FREE), (4,)),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(2, affine=True), (2, 6)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(2, affine=True), (2, 3, 3)),
    "InstanceNorm3d": (lambda: nn.InstanceNorm3d(2, affine=True), (2, 2, 2, 2)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (4, 3)),
    "LayerNorm": (lambda: nn.LayerNorm(4), (4,)),
    "RMSNorm": (lambda: nn.RMSNorm(4), (4,)),
    "RNN": (lambda: nn.RNN(2, 4, nonlinearity="relu", **LAST), (3, 2), first),
    "LSTM": (lambda: nn.LSTM(2, 4, bidirectional=True, proj_size=3, **LAST), (3, 2), first),
    "GRU": (lambda: nn.GRU(2, 4, num_layers=2, **LAST), (3, 2), first),
    "RNNCell": (lambda: nn.RNNCell(2, 4), (2,)),
    "LSTMCell": (lambda: nn.LSTMCell(2, 4), (2,), first),
    "GRUCell": (lambda: nn.GRUCell(2, 4), (2,)),
    "MultiheadAttention": (
        lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True, **LAST),
        (3, 4),
        lambda m, h: m(h, h, h.sin())[0],
    ),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(4, 2, 8, **LAST), (3, 4)),
    "TransformerDecoderLayer": (
        lambda: nn.TransformerDecoderLayer(4, 2, 8, norm_first=True, **LAST),
        (3, 4),
        lambda m, h: m(h, h),
    ),
    "Embedding": (lambda: nn.Embedding(5, 4, padding_idx=1), (3,), look_up),
    "Embedding from the end": (lambda: nn.Embedding(5, 4, padding_idx=-1), (3,), look_up),
    "AdaptiveLogSoftmaxWithLoss": (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2, 4]),
        (4,),
        lambda m, h: m.log_prob(h),
    ),
    "LinearCrossEntropyLoss": (
        lambda: nn.LinearCrossEntropyLoss(4, 6),
        (4,),
        lambda m, h: m(h, torch.arange(4)) * h,
    ),
    "weight_norm": (lambda: parametrizations.weight_norm(nn.Linear(4, 5)), (4,)),
    "weight_norm, 1": (lambda: parametrizations.weight_norm(nn.Linear(4, 5), dim=1), (4,)),
    "weight_norm, all": (lambda: parametrizations.weight_norm(nn.Linear(4, 5), dim=None), (4,)),
    "weight_norm, conv": (lambda: parametrizations.weight_norm(nn.Conv2d(2, 3, 3)), (2, 4, 4)),
    "weight_norm, old": (lambda: nn.utils.weight_norm(nn.Linear(4, 5)), (4,)),
    "spectral_norm": (lambda: parametrizations.spectral_norm(nn.Linear(4, 5)), (4,)),
    "orthogonal, exp": (lambda: parametrizations.orthogonal(nn.Linear(4, 4)), (4,)),
    "orthogonal, cayley": (
        lambda: parametrizations.orthogonal(nn.Linear(4, 4), orthogonal_map="cayley"),
        (4,),
    ),
}  # fmt: skip


class Around(nn.Module):
    """A layer between two linear ones."""

    def __init__(self, build, shape, call=lambda layer, h: layer(h), outputs=1):
        super().__init__()
        self.before, self.layer = nn.Linear(3, int(torch.tensor(shape).prod())), build()
        self.shape, self.call, self.after = shape, call, nn.LazyLinear(outputs)

    def forward(self, x):
        h = 1.5 * torch.tanh(self.before(x)).unflatten(1, self.shape)
        return self.after(torch.tanh(self.call(self.layer, h).flatten(1)))


def around(*args, loss=functional.mse_loss, target=None, steps=1, learner=MAML, **options):
    """A learner around a layer, and a batch for it."""
    torch.manual_seed(0)
    module = Around(*args, **options)
    x = torch.randn(2, 4, 3)
    y = torch.randn(2, 4, 1) if target is None else target
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        module(x[0])
    return learner(module, loss, lr=0.2, steps=steps), TaskBatch(x, y, x + 1, y)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, steps):
    found = check_meta_gradient(*around(*LAYERS[name], steps=steps))
    assert found.ok, found


def test_every_layer_with_parameters_is_listed():
    """Of all that torch.nn exports: what takes a dtype, or a scale, has parameters."""
    arguments = lambda kind: inspect.signature(kind.__init__).parameters
    kinds = {
        name
        for name, kind in vars(nn).items()
        if isinstance(kind, type) and {"dtype", "affine"} & arguments(kind).keys()
    }
    containers = {"Transformer", "RNNBase", "RNNCellBase"}  # of listed ones
    refused = {"EmbeddingBag"}  # by name, see ONCE_ONLY
    lazy = {name for name in kinds if name.startswith("Lazy")}  # become listed ones
    listed = {name.split(",")[0].split(" ")[0] for name in LAYERS}
    assert kinds - lazy - listed - containers - refused == set()


same = lambda h: h
PLAIN = {  # of vectors of 12
    **{
        name: getattr(functional, name)
        for name in [
            "relu",
            "elu",
            "selu",
            "celu",
            "gelu",
            "silu",
            "mish",
            "softplus",
            "softsign",
            "hardtanh",
            "hardswish",
            "hardshrink",
            "softshrink",
            "tanhshrink",
            "leaky_relu",
            "logsigmoid",
            "normalize",
        ]
    },
    "glu": functional.glu,
    "softmax": lambda h: h.softmax(-1),
    "logsumexp": lambda h: h.logsumexp(-1, keepdim=True),
    "cumprod": lambda h: h.cumprod(-1),
    "sort": lambda h: h.sort(-1).values,
    "norm": lambda h: h.norm(dim=-1, keepdim=True),
    "var": lambda h: h.var(-1, keepdim=True),
    "cdist": lambda h: torch.cdist(h, h.sin() + 2),
    "cosine_similarity": lambda h: functional.cosine_similarity(h[:, None], h[None], dim=-1),
    "einsum": lambda h: torch.einsum("ni,nj->nij", h, h),
    "rfft": lambda h: torch.fft.rfft(h).abs(),
    "solve": lambda h: torch.linalg.solve(_square(h), h[:, 9:]),
    "cholesky": lambda h: torch.linalg.cholesky(_square(h) @ _square(h).mT + 1),
    "svdvals": lambda h: torch.linalg.svdvals(_square(h)),
    "layer_norm": lambda h: functional.layer_norm(h, (12,), h[0].exp(), h[1]),
    "batch_norm": lambda h: functional.batch_norm(h, None, None, h[0], h[1], training=True),
    "attention": lambda h: functional.scaled_dot_product_attention(h[None], h[None], h[None])[0],
    "lgamma": lambda h: torch.lgamma(h.abs() + 1),
}
_grid = lambda h: torch.tanh(h[:, 0, :, :2, None] * 0.7).expand(-1, -1, -1, 2)
_square = lambda h: h[:, :9].unflatten(1, (3, 3)) + 3 * torch.eye(3, dtype=h.dtype)
IMAGES = {  # of images of 1 by 4 by 4
    "max_pool2d": lambda h: functional.max_pool2d(h, 2),
    "avg_pool2d": lambda h: functional.avg_pool2d(h, 2),
    "lp_pool2d": lambda h: functional.lp_pool2d(h.abs() + 0.1, 2, 2),
    "adaptive_max_pool2d": lambda h: functional.adaptive_max_pool2d(h, 2),
    "interpolate": lambda h: functional.interpolate(h, scale_factor=2, mode="bicubic"),
    "grid_sample": lambda h: functional.grid_sample(h, _grid(h)),
    "pad": lambda h: functional.pad(h, (1, 1, 1, 1), mode="reflect"),
    "unfold": lambda h: functional.unfold(h, 2),
    "local_response_norm": lambda h: functional.local_response_norm(h, 2),
    "instance_norm": functional.instance_norm,
}  # fmt: skip


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", [*PLAIN, *IMAGES])
def test_functions(name, steps):
    function, shape = (PLAIN[name], (12,)) if name in PLAIN else (IMAGES[name], (1, 4, 4))
    found = check_meta_gradient(*around(lambda: function, shape, steps=steps))
    assert found.ok, found


def of_targets(seed=1):
    generator = torch.Generator().manual_seed(seed)
    real = torch.randn(2, 4, 4, generator=generator)
    return real, torch.randint(0, 4, (2, 4), generator=generator)


REAL, LABELS = of_targets()
LOSSES = {
    "cross_entropy": (
        lambda p, y: functional.cross_entropy(p, y, label_smoothing=0.1, ignore_index=1),
        LABELS,
    ),
    "of shares": (lambda p, y: functional.cross_entropy(p, y.softmax(-1)), REAL),
    "nll_loss": (lambda p, y: functional.nll_loss(p.log_softmax(-1), y), LABELS),
    "l1_loss": (functional.l1_loss, REAL),
    "smooth_l1_loss": (functional.smooth_l1_loss, REAL),
    "huber_loss": (functional.huber_loss, REAL),
    "bce": (lambda p, y: functional.binary_cross_entropy(p.sigmoid(), y), (REAL > 0).float()),
    "bce_with_logits": (functional.binary_cross_entropy_with_logits, (REAL > 0).float()),
    "kl_div": (lambda p, y: functional.kl_div(p.log_softmax(-1), y.softmax(-1)), REAL),
    "poisson_nll_loss": (functional.poisson_nll_loss, REAL.abs()),
    "gaussian_nll_loss": (lambda p, y: functional.gaussian_nll_loss(p, y, p.exp()), REAL),
    "soft_margin_loss": (functional.soft_margin_loss, REAL.sign()),
    "multilabel_soft_margin_loss": (functional.multilabel_soft_margin_loss, (REAL > 0).float()),
    "hinge_embedding_loss": (functional.hinge_embedding_loss, REAL.sign()),
    "triplet_margin_loss": (lambda p, y: functional.triplet_margin_loss(p, y, y + 1), REAL),
}


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, steps):
    loss, target = LOSSES[name]
    options = {"loss": loss, "target": target, "steps": steps, "outputs": 4}
    found = check_meta_gradient(*around(lambda: same, (12,), **options))
    assert found.ok, found


ONCE_ONLY = {  # what torch can derive once, not twice
    "hardsigmoid": {"args": (lambda: functional.hardsigmoid, (12,))},
    "EmbeddingBag": {"args": (lambda: nn.EmbeddingBag(5, 4), (3,), lambda m, h: m(ids(h)))},
    "multi_margin_loss": {"loss": functional.multi_margin_loss, "target": LABELS},
    "multilabel_margin_loss": {
        "loss": functional.multilabel_margin_loss,
        "target": LABELS[..., None].expand(-1, -1, 4),
    },
}


@pytest.mark.parametrize("name", ONCE_ONLY)
def test_what_has_no_second_derivative_names_the_learners_that_work(name, sines):
    case = dict(ONCE_ONLY[name])
    args = case.pop("args", (lambda: same, (12,)))
    options = {**case, "outputs": 4 if case else 1}
    learner, batch = around(*args, **options)
    with pytest.raises(RuntimeError, match=r"no second derivative.*FirstOrderMAML, Rep"):
        meta_gradient(learner, learner.init(), batch)
    for kind in (FirstOrderMAML, Reptile):
        learner, batch = around(*args, learner=kind, **options)
        gradient, _ = meta_gradient(learner, learner.init(), batch)
        assert any(value.abs().sum() > 0 for value in gradient.values())


def test_anil_works_around_a_body_that_has_none():
    args = lambda: functional.hardsigmoid, (12,)
    build = lambda module, loss, **options: ANIL(module, loss, head="after", **options)
    found = check_meta_gradient(*around(*args, learner=build))
    assert found.ok, found


class WrongTwice(torch.autograd.Function):
    """A square whose second derivative is 3 and not 2."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (3 * x - x.detach())


class Wrong(nn.Module):
    def forward(self, h):
        return WrongTwice.apply(h)


@pytest.mark.parametrize("where", ["layer", "loss"])
def test_the_check_finds_what_is_wrong_and_where(where):
    wrong_loss = lambda p, y: WrongTwice.apply(p - y).mean()
    build, loss = (Wrong, functional.mse_loss) if where == "layer" else (lambda: same, wrong_loss)
    found = check_meta_gradient(*around(build, (12,), loss=loss))
    assert not found.ok and found.errors["before.weight"] > 1e-3
    assert found.layer == ("layer" if where == "layer" else "")
    assert "'before.weight' by" in repr(found)
    assert ("layer 'layer'" if where == "layer" else "the loss") in repr(found)


def test_the_check_refuses_first_order_learners():
    learner, batch = around(lambda: same, (12,), learner=FirstOrderMAML)
    with pytest.raises(ValueError, match="leaves second derivatives out on purpose"):
        check_meta_gradient(learner, batch)


def test_the_check_refuses_estimates():
    robot = PointRobot(horizon=5, device="cpu")
    walker = PolicyGradientMAML(GaussianPolicy(), robot, lr=0.1, trajectories=2)
    bandits = Bandits(arms=2, pulls=3, device="cpu")
    player = RecurrentPolicy(RecurrentActor(4, 2, hidden=8), bandits)
    for learner, tasks in ((walker, robot), (player, bandits)):
        with pytest.raises(ValueError, match="estimates its gradient from samples"):
            check_meta_gradient(learner, tasks.sample(2, 2, 2))


def test_the_check_leaves_the_learner_as_it_was():
    learner, batch = around(lambda: nn.Dropout(0.5), (12,))
    before = {name: value.clone() for name, value in learner.module.state_dict().items()}
    assert check_meta_gradient(learner, batch).ok and learner.module.training
    after = learner.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_padding_row_does_not_learn_and_ids_beyond_the_table_are_refused(sines):
    learner, batch = around(*LAYERS["Embedding"])
    gradient, _ = meta_gradient(learner, learner.init(), batch)
    rows = gradient["layer.weight"].abs().sum(1)
    assert rows[1] == 0 and rows.sum() > 0
    for wrong in (lambda h: ids(h) + 4, lambda h: -1 - ids(h)):
        learner, batch = around(*LAYERS["Embedding"][:2], lambda m, h, wrong=wrong: look_up(m, h))
        learner.module.call = lambda m, h, wrong=wrong: m(wrong(h)) * h[..., None]
        with pytest.raises(IndexError, match="in a table of 5 rows"):
            meta_gradient(learner, learner.init(), batch)
    options = {"scale_grad_by_freq": True}
    learner, batch = around(lambda: nn.Embedding(5, 4, **options), (3,), look_up)
    with pytest.raises(ValueError, match="scale_grad_by_freq=True is no gradient"):
        meta_gradient(learner, learner.init(), batch)
