"""The commands of `odds-service`, one file each."""
