-- model/crawls.py says what each means.
create type crawl_status as enum (
    'running', 'completed', 'errored', 'cancelled_by_user', 'cancelled_due_to_timeout', 'cancelled_due_to_limits'
);

create type crawl_page_kind as enum ('robots', 'sitemap', 'page');

create type crawl_page_status as enum ('queued', 'completed', 'disallowed', 'skipped', 'errored', 'cancelled');

-- Written by: routers (POST and DELETE of /crawl, their crawl workers). One row a job. Whoever changes a job's queue locks this row
-- first, so that its counters hold.
create table crawls (
    created_at timestamptz not null default now(),
    finished_at timestamptz,                -- null while it runs
    browser_ms bigint not null default 0,
    page_limit integer not null,
    numbers integer not null default 0,     -- entries of its queue that there have ever been
    open integer not null default 0,        -- of those, not settled
    total integer not null default 0,       -- pages, without the skipped
    finished integer not null default 0,    -- of those, settled and not cancelled
    skipped integer not null default 0,
    asides integer not null default 0,      -- pages that were never queued: noted as skipped or disallowed when they were found
    sitemaps integer not null default 0,
    status crawl_status not null default 'running',
    crawl_id text collate "C" primary key,
    token text collate "C" not null,
    pool text collate "C" not null,
    region text collate "C" not null,
    body jsonb                              -- null once it is over, since it may hold passwords
);

create index crawls_running on crawls (created_at) where status = 'running';
create index crawls_finished on crawls (finished_at) where finished_at is not null;

-- Written by: routers' crawl workers. What each job knows of the sites that it visits.
create table crawl_origins (
    crawl_id text collate "C" not null,
    origin text collate "C" not null,       -- scheme://host:port
    delay double precision,                 -- seconds, by its robots.txt; null: it does not say
    robots text,                            -- null: there is none that can be read
    trouble text,                           -- why nothing of it may be fetched
    primary key (crawl_id, origin)
);

-- Written by: routers' crawl workers. When each host may be asked again, by whichever router for whichever job. To claim an entry is
-- to lock its host's row, so that no host is asked by two at one time; the rows are what SKIP LOCKED skips.
create table crawl_domains (
    next_at timestamptz not null default now(),
    domain text collate "C" primary key
);

create index crawl_domains_due on crawl_domains (next_at);

-- Written by: routers (POST /crawl), their crawl workers. The queue of each job, and what became of each entry.
create table crawl_pages (
    lease_expires_at timestamptz,           -- null or past: nobody is at it
    settled_at timestamptz,
    modified_at timestamptz,                -- as a sitemap says
    fence bigint not null default 0,        -- of the newest lease; whoever names an older one is not heard
    number integer not null,                -- in the order in which they were found
    depth integer not null,
    rank integer not null,                  -- lower ones go first
    attempts integer not null default 0,
    size integer not null default 0,        -- bytes that the record takes in an answer
    http_status integer,
    kind crawl_page_kind not null,
    status crawl_page_status not null default 'queued',
    ready boolean not null,                 -- its site's robots.txt is known, or it needs none
    digest bytea not null,                  -- of kind and url, which may be too long for an index
    cache_key bytea,                        -- by which a later job of the same token may use the result; null: it may not
    crawl_id text collate "C" not null references crawls,
    pool text collate "C" not null,
    region text collate "C" not null,
    domain text collate "C" not null,
    origin text collate "C" not null,
    url text collate "C" not null,
    holder text collate "C",
    message text,
    final_url text,
    title text,
    html text,
    markdown text,
    extracted jsonb,
    links text[],
    primary key (crawl_id, number),
    unique (crawl_id, digest)
) with (
    -- A claim, renewals and the result rewrite a row three times or more.
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000
);

-- Leases stand in no index, so that to claim, to renew and to give back is HOT.
create index crawl_pages_queued on crawl_pages (domain, rank, number) where status = 'queued' and ready;
create index crawl_pages_unready on crawl_pages (crawl_id, origin) where status = 'queued' and not ready;
create index crawl_pages_cached on crawl_pages (cache_key, settled_at) where cache_key is not null;

-- Adds to the queue what a job has come upon: [{kind, url, origin, domain, depth, rank, status, message, modified_at}], in that order of
-- preference. What it has already, and what is over its limit, is passed over. The caller holds the job's row.
create function extend_crawl(p_crawl_id text, p_found jsonb) returns void language plpgsql as $$
declare
    job crawls;
    entry record;
    added boolean;
    known boolean;
