"""Text to symbols: the front end. Importing this package loads neither NumPy nor any dictionary."""

from .normalize import normalize

__all__ = ["normalize"]
