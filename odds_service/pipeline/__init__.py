"""The stages between the bookmakers and the database, linked by bounded channels."""
