"""Encoding of model values as protobuf bytes, once per value."""
