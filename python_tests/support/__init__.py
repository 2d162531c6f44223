"""Code that several test folders share: contracts, cases, scenes, exact arithmetic, small data sets. No tests."""
