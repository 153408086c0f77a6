"""What people say of other such services, each with the tests that it is not so here; and those that stand nowhere else."""

import pathlib
import re

import aiohttp
import pytest
from prometheus_client import parser

from support import stack

TESTS = pathlib.Path(__file__).parent.parent
COMPLAINTS = {
    "slots leak: running 4, no sessions": (
        "e2e/test_soak.py::test_a_thousand_actions_whose_clients_come_and_go",
        "router/test_faults.py::test_clients_that_go_away_at_any_moment_leak_nothing",
        "router/test_cdp.py::test_a_client_that_leaves_while_it_waits_leaks_nothing",
    ),
    "no keep-alive": (
        "router/test_cdp.py::test_traffic_keeps_it_alive",
        "e2e/test_cdp_clients.py::test_an_idle_session_ends",
    ),
    "no reconnecting": (
        "router/test_cdp.py::test_a_session_outlives_its_connection_and_is_found_again_by_its_id",
        "e2e/test_cdp_clients.py::test_pyppeteer_finds_its_pages_again",
    ),
    "429 for a lone user": ("e2e/test_complaints.py::test_a_lone_user_in_a_hurry_is_never_told_to_wait",),
    "no Retry-After": (
        "router/test_waiting.py::test_at_the_bound_it_is_429_with_retry_after",
        "router/test_waiting.py::test_at_the_deadline_it_is_503_with_retry_after_and_the_place_is_free",
        "router/test_quotas.py::test_who_comes_back_after_the_seconds_he_was_told_passes",
    ),
    "metrics that Prometheus cannot read": ("e2e/test_complaints.py::test_prometheus_reads_the_metrics",),
    "no authentication when self-hosted": (
        "e2e/test_bad_input.py::test_no_token_no_browser",
        "router/test_status.py::test_only_these_are_public",
    ),
    "pages reach private addresses": (
        "agent/test_egress_policy.py::test_refused_unless_allowed",
        "agent/test_egress_policy.py::test_hidden_forms_resolve_to_what_they_hide",
        "agent/test_egress_chromium.py::test_no_form_of_loopback_is_reached",
    ),
    "pages reach private addresses by a redirect": (
        "agent/test_egress_chromium.py::test_a_redirect_does_not_lead_there",
    ),
    "pages reach private addresses by DNS rebinding": (
        "agent/test_egress_chromium.py::test_an_answer_that_changes_after_the_check_changes_nothing",
    ),
    "zombies, memory that grows": ("e2e/test_soak.py::test_a_thousand_actions_whose_clients_come_and_go",),
    "busy pods are killed on scale-down": (
        "unit/test_plan.py::test_scale_down_drains_the_highest_idle_ones_and_never_a_claimed_one",
        "e2e_cluster/test_lifecycle.py::test_a_claimed_browser_outlives_a_scale_down",
    ),
    "502 on warm pods": (
        "router/test_faults.py::test_a_browser_that_dropped_its_idle_connections_answers_the_next_one",
    ),
    "setJavaScriptEnabled: false is ignored": ("agent/test_actions_shared.py::test_java_script_off_is_off",),
}


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_each_complaint_has_its_tests(complaint: str) -> None:
    for name in COMPLAINTS[complaint]:
        file, _, test = name.partition("::")
        assert re.search(rf"^(async )?def {test}\(", (TESTS / file).read_text(), re.MULTILINE), name


async def test_a_lone_user_in_a_hurry_is_never_told_to_wait(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    """One after another without a pause, actions and sessions, many more than there are browsers."""
    for number in range(40):
        async with http.post("/v1/content?cacheTTL=0", json={"html": f"<p>{number}"}) as answer:
            assert answer.status == 200, await answer.text()
            assert f"<p>{number}</p>" in (await answer.json())["result"]
    for _ in range(6):
        async with http.post("/devtools/browser") as answer:
            assert answer.status == 200, await answer.text()
            session = (await answer.json())["sessionId"]
        async with http.delete(f"/devtools/browser/{session}") as answer:
            assert answer.status == 200, await answer.text()


async def test_prometheus_reads_the_metrics(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/content?cacheTTL=0", json={"html": "<p>x"}) as answer:
        assert answer.status == 200
    async with http.get("/metrics") as answer:
        assert answer.content_type == "text/plain"
        families = {family.name: family for family in parser.text_string_to_metric_families(await answer.text())}
    assert all(family.documentation for family in families.values())
    counted = [sample for sample in families["browserpool_action_seconds"].samples if sample.name.endswith("_count")]
    assert sum(sample.value for sample in counted if sample.labels.get("action") == "content") >= 1
