"""History as columns: tables whose rows stand alone, for data frames and files."""
