"""The texts that experiments are made of."""
