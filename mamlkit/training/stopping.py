"""Being asked to stop, and stopping where nothing is lost."""

import builtins
import signal
import sys
import threading

SIGNALS = signal.SIGINT, signal.SIGTERM


class Stopping:
    """While it is open, Ctrl-C and SIGTERM are noted in `asked` and do not break in.

    A second Ctrl-C breaks in. `leave()`, after everything is saved, does what the signal would have
    done, but in a notebook a Ctrl-C, which is its *stop* button, only ends the loop. Outside the
    main thread, where Python allows no handlers, nothing changes.

    >>> with Stopping() as stopping:
    ...     signal.raise_signal(signal.SIGTERM)
    >>> stopping.asked == signal.SIGTERM
    True
    """

    def __init__(self):
        self.asked = None
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number, _):
        if self.asked is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = number
        print("\nstopping after this iteration; Ctrl-C again stops at once", file=sys.stderr)

    def leave(self):
        """Do what was asked for; call it when handlers are the old ones again."""
        if self.asked == signal.SIGTERM or (self.asked and not in_notebook()):
            signal.raise_signal(self.asked)


def in_notebook():
    """Whether IPython runs this, as it does in every notebook."""
    return getattr(builtins, "__IPYTHON__", False)
