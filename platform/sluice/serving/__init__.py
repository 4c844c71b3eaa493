"""The server of registered models: raw rows in, forecasts out, by the very code and files that were judged."""
