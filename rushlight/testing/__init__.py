"""Public helpers of tests: assert_close and make_tensor."""
from .comparison import assert_allclose as assert_allclose, assert_close as assert_close
from .creation import make_tensor as make_tensor
