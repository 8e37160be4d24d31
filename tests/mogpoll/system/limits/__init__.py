"""Limits of threads and of processor time, on kernels that are pretended."""
