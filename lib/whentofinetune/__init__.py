"""What belongs to the book *When to Fine-Tune* alone: its experiments, data, figures, calculators, labs and Sphinx extension."""
