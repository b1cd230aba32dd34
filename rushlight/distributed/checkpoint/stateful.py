"""Objects that know their own state dictionary."""
from .saving import Stateful as Stateful
