"""Known truth: every estimator, interval and test where the truth can be simulated. `make truth` runs it."""
