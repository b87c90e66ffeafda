"""Learned video codecs."""
