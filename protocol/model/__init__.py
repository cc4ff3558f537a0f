"""Model: the vocabulary of the program. It imports nothing of the rest."""
