"""fashion-mmdet: instance segmentation of fashion photos on MMDetection.

Importing the package imports no torch. The registered classes come in with
``fashion_mmdet.register``, which every config names in ``custom_imports``.
"""

__version__ = "0.1.0"
