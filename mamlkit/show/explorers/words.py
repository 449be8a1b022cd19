"""What the explorers' sentences have in common."""


def counted(number, noun):
    """A number with its noun.

    >>> counted(1, "point"), counted(3, "gradient step")
    ('1 point', '3 gradient steps')
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def told(error):
    """An error in words: steps from a bad place can pass all bounds, and twenty digits say no more.

    >>> told(0.314), told(float("nan"))
    ('0.31', 'over 1000')
    """
    return f"{error:.2f}" if error < 1000 else "over 1000"


def span(low, high):
    """From where to where training went.

    >>> span(0.1, 5.0), span(0.0, 0.0)
    ('0.1 to 5.00', 'none')
    """
    return f"{low:.1f} to {high:.2f}" if high > low else "none"
