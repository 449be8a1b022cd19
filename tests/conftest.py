"""What all tests share: shapes checked at run time, Omniglot where it is, small fixtures."""

import pytest
from jaxtyping import install_import_hook

# Every jaxtyping annotation in mamlkit is enforced while the tests run, and only then.
HOOK = install_import_hook("mamlkit", "beartype.beartype")

import torch  # noqa: E402

from mamlkit import MAML, SineNetwork, Sinusoids, characters, glyphs  # noqa: E402


@pytest.fixture(scope="session")
def omniglot():
    """Both splits of the real characters, or a skip that says where to get them."""
    try:
        return {split: characters(split) for split in ("background", "evaluation")}
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
