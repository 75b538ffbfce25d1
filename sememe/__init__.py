"""sememe: text into vectors, kept and found again, on a laptop."""

__version__ = "0.1.0"
