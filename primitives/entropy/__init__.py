"""Entropy coding: turning integers into as few bits as their probabilities allow, and back."""
