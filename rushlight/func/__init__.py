"""Function transforms: vmap, derivatives as functions, modules as functions. `torch.func`."""
from .functional_call import functional_call as functional_call
from .functional_call import replace_all_batch_norm_modules_ as replace_all_batch_norm_modules_
from .functional_call import stack_module_state as stack_module_state
from .transforms import functionalize as functionalize, grad as grad, grad_and_value as grad_and_value
from .transforms import hessian as hessian, jacfwd as jacfwd, jacrev as jacrev, jvp as jvp, linearize as linearize
from .transforms import vjp as vjp
from .vmap import vmap as vmap
