"""What is shown: figures, tables, and the pieces of the report."""
