"""Answers of quick actions, given again for ``cacheTTL`` seconds instead of being made again.

What lives here: which answers are kept, under which key, for how long; where they are kept, in this process or in the store. What must not
enter: what an answer says, and how it is made. An answer is given only to the token that it was made for.

=========== ==============================================================================
``policy``  what is kept, for whom, for how long (pure)
``memory``  kept in this process: bounded in bytes, the least used goes first
``keeping`` the cache of a router: in memory or in the store, or none; counted
=========== ==============================================================================
"""
