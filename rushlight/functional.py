"""torch.functional: an older place of some functions of torch."""
import rushlight as _rushlight

NAMES = tuple("""atleast_1d atleast_2d atleast_3d broadcast_shapes broadcast_tensors cartesian_prod block_diag cdist chain_matmul
    einsum istft lu norm meshgrid pca_lowrank split stft svd_lowrank tensordot unique unique_consecutive unravel_index""".split())

for _name in NAMES:
    globals()[_name] = getattr(_rushlight, _name)
