"""Learned video codecs: predicted frames with the transforms, gain units and entropy coder of `balle2017`."""
