"""Which source events are one event."""

from odds_service.model.observation import ObservedEvent


class Reconciler:
    """Gives every source event its id.

    Sources that use one and the same id space (SportRadar's, or two accounts at The Odds API) meet
    in one event: the id is `namespace:id`. Any other event stands for itself as `source:id`.
    """

    def identify(self, source: str, observed: ObservedEvent) -> str:
        """The event's id; the same for the same source event, whatever came before."""
        shared = min(observed.shared_ids.items(), default=None)
        namespace, own_id = shared or (source, observed.source_event_id)
        return f"{namespace}:{own_id}"
