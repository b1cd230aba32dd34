"""The versions: rushlight's own, and that of the PyTorch whose API it has."""
rushlight = "0.1.0"
__version__ = "2.13.0+rushlight"        # what programs ask PyTorch for
cuda = hip = xpu = None
debug = False
