"""The HTTP API's bodies: Cloudflare Browser Run's wire format (api.md).

One pydantic model a body, with every field's default and maximum; the same models validate, will generate OpenAPI, and are what
the agent's actions read. ``envelope`` builds what goes back.
"""
