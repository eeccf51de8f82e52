"""`python -m tersely` does what the command `tersely` does."""

from tersely.cli import main

if __name__ == "__main__":
    main()
