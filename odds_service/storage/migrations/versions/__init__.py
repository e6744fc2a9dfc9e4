"""One file a step, forward only: what was released is never edited."""
