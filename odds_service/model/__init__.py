"""Pure values: no trio, no I/O, no protobuf."""
