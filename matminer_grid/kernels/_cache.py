"""Numba's cache of machine code, by classes that numba doesn't promise to keep: `_jit` does without where they are gone."""

from __future__ import annotations

import hashlib
import warnings
from functools import cache
from importlib.resources import files
from pickle import UnpicklingError
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

UNUSABLE = (OSError, EOFError, UnpicklingError)
"""What numba raises where its cache can't be read or written, or was cut short."""


@cache
def _digest() -> bytes:
    """Digest of the text of all kernel files, computed once in a process; they may be read from a zip file."""
    digest = hashlib.sha256()
    for file in sorted(files(__package__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            text = file.read_bytes()
            digest.update(f"{file.name} {len(text)} ".encode() + text)
    return digest.digest()


class _CacheFile(IndexDataCacheFile):
    """Machine code that carries its stamp: should a process end between writing index and code, old code isn't taken for new."""

    def _save_data(self, name: str, data: Any) -> None:
        super()._save_data(name, (self._source_stamp, data))

    def _load_data(self, name: str) -> Any:
        saved = super()._load_data(name)
        if saved[0] != self._source_stamp:
            raise FileNotFoundError(name)  # numba then compiles
        return saved[1]


class Cache(FunctionCache):
    """Numba's cache of machine code, without which work goes on: where a disk is full, kernels are compiled in each process.

    Machine code holds that of the kernels it calls. Numba looks for changes in the file of the caller only, so its stamp is joined
    by a digest of all kernel files: a change in any of them compiles all of them anew.
    """

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        stamp = (self._impl.locator.get_source_stamp(), _digest())
        self._cache_file = _CacheFile(self._cache_path, self._impl.filename_base, stamp)

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except UNUSABLE as error:
            warnings.warn(
                f"machine code could not be kept in {self.cache_path} ({error}); it will be compiled anew in each process. "
                "NUMBA_CACHE_DIR names another folder",
                RuntimeWarning,
                stacklevel=2,
            )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except UNUSABLE:  # as good as not there
            return None
