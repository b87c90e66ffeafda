"""Learned parts of codecs: layers, entropy models and their exact integer form."""
