"""`gambler` and `python -m gambler_ai`."""

from gambler_ai.cli import main

if __name__ == "__main__":
    main()
