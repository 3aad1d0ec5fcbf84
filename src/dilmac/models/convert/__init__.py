"""A PyTorch state dict of whatever origin, as the weights of a transformers model.

state    read it, without running what a pickle may hold
layouts  its names and layouts into those of transformers
fit      what is missing, unexpected or of another shape
"""
