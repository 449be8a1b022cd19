"""What surrounds a command: other processes, errors as sentences, a log of the losses."""

import signal
import sys
from contextlib import contextmanager, nullcontext

import click

from mamlkit import processes

DIVERGED = 3  # the exit code


@contextmanager
def connected(device):
    """Several processes, where torchrun began them; yields this one's device.

    A process of several ends here once its work is done.
    """
    try:
        yield processes.begin(device)
        processes.leave()
    finally:
        processes.end()


@contextmanager
def explained(checkpoint=None):
    """Errors as a sentence and an exit code."""
    again = f"go on with: mamlkit resume {checkpoint}" if checkpoint else "nothing was saved"
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"stopped; {again}", err=True)
        sys.exit(128 + signal.SIGINT)
    except FloatingPointError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(DIVERGED)
    except (ValueError, TypeError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except RuntimeError as error:
        if not processes.together():
            raise
        reason = str(error).splitlines()[0]
        raise click.ClickException(f"another process was lost ({reason}); {again}") from error


def log(folder):
    """A context manager that yields what `fit` tells its losses to."""
    if folder is None or not processes.first():
        return nullcontext()
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(f"--tensorboard needs a package: pip install tensorboard ({error})") from (
            error
        )
    return _written(SummaryWriter(folder))


@contextmanager
def _written(writer):
    with writer:
        yield writer.add_scalar
