"""Language models: loading, reading, answering, fine-tuning."""
