"""Scenes with questions, and a small multimodal language model that answers them.

=============  ==============================================================
file           holds
=============  ==============================================================
`scene`        pictures made by code, and their truth
`questions`    questions about them, in seven categories
`words`        questions as the model reads them
`backgrounds`  photographs that show nothing that questions are about
`task`         the task: what the model answers about decoded pictures
=============  ==============================================================
"""
