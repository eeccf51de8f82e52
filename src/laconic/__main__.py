"""`python -m laconic` does what the command `laconic` does."""

from laconic.cli import main

if __name__ == "__main__":
    main()
