"""Which characters train, which choose between recipes, and which test."""

import torch

from mamlkit import require
from mamlkit.tasks.characters import Characters, characters

EVERY = 6  # one alphabet in six is held out for validation


def without_validation(found) -> tuple[Characters, Characters]:
    """Divide characters into those that train and those that choose between recipes.

    Every sixth alphabet, in alphabetical order, is held out: of Omniglot's background split
    Balinese, Early Aramaic, Inuktitut, Mkhedruli and Tifinagh. Nothing should ever be chosen by
    looking at the evaluation split.

    Returns `(training, validation)`.

    >>> from mamlkit import glyphs
    >>> training, validation = without_validation(glyphs(150, drawings=2))  # six alphabets
    >>> set(training.alphabets) & set(validation.alphabets)
    set()
    """
    held = sorted(set(found.alphabets))[EVERY - 1 :: EVERY]
    if not held:
        raise ValueError(
            f"without_validation: {len(set(found.alphabets))} alphabets are too few to hold out "
            f"one in {EVERY}; choose with .of(...) and .without(...) yourself"
        )
    return found.without(*held), found.of(*held)


def shuffled_split(seed=0, *, train=1_200, **keywords) -> tuple[Characters, Characters]:
    """Omniglot's 1,623 characters shuffled and cut: the split of most papers.

    Vinyals et al. 2016 train on 1,200 characters and test on the other 423, as do Finn et al. 2017
    (who hold out 100 of the 1,200 for validation). Every alphabet then has characters on both
    sides, so a test is easier than with `characters("background")` and
    `characters("evaluation")`; the two kinds of figures should not be compared.

    seed: of the shuffle; the papers' own order is lost, so this is a draw like theirs and not
        theirs. train: how many of the characters are for training.
    Other keywords go to `characters`.

    Returns `(training, test)`.

    >>> training, test = shuffled_split()       # doctest: +SKIP
    >>> len(training.names), len(test.names)    # doctest: +SKIP
    (1200, 423)
    """
    seed = require.whole("shuffled_split", "seed", seed, least=0)
    parts = [characters(split, **keywords) for split in ("background", "evaluation")]
    both = Characters(
        torch.cat([part.images for part in parts]),
        sum((part.alphabets for part in parts), ()),
        sum((part.names for part in parts), ()),
    )
    count = len(both.names)
    train = require.whole("shuffled_split", "train", train, least=1, most=count - 1)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return both.pick(order[:train]), both.pick(order[train:])
