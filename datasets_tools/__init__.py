"""Offline data tools: one converter a file, all of them torch-free.

Each module is also a sub-command of ``fashion data``.
"""
