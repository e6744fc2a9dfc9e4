"""What a user of the service imports; it knows the contract and nothing else of the service."""

from odds_service.client.sync import Address, ServiceError, connect
from odds_service.client.text import json_line

__all__ = ["Address", "ServiceError", "connect", "json_line"]
