"""`python -m plica` is the command `plica`, also for torchrun, which starts modules."""

from plica.cli.main import main

if __name__ == "__main__":
    main()
