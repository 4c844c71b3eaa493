"""Every environment variable that Sluice reads or sets, once, by what it is about."""
