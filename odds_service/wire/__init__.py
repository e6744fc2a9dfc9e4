"""Protobuf bytes of model values, made once."""
