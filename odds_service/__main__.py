"""The entry point of `python -m odds_service`, the same as the console script."""

from odds_service.cli import main

if __name__ == "__main__":
    main()
