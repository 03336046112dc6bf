"""The analyses: arms and people in, one tidy table out; each is a module of its own."""
