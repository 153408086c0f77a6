"""Traffic that moves to a pool from another system: who is served by which, and how the other one is spoken to.

What lives here: the split between a pool and its ``spec.upstream``, the way back when one of them fails, the upstreams' own requests and
answers, the comparison of both. What must not enter: claims and agents, which the callers bring along as what the pool would do.

============== =======================================================================================
``arms``       who serves a request, and who serves it next (pure)
``serving``    the arms, tried one after another
``asking``     a quick action at an upstream
``browserless`` our bodies as browserless', its answers as ours (pure)
``connecting`` CDP at an upstream
``addresses``  an upstream's addresses (pure)
``comparing``  both arms side by side
============== =======================================================================================
"""
