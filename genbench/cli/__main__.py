"""`python -m genbench.cli` is `genbench`."""

from genbench.cli import main

if __name__ == "__main__":
    main()
