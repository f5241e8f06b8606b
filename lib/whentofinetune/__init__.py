"""What belongs to the book *When to Fine-Tune* alone: its experiments, data, figures, calculators and labs."""
