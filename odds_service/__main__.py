"""`python -m odds_service` is the console script."""

from odds_service.cli import main

if __name__ == "__main__":
    main()
