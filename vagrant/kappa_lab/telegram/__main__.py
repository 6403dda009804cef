"""`python -m kappa_lab.telegram`."""

from kappa_lab.telegram.cli import main

if __name__ == "__main__":
    main()
