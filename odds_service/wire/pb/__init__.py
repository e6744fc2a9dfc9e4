"""Code that tools/codegen.py makes from proto/; edit the proto, then run `make proto`."""
