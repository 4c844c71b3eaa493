"""What runs leave behind: published folders with a manifest, where they come from, and the code that made them."""
