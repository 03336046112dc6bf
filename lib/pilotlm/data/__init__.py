"""From rows of people to prompts and valid answers: sources, pilot draws, wording, answer grids."""
