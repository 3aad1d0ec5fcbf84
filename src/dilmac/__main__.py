"""`python -m dilmac`."""

from dilmac.cli import main

if __name__ == "__main__":
    main()
