"""One file per version, forward only: released files are never edited."""
