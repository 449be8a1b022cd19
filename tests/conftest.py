"""What all tests share: shapes checked at run time, Omniglot where it is, small fixtures."""

import pytest
from jaxtyping import install_import_hook

# Every shape that mamlkit annotates is enforced while the tests run, and only then.
HOOK = install_import_hook("mamlkit", "shapes.check_shapes")

import torch  # noqa: E402

from mamlkit import MAML, SineNetwork, Sinusoids, glyphs  # noqa: E402
from mamlkit import omniglot as load_omniglot  # noqa: E402


@pytest.fixture(scope="session")
def omniglot():
    """Both splits of the real characters, or a skip that says where to get them."""
    try:
        return {split: load_omniglot(split) for split in ("background", "evaluation")}
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def alphabet():
    """Thirty invented characters, drawn twenty times each."""
    return glyphs(30).images


@pytest.fixture
def maml():
    """MAML on the sine network, as in the paper."""
    torch.manual_seed(0)
    return MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)


@pytest.fixture
def sines():
    return Sinusoids(device="cpu")
