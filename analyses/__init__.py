"""Runnable studies: each file is a function that returns a frozen result, and a command of `recurlens` over it."""