begin
    select * into job from crawls c where c.crawl_id = p_crawl_id;
    insert into crawl_domains (domain)
    select distinct f.domain from jsonb_to_recordset(p_found) as f (domain text) order by f.domain
    on conflict (domain) do nothing;
    for entry in
        select * from jsonb_to_recordset(p_found) as f (
            kind crawl_page_kind, url text, origin text, domain text, depth integer, rank integer, status crawl_page_status,
            message text, modified_at timestamptz
        )
    loop
        if entry.kind = 'sitemap' then
            continue when job.sitemaps >= 50;
        elsif entry.status = 'queued' then
            continue when entry.kind = 'page' and job.total - job.asides + job.skipped >= job.page_limit;
        else
            continue when job.asides >= greatest(1000, job.page_limit);
        end if;
        known := exists (select from crawl_origins o where o.crawl_id = p_crawl_id and o.origin = entry.origin);
        insert into crawl_pages (
            crawl_id, number, kind, url, digest, origin, domain, depth, rank, status, message, modified_at, pool, region, ready, settled_at,
            size
        ) values (
            p_crawl_id, job.numbers + 1, entry.kind, entry.url, sha256(convert_to(entry.kind || ' ' || entry.url, 'UTF8')), entry.origin,
            entry.domain, entry.depth, entry.rank, entry.status, entry.message, entry.modified_at, job.pool, job.region,
            known or entry.kind <> 'page', case when entry.status = 'queued' then null else now() end,
            octet_length(entry.url) + coalesce(octet_length(entry.message), 0) + 100
        ) on conflict (crawl_id, digest) do nothing;
        added := found;
        continue when not added;
        job.numbers := job.numbers + 1;
        if entry.status = 'queued' then job.open := job.open + 1; end if;
        if entry.kind = 'sitemap' then job.sitemaps := job.sitemaps + 1; end if;
        if entry.kind = 'page' then
            if entry.status = 'skipped' then job.skipped := job.skipped + 1; else job.total := job.total + 1; end if;
            if entry.status <> 'queued' then job.asides := job.asides + 1; end if;
            if entry.status = 'disallowed' then job.finished := job.finished + 1; end if;
            if entry.status = 'queued' and not known then
                insert into crawl_pages (
                    crawl_id, number, kind, url, digest, origin, domain, depth, rank, pool, region, ready
                ) values (
                    p_crawl_id, job.numbers + 1, 'robots', entry.origin || '/robots.txt',
                    sha256(convert_to('robots ' || entry.origin || '/robots.txt', 'UTF8')), entry.origin, entry.domain, 0, 0, job.pool,
                    job.region, true
                ) on conflict (crawl_id, digest) do nothing;
                if found then
                    job.numbers := job.numbers + 1;
                    job.open := job.open + 1;
                end if;
            end if;
        end if;
    end loop;
    update crawls c set
        numbers = job.numbers, open = job.open, total = job.total, finished = job.finished, skipped = job.skipped, asides = job.asides,
        sitemaps = job.sitemaps
    where c.crawl_id = p_crawl_id;
end
$$;

-- Makes a job with what it begins with, or neither. A repetition makes nothing twice.
create function create_crawl(
    p_crawl_id text, p_token text, p_pool text, p_region text, p_page_limit integer, p_body jsonb, p_found jsonb
) returns void language plpgsql as $$
begin
    insert into crawls (crawl_id, token, pool, region, page_limit, body)
    values (p_crawl_id, p_token, p_pool, p_region, p_page_limit, p_body)
    on conflict (crawl_id) do nothing;
    if found then perform extend_crawl(p_crawl_id, p_found); end if;
end
$$;

-- Leases the next entry to somebody who can claim a browser at one of the places, for any token but p_without: of the host that has
-- waited longest for its turn.
create function claim_crawl_page(
    p_pools text[], p_regions text[], p_without text[], p_holder text, p_lease double precision, p_delay double precision
) returns table (
    crawl_id text, number integer, fence bigint, kind crawl_page_kind, url text, depth integer, attempts integer,
    modified_at timestamptz, robots text, trouble text
) language plpgsql as $$
#variable_conflict use_column
declare
    host text;
    page crawl_pages;
    site crawl_origins;
begin
    select d.domain into host from crawl_domains d
    where d.next_at <= now() and exists (
        select from crawl_pages p
        where p.domain = d.domain and p.status = 'queued' and p.ready and (p.lease_expires_at is null or p.lease_expires_at < now())
            and (p.pool, p.region) in (select * from unnest(p_pools, p_regions))
            and (p_without = '{}' or not exists (select from crawls c where c.crawl_id = p.crawl_id and c.token = any(p_without)))
    )
    order by d.next_at limit 1 for update of d skip locked;
    if not found then return; end if;
    select p.* into page from crawl_pages p
    where p.domain = host and p.status = 'queued' and p.ready and (p.lease_expires_at is null or p.lease_expires_at < now())
        and (p.pool, p.region) in (select * from unnest(p_pools, p_regions))
        and (p_without = '{}' or not exists (select from crawls c where c.crawl_id = p.crawl_id and c.token = any(p_without)))
    order by p.rank, p.number limit 1 for update of p skip locked;
    if not found then return; end if;
    select o.* into site from crawl_origins o where o.crawl_id = page.crawl_id and o.origin = page.origin;
    update crawl_domains d set next_at = now() + make_interval(secs => coalesce(site.delay, p_delay)) where d.domain = host;
    return query
    update crawl_pages p set
        holder = p_holder,
        lease_expires_at = now() + make_interval(secs => p_lease),
        fence = p.fence + 1,
        attempts = p.attempts + 1
    where p.crawl_id = page.crawl_id and p.number = page.number
    returning p.crawl_id, p.number, p.fence, p.kind, p.url, p.depth, p.attempts, p.modified_at, site.robots, site.trouble;
