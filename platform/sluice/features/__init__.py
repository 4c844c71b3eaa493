"""From a lake's tables to labelled rows: labels, the choice of features, and what of it holds for a single row."""
