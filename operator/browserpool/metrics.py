"""Every metric of every process: name, help, labels. A test holds the README's table equal to this file.

Names follow Prometheus' conventions (base units, ``_total`` for counters). A process serves only those it has touched; the room
that counts a thing says so here.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_FAST = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_SLOW = (0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)
_SIZES = (1, 2, 5, 10, 20, 50, 75, 100, 250, 500, 1000)

# ---------------------------------------------------------------- router
BROWSERS = Gauge(
    "browserpool_browsers", "Browsers by state, as the store has them", ["pool", "region", "state"], registry=REGISTRY
)
BROWSERS_WANTED = Gauge(
    "browserpool_browsers_wanted",
    "Browsers to keep ready, as the pool's spec has it, or as its autoscaling finds",
    ["pool", "region"],
    registry=REGISTRY,
)
CANARY_PAUSED = Gauge(
    "browserpool_canary_paused", "Whether the pool's canary is paused (1), or goes on (0)", ["pool"], registry=REGISTRY
)
CANARY_BROWSERS = Gauge(
    "browserpool_canary_browsers",
    "Browsers of each version of a pool that has a canary",
    ["pool", "version"],
    registry=REGISTRY,
)
CANARY_REQUESTS = Gauge(
    "browserpool_canary_requests",
    "Requests that each version of a pool that has a canary served in the last ten minutes",
    ["pool", "version"],
    registry=REGISTRY,
)
CANARY_ERROR_RATIO = Gauge(
    "browserpool_canary_error_ratio", "How many of them failed, from 0 to 1", ["pool", "version"], registry=REGISTRY
)
CANARY_SECONDS = Gauge(
    "browserpool_canary_seconds",
    "How long they took: the median (0.5) and the 95th percentile (0.95); NaN: there were none",
    ["pool", "version", "quantile"],
    registry=REGISTRY,
)
CLAIMS = Counter(
    "browserpool_claims",
    "Claims by outcome and by how near the browser was",
    ["pool", "region", "outcome", "locality"],
    registry=REGISTRY,
)
JOINS = Counter(
    "browserpool_joins",
    "Quick actions that went into a browser where others of the same token were at work",
    ["pool"],
    registry=REGISTRY,
)
CLAIM_SECONDS = Histogram(
    "browserpool_claim_seconds",
    "One claim in the store, the wait for a connection included",
    ["pool"],
    buckets=_FAST,
    registry=REGISTRY,
)
QUEUE_DEPTH = Gauge(
    "browserpool_queue_depth", "Requests that wait for a browser at this router", ["pool"], registry=REGISTRY
)
QUEUE_SECONDS = Histogram(
    "browserpool_queue_seconds",
    "How long requests waited for a browser, by how the wait ended",
    ["pool", "outcome"],
    buckets=_SLOW,
    registry=REGISTRY,
)
ACTION_SECONDS = Histogram(
    "browserpool_action_seconds",
    "Quick actions from the request's arrival to the answer's last byte",
    ["pool", "action", "outcome"],
    buckets=_SLOW,
    registry=REGISTRY,
)
ARM_SECONDS = Histogram(
    "browserpool_arm_seconds",
    "What was asked of a pool that has an upstream, by who served; CDP until it was connected",
    ["pool", "arm", "action", "outcome"],
    buckets=_SLOW,
    registry=REGISTRY,
)
FALLBACKS = Counter(
    "browserpool_fallbacks",
    "Requests that an arm failed, so that another was tried",
    ["pool", "arm", "action"],
    registry=REGISTRY,
)
FORWARDED = Counter(
    "browserpool_forwarded",
    "Requests that a region had no browser for, and its backup router's outcome (served, full, refused, away)",
    ["pool", "outcome"],
    registry=REGISTRY,
)
CRAWL_SECONDS = Histogram(
    "browserpool_crawl_seconds",
    "What crawls fetch, from its claim to its end, by kind and by what became of it",
    ["pool", "kind", "outcome"],
    buckets=_SLOW,
    registry=REGISTRY,
)
SESSIONS_OPEN = Gauge("browserpool_cdp_connections", "CDP connections open at this router", ["pool"], registry=REGISTRY)
MODEL_SECONDS = Histogram(
    "browserpool_model_seconds",
    "Questions to language models, by provider and outcome",
    ["provider", "outcome"],
    buckets=_SLOW,
    registry=REGISTRY,
)
CACHE_LOOKUPS = Counter(
    "browserpool_cache_lookups", "Quick actions looked up in the cache, by outcome", ["outcome"], registry=REGISTRY
)
CACHE_BYTES = Gauge(
    "browserpool_cache_bytes", "Answers kept for cacheTTL, in this router or in the store", registry=REGISTRY
)
REFUSED = Counter("browserpool_refused", "Requests refused before a claim, by reason", ["reason"], registry=REGISTRY)
RELEASES = Counter(
    "browserpool_releases",
    "Sessions ended by this router, by what became of the browser",
    ["pool", "state"],
    registry=REGISTRY,
)

# ---------------------------------------------------------------- store
BATCH_ROWS = Histogram("browserpool_heartbeat_batch_rows", "Heartbeats in one batch", buckets=_SIZES, registry=REGISTRY)
BATCH_SECONDS = Histogram(
    "browserpool_heartbeat_batch_seconds", "One batch's write, retries included", buckets=_FAST, registry=REGISTRY
)
BATCH_FAILED_ROWS = Counter(
    "browserpool_heartbeat_failed_rows", "Heartbeats that could not be written", registry=REGISTRY
)
HEARTBEATS_REFUSED = Counter(
    "browserpool_heartbeats_refused", "Heartbeats refused because the queue was full", registry=REGISTRY
)
REGION_LAG = Gauge(
    "browserpool_region_lag_seconds",
    "Age of the oldest unwritten heartbeat of the region",
    ["region"],
    registry=REGISTRY,
)
REGION_DATABASE_UP = Gauge(
    "browserpool_region_database_up",
    "Whether a region's own database can be used (1) or not (0), as this process sees it",
    ["database"],
    registry=REGISTRY,
)
LEASES_EXPIRED = Counter("browserpool_leases_expired", "Sessions whose lease ran out", ["pool"], registry=REGISTRY)

# ---------------------------------------------------------------- agent
CHROMIUM_RESTARTS = Counter(
    "browserpool_chromium_restarts", "Starts of Chromium after the first, by why", ["reason"], registry=REGISTRY
)
CHROMIUM_START_SECONDS = Histogram(
    "browserpool_chromium_start_seconds", "From Chromium's exec until CDP answers", buckets=_SLOW, registry=REGISTRY
)
AGENT_ACTION_SECONDS = Histogram(
    "browserpool_agent_action_seconds",
    "Quick actions inside the agent",
    ["action", "outcome"],
    buckets=_SLOW,
    registry=REGISTRY,
)
EGRESS = Counter(
    "browserpool_egress_connections", "Connections that pages asked for, by verdict", ["verdict"], registry=REGISTRY
)
HEARTBEATS_SENT = Counter("browserpool_heartbeats_sent", "Heartbeats sent, by outcome", ["outcome"], registry=REGISTRY)

# ---------------------------------------------------------------- local, controller
ADMISSION_SECONDS = Histogram(
    "browserpool_admission_seconds",
    "Reviews that the API server asked for, by webhook and by what was decided",
    ["webhook", "outcome"],
    buckets=_FAST,
    registry=REGISTRY,
)
AGENT_RESTARTS = Counter(
    "browserpool_agent_restarts",
    "Browsers replaced because their process or pod died",
    ["pool", "region"],
    registry=REGISTRY,
)
KUBE_REQUESTS = Counter(
    "browserpool_kubernetes_requests",
    "Requests to the API server, by what was asked and by the answer's status",
    ["verb", "resource", "code"],
    registry=REGISTRY,
)
PODS_CREATED = Counter(
    "browserpool_pods_created", "Browsers' pods that the API server took", ["pool", "region"], registry=REGISTRY
)
PODS_DELETED = Counter(
    "browserpool_pods_deleted", "Browsers' pods whose deletion was asked for", ["pool", "region"], registry=REGISTRY
)
RECONCILE_SECONDS = Histogram(
    "browserpool_reconcile_seconds",
    "One look at all pools with what was done about it, by how it ended",
    ["outcome"],
    buckets=_FAST,
    registry=REGISTRY,
)
WATCHES = Counter(
    "browserpool_kubernetes_watches",
    "Watches that ended, by why: lists again after expired, goes on after the rest",
    ["resource", "reason"],
    registry=REGISTRY,
)
LEADING = Gauge("browserpool_leading", "1 while this replica holds the Lease", registry=REGISTRY)
