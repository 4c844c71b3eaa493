"""Reads a lake of images: PNG files and the metadata that names them."""
