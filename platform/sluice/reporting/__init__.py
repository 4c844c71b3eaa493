"""Pages for people: self-contained HTML with figures."""
