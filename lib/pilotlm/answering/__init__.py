"""Those who answer: language models, and the statistical opponents fitted on the same pilot rows."""