end
$$;

-- What a site says of itself. From now on its pages may be claimed.
create function know_crawl_origin(p_crawl_id text, p_origin text, p_delay double precision, p_robots text, p_trouble text)
returns void language plpgsql as $$
begin
    -- Whoever extends the queue holds it too: none of the site's pages can be added as not ready after they were all made so.
    perform from crawls c where c.crawl_id = p_crawl_id for update;
    insert into crawl_origins (crawl_id, origin, delay, robots, trouble) values (p_crawl_id, p_origin, p_delay, p_robots, p_trouble)
    on conflict (crawl_id, origin) do update set delay = excluded.delay, robots = excluded.robots, trouble = excluded.trouble;
    update crawl_pages p set ready = true
    where p.crawl_id = p_crawl_id and p.origin = p_origin and p.status = 'queued' and not p.ready;
end
$$;

-- Writes what became of an entry, and what was found on it; answers the job's status. No row: the lease is no longer its holder's, or
-- the job is over. Where p_from_crawl names another job's page, its contents are taken over.
create function settle_crawl_page(
    p_crawl_id text, p_number integer, p_fence bigint, p_status crawl_page_status, p_message text, p_http_status integer,
    p_final_url text, p_title text, p_html text, p_markdown text, p_extracted jsonb, p_links text[], p_size integer, p_cache_key bytea,
    p_browser_ms bigint, p_found jsonb, p_from_crawl text, p_from_number integer
) returns table (status crawl_status) language plpgsql as $$
#variable_conflict use_column
declare
    page_kind crawl_page_kind;
    earlier crawl_pages;
    counts boolean;
begin
    perform from crawls c where c.crawl_id = p_crawl_id and c.status = 'running' for update;
    if not found then return; end if;
    if p_from_crawl is not null then
        select p.* into earlier from crawl_pages p where p.crawl_id = p_from_crawl and p.number = p_from_number;
        if not found then return; end if;
    end if;
    update crawl_pages p set
        status = p_status,
        settled_at = now(),
        holder = null,
        lease_expires_at = null,
        message = p_message,
        http_status = coalesce(p_http_status, earlier.http_status),
        final_url = coalesce(p_final_url, earlier.final_url),
        title = coalesce(p_title, earlier.title),
        html = coalesce(p_html, earlier.html),
        markdown = coalesce(p_markdown, earlier.markdown),
        extracted = coalesce(p_extracted, earlier.extracted),
        links = coalesce(p_links, earlier.links),
        size = coalesce(earlier.size, p_size),
        cache_key = p_cache_key
    where p.crawl_id = p_crawl_id and p.number = p_number and p.fence = p_fence and p.status = 'queued'
    returning p.kind into page_kind;
    if not found then return; end if;
    perform extend_crawl(p_crawl_id, p_found);
    counts := page_kind = 'page';
    return query
    update crawls c set
        open = c.open - 1,
        browser_ms = c.browser_ms + p_browser_ms,
        total = c.total - (counts and p_status = 'skipped')::integer,
        skipped = c.skipped + (counts and p_status = 'skipped')::integer,
        finished = c.finished + (counts and p_status <> 'skipped')::integer,
        status = case when c.open = 1 then 'completed' else c.status end,
        finished_at = case when c.open = 1 then now() end,
        body = case when c.open = 1 then null else c.body end
    where c.crawl_id = p_crawl_id
    returning c.status;
end
$$;

-- Ends a job before its time, whatever is still queued with it; answers what it is now. No row: there is no such job.
create function end_crawl(p_crawl_id text, p_status crawl_status, p_message text) returns table (status crawl_status)
language plpgsql as $$
#variable_conflict use_column
declare
    was crawl_status;
begin
    select c.status into was from crawls c where c.crawl_id = p_crawl_id for update;
    if was is distinct from 'running' then
        return query select was where was is not null;
        return;
    end if;
    update crawl_pages p set
        status = 'cancelled', settled_at = now(), holder = null, lease_expires_at = null, message = p_message,
        size = p.size + octet_length(p_message)
    where p.crawl_id = p_crawl_id and p.status = 'queued';
    return query
    update crawls c set status = p_status, finished_at = now(), open = 0, body = null
    where c.crawl_id = p_crawl_id
    returning c.status;
end
$$;
