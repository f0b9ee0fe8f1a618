"""The page of results: what is on it, the JSON behind it, its tables and plots.

``python -m counterflow.results`` (or ``make results``) writes docs/results.md and its plots from
the JSON files in docs/results.  Those of accuracy come from ``python -m
counterflow.results.experiments``, those of speed from ``python -m counterflow.results.benchmark
--out``; the rest is collected from ``build/results``.
"""
