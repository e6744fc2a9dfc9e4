"""Sources in worker processes: they fetch and read there, and send only what differs.

`pool` and `worker` are the service's side, `process` and `calls` the worker's; `frames` and
`messages` are what passes between them, `sending` and `mirror` the two ends of the differences.
"""
