"""``python -m zonda``: the same as the command ``zonda``."""

from zonda.cli import main

if __name__ == "__main__":
    main()
