"""The gRPC side: the only place, with the client, that knows protobuf."""
