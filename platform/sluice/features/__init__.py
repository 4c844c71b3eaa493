"""From tables to what models see: joins, columns, encodings, and what a model takes."""
