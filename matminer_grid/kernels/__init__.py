"""Kernels compiled by numba: arrays in, arrays out."""
