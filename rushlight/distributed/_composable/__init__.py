"""Names that parts of torch.distributed had before."""
