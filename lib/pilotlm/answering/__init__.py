"""Those who answer: language models, and the statistical baselines fitted on the same pilot."""
