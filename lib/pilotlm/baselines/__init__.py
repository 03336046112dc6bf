"""Statistical baselines, fitted on the people of a pilot, without a language model."""
