"""Stores in the cloud: the same operations on Amazon S3 and its kind, Google Cloud Storage and Azure Blob Storage."""
