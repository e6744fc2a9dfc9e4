"""Reconciliation: it tells which source events are one event.

A source event is placed by an id that several sources use, else by sport, start and names
(`pairs`). Whenever something changes, the events concerned are grouped anew (`grouping`) from what
all sources show, what they showed shortly before (`ghosts`), and which event each is in now. So
the outcome depends neither on the order of arrival nor on a restart, and an event keeps its id
(`naming`). `reconciler` ties these together; `regrouping` makes changes of its moves.
"""

from odds_service.reconcile.reconciler import Placement, Reconciler

__all__ = ["Placement", "Reconciler"]
