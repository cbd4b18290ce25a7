"""What runs without torch: the commands' parsers and their dispatch.

Importing :mod:`cascade_rpn_d2` imports torch and Detectron2, which takes seconds; ``--help`` and a
misspelt option should not. So nothing here imports either before the arguments are parsed.
"""
