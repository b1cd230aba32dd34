"""torch.utils.deterministic: kept so that programs can set it; memory here is always filled."""
fill_uninitialized_memory = True
