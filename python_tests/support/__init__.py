"""What several rooms share: contracts, cases, scenes, exact arithmetic, small data sets. No tests."""
