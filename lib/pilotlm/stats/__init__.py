"""Statistics: arrays and tables in, small dataclasses out; nothing here knows a language model."""
