"""Learned video codecs: P-frames predicted by motion and coded by networks."""
