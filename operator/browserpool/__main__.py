"""``python -m browserpool``: the command line."""

from browserpool.cli import main

if __name__ == "__main__":
    main.main()
