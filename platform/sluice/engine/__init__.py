"""The relational engine: Ibis on DuckDB, datasets of Parquet tables, and a portable random order of rows."""
