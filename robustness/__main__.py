"""python -m robustness --data FOLDER [--write] [--json FILE]: the whole sweep, and its page."""

from robustness.sweep import main

if __name__ == "__main__":
    main()
