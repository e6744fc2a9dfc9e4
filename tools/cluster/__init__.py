"""Several nodes on one machine, as processes only: `make run-cluster`."""
