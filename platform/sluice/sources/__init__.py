"""Reading the tables of a lake: SQL, CSV, JSON and images."""
