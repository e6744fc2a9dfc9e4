"""Reconciliation: finding the source events that are one event.

Source events match by an id that several sources use, else by sport, start and names (`pairs`).
Whenever something changes, the affected source events are regrouped (`grouping`), based on the
current offers of all sources, on recently departed source events (`ghosts`) and on the current
events. So the result depends neither on the order of arrival nor on a restart, and an event keeps
its id (`naming`). `reconciler` ties these modules together; `regrouping` turns its moves into
changes.
"""

from odds_service.reconcile.reconciler import Placement, Reconciler

__all__ = ["Placement", "Reconciler"]
