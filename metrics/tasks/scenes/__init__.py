"""Scenes with questions, and a small multimodal language model that answers them.

=============  ==============================================================
file           holds
=============  ==============================================================
`scene`        pictures made by code, and their truth
`questions`    questions about them, in seven categories
=============  ==============================================================
"""
