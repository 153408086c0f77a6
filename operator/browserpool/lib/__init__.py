"""Tools that have never heard of browsers: clock, chance, settings, logs, tasks, web server bits.

Here lives what any asyncio service needs and what no well-kept library offers in the form we need.
Nothing here may import another room of this package, and nothing here knows a word of the domain.
The clock and chance are here, and nowhere else, so that the rest can be tested without either.
"""
