"""Benchmarks: ``make bench``. They measure, print and keep figures; they decide nothing.

Each module has ``run(progress) -> list[Figure]``. What has a floor (bare CDP, pgbench) measures it in the same run, the methods in
turn, because these figures mean something only as ratios: machines differ, and one machine differs from hour to hour.
"""
