"""What torchrun and the processes under it share."""
