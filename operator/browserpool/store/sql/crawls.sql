-- name: create
select create_crawl(
    %(crawl_id)s, %(token)s, %(pool)s, %(region)s, %(page_limit)s::integer, %(body)s::jsonb, %(found)s::jsonb
);

-- name: extend_held
-- What a worker found, as long as the entry on which it was found is its own.
select extend_crawl(c.crawl_id, %(found)s::jsonb)
from (select crawl_id from crawls where crawl_id = %(crawl_id)s and status = 'running' for update) c
where exists (
    select from crawl_pages p
    where p.crawl_id = %(crawl_id)s and p.number = %(number)s and p.fence = %(fence)s and p.status = 'queued'
);

-- name: job
select
    c.crawl_id, c.token, c.pool, c.region, c.status::text as status, c.total, c.finished, c.skipped, c.browser_ms, c.body, c.created_at,
    now() as now
from crawls c where c.crawl_id = %(crawl_id)s;

-- name: running
select count(*)::integer as number from crawls c where c.status = 'running' and c.token = %(token)s;

-- name: wanted
-- Where there is something to fetch, now or later, and for whom.
select distinct c.pool, c.region, c.token from crawls c where c.status = 'running';

-- name: claim
select
    w.crawl_id, w.number, w.fence, w.kind::text as kind, w.url, w.depth, w.attempts, w.modified_at, w.robots, w.trouble
from claim_crawl_page(%(pools)s, %(regions)s, %(without)s, %(holder)s, %(lease)s, %(delay)s) w;

-- name: renew
update crawl_pages p set lease_expires_at = now() + make_interval(secs => %(lease)s)
where p.crawl_id = %(crawl_id)s and p.number = %(number)s and p.fence = %(fence)s and p.status = 'queued';

-- name: give_back
-- Nothing was tried: the attempt does not count, and the fence is raised so that nobody settles by the old one.
update crawl_pages p set
    holder = null, lease_expires_at = null, fence = p.fence + 1, attempts = p.attempts - %(unspent)s::integer
where p.crawl_id = %(crawl_id)s and p.number = %(number)s and p.fence = %(fence)s and p.status = 'queued';

-- name: know_origin
select know_crawl_origin(%(crawl_id)s, %(origin)s, %(delay)s, %(robots)s, %(trouble)s);

-- name: settle
select s.status::text as status
from settle_crawl_page(
    %(crawl_id)s, %(number)s, %(fence)s, %(status)s::crawl_page_status, %(message)s, %(http_status)s, %(final_url)s, %(title)s, %(html)s,
    %(markdown)s, %(extracted)s::jsonb, %(links)s, %(size)s, %(cache_key)s, %(browser_ms)s, %(found)s::jsonb, %(from_crawl)s,
    %(from_number)s
) s;

-- name: end
select e.status::text as status from end_crawl(%(crawl_id)s, %(status)s::crawl_status, %(message)s) e;

-- name: cached
-- The newest result of the same request that is not older than it may be.
select p.crawl_id, p.number, p.final_url, p.links from crawl_pages p
where p.cache_key = %(cache_key)s and p.settled_at > now() - make_interval(secs => %(max_age)s)
order by p.settled_at desc limit 1;

-- name: records
-- A page of an answer: as many as are wanted and fit, but one at least.
with listed as (
    select p.number, sum(p.size::bigint) over (order by p.number) as upto
    from (
        select number, size from crawl_pages
        where crawl_id = %(crawl_id)s and kind = 'page' and number > %(after)s
            and (%(status)s::crawl_page_status is null or status = %(status)s::crawl_page_status)
        order by number limit %(limit)s
    ) p
), chosen as (
    select number from listed where upto <= %(most)s
    union
    select min(number) from listed
)
select
    p.number, p.url, p.status::text as status, p.message, p.http_status, p.final_url, p.title, p.html, p.markdown, p.extracted
from chosen join crawl_pages p on p.crawl_id = %(crawl_id)s and p.number = chosen.number
order by p.number;

-- name: more
select exists (
    select from crawl_pages
    where crawl_id = %(crawl_id)s and kind = 'page' and number > %(after)s
        and (%(status)s::crawl_page_status is null or status = %(status)s::crawl_page_status)
) as more;

-- name: overdue
select c.crawl_id, e.status::text as status
from (select crawl_id from crawls where status = 'running' and created_at < now() - make_interval(secs => %(older_than)s) limit 10) c,
    end_crawl(c.crawl_id, 'cancelled_due_to_timeout', %(message)s) e;

-- name: orphaned
-- Nobody may see, nor pay for, a job whose token is gone or may no longer use the pool; and none can go on where there is no pool.
select c.crawl_id, e.status::text as status
from (
    select c.crawl_id from crawls c
    where c.status = 'running' and not exists (
        select from tokens t, pools p
        where t.token = c.token and p.pool = c.pool and (t.pools is null or c.pool = any(t.pools))
    )
    limit 10
) c, end_crawl(c.crawl_id, 'errored', %(message)s) e;

-- name: prune_pages
delete from crawl_pages p where p.ctid = any(array(
    select q.ctid from crawls c join crawl_pages q on q.crawl_id = c.crawl_id
    where c.finished_at < now() - make_interval(secs => %(older_than)s)
    limit %(limit)s
));

-- name: prune_jobs
with old as (
    select c.crawl_id from crawls c
    where c.finished_at < now() - make_interval(secs => %(older_than)s)
        and not exists (select from crawl_pages p where p.crawl_id = c.crawl_id)
), origins as (
    delete from crawl_origins o using old where o.crawl_id = old.crawl_id
)
delete from crawls c using old where c.crawl_id = old.crawl_id;

-- name: prune_domains
delete from crawl_domains d
where d.next_at < now() - interval '1 day'
    and not exists (select from crawl_pages p where p.domain = d.domain and p.status = 'queued' and p.ready)
    and not exists (select from crawl_pages p where p.domain = d.domain and p.status = 'queued' and not p.ready);

-- name: mend_domains
-- A host that was forgotten in the moment when it was found again.
insert into crawl_domains (domain)
select distinct p.domain from crawl_pages p
where p.status = 'queued' and p.ready and not exists (select from crawl_domains d where d.domain = p.domain)
on conflict (domain) do nothing;
