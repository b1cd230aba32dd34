"""torch.utils.benchmark: times of statements, with what they have recorded run."""
from .compare import Colorize as Colorize, Compare as Compare
from .measurement import Measurement as Measurement, TaskSpec as TaskSpec
from .measurement import select_unit as select_unit, trim_sigfig as trim_sigfig, unit_to_english as unit_to_english
from .timer import Language as Language, Timer as Timer, timer as timer
