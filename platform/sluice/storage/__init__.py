"""Where bytes are kept under keys: a local folder, or an object store."""
