"""Which version of Opacus' interface this follows."""
__version__ = "1.6.0"
