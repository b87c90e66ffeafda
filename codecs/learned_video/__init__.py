"""Learned video codecs: pictures predicted from pictures, by networks whose decoder is exact everywhere."""
