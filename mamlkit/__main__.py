"""`python -m mamlkit`, which torchrun needs: the command line."""

from mamlkit.cli import main

if __name__ == "__main__":
    main()
