"""`odds-service health` as the overview lists it; odds_service.health has its options."""

import typer

from odds_service.health import ask_health


def health(context: typer.Context) -> None:
    """Ask whether the service is serving; exit with code 1 if it is not. Needs no token."""
    ask_health(context.args)
