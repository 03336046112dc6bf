"""Fine-tune a language model on a pilot sample, simulate the rest, and say what that is worth."""

__version__ = "0.3.0"
