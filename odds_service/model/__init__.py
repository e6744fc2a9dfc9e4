"""Pure values, free of Trio, I/O and protobuf."""
