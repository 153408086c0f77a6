"""``python -m browserpool``: the command line."""

from browserpool import cli

if __name__ == "__main__":
    cli.main()
